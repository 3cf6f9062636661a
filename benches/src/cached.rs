//! Cached decisions per second against nginx with a static body of the same size: same core, same
//! client, turn about. Once against nginx at its fastest, which answers the same requests from
//! memory and touches no file, and once against nginx that serves the body from a file.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::connection::{Connection, request};
use crate::corpus::{Signer, ask};
use crate::daemon::{Caches, Daemon, allows};
use crate::report::Line;
use crate::server::Server;
use crate::stats::{Pairs, Rate};
use crate::{Options, closed_loop, corpus, nginx};

/// Distinct images, all of them warm.
const IMAGES: u64 = 1_000;

/// The share of nginx that the daemon must reach.
const AIM: f64 = 0.8;

/// Two servers that give the same answers, and the requests for them.
#[derive(Debug)]
pub(crate) struct Rivals {
    pub(crate) daemon: Daemon,
    pub(crate) nginx: Server,
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) answer_bytes: usize,
    pub(crate) signer: Signer,
}

impl Rivals {
    /// Starts both, and asks the daemon once for every image.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        let signer = Signer::generate()?;
        let daemon = Daemon::start(dir, Caches::DEFAULT)?;
        daemon.set_up(signer.setup())?;
        daemon.file(&signer.attest(0..IMAGES)?)?;
        let images: Vec<_> = (0..IMAGES).map(corpus::image).collect();
        daemon.stream(&images)?;
        let requests: Vec<_> = images.iter().map(|image| ask(image)).collect();
        let body = Connection::open(daemon.server.address, false)?.call(&requests[0])?;
        let nginx = nginx::start(dir, &body)?;
        Ok(Self { daemon, nginx, requests, answer_bytes: body.len(), signer })
    }
}

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Line>> {
    let dir = tempfile::tempdir()?;
    let rivals = Rivals::start(dir.path())?;
    let duration = Duration::from_secs_f64(options.seconds);
    let for_file = [request("GET", nginx::FILE, b"")];
    let ours = |_| rate(&rivals.daemon.server, &rivals.requests, duration);
    let line = |against, pairs: &Pairs| {
        Line::new("cached")
            .ratio(against, pairs, AIM)
            .fact("decisions/cpu s", format!("{:.0}", pairs.ours.median()))
            .fact("nginx", format!("{:.0}", pairs.theirs.median()))
            .fact("answer bytes", rivals.answer_bytes)
    };
    let memory =
        Pairs::measure(options.pairs, ours, |_| rate(&rivals.nginx, &rivals.requests, duration))?;
    let file = Pairs::measure(options.pairs, ours, |_| rate(&rivals.nginx, &for_file, duration))?;
    Ok(vec![line("vs_nginx", &memory), line("vs_nginx_file", &file)])
}

fn rate(server: &Server, requests: &[Vec<u8>], duration: Duration) -> anyhow::Result<Rate> {
    let (started, used) = (Instant::now(), server.used()?);
    let count = closed_loop::run(server.address, requests, duration, allows)?;
    let used = server.used()? - used;
    Ok(Rate::new(count, used.as_secs_f64(), started.elapsed().as_secs_f64()))
}
