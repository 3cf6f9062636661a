//! Bytes that each principal may have recorded: one that asks without end must not fill the disk
//! that the records of all others need.
//!
//! A bucket for each principal fills with time and is emptied by records. Whoever finds it empty is
//! denied; the last record before that may take more than was left, and is paid back first. As the
//! disk fills, buckets shrink with what is left of it, so that one principal alone takes ever
//! smaller parts and never all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket holds at most this part of the disk's free bytes: an eighth.
const FREE_PART: u64 = 8;
/// Bytes that a bucket holds at least: about 64 decisions. If the disk has no room for these, the
/// write says so.
const BURST_BYTES_MIN: u64 = 64 << 10;
/// Principals that are told apart at once; beyond it all others share one bucket. About 2 MiB.
const PRINCIPALS_MAX: usize = 10_000;
/// Interval between two searches for buckets that need not be remembered.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Interval between two lines of the log that name the same principal.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Bytes of records that each principal may cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowanceLimits {
    /// For ever, a second.
    pub bytes_per_second: u64,
    /// At once, after a time of silence.
    pub burst_bytes: u64,
}

/// The bucket is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UsedUp;

/// The buckets of all principals.
#[derive(Debug)]
pub(super) struct Allowances {
    limits: AllowanceLimits,
    /// Free bytes of the log's disk.
    free: AtomicU64,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    of: HashMap<Box<str>, Bucket>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    /// Bytes; below zero, what is to be paid back.
    level: f64,
    filled: Instant,
    /// Records refused since the last that was taken.
    left_out: u64,
    said: Option<Instant>,
}

impl Allowances {
    pub(super) fn new(limits: AllowanceLimits) -> Self {
        Self { limits, free: AtomicU64::new(u64::MAX), buckets: Mutex::default() }
    }

    /// The disk has this many bytes left.
    pub(super) fn set_free(&self, bytes: u64) {
        self.free.store(bytes, Ordering::Relaxed);
    }

    /// Refuses `records` of a principal whose bucket is empty, before anything is done for them.
    pub(super) fn check(
        &self,
        principal: &str,
        records: usize,
        now: Instant,
    ) -> Result<(), UsedUp> {
        self.with(principal, now, |bucket| bucket.refuse_if_empty(principal, records, now))
    }

    /// Takes the bytes of `records`; answers how many were refused since the last that were not.
    pub(super) fn take(
        &self,
        principal: &str,
        records: usize,
        bytes: usize,
        now: Instant,
    ) -> Result<u64, UsedUp> {
        self.with(principal, now, |bucket| {
            bucket.refuse_if_empty(principal, records, now)?;
            bucket.level -= to_float(bytes as u64);
            Ok(std::mem::take(&mut bucket.left_out))
        })
    }

    /// Takes the bytes of a record that must be written whatever the bucket holds.
    pub(super) fn owe(&self, principal: &str, bytes: usize, now: Instant) {
        self.with(principal, now, |bucket| bucket.level -= to_float(bytes as u64));
    }

    /// Gives back what was taken for records that were not written.
    pub(super) fn give_back(&self, principal: &str, left_out: u64, bytes: usize, now: Instant) {
        self.with(principal, now, |bucket| {
            bucket.level += to_float(bytes as u64);
            bucket.left_out += left_out;
        });
    }

    fn with<T>(&self, principal: &str, now: Instant, work: impl FnOnce(&mut Bucket) -> T) -> T {
        let (burst, rate) = self.burst_and_rate();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.bucket(principal, now, burst, rate);
        bucket.fill(now, burst, rate);
        work(bucket)
    }

    /// Bytes that a bucket holds, and by how many it fills in a second. Both shrink alike.
    fn burst_and_rate(&self) -> (f64, f64) {
        let AllowanceLimits { bytes_per_second, burst_bytes } = self.limits;
        let part = self.free.load(Ordering::Relaxed) / FREE_PART;
        let burst = to_float(burst_bytes.min(part.max(BURST_BYTES_MIN)));
        (burst, to_float(bytes_per_second) * burst / to_float(burst_bytes.max(1)))
    }
}

impl Buckets {
    /// The bucket of a principal, or that of all who are too many.
    fn bucket(&mut self, principal: &str, now: Instant, burst: f64, rate: f64) -> &mut Bucket {
        let mut key = principal;
        if !self.of.contains_key(key) {
            if self.of.len() >= PRINCIPALS_MAX {
                self.sweep(now, burst, rate);
            }
            if self.of.len() >= PRINCIPALS_MAX {
                key = "";
            }
        }
        let full = || Bucket { level: burst, filled: now, left_out: 0, said: None };
        self.of.entry(key.into()).or_insert_with(full)
    }

