//! The cost to a cluster of a stranger and of a caller without a role: its latency at a fixed rate
//! while they do what they can, over its latency without them, turn about on the same daemon.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use crate::attackers::{self, Attackers};
use crate::connection::Connection;
use crate::corpus::{PROJECT, Signer, ask, bearing};
use crate::daemon::{Caches, Daemon, allows};
use crate::open_loop::{self, Between, Exchange};
use crate::report::Line;
use crate::stats::Sample;
use crate::witness::{Stop, Witnesses};
use crate::{Options, corpus};

/// Distinct images of the cluster, all of them warm.
const IMAGES: u64 = 1_000;
/// The promise: p99 moves by less than a tenth.
const AIM: f64 = 1.1;

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Line> {
    let dir = tempfile::tempdir()?;
    let signer = Signer::generate()?;
    {
        let open = Daemon::start(dir.path(), Caches::DEFAULT)?;
        open.set_up(signer.setup())?;
        open.file(&signer.attest(0..IMAGES)?)?;
    }
    let auth = dir.path().join("auth.toml");
    std::fs::write(&auth, authentication())?;
    std::fs::set_permissions(&auth, Permissions::from_mode(0o600))?;
    let auth = format!("[auth]\nfile = '{}'\n", auth.display());
    let daemon = Daemon::start_with(dir.path(), Caches::DEFAULT, &auth)?;
    let address = daemon.server.address;
    let requests: Vec<_> =
        (0..IMAGES).map(|image| bearing("cluster", &ask(&corpus::image(image)))).collect();
    let mut warming = Connection::open(address, false)?;
    requests.iter().try_for_each(|request| warming.call(request).map(drop))?;
    let count = (options.seconds * f64::from(options.rate)) as usize;
    let requests: Vec<_> = requests.iter().cycle().take(count).cloned().collect();
    let run = || -> anyhow::Result<Side> {
        let before = daemon.server.used()?;
        let witnesses = Witnesses::begin()?;
        let exchanges = open_loop::run(address, &requests, options.rate, Between::Sleep, allows)?;
        let stops = witnesses.end()?;
        let work = (daemon.server.used()? - before).as_secs_f64();
        Ok(Side::of(exchanges, &stops, work))
    };
    let (mut quiet, mut attacked, mut refused) = (Side::default(), Side::default(), 0);
    for round in 0..options.pairs {
        let calm_first = round % 2 == 0;
        if calm_first {
            quiet.merge(run()?);
        }
        let attackers = Attackers::begin(address)?;
        attacked.merge(run()?);
        refused += attackers.end()?;
        if !calm_first {
            quiet.merge(run()?);
        }
    }
    let p99 = |side: &Side| side.latencies.quantile(0.99);
    let ratio = |attacked: f64, quiet: f64| format!("{:.2} aim below {AIM:.2}", attacked / quiet);
    Ok(Line::new("attack")
        .fact("p99 ratio", ratio(p99(&attacked), p99(&quiet)))
        .fact("processor time ratio", ratio(attacked.work, quiet.work))
        .fact("quiet", format!("{:.0} µs", p99(&quiet)))
        .fact("attacked", format!("{:.0} µs", p99(&attacked)))
        .fact("left out, quiet", quiet.left_out)
        .fact("left out, attacked", attacked.left_out)
        .fact("p50", format!("{:.0} µs", quiet.latencies.quantile(0.5)))
        .fact("p50 attacked", format!("{:.0} µs", attacked.latencies.quantile(0.5)))
        .fact("requests/s", options.rate)
        .fact("refused", refused)
        .fact("rounds", options.pairs))
}

/// All rounds of one side together: what stops the machine for milliseconds now and then meets both
/// sides, and makes the p99 of one round no measure.
#[derive(Debug, Default)]
struct Side {
    latencies: Sample,
    /// Exchanges during which the machine stood still.
    left_out: usize,
    /// Seconds of processor time that the daemon used.
    work: f64,
}

impl Side {
    fn of(exchanges: Vec<Exchange>, stops: &[Stop], work: f64) -> Self {
        let touched = |it: &Exchange| stops.iter().any(|stop| stop.touched(it.due, it.answered));
        let (out, kept): (Vec<_>, Vec<_>) = exchanges.into_iter().partition(touched);
        Self { latencies: open_loop::latencies(kept), left_out: out.len(), work }
    }

    fn merge(&mut self, other: Self) {
        self.latencies.merge(other.latencies);
        self.left_out += other.left_out;
        self.work += other.work;
    }
}

/// `user:cluster` may decide; `user:roleless` is known and may nothing.
fn authentication() -> String {
    let known = |name: &str| {
        let hash = Sha256::digest(name.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'\n")
    };
    format!(
        "{}{}[[bindings]]\nrole = 'roles/hallmark.decider'\nmembers = ['user:cluster']\n\
         projects = ['{PROJECT}']\n",
        known("cluster"),
        known(attackers::TOKEN)
    )
}
