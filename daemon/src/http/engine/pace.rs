//! Answers to those who were not let in, at a pace.
//!
//! A refusal costs nearly what a decision from the cache costs. So an address that earns one after
//! the other waits for them, and its next requests over the same connections with it: it takes
//! little of the time of those who may ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::holder::Holder;

/// Answers of one address each second that are not held back, and at once: more than probes and
/// misconfigured clients ask for. `hallmark-benches attack` measures what they cost those who may ask.
const PER_SECOND: u32 = 20;
const BURST: u32 = 100;

/// How long the answer to a probe is held back at most: Kubernetes waits for a second.
pub(in crate::http) const PROBE_DELAY_MAX: Duration = Duration::from_millis(500);

/// How long a refusal is held back at most: API servers wait for 10 s. As many strangers as have room
/// for a connection get a thousand refusals a second among them.
pub(in crate::http) const REFUSAL_DELAY_MAX: Duration = Duration::from_secs(5);

/// Interval at which addresses are forgotten that earned nothing lately.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Holds answers back so that each address has so many a second.
#[derive(Debug)]
pub(in crate::http) struct Pace {
    delay_max: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the answers of an address would all be due at its rate (GCRA).
    due: HashMap<Holder, Instant>,
    forgotten: Option<Instant>,
}

impl Pace {
    /// Holds no answer back for longer than `delay_max`.
    pub(in crate::http) fn new(delay_max: Duration) -> Self {
        Self { delay_max, state: Mutex::default() }
    }

    /// Returns when an answer to this address is due.
    pub(in crate::http) async fn wait(&self, address: IpAddr) {
        let delay = self.delay(Holder::at(address), Instant::now());
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    fn delay(&self, holder: Holder, now: Instant) -> Duration {
        let interval = Duration::from_secs(1) / PER_SECOND;
        let ahead = interval * BURST;
        let mut state = self.state();
        state.forget(now);
        let due = state.due.entry(holder).or_insert(now);
        *due = (*due).max(now) + interval;
        *due = (*due).min(now + ahead + self.delay_max);
        due.saturating_duration_since(now + ahead)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        let last = *self.forgotten.get_or_insert(now);
        if now.saturating_duration_since(last) >= FORGET_EVERY {
            self.due.retain(|_, due| *due > now);
            self.forgotten = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn nothing_is_held_back_for_longer_than_its_caller_waits() {
        for delay_max in [PROBE_DELAY_MAX, REFUSAL_DELAY_MAX] {
            let (pace, now) = (Pace::new(delay_max), Instant::now());
            let flooder = Holder::at(Ipv4Addr::new(192, 0, 2, 1).into());
            let longest = (0..5_000).map(|_| pace.delay(flooder.clone(), now)).max();
            assert_eq!(longest, Some(delay_max));
        }
    }

    #[test]
    fn a_flood_is_held_back_and_others_are_not() {
        let (pace, now) = (Pace::new(PROBE_DELAY_MAX), Instant::now());
        let holder = |number| Holder::at(Ipv4Addr::new(192, 0, 2, number).into());
        for _ in 0..BURST {
            assert_eq!(pace.delay(holder(1), now), Duration::ZERO);
        }
        assert_eq!(pace.delay(holder(1), now), Duration::from_millis(50));
        assert_eq!(pace.delay(holder(1), now), Duration::from_millis(100));
        for _ in 0..1_000 {
            assert!(pace.delay(holder(1), now) <= PROBE_DELAY_MAX);
        }
        assert_eq!(pace.delay(holder(2), now), Duration::ZERO);
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.delay(holder(1), later), Duration::ZERO);
        assert_eq!(pace.state().due.len(), 1, "the other is forgotten");
    }
}
