//! Strangers and a caller without a role, as a process of its own: what their work costs is not
//! charged to the load that is measured beside them.
//!
//! Strangers open connections, send half a body each and open the next as soon as they are refused;
//! the role-less ask over connections of their own as fast as they are answered.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Context;

use crate::connection::Connection;
use crate::corpus;

/// Connections of strangers, each with a body on its way, and of the role-less.
const STRANGERS: usize = 256;
const ROLELESS: usize = 64;

/// The token, and the name, of the principal without a role.
pub(crate) const TOKEN: &str = "roleless";

/// What the process says once every one of them has begun.
const BEGUN: &str = "begun";

static REFUSED: AtomicU64 = AtomicU64::new(0);

/// The process, from outside.
#[derive(Debug)]
pub(crate) struct Attackers {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Attackers {
    /// Starts it, and returns once the attack is under way.
    pub(crate) fn begin(address: SocketAddr) -> anyhow::Result<Self> {
        let mut command = Command::new("nice");
        command
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .arg("--attack")
            .arg(address.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut says = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut line = String::new();
        says.read_line(&mut line)?;
        anyhow::ensure!(line.trim() == BEGUN, "the attackers did not begin");
        Ok(Self { child, says })
    }

    /// Ends it; answers how many requests were refused.
    pub(crate) fn end(mut self) -> anyhow::Result<u64> {
        drop(self.child.stdin.take());
        let mut count = String::new();
        self.says.read_to_string(&mut count)?;
        self.child.wait()?;
        count.trim().parse().context("the attackers were answered something else than a refusal")
    }
}

/// What the process does, until its standard input ends or one of them is not refused.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let body = corpus::question(&corpus::image(0));
    let asked = corpus::ask(&corpus::image(0));
    let half = asked[..asked.len() - body.len() / 2].to_vec();
    let asked = corpus::bearing(TOKEN, &asked);
    let (ends, end) = mpsc::channel();
    for _ in 0..STRANGERS {
        let half = half.clone();
        start(&ends, move || {
            loop {
                stranger(address, &half)?
            }
        });
    }
    for _ in 0..ROLELESS {
        let asked = asked.clone();
        start(&ends, move || roleless(address, &asked));
    }
    while REFUSED.load(Ordering::Relaxed) < (STRANGERS + ROLELESS) as u64 {
        if let Ok(ended) = end.try_recv() {
            return ended;
        }
        thread::yield_now();
    }
    println!("{BEGUN}");
    start(&ends, || {
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    });
    end.recv()??;
    println!("{}", REFUSED.load(Ordering::Relaxed));
    Ok(())
}

/// Runs `work` on a thread of its own, and says how it ended.
fn start(
    ends: &mpsc::Sender<anyhow::Result<()>>,
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) {
    let ends = ends.clone();
    thread::spawn(move || drop(ends.send(work())));
}

/// One connection of a stranger. That it is closed without an answer is part of the game.
fn stranger(address: SocketAddr, half: &[u8]) -> anyhow::Result<()> {
    let mut connection = Connection::open(address, false)?;
    if connection.send(half).is_ok()
        && let Ok(answer) = connection.wait()
    {
        refused(answer.status, 401)?;
    }
    Ok(())
}

fn roleless(address: SocketAddr, asked: &[u8]) -> anyhow::Result<()> {
    let mut connection = Connection::open(address, false)?;
    loop {
        connection.send(asked)?;
        refused(connection.wait()?.status, 403)?;
    }
}

fn refused(status: u16, expected: u16) -> anyhow::Result<()> {
    anyhow::ensure!(status == expected, "answered {status} instead of {expected}");
    REFUSED.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
