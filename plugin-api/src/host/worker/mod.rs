//! A plugin in a process of its own.
//!
//! The child is a program of ours that calls [`main`]; it loads the same file as the host would,
//! from the same sealed memory that was hashed, and makes an instance of it. Questions and answers
//! lie in shared memory, a part for each call that may run at once; a socket for each part says
//! that, and how much, is there. A further socket carries logs, pushes and secrets.
//!
//! Whatever the plugin does there (hang, crash, exit, eat memory), the host's side is bounded: it
//! copies out before it checks, checks with the same code as in one process, waits no longer than
//! the call timeout, then kills, and starts a new process, which a breaker keeps from being done
//! too often. Calls that were under way when a process ended are asked once more of the next one.
//!
//! - `arena`: the shared memory; - `wire`: the words; - `process`: one process and its calls;
//! - `keeper`: the thread that attends to it; - `breaker`: when to start again; - `child`,
//!   `answer`, `outbox`, `confinement`: the other side.

mod answer;
mod arena;
mod breaker;
mod child;
mod confinement;
mod keeper;
mod outbox;
mod process;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use breaker::BreakerState;
pub use child::main;

use self::keeper::{Attendant, Kept};
use self::process::Process;
use self::wire::{LentKey, Op, Put, Reader};
use super::batch::{Answered, Blob, Output, take_decoded, take_signature};
use super::error::{CallError, LoadReason, WorkerFault};
use super::file::Sealed;
use super::image::PluginInfo;
use super::instance::Circumstances;
use super::keys::{KeyCollector, KeyRecord, KeySnapshot, Source};
use super::services::{Services, Silent};
use crate::borrowed::span;
use crate::{Algorithm, ErrorKind, Item, LogLevel, Material, abi};

/// Calls that run at once in one worker, where the plugin permits as many.
const SLOTS_MAX: usize = 4;

/// The program and the limits of worker processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerOptions {
    /// A program that calls [`main`], such as the daemon's own.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The time that one call may take before the process is killed.
    pub call_timeout: Duration,
    /// Bytes of address space that a process may have beside the shared memory.
    pub memory_bytes: u64,
    /// Names of the environment variables that are passed on; there are no others.
    pub environment: Vec<String>,
    /// The user and group, by number, that the processes run as; `None`: as this one.
    pub user: Option<u32>,
    /// The only files that they may open beside those of the system; `None`: as their user may.
    pub files: Option<WorkerFiles>,
}

/// The files that a worker may open beside what programs need of the system: nothing else, and it
/// starts no programs. Takes a kernel with Landlock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerFiles {
    /// Files and directories that it may read. What is not there when it starts is passed over.
    pub read: Vec<PathBuf>,
    /// Those that it may also write, make and remove.
    pub write: Vec<PathBuf>,
}

/// Paths in each list of a [`WorkerFiles`].
pub const WORKER_FILES_MAX: usize = 16;
/// Bytes of each.
pub const WORKER_FILE_BYTES_MAX: usize = 1_024;

