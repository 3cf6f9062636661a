//! A plugin's words about itself, on their way to the host: none of them makes the plugin wait.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::wire;

/// Log lines that wait for the host. What comes on top is lost, and counted.
const LINES_WAITING: usize = 256;
/// The least time between two notices to the host that keys changed: it takes one snapshot for all
/// of them.
const PUSH_EVERY: Duration = Duration::from_millis(100);
/// The time that a process that ends waits for the host to hear its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Messages to the host. What cannot be sent at once waits for a thread that may wait for the host.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    /// Keys changed, once or often.
    pushed: bool,
    /// When the host was last told so.
    told: Option<Instant>,
    lost: u64,
    sending: bool,
}

impl Outbox {
    /// Takes a log line, made with the number of those that were lost before it. `send_now` sends
    /// it unless it would have to wait.
    pub(super) fn line(
        &self,
        lost: u64,
        message: impl FnOnce(u64) -> Option<Vec<u8>>,
        send_now: impl FnOnce(&[u8]) -> bool,
    ) {
        let mut waiting = self.waiting();
        waiting.lost += lost;
        if waiting.lines.len() >= LINES_WAITING {
            waiting.lost += 1;
            return;
        }
        let Some(message) = message(waiting.lost) else { return };
        waiting.lost = 0;
        let is_next = waiting.lines.is_empty() && !waiting.sending;
        if is_next && send_now(&message) {
            return;
        }
        waiting.lines.push_back(message);
        drop(waiting);
        self.changed.notify_all();
    }

    /// Takes a push.
    pub(super) fn push(&self) {
        self.waiting().pushed = true;
        self.changed.notify_all();
    }

    /// Sends what comes, for ever.
    pub(super) fn deliver(&self, send: impl Fn(&[u8])) {
        loop {
            let message = self.next();
            send(&message);
            self.waiting().sending = false;
            self.changed.notify_all();
        }
    }

    /// Waits until all was sent, a while at most.
    pub(super) fn flush(&self) {
        let busy = |waiting: &mut Waiting| waiting.sending || !waiting.lines.is_empty();
        drop(self.changed.wait_timeout_while(self.waiting(), LAST_WORDS, busy));
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.waiting();
        loop {
            let now = Instant::now();
            let push_at = waiting.told.map_or(now, |told| told + PUSH_EVERY);
            if waiting.pushed && push_at <= now {
                (waiting.pushed, waiting.told, waiting.sending) = (false, Some(now), true);
                return vec![wire::KEYS_CHANGED];
            }
            if let Some(line) = waiting.lines.pop_front() {
                waiting.sending = true;
                return line;
            }
            waiting = match waiting.pushed {
                true => {
                    let left = push_at.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(waiting, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                false => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
