//! The start of a daemon, its refusal to start, its reload and its stop.

use std::path::Path;

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, binary, eventually, wait_for};
use hallmark_tests::keys::{Key, write};
use hallmark_tests::project::{
    World, assert_allowed, assert_denied, attest, decide, image, note, policy, put_policy,
    sha256_hex,
};
use hallmark_tests::wire::Wire;
use serde_json::json;

/// The message of a daemon that does not start with these arguments.
fn refusal(dir: &Path, args: &[&str]) -> String {
    match Daemon::try_start(dir, args) {
        Ok(daemon) => panic!("started with {args:?}: {}", daemon.log()),
        Err(log) => {
            assert!(log.starts_with("exit status: 1\n"), "{log}");
            log
        }
    }
}

fn refusal_of(toml: &str) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let config = write(dir.path(), "hallmark.toml", toml.as_bytes());
    let data = dir.path().join("data");
    refusal(
        dir.path(),
        &["--data-dir", &data.to_string_lossy(), "--config", &config.to_string_lossy()],
    )
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, files) = (dir.path().join("data"), dir.path().join("nowhere"));
    let (data, files) = (data.to_string_lossy(), files.to_string_lossy());
    for (args, sentence) in [
        (&[][..], "say where resources live: --data-dir DIR"),
        (&["--data-dir", &data, "--config-dir", &files], "exclude each other"),
        (&["--config-dir", &files], "--audit-dir DIR"),
        (&["--config-dir", &files, "--audit-dir", &data], "nowhere"),
        (&["--data-dir", &data, "--listen-metrics", "0.0.0.0:0"], "is not a loopback address"),
        (&["--data-dir", &data, "--config", &files], "nowhere cannot be read"),
        (&["--data-dir", &data, "--system-policy", &files], "system policy"),
    ] {
        let log = refusal(dir.path(), args);
        assert!(log.contains(sentence), "{args:?}: {log}");
    }
}

/// Without authentication anyone who reaches the daemon could change policies.
#[test]
fn only_loopback_is_listened_on() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080"] {
        let mut serve = std::process::Command::new(binary("hallmark"));
        serve.args(["serve", "--listen", address, "--data-dir"]).arg(&data);
        let output = serve.output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("is not a loopback address") && said.contains("127.0.0.1"), "{said}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused_with_its_key() {
    for (toml, sentence) in [
        ("data_dirr = 'x'", "data_dirr"),
        ("[limits]\nbody_bytez = 1", "body_bytez"),
        ("limits.connections = 0", "limits.connections = 0 is out of range"),
        ("listen = 'here'", "listen"),
        ("audit.durability = 'maybe'", "durability"),
        ("[audit", "line 1"),
    ] {
        let log = refusal_of(toml);
        assert!(log.contains(sentence), "{toml}: {log}");
    }
}

/// A plugin is code: it is loaded only where its bytes are those that the operator named.
#[test]
fn a_plugin_that_is_not_the_one_named_is_refused() {
    let plugin = binary("libhallmark_plugin_pkix.so");
    let sum = sha256_hex(&std::fs::read(&plugin).expect("built"));
    let wrong = sum.chars().rev().collect::<String>();
    let path = plugin.display();
    // Beside the daemon's own executable a file needs no sum; anywhere else it does.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let elsewhere = elsewhere.path().join("plugin.so");
    std::fs::copy(&plugin, &elsewhere).expect("copies");
    let elsewhere = elsewhere.display();
    let not_a_plugin = binary("hallmark");
    let not_a_plugin_sum = sha256_hex(&std::fs::read(&not_a_plugin).expect("built"));
    let not_a_plugin = not_a_plugin.display();
    for (toml, sentence) in [
        (format!("path = '{path}'\nsha256 = ['{wrong}']"), sum.as_str()),
        (format!("path = '{elsewhere}'"), "sha256"),
        (format!("path = '{path}'\nsha256 = ['abc']"), "abc"),
        (format!("path = '/nowhere.so'\nsha256 = ['{sum}']"), "/nowhere.so"),
        (format!("path = '{not_a_plugin}'\nsha256 = ['{not_a_plugin_sum}']"), "hallmark"),
        (format!("path = '{path}'\nsha256 = ['{sum}']\nconfig = {{ typo = 1 }}"), "typo"),
        ("".to_owned(), "acme"),
    ] {
        let log = refusal_of(&format!("[[plugins]]\nname = 'acme'\n{toml}"));
        assert!(log.contains(sentence), "{toml}: {log}");
    }
}

/// A configured key source, loaded by its sum, gives an attestor the key that it names by URI.
#[tokio::test]
async fn an_attestor_may_name_a_key_in_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = Key::shared("ECDSA_P256_SHA256");
    let (_, public) = key.write(dir.path(), "release");
    let plugin = binary("libhallmark_plugin_pkix.so");
    let sum = sha256_hex(&std::fs::read(&plugin).expect("built"));
    let id = format!("file://{}", public.display());
    let toml = format!(
        "[[plugins]]\nname = 'release'\npath = '{}'\nsha256 = ['{sum}']\n\
         config = {{ sources = [{{ path = '{}' }}] }}",
        plugin.display(),
        public.display()
    );
    let daemon = Daemon::start_configured(dir.path(), &toml);
    let (client, image) = (&daemon.client, image("by reference"));
    note(client, "n").await;
    let body = json!({"userOwnedGrafeasNote": {
        "noteReference": "projects/p/notes/n", "publicKeys": [{"id": id}],
    }});
    client.post("/v1/projects/p/attestors?attestorId=a", &body).await.ok();
    put_policy(client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
    attest(client, "n", &image, &id, &key).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

#[test]
fn a_data_directory_serves_one_daemon_at_a_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Daemon::start(dir.path());
    let data = dir.path().join("data");
    let other = tempfile::tempdir().expect("a directory");
    let log = refusal(other.path(), &["--data-dir", &data.to_string_lossy()]);
    assert!(log.contains("store"), "{log}");
    first.stop();
    Daemon::start(dir.path()).stop();
}

