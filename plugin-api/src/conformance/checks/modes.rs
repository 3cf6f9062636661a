//! The same file in this process and in a worker: the same plugin.

use std::sync::Arc;
use std::time::Duration;

use crate::conformance::batch::{Op, Sample};
use crate::conformance::finding::{Checked, Trouble, fail};
use crate::conformance::kit::Kit;
use crate::conformance::plugin::{Loaded, NOW};
use crate::conformance::samples;
use crate::host::{
    CallError, Circumstances, Instance, KeyRecord, KeySnapshot, Pin, PluginImage, WorkerOptions,
};
use crate::{Algorithm, Item};

/// What a worker has by default.
const MEMORY_BYTES: u64 = 1 << 30;
/// A call of the slowest token.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

pub(in crate::conformance) fn worker(kit: &Kit<'_>) -> Checked {
    let here = kit.load()?;
    let there = in_worker(kit)?;
    if there.info() != here.image.info() {
        return fail("its table says something else in a process of its own");
    }
    let places = [Place::new(&here, &here.image, kit)?, Place::new(&here, &Arc::new(there), kit)?];
    let [keys, others] = places.each_ref().map(Place::keys);
    if keys != others {
        return fail("it lists other keys in a process of its own");
    }
    let (live, mut count) = (here.create()?, 0);
    let open = live.open_if_any()?;
    for op in Op::ALL.into_iter().filter(|op| here.has(op.cap())) {
        let samples = samples::of(op, &live, open.as_ref())?;
        let [inside, outside] = places.each_ref().map(|place| place.answers(op, &samples));
        let (inside, outside) = (inside?, outside?);
        if let Some(index) = inside.iter().zip(&outside).position(|(one, other)| one != other) {
            return fail(format!(
                "`{}` answers {} to item {index} here and {} in a process of its own; it may depend on \
                 nothing of the daemon's process",
                op.name(),
                inside[index],
                outside[index]
            ));
        }
        count += inside.len();
    }
    Ok(format!("{count} answers are the same"))
}

fn in_worker(kit: &Kit<'_>) -> Result<PluginImage, Trouble> {
    let options = WorkerOptions {
        program: "/proc/self/exe".into(),
        arguments: kit.program.worker_arguments.iter().map(Into::into).collect(),
        call_timeout: CALL_TIMEOUT,
        memory_bytes: MEMORY_BYTES,
        environment: Vec::new(),
    };
    let pin = Pin::Sha256(vec![kit.subject.sha256]);
    let image = PluginImage::load_in_worker(&kit.subject.file, &pin, options);
    image.map_err(|error| Trouble::Fail(format!("in a process of its own it {}", error.reason)))
}

/// An instance somewhere, and its keys.
struct Place {
    instance: Arc<Instance>,
    snapshot: Option<KeySnapshot>,
}

impl Place {
    fn new(loaded: &Loaded, image: &Arc<PluginImage>, kit: &Kit<'_>) -> Result<Self, Trouble> {
        let services = Arc::clone(&loaded.services) as _;
        let instance = Instance::create(image, &kit.subject.config, services).map_err(failed)?;
        let lists = loaded.has(crate::Caps::KEYS);
        let snapshot = lists.then(|| instance.snapshot(&Circumstances::at(NOW)));
        Ok(Self { snapshot: snapshot.transpose().map_err(failed)?, instance })
    }

    /// The keys, whatever their handles are.
    fn keys(&self) -> Vec<KeyRecord> {
        let keys = self.snapshot.iter().flat_map(|snapshot| &snapshot.keys);
        keys.map(|key| KeyRecord { handle: 0, ..key.clone() }).collect()
    }

    /// What each sample is answered, as text. Signatures are left out: they may differ.
    fn answers(&self, op: Op, samples: &[Sample]) -> Result<Vec<String>, Trouble> {
        let items: Vec<_> = samples.iter().filter(|it| it.flags == 0).map(item).collect();
        let (at, snapshot) = (Circumstances::at(NOW), self.snapshot.as_ref());
        match (op, snapshot) {
            (Op::Verify, _) => texts(self.instance.verify_batch(snapshot, &items, &at)),
            (Op::Decode, _) => texts(self.instance.decode_batch(snapshot, &items, &at)),
            (Op::Sign, Some(snapshot)) => {
                let signed = self.instance.sign_batch(snapshot, &items, &at);
                let verdict = |answer: Result<Vec<u8>, _>| answer.map(drop);
                texts(signed.map(|signed| signed.into_iter().map(verdict).collect()))
            }
            (Op::Sign, None) => Ok(Vec::new()),
        }
    }
}

fn item(sample: &Sample) -> Item<'_> {
    Item {
        key_handle: sample.key_handle,
        algorithm: Algorithm::from_number(sample.alg),
        key: &sample.key,
        message: &sample.message,
        signature: &sample.signature,
    }
}

fn texts<T: std::fmt::Debug>(answers: Result<Vec<T>, CallError>) -> Result<Vec<String>, Trouble> {
    let answers = answers.map_err(failed)?;
    Ok(answers.iter().map(|answer| format!("{answer:?}")).collect())
}

fn failed(error: CallError) -> Trouble {
    Trouble::Fail(format!("a call that it must answer fails: {error}"))
}
