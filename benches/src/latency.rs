//! Latency at a fixed rate, counted from when each request was due: nginx, cached decisions, and
//! cached decisions of which one in a hundred is cold. In rounds, so that all three see the same
//! machine.

use crate::Options;
use crate::cached::Rivals;
use crate::corpus::ask;
use crate::daemon::allows;
use crate::open_loop::{self, Between};
use crate::report::Line;
use crate::server::Server;
use crate::stats::Sample;

/// One in this many requests of the mix is for an image never asked for before.
const COLD_EVERY: usize = 100;
/// Images are numbered; those of the warm corpus come first.
const COLD_FROM: u64 = 1 << 32;

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Line>> {
    let dir = tempfile::tempdir()?;
    let rivals = Rivals::start(dir.path())?;
    let count = (options.seconds * f64::from(options.rate)) as usize;
    let warm: Vec<_> = rivals.requests.iter().cycle().take(count).cloned().collect();
    let mut rounds = [Rounds::default(), Rounds::default(), Rounds::default()];
    for round in 0..options.pairs {
        let mixed = mixed(&rivals, &warm, round)?;
        let mut measure = |which: usize, server: &Server, requests: &[Vec<u8>]| {
            let (address, rate) = (server.address, options.rate);
            let exchanges = open_loop::run(address, requests, rate, Between::Spin, allows)?;
            rounds[which].push(&open_loop::latencies(exchanges));
            anyhow::Ok(())
        };
        measure(0, &rivals.nginx, &warm)?;
        measure(1, &rivals.daemon.server, &warm)?;
        measure(2, &rivals.daemon.server, &mixed)?;
        eprintln!("  round {round}");
    }
    let names = ["latency nginx", "latency cached", "latency 1% cold"];
    Ok(names.into_iter().zip(&rounds).map(|(name, rounds)| rounds.line(name, options)).collect())
}

/// The warm requests, some of them replaced by requests for new images.
fn mixed(rivals: &Rivals, warm: &[Vec<u8>], round: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let count = (warm.len() / COLD_EVERY) as u64;
    let first = COLD_FROM + round as u64 * count;
    let cold = rivals.signer.attest(first..first + count)?;
    rivals.daemon.file(&cold)?;
    let mut requests = warm.to_vec();
    for (place, image) in requests.iter_mut().step_by(COLD_EVERY).zip(&cold) {
        *place = ask(&image.image);
    }
    Ok(requests)
}

/// Quantiles of several rounds, in microseconds.
#[derive(Debug, Default)]
struct Rounds {
    p50: Sample,
    p99: Sample,
    p999: Sample,
}

impl Rounds {
    fn push(&mut self, latencies: &Sample) {
        self.p50.push(latencies.quantile(0.5));
        self.p99.push(latencies.quantile(0.99));
        self.p999.push(latencies.quantile(0.999));
    }

    fn line(&self, name: &'static str, options: &Options) -> Line {
        let micros = |sample: &Sample| {
            let (low, high) = (sample.quantile(0.0), sample.quantile(1.0));
            format!("{:.0} µs [{low:.0}..{high:.0}]", sample.median())
        };
        Line::new(name)
            .fact("p50", micros(&self.p50))
            .fact("p99", micros(&self.p99))
            .fact("p99.9", micros(&self.p999))
            .fact("requests/s", options.rate)
            .fact("rounds", options.pairs)
    }
}
