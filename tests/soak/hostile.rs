//! Those who mean no good: they hold connections, send what is no request, flood, and file junk
//! under notes that others rely on.

use std::sync::Arc;
use std::time::Duration;

use hallmark_tests::client::Client;
use hallmark_tests::http2::{ACK, PING, SETTINGS, frame, opening};
use hallmark_tests::project::{KEY_ID, image, payload};
use hallmark_tests::soak::{Promise, Violation};
use hallmark_tests::wire::connect_from_afar;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::site::token;
use super::soak::{Pace, Reply, Soak};

/// Slow bodies at once, and connections whose answers nobody takes.
const SLOW: usize = 48;
const WINDOWLESS: usize = 24;

/// Requests on each of those.
const REQUESTS: u32 = 100;

/// Junk occurrences that lie beside good ones at once, and signatures in one.
const JUNK_KEPT: usize = 12;
const SIGNATURES_MAX: usize = 1_000;

/// Sets all of them going.
pub(crate) fn attack(soak: &Arc<Soak>, client: &Client, tasks: &mut JoinSet<()>) {
    let address = client.address().to_owned();
    for number in 0..SLOW {
        tasks.spawn(slow_body(Arc::clone(soak), address.clone(), number));
    }
    for number in 0..WINDOWLESS {
        tasks.spawn(takes_nothing(Arc::clone(soak), address.clone(), number));
    }
    tasks.spawn(junk_bytes(Arc::clone(soak), address.clone()));
    tasks.spawn(huge_headers(Arc::clone(soak), address));
    tasks.spawn(flood(Arc::clone(soak), client.bearing(&token("nobody")), 403));
    tasks.spawn(flood(Arc::clone(soak), client.clone(), 401));
    tasks.spawn(junk_attestations(Arc::clone(soak), client.bearing(&token("attacher"))));
}

async fn connect(soak: &Soak, address: &str) -> Option<TcpStream> {
    let wire = connect_from_afar(address).await.ok()?;
    soak.count("hostile connections");
    Some(wire)
}

/// A body that comes a byte at a time, from a stranger, from one without a role and from one who
/// may ask.
async fn slow_body(soak: Arc<Soak>, address: String, number: usize) {
    let mut pace = Pace::new(Duration::from_millis(500));
    let bearer = match number % 3 {
        0 => String::new(),
        1 => format!("authorization: Bearer {}\r\n", token("nobody")),
        _ => format!("authorization: Bearer {}\r\n", token("decider0")),
    };
    let kind = if number.is_multiple_of(2) { "application/json" } else { "application/x-ndjson" };
    let head = format!(
        "POST /v1/decisions HTTP/1.1\r\nhost: {address}\r\n{bearer}content-type: {kind}\r\n\
         content-length: 100000\r\n\r\n{{"
    );
    while pace.turn(&soak).await {
        let Some(mut wire) = connect(&soak, &address).await else { continue };
        let mut sent = wire.write_all(head.as_bytes()).await.is_ok();
        while sent && pace.turn(&soak).await {
            sent = wire.write_all(b" ").await.is_ok();
        }
    }
}

/// An HTTP/2 client that asks, takes nothing, and answers every ping.
async fn takes_nothing(soak: Arc<Soak>, address: String, number: usize) {
    let mut pace = Pace::new(Duration::from_millis(500));
    let token = (number.is_multiple_of(2)).then(|| token("operator"));
    while pace.turn(&soak).await {
        let Some(mut wire) = connect(&soak, &address).await else { continue };
        let hello = opening(&address, token.as_deref(), 0, REQUESTS);
        if wire.write_all(&hello).await.is_ok() {
            answer_pings(&soak, &mut wire).await;
        }
    }
}

