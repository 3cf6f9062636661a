//! The parent's side of a disposable child.

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use serde::de::DeserializeOwned;

use super::child::ANSWER;
use super::job::Job;

/// The time between two looks for the end of a child.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Bytes that a child may write before the rest is dropped: an answer is a few KiB.
const OUTPUT_BYTES: u64 = 1 << 20;

/// Makes the command that starts this program again and ends up in [`super::answer`].
pub type Start<'a> = &'a (dyn Fn() -> Command + Sync);

/// A child gave no answer, and with it the plugin.
#[derive(Debug, thiserror::Error)]
pub enum Fate {
    /// It could not be started.
    #[error("cannot start a child process: {0}")]
    Spawn(#[from] std::io::Error),
    /// It was not done in time.
    #[error("did not return within {} s and was killed", .0.as_secs_f32())]
    Hung(Duration),
    /// A signal ended it.
    #[error("crashed: {0}")]
    Crashed(&'static str),
    /// It ended by itself, without an answer.
    #[error("ended the process with exit code {0}; a plugin never exits{1}")]
    Exited(i32, String),
}

/// Does a job in a child that is killed at the deadline.
///
/// # Errors
/// The child gave no answer.
pub fn perform<T: DeserializeOwned>(
    start: Start<'_>,
    job: &Job,
    deadline: Duration,
) -> Result<T, Fate> {
    let mut command = start();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take();
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let text = serde_json::to_vec(job).map_err(std::io::Error::from)?;
    if let Some(stdin) = stdin.as_mut()
        && let Err(error) = stdin.write_all(&text)
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(Fate::Spawn(error));
    }
    drop(stdin);
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let id = id.ok_or_else(|| std::io::Error::other("a child without a process id"))?;
    let ended = wait(id, deadline)?;
    // The child and whatever it left running. It was not waited for, so its id is still its own,
    // and its group's. Nobody left to kill is what is hoped for.
    kill_process_group(id, Signal::KILL).unwrap_or_default();
    let status = child.wait()?;
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if !ended {
        return Err(Fate::Hung(deadline));
    }
    let answer = out.lines().rev().find_map(|line| line.split_once(ANSWER));
    match answer.and_then(|(_, json)| serde_json::from_str(json).ok()) {
        Some(answer) if status.success() => Ok(answer),
        _ => Err(fate(status, &err)),
    }
}

/// Looks for the end, and leaves the child to be waited for; `false` where the deadline came first.
fn wait(id: Pid, deadline: Duration) -> std::io::Result<bool> {
    let until = Instant::now() + deadline;
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(id), look)?.is_none() {
        if Instant::now() >= until {
            return Ok(false);
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(true)
}

fn collect(from: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(from) = from {
            // The bytes that were read until an error are all that there is.
            from.take(OUTPUT_BYTES).read_to_end(&mut bytes).unwrap_or_default();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn fate(status: ExitStatus, stderr: &str) -> Fate {
    match (status.signal(), status.code()) {
        (Some(signal), _) => Fate::Crashed(signal_name(signal)),
        (None, code) => {
            let last = stderr.lines().rfind(|line| !line.trim().is_empty());
            let last = last.map_or_else(String::new, |line| format!(" (stderr: {line})"));
            Fate::Exited(code.unwrap_or_default(), last)
        }
    }
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "it touched memory that is not its own (SIGSEGV)",
        libc::SIGBUS => "it touched memory that is not there (SIGBUS)",
        libc::SIGABRT => "it aborted (SIGABRT), as a panic or exception does at the boundary",
        libc::SIGILL => "it ran an instruction that is none (SIGILL)",
        libc::SIGFPE => "its arithmetic faulted (SIGFPE)",
        libc::SIGKILL => "it was killed (SIGKILL), perhaps for want of memory",
        _ => "a signal ended it",
    }
}
