//! The limit on the log lines of a plugin.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines that may come at once: what a plugin says while it starts, or when its source fails.
const BURST: f64 = 200.0;
/// Lines of one second after that. With [`super::limits::TEXT_BYTES`] each, 3.5 GB a day at most.
const PER_SECOND: f64 = 20.0;

/// Takes so many lines, and counts the others.
#[derive(Debug)]
pub struct Throttle(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    /// When `left` was right.
    at: Option<Instant>,
    lost: u64,
}

impl Default for Throttle {
    fn default() -> Self {
        Self(Mutex::new(Bucket { left: BURST, at: None, lost: 0 }))
    }
}

impl Throttle {
    /// Takes a line, and says how many were lost since the last one that was taken; `None` if this
    /// one is lost, too.
    pub fn take(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = bucket.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        bucket.left = (bucket.left + since.as_secs_f64() * PER_SECOND).min(BURST);
        bucket.at = Some(now);
        if bucket.left < 1.0 {
            bucket.lost += 1;
            return None;
        }
        bucket.left -= 1.0;
        Some(std::mem::take(&mut bucket.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_so_many_a_second_and_the_others_are_counted() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let taken = (0..1_000).filter(|_| throttle.take(start).is_some()).count();
        assert_eq!(taken, BURST as usize);
        let second = start + Duration::from_secs(1);
        assert_eq!(throttle.take(second), Some(1_000 - BURST as u64));
        let taken = (0..1_000).filter(|_| throttle.take(second).is_some()).count();
        assert_eq!(taken, PER_SECOND as usize - 1);
        assert_eq!(throttle.take(second + Duration::from_secs(3_600)), Some(1_000 - 19));
    }
}
