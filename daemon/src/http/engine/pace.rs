//! Answers to those who were not let in, and their connections, at a pace.
//!
//! A refusal costs nearly what a decision from the cache costs, a TLS handshake more. So an address
//! that earns one after the other waits for them, and its next requests over the same connections
//! with it: it takes little of the time of those who may ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use tokio::time::sleep;

use super::holder::Holder;

/// Answers or connections of one address each second that are not held back, and at once: more than
/// probes and misconfigured clients ask for. `hallmark-benches attack` measures what they cost those who may ask.
const PER_SECOND: u32 = 20;
const BURST: u32 = 100;
const INTERVAL: Duration = Duration::from_millis(1_000 / PER_SECOND as u64);
const AHEAD: Duration = Duration::from_millis(BURST as u64 * 1_000 / PER_SECOND as u64);

/// The longest time that the answer to a probe is held back: Kubernetes waits for a second.
pub(in crate::http) const PROBE_DELAY_MAX: Duration = Duration::from_millis(500);

/// The longest time that a refusal, or a connection, is held back: API servers wait for 10 s. As
/// many strangers as have room for a connection get a thousand a second among them.
pub(in crate::http) const REFUSAL_DELAY_MAX: Duration = Duration::from_secs(5);

/// Interval at which addresses are forgotten that earned nothing lately.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// Something that is held back, for the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A connection, before it is heard.
    Connection,
    /// The answer to a probe.
    Probe,
    /// The answer to somebody who was not let in.
    Refusal,
}

impl Held {
    pub(in crate::http) const ALL: [Self; 3] = [Self::Connection, Self::Probe, Self::Refusal];

    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Probe => "probe",
            Self::Refusal => "refusal",
        }
    }
}

/// Holds answers or connections back so that each address has so many a second.
#[derive(Debug)]
pub(in crate::http) struct Pace {
    delay_max: Duration,
    held_back: IntCounter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When all that an address earned would be due at its rate (GCRA).
    due: HashMap<Holder, Instant>,
    forgotten: Option<Instant>,
}

impl Pace {
    /// Holds nothing back for longer than `delay_max`; counts what it held back.
    pub(in crate::http) fn new(delay_max: Duration, held_back: IntCounter) -> Self {
        Self { delay_max, held_back, state: Mutex::default() }
    }

    /// Charges an answer to this address, and returns when it is due.
    pub(in crate::http) async fn wait(&self, address: IpAddr) {
        self.charge(address);
        self.until_due(address).await;
    }

    /// The address has earned one more.
    pub(in crate::http) fn charge(&self, address: IpAddr) {
        self.charge_at(Holder::at(address), Instant::now());
    }

    /// Returns when all that was charged to this address is due.
    pub(in crate::http) async fn until_due(&self, address: IpAddr) {
        let delay = self.delay(&Holder::at(address), Instant::now());
        if !delay.is_zero() {
            self.held_back.inc();
            sleep(delay).await;
        }
    }

    fn charge_at(&self, holder: Holder, now: Instant) {
        let mut state = self.state();
        state.forget(now);
        let due = state.due.entry(holder).or_insert(now);
        *due = (*due).max(now) + INTERVAL;
        *due = (*due).min(now + AHEAD + self.delay_max);
    }

    fn delay(&self, holder: &Holder, now: Instant) -> Duration {
        let due = self.state().due.get(holder).copied();
        due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now + AHEAD))
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

    fn pace(delay_max: Duration) -> Pace {
        Pace::new(delay_max, IntCounter::new("held", "Held back.").expect("a counter"))
    }

    fn charged(pace: &Pace, holder: &Holder, now: Instant) -> Duration {
        pace.charge_at(holder.clone(), now);
        pace.delay(holder, now)
    }

    #[test]
    fn nothing_is_held_back_for_longer_than_its_caller_waits() {
        for delay_max in [PROBE_DELAY_MAX, REFUSAL_DELAY_MAX] {
            let (pace, now) = (pace(delay_max), Instant::now());
            let flooder = Holder::at(Ipv4Addr::new(192, 0, 2, 1).into());
            let longest = (0..5_000).map(|_| charged(&pace, &flooder, now)).max();
            assert_eq!(longest, Some(delay_max));
        }
    }

    #[test]
    fn a_flood_is_held_back_and_others_are_not() {
        let (pace, now) = (pace(PROBE_DELAY_MAX), Instant::now());
        let holder = |number| Holder::at(Ipv4Addr::new(192, 0, 2, number).into());
        for _ in 0..BURST {
            assert_eq!(charged(&pace, &holder(1), now), Duration::ZERO);
        }
        assert_eq!(charged(&pace, &holder(1), now), Duration::from_millis(50));
        assert_eq!(charged(&pace, &holder(1), now), Duration::from_millis(100));
        for _ in 0..1_000 {
            assert!(charged(&pace, &holder(1), now) <= PROBE_DELAY_MAX);
        }
        assert_eq!(charged(&pace, &holder(2), now), Duration::ZERO);
        let later = now + Duration::from_secs(10);
        assert_eq!(charged(&pace, &holder(1), later), Duration::ZERO);
        assert_eq!(pace.state().due.len(), 1, "the other is forgotten");
    }
}
