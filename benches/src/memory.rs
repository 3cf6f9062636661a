//! Bytes per stored occurrence and per cached decision.
//!
//! An occurrence costs what the database file grows by, and what more memory a daemon holds that
//! was started on it. A cached decision costs what a daemon that remembers all of them holds more
//! of than one that remembers next to none, after both have answered the same questions: so the
//! store's page cache and the allocator's slack count in neither.

use std::path::Path;

use crate::Options;
use crate::corpus::{Signer, image};
use crate::daemon::{Caches, Daemon};
use crate::report::Line;

/// Images that are signed, filed or asked for at a time.
const LOT: u64 = 50_000;

/// Bytes of configured cache for each decision, ample: it is accounted at some 1,200.
const ROOM: u64 = 4_096;

/// Memory of a daemon, before and after it has answered for every image.
#[derive(Clone, Copy, Debug)]
struct Held {
    before: u64,
    after: u64,
}

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Line> {
    let dir = tempfile::tempdir()?;
    let count = options.occurrences;
    let stored = fill(dir.path(), count)?;
    let forgetful = Caches { verdict_mib: 1, evaluation_mib: 1 };
    let mib = ((count * ROOM) >> 20).max(1);
    let without = answer_all(dir.path(), forgetful, count)?;
    let with = answer_all(dir.path(), Caches { verdict_mib: mib, evaluation_mib: mib }, count)?;
    let per = |bytes: u64| format!("{:.0}", bytes as f64 / count as f64);
    let mebibytes = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    Ok(Line::new("memory")
        .fact("bytes/cached decision", per(with.after.saturating_sub(without.after)))
        .fact("disk bytes/occurrence", per(stored))
        .fact("MiB at start", mebibytes(without.before))
        .fact("MiB after, next to no cache", mebibytes(without.after))
        .fact("count", count))
}

/// Files the attestations; answers by how much the database grew.
fn fill(dir: &Path, count: u64) -> anyhow::Result<u64> {
    let signer = Signer::generate()?;
    let daemon = Daemon::start(dir, Caches::DEFAULT)?;
    daemon.set_up(signer.setup())?;
    let empty = database_bytes(dir)?;
    for lot in lots(count) {
        daemon.file(&signer.attest(lot.clone())?)?;
        eprintln!("  filed {}", lot.end);
    }
    daemon.server.stop()?;
    Ok(database_bytes(dir)? - empty)
}

fn answer_all(dir: &Path, caches: Caches, count: u64) -> anyhow::Result<Held> {
    let daemon = Daemon::start(dir, caches)?;
    let before = daemon.server.resident()?;
    for lot in lots(count) {
        let images: Vec<_> = lot.clone().map(image).collect();
        daemon.stream(&images)?;
        eprintln!("  answered {}", lot.end);
    }
    let after = daemon.server.resident()?;
    daemon.server.stop()?;
    Ok(Held { before, after })
}

fn lots(count: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    (0..count).step_by(LOT as usize).map(move |from| from..(from + LOT).min(count))
}

fn database_bytes(dir: &Path) -> anyhow::Result<u64> {
    Ok(dir.join("data").join("hallmark.redb").metadata()?.len())
}
