//! When the answer to a call is worthless.

use std::time::Duration;

use hallmark_plugin_api::Call;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the host; `None` for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<u64>);

impl Deadline {
    /// Of a call.
    pub(crate) fn of(call: &Call<'_>) -> Self {
        Self(call.deadline_mono_ns)
    }

    /// Time that is left; `None` for any.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|at| Duration::from_nanos(at.saturating_sub(now())))
    }

    /// True if it is over.
    pub(crate) fn passed(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or(0))
}
