//! Inside the disposable child: one job, one answer, and out.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use serde_json::Value;

use super::bench::Plan;
use super::job::{Job, Task};
use super::{Program, bench, catalogue, probe};

/// Stands in front of the answer. Whatever else is on standard output is not ours.
pub(super) const ANSWER: &str = "hallmark-answer ";

/// Reads a [`Job`] from standard input, does it with the plugin in this process, and prints the
/// answer. Then the process ends at once: nothing that the plugin left behind runs.
///
/// To be called on the main thread of a process that does nothing else.
///
/// # Errors
/// There is no job, or the system refuses what the work needs.
pub fn answer(program: Program) -> std::io::Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let job: Job = serde_json::from_str(&text)?;
    let mut out = File::from(alone()?);
    let answer = perform(&job, program)?;
    writeln!(out, "{ANSWER}{answer}")?;
    // SAFETY: ends the process; skips the exit handlers, which may be the plugin's.
    unsafe { libc::_exit(0) }
}

/// Dies with its parent, leaves no core, and keeps standard output to itself: what the plugin
/// writes there goes into the void.
fn alone() -> std::io::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let own = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(own)
}

fn perform(job: &Job, program: Program) -> std::io::Result<Value> {
    Ok(match &job.task {
        Task::Check(id) => serde_json::to_value(catalogue::run(id, job, program))?,
        Task::Probe => serde_json::to_value(probe::run(&job.subject, program))?,
        Task::Bench { batches, threads, millis, worker } => {
            let plan = Plan { batches, threads: *threads, time: Duration::from_millis(*millis) };
            serde_json::to_value(bench::run(&job.subject, plan, worker.then_some(program)))?
        }
    })
}
