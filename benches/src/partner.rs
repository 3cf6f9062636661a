//! This program once more, as a process that does something beside a measurement until its standard
//! input ends.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::Context;

/// The line that it writes once it has begun.
const BEGUN: &str = "begun";

/// Such a process, from outside.
#[derive(Debug)]
pub(crate) struct Partner {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Partner {
    /// Starts it by `launcher` (such as `chrt`), and returns once it has begun.
    pub(crate) fn begin(launcher: &[&str], arguments: &[&str]) -> anyhow::Result<Self> {
        let (program, options) = launcher.split_first().context("a launcher")?;
        let mut command = Command::new(program);
        command.args(options).arg(std::env::current_exe()?).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut says = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut line = String::new();
        says.read_line(&mut line)?;
        anyhow::ensure!(line.trim() == BEGUN, "{} did not begin: see above", launcher.join(" "));
        Ok(Self { child, says })
    }

    /// Ends it; answers what it said.
    pub(crate) fn end(mut self) -> anyhow::Result<String> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.says.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "a process beside the measurement failed: see above");
        Ok(said)
    }
}

/// Says that it has begun.
pub(crate) fn say_begun() {
    println!("{BEGUN}");
}

/// Disconnected once standard input has ended.
pub(crate) fn end() -> Receiver<()> {
    let (ends, end) = mpsc::channel();
    thread::spawn(move || {
        let _end = ends;
        std::io::stdin().read_to_end(&mut Vec::new())
    });
    end
}

/// True if standard input has ended.
pub(crate) fn has_ended(end: &Receiver<()>) -> bool {
    end.try_recv() == Err(mpsc::TryRecvError::Disconnected)
}
