//! The one thread that appends to the log, and looks after it.
//!
//! It takes whatever is queued and appends it with one write, so under load many answers share a
//! system call and a lone one waits for nobody. In between it looks whether the log is still there
//! and whole, and how much room its disk has.
//!
//! In an outage everything is refused. A disk that refused is tried again by every append and every
//! look, and the outage ends with a line that tells of it. A file that was removed, replaced, cut
//! or written by others is not touched again unless it is put back as it was; after
//! [`AuditConfig::mend_after`] a new file continues the chain, and its first line says so.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::allowance::Allowances;
use super::fault::LogFault;
use super::health::Health;
use super::log::{Body, Log, Mended};
use super::metrics::AuditMetrics;
use super::notice::{self, Outage};
use super::sync::Unsynced;
use super::writer::{Append, AuditConfig, AuditError, Durability};

/// Most appends that share one write, so that a write stays in the low milliseconds.
const GROUP_MAX: usize = 1_024;
/// Of a disk, the part that is the reserve unless the configuration says how much: a tenth.
const RESERVE_PART: u64 = 10;
/// The reserve of a large disk. At 1 MiB a second, the default limit of one principal, a warning of
/// 17 minutes; at 10 decisions a second, of a day.
const RESERVE_BYTES_MAX: u64 = 1 << 30;

/// Free bytes below which the daemon is not ready, although small records may still be taken: some
/// seven hundred records of usual length, and less than the longest may have.
const FULL_BYTES: u64 = 1 << 20;

/// The thread's state.
pub(super) struct Writer {
    log: Log,
    config: AuditConfig,
    unsynced: Unsynced,
    metrics: AuditMetrics,
    health: Arc<Health>,
    allowances: Arc<Allowances>,
    outage: Option<Trouble>,
    is_low: bool,
}

/// An outage that is not over.
struct Trouble {
    /// The file cannot be gone on with.
    damage: Option<LogFault>,
    cause: String,
    noticed: Instant,
    since: jiff::Timestamp,
    refused: u64,
    mended: Mended,
}

impl Writer {
    /// Takes charge of `log`.
    pub(super) fn new(
        log: Log,
        config: AuditConfig,
        unsynced: Unsynced,
        metrics: AuditMetrics,
        (health, allowances): (Arc<Health>, Arc<Allowances>),
    ) -> Self {
        metrics.writable(true);
        let (outage, is_low) = (None, false);
        let mut writer =
            Self { log, config, unsynced, metrics, health, allowances, outage, is_low };
        writer.watch_room();
        writer
    }

    /// Appends until the queue is closed.
    pub(super) fn run(mut self, mut appends: mpsc::Receiver<Append>) {
        let mut group = Vec::new();
        let mut next_look = Instant::now() + self.config.sync_interval;
        while take(&mut appends, &mut group, next_look) {
            let now = Instant::now();
            group.retain(|append| now < append.deadline);
            if !group.is_empty() {
                let result = self.write(&group);
                for append in group.drain(..) {
                    // The caller may have given up in the meantime; the record then stands alone.
                    drop(append.answer.send(result.clone()));
                }
            }
            if now >= next_look {
                self.look();
                next_look = Instant::now() + self.config.sync_interval;
            }
        }
        if let Err(error) = self.log.sync() {
            tracing::error!(%error, "the audit log could not be synced at the end");
        }
    }

    /// Writes a group, and with it the line that ends an outage.
    fn write(&mut self, group: &[Append]) -> Result<(), AuditError> {
        let started = Instant::now();
        self.hear_of_syncs();
        let lines = group.iter().map(|append| append.bodies.len()).sum::<usize>();
        if self.outage.as_ref().is_none_or(|outage| outage.damage.is_none()) {
            let ended = self.outage.as_ref().and_then(Trouble::ended);
            let bodies = group.iter().flat_map(|append| &append.bodies);
            let written = self.log.append(jiff::Timestamp::now(), ended.iter().chain(bodies));
            match written.and_then(|()| self.hold()) {
                Ok(()) => {
                    self.end_outage();
                    self.metrics.appended(lines + usize::from(ended.is_some()), started.elapsed());
                    return Ok(());
                }
                Err(fault) => self.fail(fault),
            }
        }
        self.metrics.failed();
        let outage = self.outage.as_mut().map(|outage| {
            outage.refused += lines as u64;
            outage.cause.clone()
        });
        Err(AuditError::Unwritable(outage.unwrap_or_default()))
    }

    /// Makes what was appended as durable as configured.
    fn hold(&self) -> Result<(), LogFault> {
        match self.config.durability {
            Durability::Fsync => self.log.sync(),
            Durability::Write => {
                self.unsynced.written(self.log.first_seq(), || self.log.sync_handle())
            }
        }
    }

