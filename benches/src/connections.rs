//! Many connections from one thread: what is there to receive, and on which.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::time::Timespec;

use crate::connection::{Answer, Connection};

/// Non-blocking connections under one epoll.
pub(crate) struct Connections {
    source: Ipv4Addr,
    address: SocketAddr,
    epoll: OwnedFd,
    all: Vec<Connection>,
    events: Vec<epoll::Event>,
}

impl Connections {
    /// Opens `count` of them, from this address of ours.
    pub(crate) fn open(
        source: Ipv4Addr,
        address: SocketAddr,
        count: usize,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let (all, events) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut this = Self { source, address, epoll, all, events };
        for index in 0..count {
            let connection = this.connect(index)?;
            this.all.push(connection);
        }
        Ok(this)
    }

    /// Closes one, and opens another in its place.
    pub(crate) fn reopen(&mut self, index: usize) -> anyhow::Result<()> {
        self.all[index] = self.connect(index)?;
        Ok(())
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
        self.look()?;
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

    /// The connections on which there is something to receive.
    pub(crate) fn ready(&mut self) -> anyhow::Result<Vec<usize>> {
        self.look()?;
        self.events.iter().map(|event| Ok(usize::try_from(event.data.u64())?)).collect()
    }

    /// Reads once from a connection; the answer, where it is there in full.
    pub(crate) fn receive(&mut self, index: usize) -> anyhow::Result<Option<Answer<'_>>> {
        self.all[index].receive()
    }

    fn look(&mut self) -> anyhow::Result<()> {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&Timespec::default()))?;
        Ok(())
    }

    fn connect(&self, index: usize) -> anyhow::Result<Connection> {
        let connection = Connection::open_from(self.source, self.address, true)?;
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &connection, data, epoll::EventFlags::IN)?;
        Ok(connection)
    }
}
