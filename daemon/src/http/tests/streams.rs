//! Ndjson: a request a line in, a decision a line out.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

use super::*;
use crate::http::engine::holder::Holder;
use crate::http::engine::limits::BATCH_BYTES;
use crate::http::engine::room::Place;

const HEAD: &str = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
    content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";

const SOON: Duration = Duration::from_millis(50);

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn open(server: &Server) -> Client {
    let mut client = server.connect().await;
    client.write(HEAD).await;
    let head = client.read_until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("\r\ncontent-type: application/x-ndjson\r\n"), "{head}");
    client
}

/// The lines of a stream that was read to its end, without the framing: a chunk may end anywhere.
fn lines(text: &str) -> Vec<String> {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("the length of a chunk");
        whole.push_str(&after[..length]);
        rest = &after[(length + 2).min(after.len())..];
    }
    whole.lines().filter(|line| line.starts_with('{')).map(str::to_owned).collect()
}

#[tokio::test]
async fn each_line_is_answered_before_the_next_is_sent() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let mut client = open(&server).await;
    for n in 0..3 {
        client.write(chunk(&format!("{}\n", asking(&format!("i{n}"))))).await;
        let answer = client.read_until("]}\n\r\n").await;
        assert!(answer.contains(&format!(r#""image":"i{n}""#)), "{answer}");
    }
    client.write(chunk(&asking("unterminated"))).await;
    client.write("0\r\n\r\n").await;
    let rest = client.read_to_end().await;
    assert!(rest.contains("unterminated") && rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn answers_keep_the_order_of_lines_though_batches_are_decided_side_by_side() {
    let server = Server::over(requiring_world().await, ServerLimits::DEFAULT).await;
    // The first batch waits for the second: neither comes if they are not side by side.
    let (started, both) = (AtomicUsize::new(0), std::sync::Barrier::new(2));
    server.world.store.before_read(move || {
        if started.fetch_add(1, Ordering::SeqCst) < 2 {
            both.wait();
        }
    });
    let count = 5_000;
    let body = (0..count).map(|n| format!("{}\n", asking(&image(n)))).collect::<String>();
    let mut client = open(&server).await;
    client.write(chunk(&body) + "0\r\n\r\n").await;
    let text = client.read_to_end().await;
    // The framing of a chunk may fall between two lines only: each batch is one chunk.
    let lines = lines(&text);
    assert_eq!(lines.len(), count);
    for (n, line) in lines.iter().enumerate() {
        assert!(line.contains(&image(n)), "{n}: {line}");
    }
}

#[tokio::test]
async fn a_line_that_is_no_request_is_answered_by_number_and_the_stream_goes_on() {
    let limits = ServerLimits { line_bytes_max: 200, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let long = asking(&"x".repeat(200));
    let text = format!("{}\nnot json\n\n{long}\n{{}}\n{}\n", asking("a"), asking("b"));
    let mut client = open(&server).await;
    client.write(chunk(&text) + "0\r\n\r\n").await;
    let answer = client.read_to_end().await;
    let lines = lines(&answer);
    assert_eq!(lines.len(), 5, "{answer}");
    for (line, (start, end)) in lines.iter().zip([
        (r#"{"allowed":true"#, ""),
        (r#"{"error":{"code":400,"message":"the body is not the JSON expected"#, r#""line":2}"#),
        (r#"{"error":{"code":413,"message":"the line is longer than 200 bytes"#, r#""line":4}"#),
        (r#"{"error":{"code":400,"#, r#""line":5}"#),
        (r#"{"allowed":true"#, ""),
    ]) {
        assert!(line.starts_with(start) && line.ends_with(end), "{line}");
    }
}

/// The number of decisions that were made.
fn decided(server: &Server) -> usize {
    let metrics = server.metrics();
    let counts = metrics.lines().filter(|line| line.starts_with("hallmark_decisions_total{"));
    let count = |line: &str| line.rsplit(' ').next()?.parse::<usize>().ok();
    counts.map(|line| count(line).expect("a number")).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_the_reading() {
    const LINE_BYTES: usize = 1_000;
    let server = Server::start(ServerLimits::DEFAULT).await;
    // The kernel would hold tens of megabytes for a reader that it takes for a fast one.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a small buffer");
    let mut client = Client(socket.connect(server.address).await.expect("accepted"));
    client.write(HEAD).await;
    let text = chunk(&format!("{}\n", asking(&"i".repeat(LINE_BYTES))).repeat(1_000));
    let stalled = Duration::from_secs(1);
    while timeout(stalled, client.0.write_all(text.as_bytes())).await.is_ok() {
        let bytes = decided(&server) * LINE_BYTES;
        // 4 MiB of it are the kernel's, on its way to the client.
        assert!(bytes < 12 * BATCH_BYTES, "nothing stops the reading");
    }
    assert!(decided(&server) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_neither_reads_nor_leaves_is_cut_off() {
    let limits =
        ServerLimits { stream_idle_timeout: SOON, write_timeout: SOON, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client.write(HEAD).await;
    let text = chunk(&format!("{}\n", asking(&"i".repeat(1_000))).repeat(1_000));
    within(async { while client.0.write_all(text.as_bytes()).await.is_ok() {} }).await;
    server.shows("hallmark_http_connections 0").await;
}

#[tokio::test]
async fn a_client_that_hangs_up_calls_the_work_off() {
    let limits =
        ServerLimits { request_deadline: Duration::from_secs(3_600), ..ServerLimits::DEFAULT };
    let (server, _turns) = Server::holding(limits).await;
    let mut client = open(&server).await;
    client.write(chunk(&format!("{}\n", asking(&image(1))))).await;
    server.shows("hallmark_http_in_flight 1").await;
    drop(client);
    server.shows("hallmark_http_in_flight 0").await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_shed() {
    let limits = ServerLimits { streams_max: 1, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let first = open(&server).await;
    let shed = server.send(HEAD).await;
    assert!(shed.starts_with("HTTP/1.1 503 "), "{shed}");
    server.shows(r#"hallmark_http_shed_total{cause="streams"} 1"#).await;
    drop(first);
    server.shows("hallmark_http_connections 0").await;
    drop(within(free_place(&server)).await);
}

/// Waits for the place of a stream.
async fn free_place(server: &Server) -> Place {
    let holder = Holder::at(std::net::Ipv4Addr::LOCALHOST.into());
    loop {
        let max = server.api.engine.limits.streams_max;
        match server.api.engine.capacity.streams.enter(holder.clone(), 1, max) {
            Some(place) => return place,
            None => tokio::task::yield_now().await,
        }
    }
}

/// One who streams alone may have every place; when another comes, the oldest ends with a word.
#[tokio::test]
async fn a_stream_makes_room_for_one_of_another_holder() {
    let limits = ServerLimits { streams_max: 2, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let (mut first, mut second) = (open(&server).await, open(&server).await);
    first.write(chunk(&format!("{}\n", asking("one")))).await;
    first.read_until("]}\n\r\n").await;
    let other = Holder::at(std::net::Ipv4Addr::new(192, 0, 2, 1).into());
    let place =
        server.api.engine.capacity.streams.enter(other, 1, 2).expect("the oldest makes room");
    let end = first.read_to_end().await;
    assert!(end.contains(r#""status":"UNAVAILABLE"},"line":2}"#), "{end}");
    assert!(end.ends_with("0\r\n\r\n"), "{end}");
    second.write(chunk(&format!("{}\n", asking("two")))).await;
    assert!(second.read_until("]}\n\r\n").await.contains("two"));
    server.shows(r#"hallmark_http_shed_total{cause="streams"} 1"#).await;
    drop(place);
}

#[tokio::test]
async fn silence_ends_a_stream_and_says_at_which_line() {
    let limits = ServerLimits { stream_idle_timeout: SOON, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut client = open(&server).await;
    client.write(chunk(&format!("{}\n{{", asking("i")))).await;
    let text = client.read_to_end().await;
    let lines = lines(&text);
    assert!(lines[0].starts_with(r#"{"allowed":true"#), "{text}");
    assert!(lines[1].starts_with(r#"{"error":{"code":408"#), "{text}");
    assert!(lines[1].ends_with(r#""line":2}"#), "{text}");
}

#[tokio::test]
async fn lines_late_at_their_deadline_are_not_allowed() {
    let limits = ServerLimits { request_deadline: SOON, ..ServerLimits::DEFAULT };
    let (server, _turns) = Server::holding(limits).await;
    let mut client = open(&server).await;
    client.write(chunk(&format!("{}\n", asking(&image(1))).repeat(2)) + "0\r\n\r\n").await;
    let text = client.read_to_end().await;
    let lines = lines(&text);
    assert_eq!(lines.len(), 2, "{text}");
    for line in lines {
        assert!(line.starts_with(r#"{"allowed":false"#), "{line}");
        assert!(line.contains("the deadline passed before the evidence was read"), "{line}");
    }
}

#[tokio::test]
async fn a_stream_ends_with_the_server_and_says_so() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let mut client = open(&server).await;
    client.write(chunk(&format!("{}\n", asking("i")))).await;
    client.read_until("]}\n\r\n").await;
    let stopping = tokio::spawn(server.stop());
    let text = client.read_to_end().await;
    assert!(text.contains(r#""message":"the daemon is draining"#), "{text}");
    assert!(text.contains(r#""line":2}"#), "{text}");
    drop(client);
    assert_eq!(within(stopping).await.expect("stopped"), Drained { cut_off: 0 });
}

#[tokio::test]
async fn other_paths_read_no_streams() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    for path in ["GET /metrics", "POST /k8s/projects/p/clusters/l.c/admission"] {
        let refused = server.send(HEAD.replace("POST /v1/decisions", path)).await;
        assert!(refused.starts_with("HTTP/1.1 415 "), "{path}: {refused}");
    }
}
