//! The thread that syncs a log which is not synced at every append.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::metrics::AuditMetrics;

/// Writes that are not known to be on the disk. Shared by the thread that writes and the one that
/// syncs.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsynced(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    /// The file with its first sequence number: a rotation syncs the one it leaves.
    file: Option<(u64, File)>,
    /// The last sync failed so.
    error: Option<String>,
}

impl Unsynced {
    /// Something was written to the file that begins with this number.
    pub(super) fn written<E>(
        &self,
        first_seq: u64,
        handle: impl FnOnce() -> Result<File, E>,
    ) -> Result<(), E> {
        let mut state = lock(&self.0);
        state.since.get_or_insert_with(Instant::now);
        if state.file.as_ref().is_none_or(|&(current, _)| current != first_seq) {
            state.file = Some((first_seq, handle()?));
        }
        Ok(())
    }

    /// The failure of a sync since the last time this was asked.
    pub(super) fn take_error(&self) -> Option<String> {
        lock(&self.0).error.take()
    }

    /// Runs `sync_periodically` until every other clone is dropped.
    pub(super) fn keep_synced(
        &self,
        interval: Duration,
        metrics: AuditMetrics,
    ) -> impl FnOnce() + Send + 'static {
        let state = Arc::downgrade(&self.0);
        move || sync_periodically(&state, interval, &metrics)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sync_periodically(state: &Weak<Mutex<State>>, interval: Duration, metrics: &AuditMetrics) {
    while let Some(shared) = state.upgrade() {
        let (since, file) = {
            let mut state = lock(&shared);
            (state.since.take(), state.file.take())
        };
        metrics.lag(since.map_or(Duration::ZERO, |since| since.elapsed()));
        if let Some(Err(error)) = file.map(|(_, file)| file.sync_data()) {
            lock(&shared).error = Some(error.to_string());
        }
        drop(shared);
        std::thread::sleep(interval);
    }
}
