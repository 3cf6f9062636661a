//! Bodies and connections that mean no good: a clear error, bounded memory, others still served.

use hallmark_tests::client::Client;
use hallmark_tests::daemon::{PATIENCE, eventually};
use hallmark_tests::project::{World, assert_allowed, assert_denied, decide, image};
use hallmark_tests::wire::Wire;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

/// The memory that the daemon may hold at most, whatever is thrown at it here. The debug build with
/// its caches empty takes some 40 MiB.
const PEAK_MIB: u64 = 300;

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_hundred_megabytes_are_refused_unread() {
    let world = World::new().await;
    let mut announced = Wire::open(world.client()).await;
    announced.send_head(&format!("content-length: {}", 100 * MIB)).await;
    let answer = announced.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("larger than 4194304 bytes"), "{answer}");

    let mut unannounced = Wire::open(world.client()).await;
    unannounced.send_head("transfer-encoding: chunked").await;
    let chunk = [format!("{MIB:x}\r\n").into_bytes(), vec![b' '; MIB], b"\r\n".to_vec()].concat();
    let mut taken = 0;
    while taken < 100 && unannounced.send(&chunk).await {
        taken += 1;
    }
    let answer = unannounced.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let large = vec![b' '; 5 * MIB];
    let answer = raw(world.client(), large).await;
    answer.refused(413, "INVALID_ARGUMENT");
    others_are_served(&world).await;
}

#[tokio::test]
async fn many_large_bodies_at_once_do_not_add_up() {
    let world = World::new().await;
    let body =
        [b"{\"project\":\"p\",\"images\":[\"".as_slice(), &vec![b'x'; 4 * MIB - 100]].concat();
    let mut pending = Vec::new();
    for _ in 0..200 {
        let mut wire = Wire::open(world.client()).await;
        wire.send_head(&format!("content-length: {}", body.len() + 10)).await;
        let body = body.clone();
        pending.push(tokio::spawn(async move {
            // Whoever is refused is cut off in mid-sentence.
            wire.send(&body).await;
            wire
        }));
    }
    let mut wires = Vec::new();
    for wire in pending {
        wires.push(timeout(PATIENCE, wire).await.expect("in time").expect("sends"));
    }
    // 256 MiB of bodies are held at most; the others were told to come again.
    let shed = metric(world.client(), "hallmark_http_shed_total{cause=\"body_bytes\"}").await;
    assert!(shed > 100.0, "{shed}");
    let peak = world.daemon.peak_memory_mib();
    assert!(peak < 256 + PEAK_MIB, "{peak} MiB");
    drop(wires);
    let image = image("plain");
    let request = json!({"project": "p", "images": [image]});
    let decision = eventually("room for bodies", || async {
        let answer = world.client().post("/v1/decisions", &request).await;
        (answer.status == 200).then_some(answer.json)
    });
    assert_denied(&decision.await, "NOT_ATTESTED");
}

