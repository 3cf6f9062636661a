//! Numbers as they are written, each held against its range.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::ConfigError;

/// Bytes of a number that is written in MiB.
pub(super) const MIB: u64 = 1 << 20;

type Result<T> = std::result::Result<T, ConfigError>;

/// The value of a key, if it is within its range.
pub(super) fn within(
    key: &'static str,
    given: Option<u64>,
    range: RangeInclusive<u64>,
    default: u64,
) -> Result<u64> {
    match given.unwrap_or(default) {
        value if range.contains(&value) => Ok(value),
        value => Err(ConfigError::Range { key, value, range }),
    }
}

/// A number of bytes that is written in MiB, of which there must be one at least.
pub(super) fn mib(key: &'static str, given: Option<u64>, default: u64) -> Result<u64> {
    within(key, given, 1..=1 << 20, default).map(|mib| mib * MIB)
}

/// A number of what is held in memory.
pub(super) fn size(
    key: &'static str,
    given: Option<u64>,
    range: RangeInclusive<u64>,
    default: usize,
) -> Result<usize> {
    within(key, given, range, default as u64).map(to_usize)
}

/// The same, if there must be one at least.
pub(super) fn count(
    key: &'static str,
    given: Option<u64>,
    max: u64,
    default: u64,
) -> Result<NonZeroUsize> {
    let range = 1..=max;
    let number = to_usize(within(key, given, range.clone(), default)?);
    NonZeroUsize::new(number).ok_or(ConfigError::Range { key, value: 0, range })
}

/// A number of threads; by default, one per core.
pub(super) fn threads(
    key: &'static str,
    given: Option<usize>,
    cores: usize,
) -> Result<NonZeroUsize> {
    count(key, given.map(|threads| threads as u64), 1_024, cores as u64)
}

/// A time that is written in milliseconds.
pub(super) fn duration(
    key: &'static str,
    given: Option<u64>,
    range: RangeInclusive<u64>,
    default: Duration,
) -> Result<Duration> {
    let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
    within(key, given, range, default).map(Duration::from_millis)
}

/// Every number here is bounded far below 2^32.
fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
