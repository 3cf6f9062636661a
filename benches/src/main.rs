//! Hallmark against named rivals, as ratios in the same run.
//!
//! Every server runs on core 0 and the load on core 1. What is compared is measured in interleaved
//! pairs, and the median of the pairs' ratios counts, with the least and the greatest beside it:
//! so a slow or shared machine spoils the spread before it spoils the ratio. Rates are by processor
//! time, which leaves out what other programs took of the core. `docs/benchmarks.md` has the
//! method and the results.

mod attack;
mod attackers;
mod cached;
mod closed_loop;
mod cold;
mod connection;
mod connections;
mod cores;
mod corpus;
mod daemon;
mod latency;
mod memory;
mod ndjson;
mod nginx;
mod open_loop;
mod openpgp;
mod partner;
mod report;
mod server;
mod stats;
mod unrelated;
mod witness;
mod worker;

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

use report::Line;

/// Hallmark against named rivals, as ratios in the same run.
#[derive(Debug, Parser)]
#[command(name = "hallmark-benches")]
struct Options {
    /// Which to run; all of them unless named.
    benchmarks: Vec<Benchmark>,
    /// Interleaved pairs, or rounds.
    #[arg(long, default_value_t = 7)]
    pairs: usize,
    /// Seconds of one side of a pair of `cached` and `attack`, of one round of `latency`, and of
    /// `unrelated`.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Images of one side of a pair of `cold`.
    #[arg(long, default_value_t = 40_000)]
    images: u64,
    /// Requests per second of `latency` and `attack`.
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    /// Occurrences stored, and decisions cached, of `memory`.
    #[arg(long, default_value_t = 1_000_000)]
    occurrences: u64,
    /// A quick look: 3 pairs, 1 second, 10,000 images, 50,000 occurrences.
    #[arg(long)]
    quick: bool,
    /// Be the attackers of `attack`, against this address, until standard input ends.
    #[arg(long, hide = true)]
    attack: Option<SocketAddr>,
    /// Be a witness of stops, until standard input ends.
    #[arg(long, hide = true)]
    witness: bool,
    /// Keep this core awake, until standard input ends.
    #[arg(long, hide = true)]
    keep_awake: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    Cached,
    Cold,
    Latency,
    Memory,
    Openpgp,
    Unrelated,
    Worker,
    /// The last, for it needs a right that the others do not: see `witness`.
    Attack,
}

fn main() -> anyhow::Result<()> {
    let mut options = Options::parse();
    if options.quick {
        (options.pairs, options.seconds) = (3, 1.0);
        (options.images, options.occurrences) = (10_000, 50_000);
    }
    if options.benchmarks.is_empty() {
        options.benchmarks = Benchmark::value_variants().to_vec();
    }
    if let Some(address) = options.attack {
        return attackers::run(address);
    }
    if options.witness {
        witness::run();
        return Ok(());
    }
    if options.keep_awake {
        witness::keep_awake();
        return Ok(());
    }
    cores::check()?;
    cores::pin(cores::LOAD)?;
    for benchmark in &options.benchmarks {
        eprintln!("{benchmark:?}");
        benchmark.run(&options)?.iter().for_each(|line| println!("{line}"));
    }
    Ok(())
}

impl Benchmark {
    fn run(self, options: &Options) -> anyhow::Result<Vec<Line>> {
        match self {
            Self::Cached => cached::run(options),
            Self::Cold => Ok(vec![cold::run(options)?]),
            Self::Latency => latency::run(options),
            Self::Memory => Ok(vec![memory::run(options)?]),
            Self::Openpgp => openpgp::run(options),
            Self::Unrelated => Ok(vec![unrelated::run(options)?]),
            Self::Worker => worker::run(options),
            Self::Attack => Ok(vec![attack::run(options)?]),
        }
    }
}
