//! The one thread that appends to the log.
//!
//! It takes whatever is queued and appends it with one write, so under load many answers share a
//! system call and a lone one waits for nobody. It is woken as late as that allows: whoever queues
//! first lets the other tasks that are ready to run queue theirs, then wakes it for all of them.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::log::Log;
use crate::config::Durability;
use crate::metrics::audit::AuditMetrics;

/// Appends waiting for the thread; beyond it callers wait for a place, up to their deadline.
const QUEUE_MAX: usize = 4_096;
/// Most appends that share one write, so that a write stays in the low milliseconds.
const GROUP_MAX: usize = 1_024;

/// How the audit log is kept.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// Where its files lie.
    pub dir: PathBuf,
    /// What an acknowledgement promises.
    pub durability: Durability,
    /// A file of this many bytes is followed by a new one.
    pub rotate_bytes: u64,
    /// How often the log is synced where `durability` is [`Durability::Write`].
    pub sync_interval: Duration,
}

/// Why an append was not acknowledged. The caller must not act on what it wanted recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The disk refused.
    #[error("the audit log cannot be written: {0}")]
    Unwritable(String),
    /// The deadline passed first.
    #[error("the audit log was not written before the deadline")]
    Deadline,
    /// The writer thread has ended.
    #[error("the audit log is closed")]
    Closed,
}

/// The audit log, from the side of those who append to it.
#[derive(Clone, Debug)]
pub struct Audit {
    // Before `bell`: when the last one rings, nobody holds the queue open any more.
    queue: mpsc::Sender<Append>,
    bell: Arc<Bell>,
}

#[derive(Debug)]
struct Append {
    bodies: Vec<Bytes>,
    /// Past it the caller has answered without the record, so it must not be written.
    deadline: Instant,
    answer: oneshot::Sender<Result<(), AuditError>>,
}

impl Audit {
    /// Opens the log and starts its thread. The thread ends when every clone is dropped.
    pub fn open(config: &AuditConfig, metrics: AuditMetrics) -> io::Result<Self> {
        let log = Log::open(&config.dir, config.rotate_bytes)?;
        let (queue, appends) = mpsc::channel(QUEUE_MAX);
        let unsynced = Arc::new(Mutex::new(Unsynced::default()));
        if config.durability == Durability::Write {
            let (unsynced, metrics) = (Arc::downgrade(&unsynced), metrics.clone());
            let interval = config.sync_interval;
            spawn("hallmark-audit-sync", move || sync_periodically(&unsynced, interval, &metrics))?;
        }
        let writer = Writer { log, durability: config.durability, unsynced, metrics };
        let thread = spawn("hallmark-audit", move || writer.run(appends))?;
        Ok(Self { queue, bell: Arc::new(Bell { thread, promised: AtomicBool::new(false) }) })
    }

    /// Appends one line for each body and returns once they are as durable as configured.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw what is queued.
    pub async fn append(&self, bodies: Vec<Bytes>, deadline: Instant) -> Result<(), AuditError> {
        let (answer, answered) = oneshot::channel();
        let append = Append { bodies, deadline, answer };
        let acknowledged = async {
            self.queue.send(append).await.map_err(|_| AuditError::Closed)?;
            self.bell.ring().await;
            answered.await.map_err(|_| AuditError::Closed)?
        };
        tokio::time::timeout_at(deadline.into(), acknowledged)
            .await
            .unwrap_or(Err(AuditError::Deadline))
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<Thread> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(thread.thread().clone())
}

/// Wakes the writer: once for all who queued before the first of them had its next turn.
#[derive(Debug)]
struct Bell {
    thread: Thread,
    /// Somebody is going to wake the thread, and has not yet.
    promised: AtomicBool,
}

impl Bell {
    /// Call it after queueing. The thread is woken later, at the latest when this is dropped.
    async fn ring(&self) {
        if !self.promised.swap(true, Ordering::AcqRel) {
            let promise = Promise(self);
            tokio::task::yield_now().await;
            drop(promise);
        }
    }
}

impl Drop for Bell {
    /// For the thread to see that the queue is closed.
    fn drop(&mut self) {
        self.thread.unpark();
    }
}

/// Kept when dropped, whether its caller got its turn or was given up.
struct Promise<'a>(&'a Bell);

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        // First the flag: who queues from here on makes a promise of their own. Swapped, not stored,
        // so that the queueing of whoever relied on this one is seen.
        self.0.promised.swap(false, Ordering::AcqRel);
        self.0.thread.unpark();
    }
}

