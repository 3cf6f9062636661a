//! An instance as metrics and people see it.

use std::time::Duration;

use hallmark_plugin_api::host::{BreakerState, WorkerStatus};

use super::convert::RefusedKey;

/// Why there is nothing of an instance yet, where it has no fault.
pub(super) const NOT_MADE: &str = "it is still starting";
/// Nor yet of its keys.
pub(super) const UNANSWERED: &str = "it has not answered yet";
/// Nor in its time.
pub(super) const LATE: &str = "it did not answer in its time, and is not waited for any longer";
/// Nor any more.
pub(super) const SILENT: &str = "the source does not answer";

/// An instance as metrics and people see it. By default, one of which nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceStatus {
    /// Name of the instance.
    pub name: String,
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin.
    pub version: String,
    /// Who made the plugin.
    pub vendor: String,
    /// SHA-256 of the file that runs.
    pub sha256: [u8; 32],
    /// True if it lists keys at all.
    pub has_keys: bool,
    /// True if it can sign.
    pub signs: bool,
    /// URI schemes of its keys.
    pub schemes: Vec<String>,
    /// Forms of inline material it reads.
    pub forms: Vec<String>,
    /// The plugin's own generation of the last good snapshot; `None` before the first.
    pub generation: Option<u64>,
    /// Age of the last good snapshot.
    pub snapshot_age: Option<Duration>,
    /// Keys in the last good snapshot.
    pub keys: usize,
    /// Keys among them that are not used.
    pub refused_keys: usize,
    /// The first of these.
    pub refused: Vec<RefusedKey>,
    /// False until its plugin has made it.
    pub is_made: bool,
    /// Snapshots that failed since the start.
    pub snapshot_errors: u64,
    /// Signatures and inline keys that failed through the plugin's fault since the start.
    pub call_errors: u64,
    /// Why the last snapshot failed; `None` where it did not.
    pub last_error: Option<String>,
    /// The state of its process; `None` where it runs in the daemon.
    pub worker: Option<WorkerStatus>,
    /// For how long there should have been another snapshot; `None` where the last one is fresh.
    pub overdue: Option<Duration>,
    /// True if its keys are withdrawn, because they were out of date for too long.
    pub withdrawn: bool,
    /// Snapshots asked for since the start, by their cause.
    pub refreshes: Refreshes,
    /// Log lines that were not written since the start, because there were too many.
    pub log_lost: u64,
    /// Ids that came to name another key, or one more, since the start.
    pub rotations: u64,
}

impl InstanceStatus {
    /// The fault of the instance now, for people; `None` where all is well.
    pub fn fault(&self) -> Option<String> {
        let failing = self.worker.as_ref().filter(|it| it.breaker != BreakerState::Closed);
        let failing = failing.and_then(|worker| worker.last_fault.clone());
        let unanswered = self.has_keys && self.generation.is_none();
        let silent = match (self.is_made, unanswered, self.withdrawn) {
            (false, ..) => Some(NOT_MADE),
            (true, true, false) => Some(UNANSWERED),
            (true, true, true) => Some(SILENT),
            (true, false, _) => None,
        };
        let silent = silent.map(str::to_owned);
        failing.or_else(|| self.last_error.clone()).or(silent).or_else(|| self.refusals())
    }

    fn refusals(&self) -> Option<String> {
        let first = self.refused.first()?;
        let count = self.refused_keys;
        let named = self.refused.iter().map(|RefusedKey { id, why }| format!("`{id}`: {why}"));
        Some(match count {
            1 => format!("the key `{}` is not used: {}", first.id, first.why),
            _ => format!("{count} keys are not used: {}", named.collect::<Vec<_>>().join("; ")),
        })
    }
}

/// Snapshots asked for, by their cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshes {
    /// The time to live ended, a failure was some time ago, or the operator asked.
    pub due: u64,
    /// The plugin pushed.
    pub push: u64,
    /// A key id that nobody knows.
    pub unknown_key: u64,
}
