//! Strangers and a caller without a role, as a process of its own: what their work costs is not
//! charged to the load that is measured beside them.
//!
//! Strangers open connections, send half a body each and open the next as soon as they are refused;
//! the role-less ask over connections of their own as fast as they are answered.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::Context;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::time::Timespec;

use crate::connection::Connection;
use crate::corpus;

/// Connections of strangers, each with a body on its way, and of the role-less.
const STRANGERS: usize = 256;
const ROLELESS: usize = 64;

/// The token, and the name, of the principal without a role.
pub(crate) const TOKEN: &str = "roleless";

/// What the process says once every one of them has begun.
const BEGUN: &str = "begun";

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

/// What the process does, until its standard input ends or one of them is not refused. It is one
/// thread that waits: many would outweigh the load on its core, whatever their priority.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let mut crowd = Crowd::gather(address)?;
    let (ends, end) = mpsc::channel();
    thread::spawn(move || ends.send(std::io::stdin().read_to_end(&mut Vec::new())));
    let mut has_begun = false;
    while end.try_recv().is_err() {
        crowd.look()?;
        if !has_begun && crowd.refused >= (STRANGERS + ROLELESS) as u64 {
            println!("{BEGUN}");
            has_begun = true;
        }
    }
    println!("{}", crowd.refused);
    Ok(())
}

/// Strangers, and behind them the role-less.
struct Crowd {
    address: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    half: Vec<u8>,
    asked: Vec<u8>,
    refused: u64,
}

impl Crowd {
    fn gather(address: SocketAddr) -> anyhow::Result<Self> {
        let body = corpus::question(&corpus::image(0));
        let asked = corpus::ask(&corpus::image(0));
        let half = asked[..asked.len() - body.len() / 2].to_vec();
        let asked = corpus::bearing(TOKEN, &asked);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut crowd = Self { address, epoll, connections: Vec::new(), half, asked, refused: 0 };
        for index in 0..STRANGERS + ROLELESS {
            let connection = crowd.open(index)?;
            crowd.connections.push(connection);
        }
        Ok(crowd)
    }

    fn open(&self, index: usize) -> anyhow::Result<Connection> {
        let mut connection = Connection::open(self.address, true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &connection, data, epoll::EventFlags::IN)?;
        connection.send(if index < STRANGERS { &self.half } else { &self.asked })?;
        Ok(connection)
    }

    /// Waits for refusals, a while, and has those who were refused ask again.
    fn look(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(STRANGERS + ROLELESS);
        let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience))?;
        for event in &events {
            let index = usize::try_from(event.data.u64())?;
            let is_stranger = index < STRANGERS;
            // That a stranger is closed without an answer is part of the game.
            let status = match self.connections[index].receive() {
                Ok(None) => continue,
                Ok(Some(answer)) => Some(answer.status),
                Err(error) if !is_stranger => return Err(error),
                Err(_) => None,
            };
            let expected = if is_stranger { 401 } else { 403 };
            anyhow::ensure!(status.is_none_or(|it| it == expected), "answered {status:?}");
            self.refused += u64::from(status.is_some());
            match is_stranger {
                true => self.connections[index] = self.open(index)?,
                false => self.connections[index].send(&self.asked)?,
            }
        }
        Ok(())
    }
}
