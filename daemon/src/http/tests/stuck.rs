//! Clients that take nothing of what they asked for, and keep their connection alive.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SOON: Duration = Duration::from_millis(50);

/// Of frames, RFC 9113 §6.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// The preface, and settings that let every stream have so many bytes.
fn opening(window: u32) -> Vec<u8> {
    let setting = [&[0, 4][..], &window.to_be_bytes()].concat();
    [PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat()
}

/// `GET path`, in HPACK without compression.
fn ask(stream: u32, path: &str) -> Vec<u8> {
    let literal = |index: u8, value: &str| {
        let length = u8::try_from(value.len()).expect("short");
        [&[index, length], value.as_bytes()].concat()
    };
    let block = [&[0x82, 0x86][..], &literal(4, path), &literal(1, "localhost")].concat();
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// Sends pings until the other side closes.
async fn ping_to_the_end(client: Client) {
    let (mut reading, mut writing) = client.0.into_split();
    let pinging = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while writing.write_all(&frame(PING, 0, 0, b"are you?")).await.is_ok() {
            pace.tick().await;
        }
    });
    let mut scrap = [0; 4096];
    within(async { while let Ok(1..) = reading.read(&mut scrap).await {} }).await;
    pinging.abort();
}

fn impatient() -> ServerLimits {
    ServerLimits {
        write_timeout: 2 * SOON,
        request_deadline: SOON,
        linger_timeout: SOON,
        ..ServerLimits::DEFAULT
    }
}