/// Reads frames and answers pings and settings until the other side has enough.
async fn answer_pings(soak: &Soak, wire: &mut TcpStream) {
    let mut pace = Pace::new(Duration::from_millis(200));
    while pace.turn(soak).await {
        let mut head = [0; 9];
        match timeout(Duration::from_millis(200), wire.read_exact(&mut head)).await {
            Err(_) => continue,
            Ok(Err(_)) => return,
            Ok(Ok(_)) => {}
        }
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if wire.read_exact(&mut payload).await.is_err() {
            return;
        }
        let (kind, flags) = (head[3], head[4]);
        let answer = match (kind, flags & ACK) {
            (PING, 0) => frame(PING, ACK, 0, &payload),
            (SETTINGS, 0) => frame(SETTINGS, ACK, 0, &[]),
            _ => continue,
        };
        if wire.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Bytes of no protocol, and beginnings of several.
async fn junk_bytes(soak: Arc<Soak>, address: String) {
    let mut pace = Pace::new(Duration::from_millis(50));
    let beginnings: [&[u8]; 5] = [
        b"",
        b"GET ",
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/decisions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
    ];
    while pace.turn(&soak).await {
        let Some(mut wire) = connect(&soak, &address).await else { continue };
        let mut bytes = beginnings[fastrand::usize(..beginnings.len())].to_vec();
        bytes.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(fastrand::usize(..4_096)));
        drop(wire.write_all(&bytes).await);
        let mut answer = Vec::new();
        drop(timeout(Duration::from_millis(200), wire.read_to_end(&mut answer)).await);
    }
}

async fn huge_headers(soak: Arc<Soak>, address: String) {
    let mut pace = Pace::new(Duration::from_millis(100));
    let large =
        format!("GET /livez HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
    let many =
        format!("GET /livez HTTP/1.1\r\nhost: {address}\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    while pace.turn(&soak).await {
        for head in [&large, &many] {
            let Some(mut wire) = connect(&soak, &address).await else { continue };
            drop(timeout(Duration::from_secs(2), wire.write_all(head.as_bytes())).await);
        }
    }
}

/// Large requests, one after the other, by somebody who may not ask.
async fn flood(soak: Arc<Soak>, client: Client, expected: u16) {
    let body = json!({"project": "fixed", "images": vec![image("both"); 900]}).to_string();
    while !soak.is_over() {
        let call = (Method::POST, "/v1/decisions", "application/json");
        let Reply::Answered(answer) = soak.call(&client, call, body.clone()).await else {
            tokio::task::yield_now().await;
            continue;
        };
        soak.count("floods refused");
        if answer.status != expected && ![408, 429, 503].contains(&answer.status) {
            let what = format!("expected {expected}, answered {}", answer.status);
            soak.found(Violation::new(Promise::NothingUnsigned, what));
        }
    }
}

/// Signatures of nothing, filed beside good ones by somebody who may attach to the note.
async fn junk_attestations(soak: Arc<Soak>, client: Client) {
    let mut pace = Pace::new(Duration::from_millis(200));
    let path = "/v1/projects/fixed/occurrences";
    // Those of an earlier life go first.
    let mut filed = Vec::new();
    while pace.turn(&soak).await {
        let call = (Method::POST, path, "application/json");
        let reply = soak.call(&client, call, junk().to_string()).await;
        let Reply::Answered(answer) = reply else { continue };
        soak.count("junk attestations");
        filed.extend(answer.json["name"].as_str().map(str::to_owned));
        if filed.len() > JUNK_KEPT {
            let path = format!("/v1/{}", filed.remove(0));
            soak.call(&client, (Method::DELETE, &path, "application/json"), String::new()).await;
        }
    }
    // The next life begins without them; what is left where the daemon dies first is bounded by
    // its limits.
}

/// Up to a thousand signatures that verify under no key, of unknown keys or of the trusted one.
fn junk() -> Value {
    let image = image(["both", "none", "only qa"][fastrand::usize(..3)]);
    let known = fastrand::bool();
    let signature = |number: usize| {
        let id =
            if known { KEY_ID.to_owned() } else { format!("https://junk.example.com/{number}") };
        json!({"publicKeyId": id, "signature": "c2lnbmF0dXJl"})
    };
    let count = 1 + fastrand::usize(..SIGNATURES_MAX);
    let mut body = hallmark_tests::project::occurrence("build", &image, &payload(&image), "", b"");
    body["noteName"] = json!("projects/fixed/notes/build");
    body["attestation"]["signatures"] = (0..count).map(signature).collect();
    body["remediation"] = json!(fastrand::u64(..).to_string());
    body
}
