//! Connections of people who show nothing, all open at once, each holding what it can.

use hallmark_tests::daemon::{Daemon, eventually};
use hallmark_tests::http2::opening;
use hallmark_tests::wire::connect_from_afar;
use tokio::io::AsyncWriteExt;

/// Bytes of a header that never ends, and of a body that never ends: just below what is refused,
/// and below what counts against no budget.
const HEADER: usize = 31 << 10;
const BODY: usize = 63 << 10;

/// Requests of an HTTP/2 connection whose answers nobody takes.
const REQUESTS: u32 = 200;

/// Opens so many connections and lets go of them once the daemon has them all.
pub(crate) async fn come(daemon: &Daemon, token: &str, count: usize) {
    let address = daemon.client.address();
    let kinds = [silent(), half_header(), half_body(), opening(address, None, 0, REQUESTS)];
    let mut held = Vec::new();
    for number in 0..count {
        let Ok(mut wire) = connect_from_afar(address).await else { continue };
        // One that is refused is closed in mid-sentence.
        drop(wire.write_all(&kinds[number % kinds.len()]).await);
        held.push(wire);
    }
    // Those who may are served beside them.
    let client = daemon.client.bearing(token);
    eventually("an answer beside the strangers", || async {
        let nothing = Vec::new().into();
        let answer = client.try_call(hyper::Method::GET, "/metrics", "text/plain", nothing).await;
        answer.ok().filter(|answer| answer.status == 200)
    })
    .await;
    drop(held);
}

fn silent() -> Vec<u8> {
    Vec::new()
}

fn half_header() -> Vec<u8> {
    format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(HEADER)).into_bytes()
}

fn half_body() -> Vec<u8> {
    let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                content-length: 64511\r\n\r\n";
    [head.as_bytes(), &vec![b' '; BODY - 1]].concat()
}
