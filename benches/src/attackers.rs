//! Strangers and a caller without a role, as a process of its own: what their work costs is not
//! charged to the load that is measured beside them.
//!
//! Strangers open connections, send half a body each and open the next as soon as they are refused;
//! the role-less ask over connections of their own as fast as they are answered.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::connections::Connections;
use crate::corpus;
use crate::partner::{self, Partner};

/// Connections of strangers, each with a body on its way, and of the role-less.
const STRANGERS: usize = 256;
const ROLELESS: usize = 64;

/// Where they come from: not from where the load does.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The time that one look for refusals waits: how late they notice that they are to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// The token, and the name, of the principal without a role.
pub(crate) const TOKEN: &str = "roleless";

/// The process, from outside.
#[derive(Debug)]
pub(crate) struct Attackers(Partner);

impl Attackers {
    /// Starts it, and returns once the attack is under way.
    pub(crate) fn begin(address: SocketAddr) -> anyhow::Result<Self> {
        // The load takes the core back at once from a process of the idle class.
        let launcher = ["chrt", "--idle", "0"];
        Ok(Self(Partner::begin(&launcher, &["--attack", &address.to_string()])?))
    }

    /// Ends it; answers how many requests were refused.
    pub(crate) fn end(self) -> anyhow::Result<u64> {
        Ok(self.0.end()?.trim().parse()?)
    }
}

/// The work of the process, until its standard input ends or one of them is not refused. It is one
/// thread that waits: many would outweigh the load on its core, whatever their priority.
pub(crate) fn run(address: SocketAddr) -> anyhow::Result<()> {
    let mut crowd = Crowd::gather(address)?;
    let end = partner::end();
    let mut has_begun = false;
    while !partner::has_ended(&end) {
        crowd.look()?;
        if !has_begun && crowd.refused >= (STRANGERS + ROLELESS) as u64 {
            partner::say_begun();
            has_begun = true;
        }
    }
    println!("{}", crowd.refused);
    Ok(())
}

/// Strangers, and behind them the role-less.
struct Crowd {
    connections: Connections,
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
        let connections = Connections::open(ADDRESS, address, STRANGERS + ROLELESS)?;
        let mut crowd = Self { connections, half, asked, refused: 0 };
        (0..STRANGERS + ROLELESS).try_for_each(|index| crowd.ask(index))?;
        Ok(crowd)
    }

    fn ask(&mut self, index: usize) -> anyhow::Result<()> {
        self.connections.send(index, if index < STRANGERS { &self.half } else { &self.asked })
    }

    /// Waits for refusals, a while, and has those who were refused ask again.
    fn look(&mut self) -> anyhow::Result<()> {
        self.connections.wait(PATIENCE)?;
        for index in self.connections.ready()? {
            let is_stranger = index < STRANGERS;
            // That a stranger is closed without an answer is part of the game.
            let status = match self.connections.receive(index) {
                Ok(None) => continue,
                Ok(Some(answer)) => Some(answer.status),
                Err(error) if !is_stranger => return Err(error),
                Err(_) => None,
            };
            let expected = if is_stranger { 401 } else { 403 };
            anyhow::ensure!(status.is_none_or(|it| it == expected), "answered {status:?}");
            self.refused += u64::from(status.is_some());
            if is_stranger {
                self.connections.reopen(index)?;
            }
            self.ask(index)?;
        }
        Ok(())
    }
}
