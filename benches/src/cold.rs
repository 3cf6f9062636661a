//! Cold decisions per second through the ndjson stream against *ring*'s bare verification of the
//! same signatures: same core, turn about, every digest and every signature for the first time.

use std::time::Instant;

use anyhow::Context;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustix::time::{ClockId, clock_gettime};

use crate::corpus::{Attested, Signer};
use crate::daemon::{Caches, Daemon};
use crate::report::Line;
use crate::stats::{Pairs, Rate};
use crate::{Options, cores};

/// The share of bare verification that the daemon must reach.
const AIM: f64 = 0.9;

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Line> {
    let dir = tempfile::tempdir()?;
    let daemon = Daemon::start(dir.path(), Caches::DEFAULT)?;
    let signer = Signer::generate()?;
    daemon.set_up(signer.setup())?;
    let per_pair = options.images;
    let warm_up = signer.attest(0..per_pair)?;
    let images = signer.attest(per_pair..per_pair * (options.pairs as u64 + 1))?;
    daemon.file(&warm_up)?;
    daemon.file(&images)?;
    eprintln!("  filed {} attestations", warm_up.len() + images.len());
    decide(&daemon, &warm_up)?;
    let lots: Vec<_> = images.chunks(usize::try_from(per_pair)?).collect();
    let point = signer.point();
    let pairs = Pairs::measure(
        options.pairs,
        |nth| decide(&daemon, lots[nth]),
        |nth| verify(&point, lots[nth]),
    )?;
    Ok(Line::new("cold")
        .ratio("vs_ring", &pairs, AIM)
        .fact("decisions/cpu s", format!("{:.0}", pairs.ours.median()))
        .fact("ring", format!("{:.0}", pairs.theirs.median()))
        .fact("distinct signatures", images.len()))
}

pub(crate) fn decide(daemon: &Daemon, images: &[Attested]) -> anyhow::Result<Rate> {
    let names: Vec<_> = images.iter().map(|image| image.image.clone()).collect();
    let used = daemon.server.used()?;
    let streamed = daemon.stream(&names)?;
    let used = daemon.server.used()? - used;
    anyhow::ensure!(streamed.cached == 0, "{} decisions were cached", streamed.cached);
    Ok(Rate::new(images.len() as u64, used.as_secs_f64(), streamed.elapsed.as_secs_f64()))
}

/// The bare loop, on a thread of its own on the core of the daemon, which has nothing to do.
fn verify(point: &[u8], images: &[Attested]) -> anyhow::Result<Rate> {
    let looping = || -> anyhow::Result<Rate> {
        cores::pin(cores::SERVER)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        let (started, used) = (Instant::now(), thread_seconds());
        for image in images {
            key.verify(&image.payload, &image.signature).ok().context("a bad signature")?;
        }
        let (elapsed, used) = (started.elapsed().as_secs_f64(), thread_seconds() - used);
        Ok(Rate::new(images.len() as u64, used, elapsed))
    };
    std::thread::scope(|scope| scope.spawn(looping).join()).ok().context("the loop panicked")?
}

pub(crate) fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
