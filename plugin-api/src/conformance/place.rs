//! A plugin as the daemon calls it: in this process or in a worker.

use std::sync::Arc;
use std::time::Duration;

use super::Program;
use super::batch::{Op, Sample};
use super::finding::Trouble;
use super::job::Subject;
use super::plugin::{Loaded, NOW};
use crate::host::{
    CallError, Circumstances, Instance, KeyRecord, KeySnapshot, Pin, PluginImage, WorkerOptions,
};
use crate::{Algorithm, Caps, Failure, Item};

/// The memory that a worker has by default.
const MEMORY_BYTES: u64 = 1 << 30;
/// A call of the slowest token.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The file of the subject, for processes of its own.
pub(super) fn in_worker(subject: &Subject, program: Program) -> Result<PluginImage, Trouble> {
    let options = WorkerOptions {
        program: "/proc/self/exe".into(),
        arguments: program.worker_arguments.iter().map(Into::into).collect(),
        call_timeout: CALL_TIMEOUT,
        memory_bytes: MEMORY_BYTES,
        environment: subject.environment.clone(),
        user: None,
        files: None,
    };
    let pin = Pin::Sha256(vec![subject.sha256]);
    let image = PluginImage::load_in_worker(&subject.file, &pin, options);
    image.map_err(|error| Trouble::Fail(format!("in a process of its own it {}", error.reason)))
}

/// An instance somewhere, and its keys.
pub(super) struct Place {
    instance: Arc<Instance>,
    snapshot: Option<KeySnapshot>,
}

/// Answers, without what came with a good one.
type Verdicts = Vec<Result<(), Failure>>;

impl Place {
    /// An instance of `image`, with the configuration and services of the plugin that is loaded.
    pub(super) fn new(loaded: &Loaded, image: &Arc<PluginImage>) -> Result<Self, Trouble> {
        let services = Arc::clone(&loaded.services) as _;
        let instance = Instance::create(image, &loaded.config, services).map_err(failed)?;
        let lists = loaded.has(Caps::KEYS);
        let snapshot = lists.then(|| instance.snapshot(&Circumstances::at(NOW)));
        Ok(Self { snapshot: snapshot.transpose().map_err(failed)?, instance })
    }

    /// The keys, whatever their handles are.
    pub(super) fn keys(&self) -> Vec<KeyRecord> {
        let keys = self.snapshot.iter().flat_map(|snapshot| &snapshot.keys);
        keys.map(|key| KeyRecord { handle: 0, ..key.clone() }).collect()
    }

    /// The answer to each sample, as text. Signatures are left out: they may differ.
    pub(super) fn texts(&self, op: Op, samples: &[Sample]) -> Result<Vec<String>, Trouble> {
        let items = items(samples);
        if op == Op::Decode {
            let decoded = self.instance.decode_batch(self.snapshot.as_ref(), &items, &at());
            let decoded = decoded.map_err(failed)?;
            return Ok(decoded.iter().map(|answer| format!("{answer:?}")).collect());
        }
        let verdicts = self.verdicts(op, &items).map_err(failed)?;
        Ok(verdicts.iter().map(|answer| format!("{answer:?}")).collect())
    }

    /// Calls the plugin as the daemon does.
    pub(super) fn verdicts(&self, op: Op, items: &[Item<'_>]) -> Result<Verdicts, CallError> {
        let (at, snapshot) = (at(), self.snapshot.as_ref());
        match (op, snapshot) {
            (Op::Verify, _) => self.instance.verify_batch(snapshot, items, &at),
            (Op::Decode, _) => {
                let decoded = self.instance.decode_batch(snapshot, items, &at)?;
                Ok(decoded.into_iter().map(|answer| answer.map(drop)).collect())
            }
            (Op::Sign, Some(snapshot)) => {
                let signed = self.instance.sign_batch(snapshot, items, &at)?;
                Ok(signed.into_iter().map(|answer| answer.map(drop)).collect())
            }
            (Op::Sign, None) => Ok(Vec::new()),
        }
    }
}

fn at() -> Circumstances<'static> {
    Circumstances::at(NOW)
}

/// The samples that the daemon could ask: it sets no flags that nobody knows.
pub(super) fn items(samples: &[Sample]) -> Vec<Item<'_>> {
    let known = samples.iter().filter(|sample| sample.flags == 0);
    known.map(lend).collect()
}

fn lend(sample: &Sample) -> Item<'_> {
    Item {
        key_handle: sample.key_handle,
        algorithm: Algorithm::from_number(sample.alg),
        key: &sample.key,
        message: &sample.message,
        signature: &sample.signature,
    }
}

pub(super) fn failed(error: CallError) -> Trouble {
    Trouble::Fail(format!("a call that it must answer fails: {error}"))
}
