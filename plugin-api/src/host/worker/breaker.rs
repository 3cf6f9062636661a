//! When to start a process again that failed, and when to leave it alone for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Failures within [`WINDOW`] that open the breaker.
const FAILURES: usize = 3;
/// The time that a failure counts.
const WINDOW: Duration = Duration::from_secs(60);
/// The first rest; each further one is twice as long.
const REST_MIN: Duration = Duration::from_millis(100);
/// The longest rest.
const REST_MAX: Duration = Duration::from_secs(30);

/// Decides if a process is started, from the failures of those before it. Closed: at once. After
/// three failures within a minute: open, until a rest is over. Then half open: one is started,
/// asked for its health, and closes the breaker or lengthens the rest.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: VecDeque<Instant>,
    /// Rests since the last minute without a failure.
    rests: u32,
    rest_until: Option<Instant>,
}

/// A breaker as metrics and people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls are made.
    Closed,
    /// No process is started until a rest is over.
    Open,
    /// A process is tried.
    HalfOpen,
}

impl Breaker {
    /// A process failed. `chance`, from 0 to 1, shortens the rest by up to a half, so that many
    /// daemons do not return to a source together.
    pub(super) fn failed(&mut self, now: Instant, chance: f64) {
        while self.failures.front().is_some_and(|&at| now.saturating_duration_since(at) > WINDOW) {
            self.failures.pop_front();
        }
        if self.failures.is_empty() {
            self.rests = 0;
        }
        if self.failures.len() == FAILURES {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        if self.failures.len() == FAILURES {
            let whole = REST_MIN.saturating_mul(1 << self.rests.min(16)).min(REST_MAX);
            self.rests += 1;
            self.rest_until = now.checked_add(whole.mul_f64(1.0 - chance / 2.0));
        }
    }

    /// A process that was tried does well.
    pub(super) fn recovered(&mut self) {
        self.rest_until = None;
    }

    /// The time to wait before the next process is started.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.rest_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        match self.rest_until {
            None => BreakerState::Closed,
            Some(until) if now < until => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_third_failure_within_a_minute_opens_it() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start, 0.0);
        breaker.failed(start + 30 * SECOND, 0.0);
        assert_eq!(breaker.state(start + 30 * SECOND), BreakerState::Closed);
        // The first has been forgotten by now.
        breaker.failed(start + 61 * SECOND, 0.0);
        assert_eq!(breaker.state(start + 61 * SECOND), BreakerState::Closed);
        let now = start + 62 * SECOND;
        breaker.failed(now, 0.0);
        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.rest(now), REST_MIN);
        assert_eq!(breaker.state(now + REST_MIN), BreakerState::HalfOpen);
        breaker.recovered();
        assert_eq!(breaker.state(now), BreakerState::Closed);
    }

    #[test]
    fn each_rest_is_longer_until_a_minute_goes_well() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..14 {
            breaker.failed(now, 0.0);
            rests.push(breaker.rest(now).as_millis());
            now += breaker.rest(now);
        }
        assert_eq!(rests[..6], [0, 0, 100, 200, 400, 800]);
        assert_eq!(rests[13], 30_000);
        now += WINDOW + SECOND;
        breaker.recovered();
        breaker.failed(now, 0.0);
        assert_eq!(breaker.state(now), BreakerState::Closed);
        breaker.failed(now, 0.0);
        breaker.failed(now, 1.0);
        assert_eq!(breaker.rest(now), REST_MIN / 2, "chance shortens it");
    }
}
