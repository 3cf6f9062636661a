//! As many answers as a server gives: on each connection the next request follows the answer.
//!
//! The side of the load never sleeps. If it did, the slower server would also pay for waking it,
//! an interrupt to another core with each answer, and the faster one would not.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::connections::Connections;

/// Connections of a load. Enough that the server always has something to do.
pub(crate) const CONNECTIONS: usize = 64;

/// Counts the answers to `requests`, in turn and over again, within `duration`.
pub(crate) fn run(
    address: SocketAddr,
    requests: &[Vec<u8>],
    duration: Duration,
    good: fn(&[u8]) -> bool,
) -> anyhow::Result<u64> {
    let mut connections = Connections::open(Ipv4Addr::LOCALHOST, address, CONNECTIONS)?;
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
