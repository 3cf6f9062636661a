//! Whoever may not decide, and whoever wants all of it, costs a cluster that asks nothing.

use std::time::{Duration, Instant};

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{Daemon, eventually};
use hallmark_tests::http2::opening;
use hallmark_tests::keys::write;
use hallmark_tests::project::{image, policy, put_policy, sha256_hex};
use hallmark_tests::wire::Wire;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// `user:admin` may do everything; `user:cluster` and `user:greedy` may decide; `user:roleless` is
/// known and may nothing.
const AUTH: &str = "
[[bindings]]
role = 'roles/binaryauthorization.policyAdmin'
members = ['user:admin']
projects = ['*']
[[bindings]]
role = 'roles/hallmark.operator'
members = ['user:admin']
projects = ['*']
[[bindings]]
role = 'roles/hallmark.decider'
members = ['user:cluster', 'user:greedy']
projects = ['p']
";

async fn start(toml: &str) -> (TempDir, Daemon) {
    let dir = tempfile::tempdir().expect("a directory");
    let known = |name: &str| {
        let hash = sha256_hex(name.as_bytes());
        format!("[[tokens]]\nprincipal = 'user:{name}'\nsha256 = '{hash}'\n")
    };
    let tokens: String =
        ["admin", "cluster", "greedy", "roleless"].into_iter().map(known).collect();
    let auth = write(dir.path(), "auth.toml", (tokens + AUTH).as_bytes());
    let toml = format!("auth.file = '{}'\n{toml}", auth.display());
    let daemon = Daemon::start_configured(dir.path(), &toml);
    put_policy(&daemon.client.bearing("admin"), &policy("ALWAYS_ALLOW", &[])).await;
    (dir, daemon)
}

async fn metric(client: &Client, series: &str) -> f64 {
    let text = client.bearing("admin").get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
}

/// Begins a body and does not end it. A token is sent if there is one.
async fn slow(client: &Client, token: Option<&str>, kind: &str) -> Wire {
    let mut wire = Wire::open(client).await;
    let token =
        token.map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
    let head = format!(
        "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n{token}content-type: {kind}\r\n\
         content-length: 1000\r\n\r\n{{\"project\":"
    );
    assert!(wire.send(head.as_bytes()).await, "nobody listens");
    wire
}

/// MiB that the requests of any number of strangers may add: 4,096 of them at some 8 KiB in a debug
/// build, what each connection reads ahead, and what the allocator keeps.
const STRANGERS_MIB: u64 = 128;

/// 80,000 requests on 400 connections, of which nobody takes an answer.
#[tokio::test]
async fn strangers_who_ask_for_much_at_once_are_read_no_faster_than_they_are_answered() {
    let (_dir, daemon) = start("").await;
    let client = &daemon.client;
    let at_rest = daemon.peak_memory_mib();
    let mut held = Vec::new();
    for number in 0..400 {
        let mut wire = TcpStream::connect(client.address()).await.expect("a listener");
        let token = (number % 2 == 0).then_some("roleless");
        // Bytes that the daemon does not read may stay unsent.
        let asked = opening(client.address(), token, 0, 200);
        drop(timeout(Duration::from_secs(5), wire.write_all(&asked)).await);
        held.push(wire);
    }
    let question = json!({"project": "p", "images": [image("a")]});
    let answer = client.bearing("cluster").post("/v1/decisions", &question).await.ok();
    assert_eq!(answer["allowed"], true, "{answer:#}");
    assert_eq!(client.get("/v1/projects/p/policy").await.status, 401, "a new stranger is heard");
    let mut peak = 0;
    // Until the daemon has read what it will.
    while peak < daemon.peak_memory_mib() {
        peak = daemon.peak_memory_mib();
        for _ in 0..500 {
            client.bearing("cluster").post("/v1/decisions", &question).await.ok();
        }
    }
    assert!(peak <= at_rest + STRANGERS_MIB, "{peak} MiB, {at_rest} at rest");
    drop(held);
}

/// Each is refused before the rest of the body comes, and records of it are none.
#[tokio::test]
async fn a_stranger_and_the_roleless_are_refused_before_their_body() {
    let (_dir, daemon) = start("").await;
    let client = &daemon.client;
    for kind in ["application/json", "application/x-ndjson", "application/x-www-form-urlencoded"] {
        for (token, status) in [(None, "401"), (Some("no token"), "401"), (Some("roleless"), "403")]
        {
            let answer = slow(client, token, kind).await.read_until("\r\n\r\n").await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{kind} {token:?}: {answer}"
            );
        }
    }
    let path = "/k8s/projects/p/clusters/l.c/admission";
    let refused = client.bearing("roleless").post(path, &json!({})).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert_eq!(metric(client, "hallmark_http_bodies").await, 0.0);
}