#[test]
fn a_taken_port_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    let other = dir.path().join("other");
    let mut serve = std::process::Command::new(binary("hallmark"));
    serve.args(["serve", "--listen", daemon.client.address(), "--data-dir"]).arg(&other);
    let output = serve.output().expect("runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(daemon.client.address()), "{said}");
}

#[tokio::test]
async fn it_says_that_it_lives_is_ready_and_what_it_is() {
    let world = World::new().await;
    let client = world.client();
    assert_eq!(client.get("/livez").await.text, "ok\n");
    let ready = client.get("/readyz").await.ok();
    assert_eq!((&ready["ready"], &ready["storeOpen"]), (&json!(true), &json!(true)), "{ready}");
    assert!(ready["generation"].as_u64() > Some(0), "{ready}");
    assert_eq!(client.get("/version").await.ok()["pluginAbi"], 1);
}

#[tokio::test]
async fn operations_may_have_a_listener_of_their_own() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = port.local_addr().expect("bound").to_string();
    drop(port);
    let world = World::configured(&format!("listen_metrics = '{address}'")).await;
    let operations = Client::new(&address);
    assert_eq!(operations.get("/livez").await.status, 200);
    assert!(operations.get("/metrics").await.text.contains("hallmark_decisions_total"));
    operations.get("/v1/projects/p/policy").await.refused(404, "NOT_FOUND");
    let request = json!({"project": "p", "images": [image("plain")]});
    operations.post("/v1/decisions", &request).await.refused(404, "NOT_FOUND");
    drop(world);
}

/// SIGTERM: what is under way is finished, nothing new is begun, the exit code is 0.
#[tokio::test]
async fn it_drains_on_sigterm() {
    let world = World::new().await;
    let body = json!({"project": "p", "images": [image("plain")]}).to_string();
    let mut under_way = Wire::open(world.client()).await;
    under_way.send_head(&format!("content-length: {}", body.len())).await;
    under_way.send(&body.as_bytes()[..10]).await;
    // The daemon has read the head: it waits for the rest.
    eventually("the request to be at work", || async {
        let metrics = world.client().get("/metrics").await.text;
        metrics.contains("hallmark_http_bodies 1").then_some(())
    })
    .await;
    world.daemon.signal("TERM");
    wait_for("draining", || world.daemon.log().contains("draining").then_some(()));
    under_way.send(&body.as_bytes()[10..]).await;
    let answer = under_way.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("NOT_ATTESTED"), "{answer}");
    let address = world.client().address().to_owned();
    let World { daemon, .. } = world;
    let status = daemon.wait();
    assert!(status.success(), "{status}");
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

/// A request that never ends does not hold up the stop for longer than configured.
#[tokio::test]
async fn draining_has_an_end() {
    let world = World::configured("limits.drain_timeout_ms = 200").await;
    let mut never = Wire::open(world.client()).await;
    never.send_head("content-length: 100").await;
    eventually("the request to be at work", || async {
        let metrics = world.client().get("/metrics").await.text;
        metrics.contains("hallmark_http_bodies 1").then_some(())
    })
    .await;
    let World { daemon, .. } = world;
    daemon.stop();
    drop(never);
}

#[tokio::test]
async fn sighup_reads_the_system_policy_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let system = dir.path().join("system.yaml");
    let allow = |pattern: &str| format!("admissionWhitelistPatterns:\n- namePattern: {pattern}\n");
    std::fs::write(&system, allow("registry.example.com/one")).expect("writes");
    let toml = format!("system_policy = '{}'", system.display());
    let daemon = Daemon::start_configured(dir.path(), &toml);
    let client = &daemon.client;
    let mut strict = policy("ALWAYS_DENY", &[]);
    strict["globalPolicyEvaluationMode"] = json!("ENABLE");
    put_policy(client, &strict).await;
    let one = "registry.example.com/one";
    assert_allowed(&decide(client, &[one]).await, "SYSTEM_POLICY_ALLOWLISTED");

    std::fs::write(&system, allow("registry.example.com/two")).expect("writes");
    assert_allowed(&decide(client, &[one]).await, "SYSTEM_POLICY_ALLOWLISTED");
    daemon.signal("HUP");
    eventually("the new system policy", || async {
        let decision = decide(client, &[one]).await;
        (decision["allowed"] == json!(false)).then_some(())
    })
    .await;
    let two = decide(client, &["registry.example.com/two"]).await;
    assert_allowed(&two, "SYSTEM_POLICY_ALLOWLISTED");

    std::fs::write(&system, "admissionWhitelistPatterns: {").expect("writes");
    daemon.signal("HUP");
    eventually("the fault", || async {
        let ready = client.get("/readyz").await.json;
        ready["lastReloadError"].as_str().filter(|error| error.contains("system.yaml")).map(drop)
    })
    .await;
    let still = decide(client, &["registry.example.com/two"]).await;
    assert_allowed(&still, "SYSTEM_POLICY_ALLOWLISTED");
    assert_denied(&decide(client, &[one]).await, "ALWAYS_DENY");
}
