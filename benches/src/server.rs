//! A server process on the servers' core.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cores;

/// The time that a server may take to start: a store of a million occurrences is checked first.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server and waits until `address` says where it listens.
    pub(crate) fn start(
        command: &mut Command,
        mut address: impl FnMut() -> Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let started = Instant::now();
        loop {
            if let Some(address) = address() {
                return Ok(Self { child, address });
            }
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{} did not start: {status}", command.get_program().display());
            }
            if started.elapsed() > PATIENCE {
                child.kill()?;
                anyhow::bail!("{} did not start in time", command.get_program().display());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processor time used so far.
    pub(crate) fn used(&self) -> anyhow::Result<Duration> {
        cores::used(self.child.id())
    }

    /// Bytes of memory held now.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        cores::resident(self.child.id())
    }

    /// Ends it as an operator would, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where it has ended already there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
