//! The number of decisions that stay cached while policies and notes that have nothing to do with
//! them are written.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Options;
use crate::connection::{Connection, request};
use crate::corpus::{self, Signer, ask};
use crate::daemon::{Caches, Daemon, allows, is_cached};
use crate::report::Line;

/// Distinct images, asked for in turn.
const IMAGES: u64 = 1_000;
const WRITES_PER_SECOND: u32 = 100;
/// The promise: of a thousand decisions, less than one is worked out again.
const AIM: f64 = 0.999;

/// Runs the benchmark.
pub(crate) fn run(options: &Options) -> anyhow::Result<Line> {
    let dir = tempfile::tempdir()?;
    let daemon = Daemon::start(dir.path(), Caches::DEFAULT)?;
    let signer = Signer::generate()?;
    daemon.set_up(signer.setup())?;
    daemon.file(&signer.attest(0..IMAGES)?)?;
    let address = daemon.server.address;
    let requests: Vec<_> = (0..IMAGES).map(|image| ask(&corpus::image(image))).collect();
    count_cached(address, &requests, Duration::ZERO)?;
    let over = AtomicBool::new(false);
    let duration = Duration::from_secs_f64(options.seconds);
    let (counted, writes) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(address, &over));
        let counted = count_cached(address, &requests, duration);
        over.store(true, Ordering::Relaxed);
        (counted, writer.join())
    });
    let (answers, cached) = counted?;
    let writes = writes.map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let rate = cached as f64 / answers as f64;
    Ok(Line::new("unrelated")
        .fact("cached", format!("{rate:.5} aim above {AIM}"))
        .fact("answers", answers)
        .fact("writes", writes))
}

/// Asks for every image in turn, at least once, until the time is over.
fn count_cached(
    address: SocketAddr,
    requests: &[Vec<u8>],
    duration: Duration,
) -> anyhow::Result<(u64, u64)> {
    let mut connection = Connection::open(address, false)?;
    let (started, mut answers, mut cached) = (Instant::now(), 0, 0);
    for (number, request) in requests.iter().cycle().enumerate() {
        if number >= requests.len() && started.elapsed() >= duration {
            break;
        }
        let answer = connection.call(request)?;
        anyhow::ensure!(allows(&answer), "not allowed: {}", String::from_utf8_lossy(&answer));
        answers += 1;
        cached += u64::from(is_cached(&answer));
    }
    Ok((answers, cached))
}

/// Writes to other projects, at a steady rate, until it is over.
fn write(address: SocketAddr, over: &AtomicBool) -> anyhow::Result<u32> {
    let mut connection = Connection::open(address, false)?;
    let started = Instant::now();
    let policy = json!({
        "defaultAdmissionRule": {
            "evaluationMode": "ALWAYS_DENY", "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        },
    });
    let note = json!({"attestation": {"hint": {"humanReadableName": "unrelated"}}});
    for number in 0.. {
        let due = started + Duration::from_secs(1) / WRITES_PER_SECOND * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            return Ok(number);
        }
        let project = format!("other-{}", number % 10);
        let (method, path, body) = match number % 2 {
            0 => ("PUT", format!("/v1/projects/{project}/policy"), &policy),
            _ => ("POST", format!("/v1/projects/{project}/notes?noteId=n{number}"), &note),
        };
        connection.call(&request(method, &path, body.to_string().as_bytes()))?;
    }
    Ok(0)
}