    /// Looks after the log while nobody, or anybody, appends.
    fn look(&mut self) {
        self.hear_of_syncs();
        self.watch_room();
        match &self.outage {
            None => {
                if let Err(fault) = self.log.inspect() {
                    self.metrics.failed();
                    self.fail(fault);
                }
            }
            Some(outage) if outage.damage.is_none() => drop(self.write(&[])),
            Some(_) => self.mend(),
        }
    }

    fn hear_of_syncs(&mut self) {
        if let Some(error) = self.unsynced.take_error() {
            self.metrics.failed();
            self.fail(LogFault::Unsynced { path: self.log.path().to_owned(), error });
        }
    }

    fn mend(&mut self) {
        let Some(outage) = &mut self.outage else { return };
        let Some(damage) = &outage.damage else { return };
        let may_continue = outage.noticed.elapsed() >= self.config.mend_after;
        match self.log.mend(damage, may_continue) {
            Ok(None) => {}
            Ok(Some(mended)) => {
                outage.damage = None;
                outage.mended = mended;
                drop(self.write(&[]));
            }
            Err(error) => {
                let cause = format!("{damage}. {error}");
                self.say(cause);
            }
        }
    }

    /// Begins an outage, or goes on with one.
    fn fail(&mut self, fault: LogFault) {
        let cause = fault.to_string();
        let outage = self.outage.get_or_insert_with(|| Trouble {
            damage: None,
            cause: String::new(),
            noticed: Instant::now(),
            since: jiff::Timestamp::now(),
            refused: 0,
            mended: Mended::Whole,
        });
        if !fault.is_passing() && outage.damage.is_none() {
            outage.damage = Some(fault);
            self.metrics.damaged();
        }
        self.say(cause);
    }

    /// Says, once, why everything is denied.
    fn say(&mut self, cause: String) {
        let Some(outage) = &mut self.outage else { return };
        if outage.cause != cause {
            tracing::error!(
                cause,
                "the audit log takes no records: everything is denied until it does"
            );
            self.metrics.writable(false);
            self.health.set_fault(Some(cause.clone()));
            outage.cause = cause;
        }
    }

    fn end_outage(&mut self) {
        let Some(outage) = self.outage.take() else { return };
        self.health.set_fault(None);
        self.metrics.writable(true);
        let Trouble { cause, refused, .. } = &outage;
        match outage.mended {
            Mended::Whole => tracing::warn!(cause, refused, "the audit log takes records again"),
            Mended::Continued { first_seq, next_seq } => tracing::error!(
                cause,
                refused,
                first_seq,
                next_seq,
                "the audit log takes records again, in a new file: those from first_seq to before \
                 next_seq were in the file that was damaged; put it back from a copy if you have one"
            ),
        }
    }

    fn watch_room(&mut self) {
        // A directory that is gone is found by the look at the log itself.
        let Ok(room) = self.log.room() else { return };
        let part = (room.total / RESERVE_PART).min(RESERVE_BYTES_MAX);
        let reserve = self.config.reserve_bytes.unwrap_or(part);
        self.metrics.room(room.free, reserve);
        self.allowances.set_free(room.free);
        self.health.set_full((room.free < FULL_BYTES).then(|| {
            format!(
                "the disk of {} has {} KiB left, so long records cannot be written: ship old files and \
                 remove them",
                self.config.dir.display(),
                room.free >> 10
            )
        }));
        // Some more than the reserve ends the warning, so that it does not come and go.
        let enough = if self.is_low { reserve + reserve / 10 } else { reserve };
        let is_low = room.free < enough;
        if is_low != self.is_low {
            let (free, reserve) = (room.free >> 20, reserve >> 20);
            let warning = is_low.then(|| {
                format!(
                    "the disk of {} has {free} MiB left, less than the reserve of {reserve} MiB: ship \
                     old files and remove them; when it is full, everything is denied",
                    self.config.dir.display()
                )
            });
            match &warning {
                Some(warning) => tracing::warn!("the audit log runs out of room: {warning}"),
                None => tracing::info!(free, "the audit log has room again"),
            }
            self.health.set_warning(warning);
            self.is_low = is_low;
        }
    }
}

impl Trouble {
    /// The line that ends it.
    fn ended(&self) -> Option<Body> {
        let Self { cause, since, refused, mended, .. } = self;
        let outage = Outage { cause, since: *since, refused: *refused };
        notice::ended(&outage, *mended).ok()
    }
}

/// Waits for appends until `end` and takes up to [`GROUP_MAX`]; false once no more can come.
fn take(appends: &mut mpsc::Receiver<Append>, group: &mut Vec<Append>, end: Instant) -> bool {
    loop {
        match appends.try_recv() {
            Ok(append) => group.push(append),
            Err(_) if !group.is_empty() => return true,
            Err(TryRecvError::Empty) => {
                let left = end.saturating_duration_since(Instant::now());
                if left == Duration::ZERO {
                    return true;
                }
                std::thread::park_timeout(left);
            }
            Err(TryRecvError::Disconnected) => return false,
        }
        if group.len() == GROUP_MAX {
            return true;
        }
    }
}