    /// Forgets full buckets that owe no notice: they are as good as new.
    fn sweep(&mut self, now: Instant, burst: f64, rate: f64) {
        if self.swept.is_some_and(|swept| now.saturating_duration_since(swept) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.of.retain(|_, bucket| {
            bucket.fill(now, burst, rate);
            bucket.level < burst || bucket.left_out > 0
        });
    }
}

impl Bucket {
    fn fill(&mut self, now: Instant, burst: f64, rate: f64) {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.level = (self.level + elapsed * rate).min(burst);
        self.filled = self.filled.max(now);
    }

    fn refuse_if_empty(
        &mut self,
        principal: &str,
        records: usize,
        now: Instant,
    ) -> Result<(), UsedUp> {
        if self.level > 0.0 {
            return Ok(());
        }
        self.left_out += records as u64;
        if self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAY_EVERY) {
            self.said = Some(now);
            let principal = if principal.is_empty() { "everybody" } else { principal };
            tracing::warn!(
                principal,
                "denied and not recorded: this principal fills the audit log faster than \
                 audit.principal_kib_per_second allows"
            );
        }
        Err(UsedUp)
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a disk, to the nearest few")]
fn to_float(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn allowances() -> Allowances {
        Allowances::new(AllowanceLimits { bytes_per_second: MIB, burst_bytes: 64 * MIB })
    }

    /// Bytes that one principal gets in records of 1 KiB before it is refused.
    fn drain(allowances: &Allowances, principal: &str, now: Instant) -> u64 {
        let taken = std::iter::from_fn(|| allowances.take(principal, 1, 1_024, now).ok());
        taken.count() as u64 * 1_024
    }

    #[test]
    fn a_principal_gets_its_burst_and_then_its_rate_and_others_theirs() {
        let (allowances, start) = (allowances(), Instant::now());
        assert_eq!(drain(&allowances, "a", start), 64 * MIB);
        assert_eq!(allowances.check("a", 5, start), Err(UsedUp));
        assert_eq!(allowances.check("b", 5, start), Ok(()));
        let later = start + Duration::from_secs(3);
        // Five by the check, one by the drain.
        assert_eq!(allowances.take("a", 1, 0, later), Ok(6));
        assert_eq!(drain(&allowances, "a", later), 3 * MIB);
        assert_eq!(drain(&allowances, "b", later), 64 * MIB);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!(drain(&allowances, "a", much_later), 64 * MIB);
    }

    /// Ten thousand looks in a second lose nothing of what a second brings.
    #[test]
    fn often_is_as_much_as_seldom() {
        let (allowances, start) = (allowances(), Instant::now());
        drain(&allowances, "a", start);
        let taken: u64 = (1..=10_000)
            .map(|tick| drain(&allowances, "a", start + Duration::from_micros(tick * 100)))
            .sum();
        assert!(taken.abs_diff(MIB) <= 1_024, "{taken}");
    }

    #[test]
    fn one_large_record_is_paid_back() {
        let (allowances, start) = (allowances(), Instant::now());
        let large = usize::try_from(66 * MIB).expect("fits");
        assert_eq!(allowances.take("a", 1, large, start), Ok(0));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(allowances.check("a", 1, at(1)), Err(UsedUp));
        assert_eq!(allowances.check("a", 1, at(3)), Ok(()));
        allowances.owe("a", large, at(3));
        assert_eq!(allowances.check("a", 1, at(60)), Err(UsedUp));
        allowances.give_back("a", 0, large, at(60));
        assert_eq!(allowances.check("a", 1, at(60)), Ok(()));
    }

    /// However long it goes on, what one principal takes of a full disk is a part of the rest.
    #[test]
    fn one_principal_never_fills_the_disk() {
        let (allowances, start) = (allowances(), Instant::now());
        let mut free = 100 * MIB;
        for second in 0..600 {
            allowances.set_free(free);
            free -= drain(&allowances, "a", start + Duration::from_secs(second)).min(free);
        }
        assert!((20 * MIB..50 * MIB).contains(&free), "{free}");
        allowances.set_free(0);
        // The write itself is to say that there is no room.
        assert_eq!(drain(&allowances, "b", start), BURST_BYTES_MIN);
    }

    #[test]
    fn principals_without_number_are_not_remembered_without_end() {
        let (allowances, start) = (allowances(), Instant::now());
        for n in 0..3 * PRINCIPALS_MAX {
            allowances.owe(&format!("p{n}"), 1 << 20, start);
        }
        assert!(allowances.buckets.lock().expect("unpoisoned").of.len() <= PRINCIPALS_MAX + 1);
        assert_eq!(allowances.check("yet another", 1, start), Err(UsedUp), "they share one");
        let later = start + Duration::from_secs(3_600);
        assert_eq!(allowances.check("yet another", 1, later), Ok(()));
        assert_eq!(drain(&allowances, "p1", later), 64 * MIB);
    }
}
