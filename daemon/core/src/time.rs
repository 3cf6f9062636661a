//! Time as an argument.

/// Seconds since 1970-01-01T00:00:00Z. The core never reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub i64);
