//! What a stranger and a caller without a role cost a cluster: its latency at a fixed rate while
//! they do what they can, over its latency without them, turn about on the same daemon.

use sha2::{Digest, Sha256};

use crate::attackers::{self, Attackers};
use crate::connection::Connection;
use crate::corpus::{PROJECT, Signer, ask, bearing};
use crate::daemon::{Caches, Daemon, allows};
use crate::report::Line;
use crate::stats::Sample;
use crate::{Options, corpus, open_loop};

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
    let auth = format!("[auth]\nfile = '{}'\n", auth.display());
    let daemon = Daemon::start_with(dir.path(), Caches::DEFAULT, &auth)?;
    let address = daemon.server.address;
    let requests: Vec<_> =
        (0..IMAGES).map(|image| bearing("cluster", &ask(&corpus::image(image)))).collect();
    let mut warming = Connection::open(address, false)?;
    requests.iter().try_for_each(|request| warming.call(request).map(drop))?;
    let count = (options.seconds * f64::from(options.rate)) as usize;
    let requests: Vec<_> = requests.iter().cycle().take(count).cloned().collect();
    let run = || -> anyhow::Result<(f64, f64)> {
        let before = daemon.server.used()?;
        let p99 = open_loop::run(address, &requests, options.rate, allows)?.quantile(0.99);
        Ok((p99, (daemon.server.used()? - before).as_secs_f64()))
    };
    let (mut ratios, mut work) = (Sample::default(), Sample::default());
    let (mut quiet, mut attacked) = (Sample::default(), Sample::default());
    let mut refused = 0;
    for round in 0..options.pairs {
        let (calm, calm_work) = run()?;
        let attackers = Attackers::begin(address)?;
        let (under, under_work) = run()?;
        refused += attackers.end()?;
        quiet.push(calm);
        attacked.push(under);
        ratios.push(under / calm);
        work.push(under_work / calm_work);
        eprintln!("  round {round}: {calm:.0} µs, attacked {under:.0} µs");
    }
    let ratio = |sample: &Sample| {
        let (least, greatest) = (sample.quantile(0.0), sample.quantile(1.0));
        format!("{:.2} [{least:.2}..{greatest:.2}] aim below {AIM:.2}", sample.median())
    };
    Ok(Line::new("attack")
        .fact("p99 ratio", ratio(&ratios))
        .fact("processor time ratio", ratio(&work))
        .fact("quiet", format!("{:.0} µs", quiet.median()))
        .fact("attacked", format!("{:.0} µs", attacked.median()))
        .fact("requests/s", options.rate)
        .fact("refused", refused)
        .fact("rounds", options.pairs))
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
