//! The soak: writers, deciders, `kill -9`, pauses, full disks, steps of the clock and hostile clients
//! at once, against a real daemon, with a checker that knows every acknowledgement.
//!
//! `make soak MINUTES=60` runs it against a release build. It ends by itself, says every ten seconds
//! how far it is, and exits with 1 if a promise was broken. `--plant FAULT` breaks one on purpose.
//! `tests/e2e/soak.rs` runs it for some seconds.

mod deciders;
mod faults;
mod hostile;
mod options;
mod plant;
mod site;
mod soak;
mod subjects;
mod writers;

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary};
use hallmark_tests::memory_bound::BOUND_MIB;
use hallmark_tests::soak::{Promise, Violation};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{Instant, timeout};

use options::Options;
use site::token;
use soak::Soak;
use subjects::Kind;

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// For clients to go home after the daemon is dead.
const HOMEWARD: Duration = Duration::from_secs(90);

/// Files of the audit log above this size are shipped: all but the newest are removed.
const AUDIT_BYTES_KEPT: u64 = 64 << 20;

/// Deciders at once.
const DECIDERS: usize = 12;

fn main() -> ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let soak = Arc::new(Soak::new(options.plant));
    let started = Instant::now();
    runtime.block_on(async {
        let progress = tokio::spawn(report(Arc::clone(&soak), started));
        live(&soak, &options, started + options.time).await;
        progress.abort();
    });
    drop(runtime);
    summary(&soak, started.elapsed());
    if soak.violations().is_empty() {
        return ExitCode::SUCCESS;
    }
    if let (None, Ok(soak)) = (options.plant, Arc::try_unwrap(soak)) {
        eprintln!("soak: the daemon's files are kept in {}", soak.site.keep().display());
    }
    ExitCode::FAILURE
}

/// One life of the daemon after the other; a last one in which nothing is begun.
async fn live(soak: &Arc<Soak>, options: &Options, end: Instant) {
    let mut head = None;
    for life in 0.. {
        let last = Instant::now() >= end;
        let daemon = match block_in_place(|| soak.site.start()) {
            Ok(daemon) => daemon,
            Err(log) => {
                let what = format!("the daemon does not start:\n{log}");
                return soak.found(Violation::new(Promise::Serving, what));
            }
        };
        soak.begin_life();
        soak.count("lives");
        let as_ = |name: &str| daemon.client.bearing(&token(name));
        if life == 0 {
            subjects::found(&as_("writer"), &soak.site, &soak.subjects).await;
        } else {
            // A step of the clock is not why somebody is refused: tokens know no time.
            writers::check(soak, &as_("writer")).await;
        }
        deciders::decide_each(soak, &as_("decider0")).await;
        let tasks = if last { JoinSet::new() } else { everybody(soak, &daemon.client) };
        plant::while_it_runs(soak, &as_("writer")).await;
        let in_peace = last || fastrand::u8(..) < 32;
        let time = if last { Duration::ZERO } else { options.life() };
        faults::befall(soak, &daemon, time, || last_look(soak, &daemon, in_peace)).await;
        end_of_life(soak, daemon, tasks, in_peace).await;
        after_life(soak, &mut head, life);
        if last || soak.has_found_plant() {
            return;
        }
    }
}

/// All who write, ask and attack.
fn everybody(soak: &Arc<Soak>, client: &Client) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let writer = client.bearing(&token("writer"));
    let changing = soak.subjects.iter().map(subjects::Subject::kind);
    for (subject, _) in changing.enumerate().filter(|(_, kind)| *kind != Kind::Fixed) {
        let period = Duration::from_millis(40);
        tasks.spawn(writers::write(Arc::clone(soak), subject, writer.clone(), period));
    }
    tasks.spawn(writers::file(Arc::clone(soak), writer.clone(), Duration::from_millis(30)));
    tasks.spawn(writers::file_batches(Arc::clone(soak), writer, Duration::from_millis(500)));
    for number in 0..DECIDERS {
        let decider = client.bearing(&token(&format!("decider{}", number % site::DECIDERS.len())));
        tasks.spawn(deciders::decide(Arc::clone(soak), decider, Duration::from_millis(15)));
    }
    hostile::attack(soak, client, &mut tasks);
    tasks
}

