//! Plugins in processes of their own: what happens to the process happens to nobody else.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary, eventually, hallmark_offline, wait_for};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{
    assert_allowed, assert_denied, decide, file, image, note, occurrence, payload, policy,
    put_policy,
};
use serde_json::{Value, json};

const VERSION: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1";

/// A daemon that signs with a key file through a worker. `more` is about the plugin.
fn start(dir: &Path, key: &Key, more: &str) -> Daemon {
    let (private, _) = key.write(dir, "signing");
    let toml = format!(
        "[[plugins]]\nname = 'pkix'\nisolation = 'worker'\n\
         config = {{ signing_keys = [{{ id = 'k', path = '{}' }}] }}\n{more}\n\
         [[kms_keys]]\nname = '{VERSION}'\nplugin = 'pkix'\nkey = 'k'\n",
        private.display()
    );
    Daemon::start_configured(dir, &toml)
}

/// The worker of a daemon that has one.
fn worker(daemon: &Daemon) -> Option<u32> {
    let tasks = format!("/proc/{}/task", daemon.pid());
    let children = std::fs::read_dir(tasks)
        .ok()?
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    children.collect::<String>().split_whitespace().next()?.parse().ok()
}

fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
}

async fn sign(client: &Client, message: &[u8]) -> Option<Vec<u8>> {
    let body = json!({"data": STANDARD.encode(message)});
    let answer = client.post(&format!("/v1/{VERSION}:asymmetricSign"), &body).await;
    let signature = answer.json["signature"].as_str()?;
    (answer.status == 200).then(|| STANDARD.decode(signature).expect("base64"))
}

/// The results of requests at a steady rate.
#[derive(Debug, Default)]
struct Ledger {
    sent: AtomicU64,
    right: AtomicU64,
    slowest_ms: AtomicU64,
}

/// A thousand signatures a second, and `kill -9` in the middle of them, twice: every request has
/// its answer, the answer is right, and none took longer than a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_under_load_costs_no_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    // Its signatures are the same each time, so each is held against one that was verified.
    let key = Key::generate("ED25519");
    let daemon = start(dir.path(), &key, "");
    let messages: Vec<Vec<u8>> = (0..16).map(|n| format!("message {n}").into_bytes()).collect();
    let expected: Vec<_> = messages.iter().map(|message| key.sign(message)).collect();
    let rows = Arc::new(messages.into_iter().zip(expected).collect::<Vec<_>>());
    let ledger = Arc::new(Ledger::default());
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    let (begun, mut running, mut killed) = (Instant::now(), Vec::new(), Vec::new());
    for n in 0..3_000_usize {
        pace.tick().await;
        if matches!(n, 1_000 | 2_000) {
            let pid = worker(&daemon).expect("a worker");
            assert!(!killed.contains(&pid));
            kill(pid);
            killed.push(pid);
        }
        let (client, rows, ledger) =
            (daemon.client.clone(), Arc::clone(&rows), Arc::clone(&ledger));
        running.push(tokio::spawn(async move {
            let (message, expected) = &rows[n % rows.len()];
            let asked = Instant::now();
            ledger.sent.fetch_add(1, Ordering::Relaxed);
            if sign(&client, message).await.as_ref() == Some(expected) {
                ledger.right.fetch_add(1, Ordering::Relaxed);
            }
            let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
            ledger.slowest_ms.fetch_max(took, Ordering::Relaxed);
        }));
    }
    for request in running {
        request.await.expect("an answer");
    }
    let rate = 3_000.0 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} signatures a second, {ledger:?}");
    assert_eq!(ledger.right.load(Ordering::Relaxed), 3_000, "{ledger:?}\n{}", daemon.log());
    let metrics = daemon.client.get("/metrics").await.text;
    assert!(metrics.contains("hallmark_plugin_worker_restarts_total{plugin=\"pkix\"} 2"));
    assert!(metrics.contains("reason=\"signal\"} 2"), "{metrics}");
}

/// From the death of a worker to the first signature of the next one.
#[tokio::test]
async fn a_worker_is_back_within_a_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::generate("ED25519");
    let daemon = start(dir.path(), &key, "");
    let expected = key.sign(b"m");
    assert_eq!(sign(&daemon.client, b"m").await.as_ref(), Some(&expected));
    let before = worker(&daemon).expect("a worker");
    kill(before);
    let died = Instant::now();
    assert_eq!(sign(&daemon.client, b"m").await, Some(expected));
    assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());
    assert_ne!(worker(&daemon), Some(before));
}

#[tokio::test]
async fn a_worker_ends_with_its_daemon_however_that_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::generate("ED25519");
    for kill_it in [true, false] {
        let daemon = start(dir.path(), &key, "");
        let pid = worker(&daemon).expect("a worker");
        if kill_it {
            daemon.kill();
        } else {
            daemon.stop();
        }
        let gone = || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(());
        wait_for("the worker to end", gone);
    }
}

