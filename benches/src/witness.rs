//! When the machine itself stood still: a real-time thread on each core that wakes at fixed times.
//!
//! Whatever programs do, it is woken on time. Where it was not, the virtual machine did not run; what
//! was asked then says nothing about a server, and is left out. At a p99 this decides: a machine
//! that shares its processors stands still for milliseconds several times a second.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

use crate::cores;
use crate::partner::{self, Partner};

/// Interval at which it wakes.
const EVERY: Duration = Duration::from_micros(200);
/// Waking later than this is a stop. Interrupts and the kernel's own work take less.
const LATE: Duration = Duration::from_micros(200);

/// Witnesses of both cores, and what keeps the cores awake: to wake a virtual one takes a millisecond
/// now and then.
#[derive(Debug)]
pub(crate) struct Witnesses(Vec<Partner>);

/// A time at which a core stood still, by the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    began: Duration,
    ended: Duration,
}

impl Witnesses {
    /// Starts them; needs the right to run real-time threads.
    pub(crate) fn begin() -> anyhow::Result<Self> {
        let begin = |core: &str, class: &[&str], role| {
            let launcher = [&["chrt"], class, &["taskset", "-c", core]].concat();
            Partner::begin(&launcher, &[role])
        };
        let mut all = Vec::new();
        for core in [cores::SERVER, cores::LOAD] {
            let core = core.to_string();
            let witness = begin(&core, &["--fifo", "1"], "--witness");
            all.push(witness.context("witnesses of stops need CAP_SYS_NICE (run as root)")?);
            all.push(begin(&core, &["--idle", "0"], "--keep-awake")?);
        }
        Ok(Self(all))
    }

    /// Ends them; answers the stops of both.
    pub(crate) fn end(self) -> anyhow::Result<Vec<Stop>> {
        let mut stops = Vec::new();
        for witness in self.0 {
            for line in witness.end()?.lines() {
                stops.push(Stop::read(line).context("not a stop")?);
            }
        }
        Ok(stops)
    }
}

impl Stop {
    /// True if it touched what was due and answered at these times: or what had piled up behind it,
    /// which takes as long again at most.
    pub(crate) fn touched(&self, due: Duration, answered: Duration) -> bool {
        let over = self.ended + (self.ended - self.began);
        due < over && answered > self.began
    }

    fn read(line: &str) -> Option<Self> {
        let (began, ended) = line.split_once(' ')?;
        let time = |nanos: &str| Some(Duration::from_nanos(nanos.parse().ok()?));
        Some(Self { began: time(began)?, ended: time(ended)? })
    }
}

/// The monotonic clock, which all processes share.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Keeps a core awake, until its standard input ends.
pub(crate) fn keep_awake() {
    let end = partner::end();
    partner::say_begun();
    while !partner::has_ended(&end) {
        std::hint::spin_loop();
    }
}

/// Runs a witness, until its standard input ends.
pub(crate) fn run() {
    let end = partner::end();
    partner::say_begun();
    let mut stops = Vec::new();
    let mut due = now() + EVERY;
    while !partner::has_ended(&end) {
        thread::sleep(due.saturating_sub(now()));
        let woken = now();
        if woken.saturating_sub(due) > LATE {
            stops.push((due, woken));
        }
        due = woken + EVERY;
    }
    for (began, ended) in stops {
        println!("{} {}", began.as_nanos(), ended.as_nanos());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_touches_what_was_due_before_it_was_over_and_made_up_for() {
        let stop = Stop::read("1000 3000").expect("a stop");
        let nanos = Duration::from_nanos;
        assert!(stop.touched(nanos(900), nanos(1_001)));
        assert!(stop.touched(nanos(4_999), nanos(5_100)), "piled up behind it");
        assert!(!stop.touched(nanos(900), nanos(1_000)));
        assert!(!stop.touched(nanos(5_000), nanos(5_100)));
    }
}