#[tokio::test]
async fn answers_that_nobody_takes_end_the_connection_however_lively_it_is() {
    let server = Server::start(impatient()).await;
    for (ended, (window, streams)) in [(0, 1), (0, 200), (1, 200), (2, 1)].into_iter().enumerate() {
        let mut client = server.connect().await;
        client.write(opening(window)).await;
        let asked = (0..streams).flat_map(|n| ask(1 + 2 * n, "/version"));
        client.write(asked.collect::<Vec<u8>>()).await;
        while server.api.engine.capacity.flows.held() == 0 {
            tokio::task::yield_now().await;
        }
        ping_to_the_end(client).await;
        let ended = ended + 1;
        server.shows(&format!(r#"hallmark_http_closed_total{{cause="stuck"}} {ended}"#)).await;
        server.shows("hallmark_http_connections 0").await;
        within(async {
            while server.api.engine.capacity.flows.held() > 0 {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_stream_of_decisions_that_nobody_takes_ends() {
    let limits = ServerLimits { stream_idle_timeout: 4 * SOON, ..impatient() };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client.write(opening(0)).await;
    let literal = |name: &str, value: &str| {
        let text =
            |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        [&[0][..], &text(name), &text(value)].concat()
    };
    let block = [
        &[0x83, 0x86][..],
        &literal(":path", "/v1/decisions"),
        &literal(":authority", "localhost"),
        &literal("content-type", "application/x-ndjson"),
    ];
    client.write(frame(HEADERS, END_HEADERS, 1, &block.concat())).await;
    let lines = format!("{}\n", asking("i")).repeat(100);
    client.write(frame(0, 0, 1, lines.as_bytes())).await;
    ping_to_the_end(client).await;
    server.shows(r#"hallmark_http_closed_total{cause="stuck"} 1"#).await;
    server.shows("hallmark_http_connections 0").await;
    server.shows("hallmark_http_in_flight 0").await;
}

#[tokio::test]
async fn a_lively_connection_without_requests_ends() {
    let limits = ServerLimits { header_timeout: 2 * SOON, ..impatient() };
    let server = Server::start(limits).await;
    for (ended, asked) in [Vec::new(), ask(1, "/livez")].into_iter().enumerate() {
        let mut client = server.connect().await;
        client.write([opening(65_535), asked].concat()).await;
        ping_to_the_end(client).await;
        let ended = ended + 1;
        server.shows(&format!(r#"hallmark_http_closed_total{{cause="idle"}} {ended}"#)).await;
        server.shows("hallmark_http_connections 0").await;
    }
    let mut dripping = server.connect().await;
    let begun = frame(HEADERS, END_STREAM, 1, &[0x82]);
    dripping.write([opening(65_535), begun].concat()).await;
    dripping.read_to_end().await;
    server.shows(r#"hallmark_http_closed_total{cause="idle"} 3"#).await;
}

#[tokio::test]
async fn answers_that_stand_still_make_room_for_others() {
    let limits = ServerLimits { answer_bytes_max: 512 << 10, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut hoarders = Vec::new();
    for _ in 0..8 {
        let mut client = server.connect().await;
        client.write(opening(0)).await;
        client.write((0..60).flat_map(|n| ask(1 + 2 * n, "/version")).collect::<Vec<u8>>()).await;
        hoarders.push(tokio::spawn(ping_to_the_end(client)));
    }
    within(async {
        while server.api.engine.capacity.flows.held() > limits.answer_bytes_max
            || server.api.engine.capacity.flows.held() == 0
        {
            let mut prober = server.connect().await;
            prober.write([opening(65_535), ask(1, "/version")].concat()).await;
            let mut first = [0; 9];
            prober.0.read_exact(&mut first).await.expect("a frame");
        }
    })
    .await;
    assert!(server.metrics().lines().any(|line| {
        line.strip_prefix(r#"hallmark_http_closed_total{cause="room"} "#).is_some_and(|n| n != "0")
    }));
    hoarders.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn requests_that_are_called_off_as_fast_as_they_come_end_the_connection() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let mut client = server.connect().await;
    client.write(opening(65_535)).await;
    let cancel = 8_u32.to_be_bytes();
    let mut stream = 1;
    let (mut reading, mut writing) = client.0.into_split();
    let reading = tokio::spawn(async move {
        let mut scrap = [0; 4096];
        while let Ok(1..) = reading.read(&mut scrap).await {}
    });
    within(async {
        loop {
            let burst = [ask(stream, "/version"), frame(RST_STREAM, 0, stream, &cancel)].concat();
            if writing.write_all(&burst).await.is_err() {
                break;
            }
            stream += 2;
        }
    })
    .await;
    within(reading).await.expect("closed");
    server.shows("hallmark_http_connections 0").await;
    assert!(server.send(get("/livez")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn floods_of_settings_and_of_continuations_end_or_are_paced_and_hold_up_nobody() {
    let server = Server::start(impatient()).await;
    let continuation = frame(9, 0, 1, &[0; 1_024]);
    let begun = frame(HEADERS, END_STREAM, 1, &[0x82]);
    let floods = [
        ([opening(65_535), begun].concat(), continuation),
        (opening(65_535), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])),
        (opening(65_535), frame(PING, 0, 0, b"are you?")),
    ];
    for (begin, flood) in floods {
        let mut client = server.connect().await;
        client.write(begin).await;
        // Nobody reads: what is owed for each frame stands in the way of the next.
        within(async { while client.0.write_all(&flood).await.is_ok() {} }).await;
        assert!(server.send(get("/livez")).await.starts_with("HTTP/1.1 200 "));
    }
    server.shows("hallmark_http_connections 0").await;
}

#[tokio::test]
async fn a_byte_now_and_then_is_no_reading() {
    let limits = ServerLimits { write_timeout: 2 * SOON, ..ServerLimits::DEFAULT };
    let (server, mut client) = tokio::io::duplex(8);
    let flow = crate::http::engine::flow::Flows::new(limits).open();
    let mut guarded = crate::http::engine::guarded_io::GuardedIo::new(server, limits, flow);
    let reading = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(2));
        while client.read_u8().await.is_ok() {
            pace.tick().await;
        }
    });
    let error = within(guarded.write_all(&[0; 1 << 20])).await.expect_err("given up");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(guarded);
    within(reading).await.expect("ends");
}