#[tokio::test]
async fn what_is_no_request_gets_a_clear_error() {
    let world = World::new().await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(1_000), close.repeat(1_000));
    let images = |count| json!({"project": "p", "images": vec!["r/i"; count]}).to_string();
    for (body, says) in [
        (format!(r#"{{"project":"p","images":{}}}"#, deep("[", "]")), "line 1"),
        (deep(r#"{"project":"#, "}"), "line 1"),
        (r#"{"project":"p","project":"q","images":["i"]}"#.to_owned(), "project"),
        (r#"{"project":"p","images":["i"],"images":["j"]}"#.to_owned(), "images"),
        (r#"{"project":"p","images":["i"],"breakglass":true}"#.to_owned(), "breakglass"),
        (images(10_000), "split them"),
        (images(0), "at least one"),
        (r#"{"project":"p","images":["i"]} {"#.to_owned(), "trailing"),
        (String::new(), "EOF"),
        ("null".to_owned(), "line 1"),
    ] {
        let start: String = body.chars().take(60).collect();
        let message = raw(world.client(), body.into_bytes()).await.refused(400, "INVALID_ARGUMENT");
        assert!(message.contains(says), "{start}…: {message}");
    }
    let mut invalid = json!({"project": "p", "images": ["registry/x"]}).to_string().into_bytes();
    let at = invalid.iter().position(|&byte| byte == b'x').expect("an x");
    invalid[at] = 0xff;
    raw(world.client(), invalid).await.refused(400, "INVALID_ARGUMENT");
    others_are_served(&world).await;
}

#[tokio::test]
async fn a_document_that_is_no_resource_gets_a_clear_error() {
    let world = World::new().await;
    let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let rule =
        r#"{"evaluationMode":"ALWAYS_ALLOW","enforcementMode":"ENFORCED_BLOCK_AND_AUDIT_LOG"}"#;
    for (body, says) in [
        (format!(r#"{{"defaultAdmissionRule":{deep}}}"#).into_bytes(), "nested deeper"),
        (
            format!(r#"{{"defaultAdmissionRule":{rule},"defaultAdmissionRule":{rule}}}"#)
                .into_bytes(),
            "defaultAdmissionRule",
        ),
        (b"{\"description\":\"\xff\"}".to_vec(), "UTF-8"),
        (b"{\"description\":\"x\",}".to_vec(), "line 1"),
        (b"{\"typo\":1}".to_vec(), "typo"),
        (vec![b'['; MIB], "line 1"),
    ] {
        for path in ["/v1/projects/p/policy", "/v1beta1/projects/p/policy"] {
            let put = Method::PUT;
            let answer =
                world.client().call(put, path, "application/json", body.clone().into()).await;
            let message = answer.refused(400, "INVALID_ARGUMENT");
            assert!(message.contains(says), "{says}: {message}");
        }
    }
    assert_denied(&decide(world.client(), &[&image("plain")]).await, "NOT_ATTESTED");
    others_are_served(&world).await;
}

/// One who sends half a body and waits, one who sends half a header and waits, one who says
/// nothing at all: each is given up on, none holds up the others.
#[tokio::test]
async fn the_slow_and_the_silent_are_given_up_on() {
    let world = World::new().await;
    let mut half_body = Wire::open(world.client()).await;
    half_body.send_head("content-length: 1000").await;
    half_body.send(b"{\"project\":").await;
    let mut half_head = Wire::open(world.client()).await;
    half_head.send(b"POST /v1/decisions HTTP/1.1\r\nhos").await;
    let mut silent = Wire::open(world.client()).await;
    let (slow, nothing, ()) =
        tokio::join!(half_body.read_to_end(), silent.read_to_end(), others_are_served(&world));
    assert!(slow.starts_with("HTTP/1.1 408 "), "{slow}");
    assert!(slow.contains("did not arrive within"), "{slow}");
    assert_eq!(nothing, "", "closed without a word");
    others_are_served(&world).await;
    drop(half_head);
}

/// One who hangs up in mid-sentence, and one whose connection is open one way only.
#[tokio::test]
async fn a_half_open_connection_holds_nothing() {
    let world = World::new().await;
    for half in [
        "",
        "GET /livez HT",
        "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 9\r\n\r\n{",
    ] {
        let mut wire = Wire::open(world.client()).await;
        wire.send(half.as_bytes()).await;
        wire.finish().await;
        let answer = wire.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
    others_are_served(&world).await;
    eventually("an end of what was begun", || async {
        (metric(world.client(), "hallmark_http_in_flight").await == 0.0).then_some(())
    })
    .await;
}

/// A connection whose other end vanished sends nothing, not even an end: it costs a place until
/// its time is up, and nobody else notices.
#[tokio::test]
async fn thousands_of_connections_leave_room_for_one_more_request() {
    let world = World::new().await;
    let mut idle = Vec::new();
    for number in 0..3_000 {
        let mut wire = Wire::open(world.client()).await;
        let begun: &[u8] = if number % 2 == 0 { b"G" } else { b"GET /livez HTTP/1.1\r\nho" };
        assert!(wire.send(begun).await, "number {number} is not served");
        idle.push(wire);
    }
    eventually("all connections", || async {
        let open = metric(world.client(), "hallmark_http_connections").await;
        (open >= 3_000.0).then_some(())
    })
    .await;
    others_are_served(&world).await;
    drop(idle);
}

#[tokio::test]
async fn strangers_take_the_places_of_each_other_and_of_nobody_else() {
    let world = World::configured("limits.connections = 8").await;
    let request = json!({"project": "p", "images": [image("plain")]}).to_string();
    let ask = format!("content-length: {}\r\n\r\n{request}", request.len());
    let mut known = Wire::open(world.client()).await;
    known.send_head(&ask).await;
    known.read_until("}]}").await;
    let mut strangers = Vec::new();
    for _ in 0..40 {
        strangers.push(Wire::open(world.client()).await);
    }
    known.send_head(&ask).await;
    assert!(known.read_until("}]}").await.contains("HTTP/1.1 200 "));
    others_are_served(&world).await;
    let closed = metric(world.client(), "hallmark_http_closed_total{cause=\"stranger\"}").await;
    assert!(closed >= 36.0, "{closed}");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let world = World::configured("limits.connections = 8").await;
    let request = json!({"project": "p", "images": [image("plain")]}).to_string();
    let mut held = Vec::new();
    loop {
        let mut wire = Wire::open(world.client()).await;
        let head =
            "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
        let head = format!("{head}content-length: {}\r\n\r\n{request}", request.len());
        wire.send(head.as_bytes()).await;
        let answer = wire.read_until("\r\n\r\n").await;
        if !answer.starts_with("HTTP/1.1 200 ") {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            assert!(answer.contains("retry-after: 1"), "{answer}");
            break;
        }
        held.push(wire);
        assert!(held.len() <= 8, "more than there is room for");
    }
    drop(held);
    eventually("a free place", || async {
        let body = Vec::new().into();
        let answer = world.client().try_call(Method::GET, "/livez", "text/plain", body).await;
        answer.ok().filter(|answer| answer.status == 200)
    })
    .await;
}

#[tokio::test]
async fn a_body_limit_of_ones_own_holds() {
    let world = World::configured("limits.body_bytes = 2048").await;
    let of = |count| json!({"project": "p", "images": vec![image("plain"); count]}).to_string();
    assert_eq!(raw(world.client(), of(10).into_bytes()).await.status, 200);
    let message = raw(world.client(), of(100).into_bytes()).await.refused(413, "INVALID_ARGUMENT");
    assert!(message.contains("2048"), "{message}");
}

#[tokio::test]
async fn compressed_or_foreign_content_is_not_guessed_at() {
    let world = World::new().await;
    for kind in ["text/plain", "application/x-yaml", "multipart/form-data"] {
        let body = json!({"project": "p", "images": ["i"]}).to_string().into();
        let answer = world.client().call(Method::POST, "/v1/decisions", kind, body).await;
        answer.refused(415, "INVALID_ARGUMENT");
    }
    let mut wire = Wire::open(world.client()).await;
    wire.send_head("content-encoding: br\r\nconnection: close\r\ncontent-length: 2").await;
    wire.send(b"{}").await;
    let answer = wire.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
}

#[tokio::test]
async fn an_endless_line_of_a_stream_is_refused_and_the_next_one_is_not() {
    let world = World::new().await;
    let good = json!({"project": "p", "images": [image("plain")]}).to_string();
    let body = format!("{good}\n{}\n{good}\n", "x".repeat(3 * MIB));
    let answer = world
        .client()
        .call(Method::POST, "/v1/decisions", "application/x-ndjson", body.into())
        .await;
    let lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{}", answer.text);
    assert_eq!((&lines[1]["line"], lines[1]["error"]["code"].as_u64()), (&json!(2), Some(413)));
    assert_denied(&lines[2], "NOT_ATTESTED");
    others_are_served(&world).await;
}

async fn raw(client: &Client, body: Vec<u8>) -> hallmark_tests::client::Answer {
    client.call(Method::POST, "/v1/decisions", "application/json", body.into()).await
}

/// Someone who behaves is answered while all this goes on, and the daemon has kept its measure.
async fn others_are_served(world: &World) {
    let attested = image("served");
    let filed = world.client().get("/v1/projects/p/occurrences").await.ok();
    if filed["occurrences"].is_null() {
        world.attest(&attested).await;
    }
    assert_allowed(&decide(world.client(), &[&attested]).await, "ATTESTED");
    let peak = world.daemon.peak_memory_mib();
    assert!(peak < PEAK_MIB, "{peak} MiB");
}

/// The value of one series.
async fn metric(client: &Client, series: &str) -> f64 {
    let text = client.get("/metrics").await.text;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
}