/// Refusals and probes of one address beyond 100 at once come at 20 a second, each apart from the
/// other.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_probes_of_one_address_come_at_their_pace() {
    const ASKED: u32 = 140;
    let least = Duration::from_secs(1) * (ASKED - 101) / 20;
    let (_dir, daemon) = start("").await;
    let client = &daemon.client;
    let asked = |client: Client, path: &'static str, status| async move {
        let started = Instant::now();
        for _ in 0..ASKED {
            assert_eq!(client.get(path).await.status, status, "{path}");
        }
        started.elapsed()
    };
    let policy = "/v1/projects/p/policy";
    let (strangers, roleless, probes) = tokio::join!(
        asked(client.clone(), policy, 401),
        asked(client.bearing("roleless"), policy, 403),
        asked(client.clone(), "/livez", 200),
    );
    assert!(strangers.max(roleless) >= 2 * least, "{strangers:?} {roleless:?}");
    assert!(probes >= least, "{probes:?}");
}

/// Opens one connection after the other, each with something that lets nobody in; they are heard at
/// the pace of strangers.
pub(crate) async fn knock(client: &Client, bytes: &[u8]) {
    const KNOCKS: u32 = 140;
    // A few may be heard before the one before them is charged.
    const LATE: u32 = 10;
    let least = Duration::from_secs(1) * (KNOCKS - 101 - LATE) / 20;
    let started = Instant::now();
    for _ in 0..KNOCKS {
        let mut wire = Wire::open(client).await;
        assert!(wire.send(bytes).await, "nobody listens");
        wire.read_to_end().await;
    }
    assert!(started.elapsed() >= least, "{:?}", started.elapsed());
}

/// Those over which somebody is let in are never held back, however soon one follows the other.
#[tokio::test]
async fn connections_of_strangers_are_heard_at_their_pace() {
    let (_dir, daemon) = start("").await;
    let held_back = "hallmark_http_held_back_total{what=\"connection\"}";
    let question = json!({"project": "p", "images": [image("a")]});
    for _ in 0..200 {
        let cluster = Client::new(daemon.client.address()).bearing("cluster");
        assert_eq!(cluster.post("/v1/decisions", &question).await.ok()["allowed"], true);
    }
    assert_eq!(metric(&daemon.client, held_back).await, 0.0);
    knock(&daemon.client, b"junk\r\n\r\n").await;
    assert!(metric(&daemon.client, held_back).await > 0.0);
}

/// 1,200 slow bodies of one who may, as many of strangers and of one who may not, more than there
/// are slots in all: every request of a cluster is decided, none waits, none of them holds a slot.
#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_deny_nobody() {
    let (_dir, daemon) = start("limits.requests_in_flight = 16").await;
    let client = &daemon.client;
    let mut held = Vec::new();
    for number in 0..1_200 {
        let token = [Some("greedy"), None, Some("roleless")][number % 3];
        let kind = if number % 30 == 0 { "application/x-ndjson" } else { "application/json" };
        held.push(slow(client, token, kind).await);
    }
    eventually("the bodies", || async {
        (metric(client, "hallmark_http_bodies").await >= 300.0).then_some(())
    })
    .await;
    assert_eq!(metric(client, "hallmark_http_in_flight").await, 0.0);
    let cluster = client.bearing("cluster");
    for number in 0..200 {
        let request = json!({"project": "p", "images": [image(&format!("shared {number}"))]});
        assert_eq!(cluster.post("/v1/decisions", &request).await.ok()["allowed"], true);
    }
    for cause in ["requests", "bodies", "body_bytes", "connections"] {
        let shed = metric(client, &format!("hallmark_http_shed_total{{cause=\"{cause}\"}}")).await;
        assert_eq!(shed, 0.0, "{cause}");
    }
    assert_eq!(metric(client, "hallmark_http_waiting").await, 0.0);
    drop(held);
}

/// One with a role asks as much as it can, from more connections than there are slots and places in
/// line: it is turned away, and a cluster that asks beside it is not, not once.
#[tokio::test(flavor = "multi_thread")]
async fn one_who_asks_for_everything_is_turned_away_alone() {
    let (_dir, daemon) = start("limits.requests_in_flight = 2").await;
    let client = &daemon.client;
    let images: Vec<_> = (0..200).map(|number| image(&format!("wanted {number}"))).collect();
    let wanted = json!({"project": "p", "images": images});
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let greedy: Vec<_> = (0..64)
        .map(|_| {
            let (client, wanted, stopped) =
                (client.bearing("greedy"), wanted.clone(), stopped.clone());
            tokio::spawn(async move {
                while !*stopped.borrow() {
                    client.post("/v1/decisions", &wanted).await;
                }
            })
        })
        .collect();
    eventually("a line", || async {
        (metric(client, "hallmark_http_waiting").await > 0.0).then_some(())
    })
    .await;
    let cluster = client.bearing("cluster");
    for number in 0..50 {
        let request = json!({"project": "p", "images": [image(&format!("fair {number}"))]});
        assert_eq!(cluster.post("/v1/decisions", &request).await.ok()["allowed"], true);
    }
    let lines: Vec<_> = (0..300)
        .map(|n| json!({"project": "p", "images": [image(&format!("line {n}"))]}))
        .collect();
    let decided = cluster.stream(&lines).await;
    assert!(decided.iter().all(|line| line["allowed"] == true), "{decided:?}");
    stop.send_replace(true);
    for asking in greedy {
        asking.await.expect("ends");
    }
}
