//! The memory that the daemon comes to hold: unique digests by the hundred thousand, connections of
//! strangers by the ten thousand, and every body that is made to cost.
//!
//! `make memory` runs it against a release build. It prints what was resident at most after each
//! step, and exits with 1 if that is more than `docs/operating.md` promises.

mod bodies;
mod digests;
mod strangers;

use std::process::ExitCode;

use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::Key;
use hallmark_tests::memory_bound::bound_mib;
use hallmark_tests::project::{KEY_ID, attestor, policy, put_policy, sha256_hex};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const USAGE: &str = "usage: memory [--digests N] [--connections N] [--at-once N]";

/// The load that is thrown at the daemon.
#[derive(Clone, Copy, Debug)]
struct Options {
    digests: usize,
    connections: usize,
    /// Of each hostile body.
    at_once: usize,
}

/// Descriptors that client and daemon need beside the connections.
const DESCRIPTORS_BESIDE: usize = 1_000;

/// Everything that the tests need, in one principal.
const ROLES: [&str; 5] = [
    "binaryauthorization.policyAdmin",
    "binaryauthorization.attestorsAdmin",
    "containeranalysis.admin",
    "hallmark.decider",
    "hallmark.operator",
];

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let peak = runtime.block_on(measure(options));
    let bound = bound_mib(options.connections as u64);
    eprintln!("memory: {peak} MiB resident at most, {bound} MiB promised");
    if peak <= bound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { digests: 600_000, connections: 10_000, at_once: 64 };
    while let Some(option) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let number = value.parse().map_err(|_| format!("{option} {value}? {USAGE}"))?;
        match option.as_str() {
            "--digests" => options.digests = number,
            "--connections" => options.connections = number,
            "--at-once" => options.at_once = number,
            _ => return Err(format!("{option}? {USAGE}")),
        }
    }
    Ok(options)
}

/// Every step, one after the other on one daemon; answers the peak.
async fn measure(options: Options) -> u64 {
    let connections = raise_descriptors(options.connections);
    let dir = tempfile::tempdir().expect("a directory");
    let token = sha256_hex(b"the token of everybody who may");
    let toml = configuration(&token, options.connections);
    let daemon = Daemon::start_configured(dir.path(), &toml);
    let client = daemon.client.bearing(&token);
    let key = Key::shared("ECDSA_P256_SHA256");
    attestor(&client, "build", &[(KEY_ID, &key)]).await;
    put_policy(&client, &policy("REQUIRE_ATTESTATION", &["build"])).await;
    say(&daemon, "at the start");
    digests::ask(&client, options.digests).await;
    say(&daemon, &format!("after {} unique digests", options.digests));
    strangers::come(&daemon, &token, connections).await;
    say(&daemon, &format!("after {connections} connections of strangers"));
    bodies::send(&daemon, &client, options.at_once).await;
    say(&daemon, "after every hostile body");
    assert_serves(&client).await;
    daemon.peak_memory_mib()
}

fn say(daemon: &Daemon, when: &str) {
    eprintln!("memory: {:>5} MiB {when}", daemon.peak_memory_mib());
}

/// Where strangers are told from those who may ask.
fn configuration(token: &str, connections: usize) -> String {
    let hash = sha256_hex(token.as_bytes());
    // One principal asks about everything: what it may have recorded is not what is measured.
    let mut toml = "audit.principal_kib_per_second = 1048576\n".to_owned();
    toml += &format!("limits.connections = {connections}\n");
    toml += &format!("[[auth.tokens]]\nprincipal = 'user:all'\nsha256 = '{hash}'\n");
    for role in ROLES {
        toml += &format!(
            "[[auth.bindings]]\nrole = 'roles/{role}'\nmembers = ['user:all']\nprojects = ['*']\n"
        );
    }
    toml
}

/// Raises the limit on open files, which the daemon inherits; answers the connections that there is
/// room for.
fn raise_descriptors(connections: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("raises to what is allowed");
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let room = most.saturating_sub(DESCRIPTORS_BESIDE);
    if room < connections {
        eprintln!("memory: `ulimit -Hn` is {most}: {room} connections instead of {connections}");
    }
    connections.min(room)
}

/// The daemon has come through, and still answers.
async fn assert_serves(client: &Client) {
    let answer = client.get("/readyz").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}
