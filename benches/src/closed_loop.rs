//! As many answers as a server gives: on each connection the next request follows the answer.
//!
//! The side of the load never sleeps. If it did, the slower server would also pay for waking it,
//! an interrupt to another core with each answer, and the faster one would not.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::time::Timespec;

use crate::connection::Connection;

/// Connections of a load. Enough that the server always has something to do.
pub(crate) const CONNECTIONS: usize = 64;

/// Non-blocking connections under one epoll.
pub(crate) struct Connections {
    epoll: OwnedFd,
    all: Vec<Connection>,
    events: Vec<epoll::Event>,
}

impl Connections {
    pub(crate) fn open(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut all = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(address, true)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &connection, data, epoll::EventFlags::IN)?;
            all.push(connection);
        }
        Ok(Self { epoll, all, events: Vec::with_capacity(count) })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn send(&mut self, index: usize, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.all[index].send(request)?)
    }

    /// Asks once over each: a cluster keeps its connections.
    pub(crate) fn warm(&mut self, request: &[u8], good: fn(&[u8]) -> bool) -> anyhow::Result<()> {
        (0..self.len()).try_for_each(|index| self.send(index, request))?;
        let mut answered = Vec::new();
        while answered.len() < self.len() {
            self.poll(good, &mut answered)?;
        }
        Ok(())
    }

    /// Waits for an answer, for `patience` at most. To the nanosecond: epoll's own waiting is
    /// rounded up to milliseconds.
    pub(crate) fn wait(&self, patience: Duration) -> anyhow::Result<()> {
        let mut epoll = [PollFd::new(&self.epoll, PollFlags::IN)];
        poll(&mut epoll, Some(&Timespec::try_from(patience)?))?;
        Ok(())
    }

    /// Looks for answers and gives the index of each connection that has one. Fails if an
    /// answer has another status than 200, or `good` does not hold of its body.
    pub(crate) fn poll(
        &mut self,
        good: fn(&[u8]) -> bool,
        answered: &mut Vec<usize>,
    ) -> anyhow::Result<()> {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&Timespec::default()))?;
        for event in &self.events {
            let index = usize::try_from(event.data.u64())?;
            if let Some(answer) = self.all[index].receive()? {
                let text = || String::from_utf8_lossy(answer.body).into_owned();
                anyhow::ensure!(
                    answer.status == 200 && good(answer.body),
                    "answered {}: {}",
                    answer.status,
                    text()
                );
                answered.push(index);
            }
        }
        Ok(())
    }
}

/// Counts the answers to `requests`, in turn and over again, within `duration`.
pub(crate) fn run(
    address: SocketAddr,
    requests: &[Vec<u8>],
    duration: Duration,
    good: fn(&[u8]) -> bool,
) -> anyhow::Result<u64> {
    let mut connections = Connections::open(address, CONNECTIONS)?;
    let mut next = requests.iter().cycle();
    let mut send = |connections: &mut Connections, index| match next.next() {
        Some(request) => connections.send(index, request),
        None => anyhow::bail!("no requests"),
    };
    for index in 0..connections.len() {
        send(&mut connections, index)?;
    }
    let (started, mut count, mut answered) = (Instant::now(), 0, Vec::new());
    while started.elapsed() < duration {
        connections.poll(good, &mut answered)?;
        count += answered.len() as u64;
        for index in answered.drain(..) {
            send(&mut connections, index)?;
        }
    }
    Ok(count)
}
