//! The audit log, from the side of those who append to it.
//!
//! Its thread is woken as late as a lone append allows: whoever queues first lets the other tasks
//! that are ready to run queue theirs, then wakes it for all of them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use super::allowance::{AllowanceLimits, Allowances, UsedUp};
use super::fault::OpenError;
use super::health::{Health, Report};
use super::log::{Body, BodyTooLong, Log};
use super::metrics::AuditMetrics;
use super::notice;
use super::sync::Unsynced;
use super::thread::Writer;

/// Appends waiting for the thread; beyond it callers wait for a place, up to their deadline.
const QUEUE_MAX: usize = 4_096;

/// The promise that an acknowledged audit record keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Handed to the operating system: survives a crash of the daemon. Synced in the background.
    #[default]
    Write,
    /// On the disk: survives a power failure. Records that arrive together share one sync.
    Fsync,
}

/// Configuration of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// Where its files lie.
    pub dir: PathBuf,
    /// The promise of an acknowledgement.
    pub durability: Durability,
    /// A file of this many bytes is followed by a new one.
    pub rotate_bytes: u64,
    /// Interval at which the log is looked after, and synced if `durability` is
    /// [`Durability::Write`].
    pub sync_interval: Duration,
    /// Time in which a damaged file may be put back, before a new one continues the chain.
    pub mend_after: Duration,
    /// Free bytes of the disk below which a warning is given. Default: a tenth of the disk, at most
    /// 1 GiB.
    pub reserve_bytes: Option<u64>,
    /// Limits on the records of each principal.
    pub allowance: AllowanceLimits,
}

impl AuditConfig {
    /// Interval at which the log is looked after, and synced unless that is done at every append.
    pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);
    /// Time in which a log file that was removed or damaged may be put back, before a new one
    /// continues the chain. Two looks of a readiness probe (`periodSeconds: 2` in `deploy/kubernetes`) and a
    /// margin, so that a balancer turns to another replica first, and an outage is long enough to be
    /// seen.
    pub const MEND_AFTER: Duration = Duration::from_secs(5);
}

/// Why an append was not acknowledged. The caller must not act on what it wanted recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The disk refused.
    #[error("the audit log cannot be written: {0}")]
    Unwritable(String),
    /// The principal has used up what it may have recorded.
    #[error("`{principal}` has used up what it may write to the audit log for now")]
    LimitExceeded {
        /// Who; empty where nobody is asked who they are.
        principal: String,
    },
    /// No line holds the record. Whoever made it so long is at fault.
    #[error(transparent)]
    TooLong(#[from] BodyTooLong),
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
    health: Arc<Health>,
    allowances: Arc<Allowances>,
    metrics: AuditMetrics,
}

/// Whose records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account<'a> {
    /// Of this principal (`None`: nobody is asked who they are), if it has not used up what it may
    /// have recorded.
    Limited(Option<&'a str>),
    /// Of this principal, and recorded in any case: what they tell of has happened already.
    Owed(Option<&'a str>),
}

/// The records that one caller wants appended.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) bodies: Vec<Body>,
    /// Past it the caller has answered without the record, so it must not be written.
    pub(super) deadline: Instant,
    pub(super) answer: oneshot::Sender<Result<(), AuditError>>,
}

impl Audit {
    /// Takes the directory's lock, opens the log and starts its thread, which ends when every clone
    /// is dropped.
    pub fn open(config: &AuditConfig, metrics: AuditMetrics) -> Result<Self, OpenError> {
        let log = Log::open(&config.dir, config.rotate_bytes)?;
        if log.torn_bytes() > 0 {
            let bytes = log.torn_bytes();
            tracing::warn!(bytes, "a line that a crash had cut off was removed from the audit log");
        }
        let (queue, appends) = mpsc::channel(QUEUE_MAX);
        let unsynced = Unsynced::default();
        if config.durability == Durability::Write {
            let sync = unsynced.keep_synced(config.sync_interval, metrics.clone());
            spawn("hallmark-audit-sync", sync)?;
        }
        let health = Arc::new(Health::default());
        let allowances = Arc::new(Allowances::new(config.allowance));
        let shared = (Arc::clone(&health), Arc::clone(&allowances));
        let writer = Writer::new(log, config.clone(), unsynced, metrics.clone(), shared);
        let thread = spawn("hallmark-audit", move || writer.run(appends))?;
        let bell = Arc::new(Bell { thread, promised: AtomicBool::new(false) });
        Ok(Self { queue, bell, health, allowances, metrics })
    }

    /// Current faults of the log, if it has any.
    pub fn health(&self) -> Report {
        self.health.report()
    }

    /// Asks, before any work is done, if `principal` may have `records` recorded now.
    pub fn may_record(&self, principal: Option<&str>, records: usize) -> Result<(), AuditError> {
        let name = principal.unwrap_or_default();
        self.allowances
            .check(name, records, Instant::now())
            .map_err(|UsedUp| self.limited(name, records))
    }

    /// Appends one line for each body and returns once they are as durable as configured.
    ///
    /// # Cancel safety
    /// Dropping the future does not withdraw what is queued.
    pub async fn append(
        &self,
        account: Account<'_>,
        bodies: Vec<Bytes>,
        deadline: Instant,
    ) -> Result<(), AuditError> {
        let mut bodies: Vec<_> = bodies.into_iter().map(Body::new).collect::<Result<_, _>>()?;
        let (records, bytes) = (bodies.len(), bodies.iter().map(Body::bytes).sum());
        let (Account::Limited(principal) | Account::Owed(principal)) = account;
        let name = principal.unwrap_or_default();
        let mut left_out = 0;
        match account {
            Account::Limited(_) => {
                let taken = self.allowances.take(name, records, bytes, Instant::now());
                left_out = taken.map_err(|UsedUp| self.limited(name, records))?;
            }
            Account::Owed(_) => self.allowances.owe(name, bytes, Instant::now()),
        }
        if left_out > 0 {
            bodies.insert(0, notice::unrecorded(principal, left_out)?);
        }
        let appended = self.queue(bodies, deadline).await;
        if appended.is_err() {
            self.allowances.give_back(name, left_out, bytes, Instant::now());
        }
        appended
    }

    fn limited(&self, principal: &str, records: usize) -> AuditError {
        self.metrics.limited(records);
        AuditError::LimitExceeded { principal: principal.to_owned() }
    }

    async fn queue(&self, bodies: Vec<Body>, deadline: Instant) -> Result<(), AuditError> {
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