#[tokio::test]
async fn operators_see_where_a_plugin_runs() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::generate("ED25519");
    let daemon = start(dir.path(), &key, "");
    let config = dir.path().join("hallmark.toml");
    let list = ["plugins", "list", "--format", "json", "--config", &config.to_string_lossy()];
    let listed = hallmark_offline(&list);
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let pkix = listed.as_array().expect("a list").iter().find(|it| it["name"] == "pkix");
    let pkix = pkix.expect("pkix");
    assert_eq!(
        (&pkix["isolation"], &pkix["worker"]["breaker"]),
        (&json!("worker"), &json!("closed"))
    );
    assert!(pkix["worker"]["pid"].as_u64().is_some_and(|pid| pid != u64::from(daemon.pid())));

    let client = &daemon.client;
    assert_eq!(client.get("/readyz").await.ok()["pluginErrors"], json!(null));
    for _ in 0..3 {
        kill(eventually("a worker", || async { worker(&daemon) }).await);
        eventually("its end to be seen", || async {
            let metrics = client.get("/metrics").await.text;
            let seen = sign(client, b"m").await.is_some();
            (seen || metrics.contains("hallmark_plugin_breaker_state{plugin=\"pkix\"} 2"))
                .then_some(())
        })
        .await;
    }
    eventually("the breaker", || async {
        let metrics = client.get("/metrics").await.text;
        metrics.contains("reason=\"signal\"} 3").then_some(())
    })
    .await;
    eventually("it to be back", || async { sign(client, b"m").await }).await;
}

/// The options each change what happens: the time that a call may take, the memory, the place.
#[test]
fn options_of_a_plugin_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    for (more, says) in [
        (
            "isolation = 'elsewhere'",
            "line 3: isolation: unknown variant, expected `in-process` or `worker`",
        ),
        ("call_timeout_ms = 1", "plugins.call_timeout_ms = 1 is out of range: 10 to 600000"),
        ("memory_limit_mib = 1", "plugins.memory_limit_mib = 1 is out of range: 64 to 1048576"),
        ("user = 0", "plugins.user = 0 is out of range"),
        ("user = 1\nisolation = 'in-process'", "plugin `pkix` runs in the daemon"),
        ("environment = ['A=b']", "plugins.environment: `A=b` is no name of a variable"),
    ] {
        let toml = format!("[[plugins]]\nname = 'pkix'\n{more}\n");
        let config = write(dir.path(), "hallmark.toml", toml.as_bytes());
        let args = [
            "--data-dir",
            &dir.path().join("d").to_string_lossy(),
            "--config",
            &config.to_string_lossy(),
        ]
        .map(str::to_owned);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let log = Daemon::try_start(dir.path(), &args).expect_err("refuses");
        assert!(log.contains(says), "{more}: {log}");
    }
}

/// A plugin from elsewhere is in a worker unless it is said otherwise, and its own configuration
/// still stops the start.
#[tokio::test]
async fn a_plugin_from_elsewhere_runs_in_a_worker_unless_told_otherwise() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = binary("libhallmark_plugin_pkix.so");
    let sum = hallmark_tests::project::sha256_hex(&std::fs::read(&file).expect("reads"));
    let start = |more: &str| {
        let toml = format!(
            "[[plugins]]\nname = 'acme'\npath = '{}'\nsha256 = ['{sum}']\n{more}\n",
            file.display()
        );
        Daemon::start_configured(dir.path(), &toml)
    };
    let daemon = start("");
    assert!(worker(&daemon).is_some());
    daemon.stop();
    let daemon = start("isolation = 'in-process'");
    assert_eq!(worker(&daemon), None);
    daemon.stop();
}

/// A worker that cannot be called costs what it was asked, and decisions go on.
#[tokio::test]
async fn keys_of_a_worker_that_is_no_more_go_on_verifying() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::generate("ECDSA_P256_SHA256");
    let keys = dir.path().join("keys");
    std::fs::create_dir(&keys).expect("creates");
    let path = write(&keys, "release.pem", key.public_pem.as_bytes());
    let toml = format!(
        "[[plugins]]\nname = 'pkix'\nisolation = 'worker'\n\
         config = {{ sources = [{{ path = '{}' }}] }}",
        keys.display()
    );
    let daemon = Daemon::start_configured(dir.path(), &toml);
    let client = &daemon.client;
    note(client, "a").await;
    let id = format!("file://{}", path.display());
    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/a", "publicKeys": [{"id": id}],
    }});
    client.post("/v1/projects/p/attestors?attestorId=a", &body).await.ok();
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
    // Its file is unreadable for the next process, which is killed as often as it comes.
    std::fs::remove_file(&path).expect("removes");
    for n in 0..20 {
        if let Some(pid) = worker(&daemon) {
            kill(pid);
        }
        let image = image(&format!("image {n}"));
        let signed = payload(&image);
        file(client, &occurrence("a", &image, &signed, &id, &key.sign(&signed))).await;
        assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    }
    let unsigned = image("unsigned");
    assert_denied(&decide(client, &[&unsigned]).await, "NOT_ATTESTED");
}
