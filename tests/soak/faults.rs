//! Faults that befall the daemon while it is asked and written to: pauses, full disks, steps of its
//! clock, reloads. All at once, each at its own times.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use hallmark_tests::daemon::Daemon;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use super::soak::{Soak, pass};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// Steps of the clock, in seconds from the real time.
const CLOCK_STEPS: [i64; 9] =
    [0, 1, -1, 61 * MINUTE, -61 * MINUTE, DAY, -DAY, 3_650 * DAY, -3_650 * DAY];

/// Everything at once until the time is up; then `end`, while whatever is amiss at that moment still
/// is.
pub(crate) async fn befall(soak: &Soak, daemon: &Daemon, time: Duration, end: impl FnOnce()) {
    let all = async {
        tokio::join!(pauses(soak, daemon), disks(soak, daemon), clocks(soak), reloads(soak, daemon))
    };
    let mut all = pin!(all);
    drop(tokio::time::timeout(time, &mut all).await);
    end();
}

/// Now and then, up to `most` apart.
async fn a_while(soak: &Soak, most: Duration) {
    pass(soak, most.mul_f64(fastrand::f64())).await;
}

/// SIGSTOP and SIGCONT: mostly short, at times longer than the daemon's own deadlines.
async fn pauses(soak: &Soak, daemon: &Daemon) {
    while !soak.is_over() {
        a_while(soak, Duration::from_secs(5)).await;
        let stopped = Stopped::new(daemon);
        soak.count("pauses");
        let longest = if fastrand::u8(..) < 16 { 12_000 } else { 400 };
        a_while(soak, Duration::from_millis(longest)).await;
        drop(stopped);
    }
}

/// A stopped process, which goes on when this is dropped.
struct Stopped(Option<Pid>);

impl Stopped {
    fn new(daemon: &Daemon) -> Self {
        let pid = pid(daemon);
        signal(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

/// A disk without a byte left, or files that may not grow.
async fn disks(soak: &Soak, daemon: &Daemon) {
    while !soak.is_over() {
        a_while(soak, Duration::from_secs(6)).await;
        let full = match soak.site.disk() {
            Some(disk) if fastrand::bool() => Full::Disk(Filler::new(disk)),
            _ => Full::Limit(Limit::new(daemon)),
        };
        soak.count(full.name());
        a_while(soak, Duration::from_secs(2)).await;
        drop(full);
    }
}

/// An obstacle that keeps the daemon from writing, until it is dropped.
enum Full {
    Disk(#[expect(dead_code, reason = "held for its end")] Filler),
    Limit(#[expect(dead_code, reason = "held for its end")] Limit),
}

impl Full {
    fn name(&self) -> &'static str {
        match self {
            Self::Disk(_) => "full disks",
            Self::Limit(_) => "file size limits",
        }
    }
}

/// A file that takes all room there is.
struct Filler(PathBuf);

impl Filler {
    fn new(disk: &Path) -> Self {
        let path = disk.join("filler");
        let file = std::fs::File::create(&path).expect("creates");
        let mut piece = 64 << 20;
        let mut size = 0;
        while piece > 0 {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&file, flags, size, piece) {
                Ok(()) => size += piece,
                Err(_) => piece /= 2,
            }
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// RLIMIT_FSIZE as low as it goes: no file grows.
struct Limit(Option<Pid>, Rlimit);

impl Limit {
    fn new(daemon: &Daemon) -> Self {
        let pid = pid(daemon);
        let before = prlimit(pid, Resource::Fsize, Rlimit { current: Some(0), maximum: None });
        Self(pid, before.unwrap_or(Rlimit { current: None, maximum: None }))
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        prlimit(self.0, Resource::Fsize, self.1).ok();
    }
}

async fn clocks(soak: &Soak) {
    while soak.site.has_clock() && !soak.is_over() {
        a_while(soak, Duration::from_secs(8)).await;
        soak.site.set_clock(CLOCK_STEPS[fastrand::usize(..CLOCK_STEPS.len())]);
        soak.count("clock steps");
    }
}

async fn reloads(soak: &Soak, daemon: &Daemon) {
    while !soak.is_over() {
        a_while(soak, Duration::from_secs(10)).await;
        signal(pid(daemon), Signal::HUP);
        soak.count("reloads");
    }
}

fn pid(daemon: &Daemon) -> Option<Pid> {
    i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw)
}

/// `kill -9`.
pub(crate) fn kill(daemon: &Daemon) {
    signal(pid(daemon), Signal::KILL);
}

/// Sends a signal. A process that has ended is found out elsewhere.
fn signal(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        kill_process(pid, signal).ok();
    }
}