/// A worker as metrics and people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerStatus {
    /// The process that runs now.
    pub pid: Option<u32>,
    /// Processes started beyond the first.
    pub restarts: u64,
    /// Why processes ended that should not have, and how many did: `late`, `signal`, `exit`,
    /// `nonsense`, `start`.
    pub failures: [(&'static str, u64); 5],
    /// The state of the breaker, which decides if calls are made.
    pub breaker: BreakerState,
    /// Why the last one ended.
    pub last_fault: Option<String>,
    /// Calls since the start.
    pub calls: u64,
    /// Time spent in them.
    pub call_time: Duration,
}

/// The parts that processes are made from.
pub(crate) struct Blueprint {
    pub(super) sealed: Sealed,
    pub(super) options: WorkerOptions,
}

impl Blueprint {
    /// Runs the file in a process that is thrown away, and asks what it is.
    pub(super) fn describe(&self) -> Result<PluginInfo, LoadReason> {
        let process = Process::spawn(self, 1, LogLevel::Error, 1)
            .map_err(|error| LoadReason::Worker(WorkerFault::Start(error.to_string())))?;
        let mut attendant = Attendant::new(&process, &Silent);
        let answer = attendant.ask(Op::Describe, &[]);
        let info = answer.and_then(|answer| process.sense(wire::info(&mut Reader(&answer))));
        match info {
            Ok(info) => {
                process.reap();
                Ok(info)
            }
            Err(Fault::Call(CallError::Refused { text, .. })) => Err(LoadReason::InWorker(text)),
            Err(_) => Err(LoadReason::Worker(process.reap())),
        }
    }
}

/// Why an attempt at a call has no answer.
#[derive(Debug)]
enum Fault {
    /// The plugin's own error.
    Call(CallError),
    /// The process ended under it.
    Ended,
    Late(Duration),
    Nonsense(WorkerFault),
    Resting(WorkerFault),
    GaveUp,
    Busy,
}

/// An instance in worker processes.
pub(super) struct Worker {
    kept: Arc<Kept>,
    keeper: Option<JoinHandle<()>>,
    call_timeout: Duration,
    slots: usize,
    snapshots: AtomicU64,
    calls: AtomicU64,
    call_ns: AtomicU64,
}

/// A snapshot that is open in a worker: in which of its processes, and under which number there.
#[derive(Debug)]
pub(super) struct Opened(Mutex<(u64, u64)>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.kept.end();
        if let Some(keeper) = self.keeper.take() {
            // It has nothing left to say where it panicked.
            drop(keeper.join());
        }
    }
}

impl Worker {
    pub(super) fn create(
        blueprint: &Arc<Blueprint>,
        max_concurrency: u32,
        config_json: &str,
        services: Arc<dyn Services>,
    ) -> Result<Self, CallError> {
        let slots = match max_concurrency as usize {
            0 => SLOTS_MAX,
            max => max.min(SLOTS_MAX),
        };
        let kept = Arc::new(Kept::new(blueprint, slots, config_json, services));
        let keeping = Arc::clone(&kept);
        // The processes die with this thread, so it lives as long as the worker.
        let keeper = std::thread::Builder::new().name("plugin-keeper".to_owned());
        let keeper = keeper
            .spawn(move || keeping.keep())
            .map_err(|error| CallError::Worker(WorkerFault::Start(error.to_string())))?;
        let worker = Self {
            kept,
            keeper: Some(keeper),
            call_timeout: blueprint.options.call_timeout,
            slots,
            snapshots: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            call_ns: AtomicU64::new(0),
        };
        worker.kept.first()?;
        Ok(worker)
    }

    pub(super) fn status(&self) -> WorkerStatus {
        let (counts, state) = (&self.kept.counts, self.kept.state());
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (breaker, fault) = (state.breaker.state(Instant::now()), state.fault.clone());
        drop(state);
        let process = self.kept.current().filter(|process| !process.is_over());
        WorkerStatus {
            pid: process.map(|process| process.pid),
            restarts: count(&counts.starts).saturating_sub(1),
            failures: [
                ("late", count(&counts.late)),
                ("signal", count(&counts.signal)),
                ("exit", count(&counts.exit)),
                ("nonsense", count(&counts.nonsense)),
                ("start", count(&counts.start)),
            ],
            breaker,
            last_fault: fault.map(|fault| fault.to_string()),
            calls: count(&self.calls),
            call_time: Duration::from_nanos(count(&self.call_ns)),
        }
    }

    pub(super) fn health(&self, at: &Circumstances<'_>) -> Result<(), CallError> {
        self.attempt(at, |process| self.ask(process, Op::Health, at, |_| Some(())).map(drop))
    }

    /// Opens a snapshot: generation, seconds to live and keys.
    pub(super) fn snapshot(
        &self,
        at: &Circumstances<'_>,
    ) -> Result<(Opened, u64, u32, Vec<KeyRecord>), CallError> {
        self.attempt(at, |process| self.open(process, at))
    }

    /// Closes a snapshot. Whoever holds it calls this once.
    pub(super) fn close(&self, opened: &Opened) {
        let (number, id) = *opened.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = self.kept.current().filter(|process| process.number == number) {
            process.close_snapshot(id);
        }
    }