/// Looks at the daemon for the last time in its life, and kills it unless it is to end in peace.
fn last_look(soak: &Soak, daemon: &Daemon, in_peace: bool) {
    let peak = daemon.peak_memory_mib();
    soak.peak(peak);
    if peak > BOUND_MIB {
        let what = format!("{peak} MiB resident, {BOUND_MIB} MiB promised");
        soak.found(Violation::new(Promise::Bounded, what));
    }
    if !daemon.is_running() {
        let what = format!("the daemon ended by itself:\n{}", daemon.log());
        soak.found(Violation::new(Promise::Serving, what));
    }
    soak.end_life();
    if !in_peace {
        soak.count("kills -9");
        faults::kill(daemon);
    }
}

/// Waits for the daemon to end and for everybody to go home.
async fn end_of_life(soak: &Soak, daemon: Daemon, mut tasks: JoinSet<()>, in_peace: bool) {
    if in_peace {
        soak.count("ends by SIGTERM");
        daemon.signal("TERM");
    }
    let log = daemon.log();
    let status = block_in_place(|| daemon.wait());
    if in_peace && !status.success() {
        let what = format!("the daemon ends with {status} on SIGTERM");
        soak.found(Violation::new(Promise::Serving, what));
    }
    for (word, promise) in [("panicked", Promise::Serving), ("token-of-", Promise::NothingShown)] {
        if let Some(line) = log.lines().find(|line| line.contains(word)) {
            soak.found(Violation::new(promise, format!("in the daemon's log: {line}")));
        }
    }
    let home = async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                soak.found(Violation::new(Promise::Serving, error.to_string()));
            }
        }
    };
    if timeout(HOMEWARD, home).await.is_err() {
        soak.found(Violation::new(Promise::Serving, "clients wait for a daemon that is dead"));
    }
}

/// Holds the log against every answer, by our own reading and by `hallmark audit verify`.
fn after_life(soak: &Soak, head: &mut Option<String>, life: usize) {
    plant::between_lives(soak, life);
    let next = soak.next_number();
    let found = soak.trail().settle(next);
    found.into_iter().for_each(|violation| soak.found(violation));
    let mut verify = Command::new(binary("hallmark"));
    verify.args(["audit", "verify", "--format", "json"]).arg(soak.site.audit());
    // The log has grown since: the head that was kept must be among its lines.
    if let Some(head) = head.as_ref() {
        verify.args(["--head", head]);
    }
    let output = verify.output().expect("hallmark runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let what =
            format!("`hallmark audit verify` after a crash: {} {said}{error}", output.status);
        soak.found(Violation::new(Promise::OneChain, what));
    }
    let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    *head = report["head"].as_str().map(str::to_owned);
    soak.trail().ship(AUDIT_BYTES_KEPT).expect("removes");
}

async fn report(soak: Arc<Soak>, started: Instant) {
    let mut pace = tokio::time::interval_at(started + PROGRESS, PROGRESS);
    loop {
        pace.tick().await;
        let figures = soak.figures();
        let count = |what: &str| figures.get(what).copied().unwrap_or_default();
        eprintln!(
            "soak: {:>5} s, {} answers, {} undetermined, {} writes, {} kills, {} violations",
            started.elapsed().as_secs(),
            count("allowed") + count("denied"),
            count("undetermined") + count("not now"),
            count("writes of states") + count("writes of occurrences"),
            count("kills -9"),
            soak.violations().len(),
        );
    }
}

fn summary(soak: &Soak, time: Duration) {
    eprintln!("soak: {} s in all", time.as_secs());
    for (what, count) in soak.figures() {
        eprintln!("soak: {count:>9} {what}");
    }
    let read = soak.trail().figures();
    eprintln!("soak: {:>9} lines of the audit log read", read.lines);
    eprintln!("soak: {:>9} answers found in it, each once", read.answers);
    eprintln!("soak: {:>9} writes found in it", read.writes);
    eprintln!("soak: {:>9} MiB resident at most", soak.peak_memory_mib());
    eprintln!("soak: {:>9} violations", soak.violations().len());
}
