//! Which core does what: servers on one, the load on the other, and what a process used of them.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where servers run, and whatever they are compared with.
pub(crate) const SERVER: usize = 0;
/// Where the load comes from.
pub(crate) const LOAD: usize = 1;

/// Fails where the machine cannot keep server and load apart.
pub(crate) fn check() -> anyhow::Result<()> {
    let own = sched_getaffinity(None)?;
    anyhow::ensure!(
        own.is_set(SERVER) && own.is_set(LOAD),
        "the benchmarks need cores {SERVER} and {LOAD}: one for the server, one for the load"
    );
    Ok(())
}

/// Keeps the calling thread, and those it starts, on one core.
pub(crate) fn pin(core: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

/// A command that runs `program` on the servers' core.
pub(crate) fn on_server_core(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &SERVER.to_string()]).arg(program);
    command
}

/// Processor time that a process has used, all its threads together; in steps of 10 ms.
pub(crate) fn used(pid: u32) -> anyhow::Result<Duration> {
    ticks(&pid.to_string(), 11)
}

/// Processor time that processes have used which this one started and waited for.
pub(crate) fn used_by_children() -> anyhow::Result<Duration> {
    ticks("self", 13)
}

/// Two fields of a process's status: time in user mode and in the system.
fn ticks(process: &str, first: usize) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no process status")?;
    let fields = fields.split_whitespace().skip(first).take(2);
    let ticks: u64 = fields.flat_map(str::parse::<u64>).sum();
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(seconds))
}

/// Bytes of memory of its own that a process holds.
pub(crate) fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("no resident size")? << 10)
}
