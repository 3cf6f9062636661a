//! Latency at a fixed rate: requests are due at fixed times, whether or not the server keeps up.
//!
//! A request that finds no free connection waits for one, and its latency counts from the time
//! when it was due. So a server that stalls is charged for every request that would have come
//! meanwhile: no coordinated omission.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::closed_loop::CONNECTIONS;
use crate::connections::Connections;
use crate::stats::Sample;
use crate::witness;

/// The behaviour of the sending side between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// It looks for answers without a rest: its core is its own.
    Spin,
    /// It sleeps, and leaves its core to others.
    Sleep,
}

/// When a request was due and when it was answered, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) due: Duration,
    pub(crate) answered: Duration,
}

/// The latencies, in microseconds.
pub(crate) fn latencies(exchanges: impl IntoIterator<Item = Exchange>) -> Sample {
    let micros = |exchange: Exchange| (exchange.answered - exchange.due).as_secs_f64() * 1e6;
    exchanges.into_iter().map(micros).collect()
}

/// Sends `requests` at `per_second`, one after the other.
pub(crate) fn run(
    address: SocketAddr,
    requests: &[Vec<u8>],
    per_second: u32,
    between: Between,
    good: fn(&[u8]) -> bool,
) -> anyhow::Result<Vec<Exchange>> {
    let mut connections = Connections::open(Ipv4Addr::LOCALHOST, address, CONNECTIONS)?;
    connections.warm(&requests[0], good)?;
    let interval = Duration::from_secs(1) / per_second;
    let mut free: Vec<usize> = (0..connections.len()).collect();
    let mut due_of = vec![witness::now(); connections.len()];
    let (mut waiting, mut exchanges) = (VecDeque::new(), Vec::with_capacity(requests.len()));
    let (mut next, mut answered) = (0, Vec::new());
    let started = witness::now();
    while exchanges.len() < requests.len() {
        let now = witness::now();
        while next < requests.len() && started + interval * u32::try_from(next)? <= now {
            waiting.push_back(next);
            next += 1;
        }
        while let (Some(&due), Some(&index)) = (waiting.front(), free.last()) {
            due_of[index] = started + interval * u32::try_from(due)?;
            connections.send(index, &requests[due])?;
            waiting.pop_front();
            free.pop();
        }
        if between == Between::Sleep {
            let due = started + interval * u32::try_from(next)?;
            connections.wait(due.saturating_sub(now))?;
        }
        connections.poll(good, &mut answered)?;
        let now = witness::now();
        for index in answered.drain(..) {
            exchanges.push(Exchange { due: due_of[index], answered: now });
            free.push(index);
        }
    }
    Ok(exchanges)
}