/// Waits for appends and takes up to [`GROUP_MAX`]; `false` where none can come any more.
fn take(appends: &mut mpsc::Receiver<Append>, group: &mut Vec<Append>) -> bool {
    loop {
        match appends.try_recv() {
            Ok(append) => group.push(append),
            Err(_) if !group.is_empty() => return true,
            Err(TryRecvError::Empty) => std::thread::park(),
            Err(TryRecvError::Disconnected) => return false,
        }
        if group.len() == GROUP_MAX {
            return true;
        }
    }
}

struct Writer {
    log: Log,
    durability: Durability,
    unsynced: Arc<Mutex<Unsynced>>,
    metrics: AuditMetrics,
}

impl Writer {
    fn run(mut self, mut appends: mpsc::Receiver<Append>) {
        let mut group = Vec::new();
        while take(&mut appends, &mut group) {
            let now = Instant::now();
            group.retain(|append| now < append.deadline);
            let result = self.write(&group);
            for append in group.drain(..) {
                // The caller may have given up in the meantime; the record then stands alone.
                drop(append.answer.send(result.clone()));
            }
        }
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "the audit log could not be synced at the end");
        }
    }

    fn write(&mut self, group: &[Append]) -> Result<(), AuditError> {
        let started = Instant::now();
        let bodies = group.iter().flat_map(|append| append.bodies.iter().map(Bytes::as_ref));
        let lines = group.iter().map(|append| append.bodies.len()).sum();
        let result = self.log.append(jiff::Timestamp::now(), bodies).and_then(|()| self.hold());
        match result {
            Ok(()) => {
                self.metrics.appended(lines, started.elapsed());
                Ok(())
            }
            Err(error) => {
                self.metrics.failed();
                tracing::error!(%error, "the audit log cannot be written: everything is denied until it can");
                Err(AuditError::Unwritable(error.to_string()))
            }
        }
    }

    fn hold(&self) -> io::Result<()> {
        match self.durability {
            Durability::Fsync => self.log.sync(),
            Durability::Write => {
                let mut unsynced = lock(&self.unsynced);
                let since = *unsynced.since.get_or_insert_with(Instant::now);
                let current = self.log.first_seq();
                if unsynced.file.as_ref().is_none_or(|&(first_seq, _)| first_seq != current) {
                    let file = Some((current, self.log.sync_handle()?));
                    *unsynced = Unsynced { since: Some(since), file };
                }
                Ok(())
            }
        }
    }
}

/// What was written and is not known to be on the disk.
#[derive(Debug, Default)]
struct Unsynced {
    since: Option<Instant>,
    /// The file with its first sequence number: a rotation syncs the one it leaves.
    file: Option<(u64, std::fs::File)>,
}

fn lock(unsynced: &Mutex<Unsynced>) -> std::sync::MutexGuard<'_, Unsynced> {
    unsynced.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn sync_periodically(
    unsynced: &std::sync::Weak<Mutex<Unsynced>>,
    interval: Duration,
    metrics: &AuditMetrics,
) {
    while let Some(unsynced) = unsynced.upgrade() {
        let taken = std::mem::take(&mut *lock(&unsynced));
        drop(unsynced);
        let lag = taken.since.map_or(Duration::ZERO, |since| since.elapsed());
        metrics.lag(lag);
        if let Some(Err(error)) = taken.file.map(|(_, file)| file.sync_data()) {
            metrics.failed();
            tracing::error!(%error, "the audit log could not be synced");
        }
        std::thread::sleep(interval);
    }
}