    pub(super) fn resolve_keys(
        &self,
        material: &Material<'_>,
        at: &Circumstances<'_>,
    ) -> Result<Vec<KeyRecord>, CallError> {
        self.attempt(at, |process| {
            let answer = self.ask(process, Op::Resolve, at, |to| {
                to.u32(material.algorithm.map_or(0, Algorithm::number))?;
                to.bytes(material.form.as_bytes())?;
                to.bytes(material.data)
            })?;
            let mut collector = KeyCollector::new(Source::Material);
            let listed = read_keys(process, &mut Reader(&answer), &mut collector);
            collector.finish(listed?).map_err(Fault::Call)
        })
    }

    pub(super) fn verify(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Answered<()>, CallError> {
        self.batch(Op::Verify, snapshot, items, at, |_, _, _| Some(()))
    }

    pub(super) fn decode(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Answered<Blob>, CallError> {
        self.batch(Op::Decode, snapshot, items, at, |from, index, answered| {
            for _ in 0..from.u32()? {
                let decoded = wire::decoded(from)?;
                // SAFETY: the context is of this sink; the decoded signature points into the
                // copy of the answer.
                unsafe { take_decoded(answered.ctx(), index, &decoded) };
            }
            Some(())
        })
    }

    /// `flags` are `HALLMARK_ITEM_*` of every item.
    pub(super) fn sign(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        flags: u32,
        at: &Circumstances<'_>,
    ) -> Result<Answered<Vec<u8>>, CallError> {
        let op = match flags {
            abi::HALLMARK_ITEM_PREHASHED => Op::SignDigests,
            _ => Op::Sign,
        };
        self.batch(op, snapshot, items, at, |from, index, answered| {
            let signature = from.bytes()?;
            if !signature.is_empty() {
                // SAFETY: the context is of this sink; the signature is in the copy of the answer.
                unsafe { take_signature(answered.ctx(), index, span(signature)) };
            }
            Some(())
        })
    }

    /// Asks about the first of the items, as many as fit.
    fn batch<T: Output>(
        &self,
        op: Op,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
        output: impl Fn(&mut Reader<'_>, u32, &mut Answered<T>) -> Option<()>,
    ) -> Result<Answered<T>, CallError> {
        self.attempt(at, |process| {
            let id = self.id_in(process, snapshot, at)?;
            let mut asked = 0;
            let answer = self.ask(process, op, at, |to| {
                to.u64(id)?;
                let count_at = to.len();
                to.u32(0)?;
                for item in items {
                    let before = to.len();
                    if wire::put_item(to, item).is_none() {
                        to.truncate(before);
                        break;
                    }
                    asked += 1;
                }
                to.patch(count_at, asked);
                Some(())
            })?;
            let mut answered = Answered::new(items.len());
            if asked == 0 {
                // The first alone is too large. Not answered is not an answer.
                answered.verdicts.push(abi::HALLMARK_NOT_PROCESSED);
                return Ok(answered);
            }
            let mut from = Reader(&answer);
            let read = (|| {
                let n = from.u32().filter(|n| (1..=asked).contains(n))?;
                for index in 0..n {
                    answered.verdicts.push(from.u32()?);
                    output(&mut from, index, &mut answered)?;
                }
                Some(())
            })();
            process.sense(read).map(|()| answered)
        })
    }

    /// The number of a snapshot in this process, where it is opened if it was open in another.
    fn id_in(
        &self,
        process: &Process,
        snapshot: Option<&KeySnapshot>,
        at: &Circumstances<'_>,
    ) -> Result<u64, Fault> {
        let Some((snapshot, opened)) = snapshot.and_then(|it| Some((it, it.in_worker()?))) else {
            return Ok(0);
        };
        let mut place = opened.0.lock().unwrap_or_else(PoisonError::into_inner);
        if place.0 != process.number {
            let (again, _, _, keys) = self.open(process, at)?;
            let (number, id) = again.0.into_inner().unwrap_or_else(PoisonError::into_inner);
            if keys != snapshot.keys {
                process.close_snapshot(id);
                let text = "the process was started anew and its keys differ".to_owned();
                let kind = ErrorKind::StaleSnapshot;
                return Err(Fault::Call(CallError::Refused { kind, text }));
            }
            *place = (number, id);
        }
        Ok(place.1)
    }

    fn open(
        &self,
        process: &Process,
        at: &Circumstances<'_>,
    ) -> Result<(Opened, u64, u32, Vec<KeyRecord>), Fault> {
        let id = self.snapshots.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = self.ask(process, Op::Open, at, |to| to.u64(id))?;
        let mut from = Reader(&answer);
        let head = (|| Some((from.u64()?, from.u32()?, from.u32()? as usize)))();
        let (generation, ttl_s, total) = process.sense(head)?;
        let mut collector = KeyCollector::new(Source::Snapshot);
        let mut listed = read_keys(process, &mut from, &mut collector)?;
        while listed.is_ok() && collector.len() < total {
            let known = collector.len();
            let answer = self
                .ask(process, Op::More, at, |to| to.u64(id).and_then(|()| to.u32(known as u32)))?;
            listed = read_keys(process, &mut Reader(&answer), &mut collector)?;
            if listed.is_ok() && collector.len() == known {
                return process.sense(None);
            }
        }
        match collector.finish(listed) {
            Ok(keys) => Ok((Opened(Mutex::new((process.number, id))), generation, ttl_s, keys)),
            Err(error) => {
                process.close_snapshot(id);
                Err(Fault::Call(error))
            }
        }
    }

    fn ask(
        &self,
        process: &Process,
        op: Op,
        at: &Circumstances<'_>,
        write: impl FnOnce(&mut arena::Writer) -> Option<()>,
    ) -> Result<Vec<u8>, Fault> {
        process.call(op, at, self.call_timeout, write)
    }

    /// Calls the process that runs, and once more the next one if that ends under the call: every
    /// question can be asked twice.
    fn attempt<T>(
        &self,
        at: &Circumstances<'_>,
        call: impl Fn(&Process) -> Result<T, Fault>,
    ) -> Result<T, CallError> {
        let started = Instant::now();
        let until = started + self.call_timeout;
        let until = at.deadline.map_or(until, |deadline| deadline.min(until));
        let mut again = true;
        let answer = loop {
            let (process, fault) = match self.kept.process(until) {
                Err(fault) => break Err((None, fault)),
                Ok(process) => match call(&process) {
                    Ok(answer) => break Ok(answer),
                    Err(fault) => (process, fault),
                },
            };
            match fault {
                Fault::Ended if again => again = false,
                fault => break Err((Some(process), fault)),
            }
        };
        self.calls.fetch_add(1, Ordering::Relaxed);
        let spent = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.call_ns.fetch_add(spent, Ordering::Relaxed);
        answer.map_err(|(process, fault)| self.explain(process.as_deref(), fault))
    }

    fn explain(&self, process: Option<&Process>, fault: Fault) -> CallError {
        match (fault, process) {
            (Fault::Call(error), _) => error,
            (Fault::Busy, _) => CallError::Busy(self.slots as u32),
            (Fault::Late(timeout), _) => CallError::Worker(WorkerFault::Late(timeout)),
            (Fault::Nonsense(fault) | Fault::Resting(fault), _) => CallError::Worker(fault),
            (Fault::Ended, Some(process)) => CallError::Worker(process.fault()),
            (Fault::GaveUp | Fault::Ended, _) => CallError::Worker(WorkerFault::GaveUp),
        }
    }
}

/// Keys as they are checked that a plugin in this process gives: the first that breaks the
/// contract ends the list.
fn read_keys(
    process: &Process,
    from: &mut Reader<'_>,
    collector: &mut KeyCollector,
) -> Result<Result<(), CallError>, Fault> {
    let n = process.sense(from.u32())?;
    for _ in 0..n {
        let key = process.sense(LentKey::read(from))?;
        // SAFETY: the key points into the copy of the answer.
        if let Err(broken) = unsafe { collector.take(&key.as_abi()) } {
            return Ok(Err(CallError::contract(broken)));
        }
    }
    Ok(Ok(()))
}
