//! Latency at a fixed rate: requests are due at fixed times, whether or not the server keeps up.
//!
//! A request that finds no free connection waits for one, and its latency counts from the time
//! when it was due. So a server that stalls is charged for every request that would have come
//! meanwhile: no coordinated omission.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::closed_loop::{CONNECTIONS, Connections};
use crate::stats::Sample;

/// Sends `requests` at `per_second`, one after the other, and answers the latency of each in
/// microseconds. The sending side never sleeps: its core is its own.
pub(crate) fn run(
    address: SocketAddr,
    requests: &[Vec<u8>],
    per_second: u32,
    good: fn(&[u8]) -> bool,
) -> anyhow::Result<Sample> {
    let mut connections = Connections::open(address, CONNECTIONS)?;
    let interval = Duration::from_secs(1) / per_second;
    let mut free: Vec<usize> = (0..connections.len()).collect();
    let mut due_of = vec![Instant::now(); connections.len()];
    let (mut waiting, mut latencies) = (VecDeque::new(), Vec::with_capacity(requests.len()));
    let (mut next, mut answered) = (0, Vec::new());
    let started = Instant::now();
    while latencies.len() < requests.len() {
        let now = Instant::now();
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
        connections.poll(good, &mut answered)?;
        let now = Instant::now();
        for index in answered.drain(..) {
            latencies.push((now - due_of[index]).as_secs_f64() * 1e6);
            free.push(index);
        }
    }
    Ok(latencies.into_iter().collect())
}
