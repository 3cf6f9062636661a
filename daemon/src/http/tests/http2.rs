//! HTTP/2 with prior knowledge, on the same port.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

const PREFACE_AND_SETTINGS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn connect(server: &Server) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(server.connect().await.0);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (requests, connection) = handshake.await.expect("HTTP/2 is spoken");
    tokio::spawn(connection);
    requests
}

fn request(method: Method, path: &str, body: String) -> http::Request<Full<Bytes>> {
    http::Request::builder()
        .method(method)
        .uri(format!("http://localhost{path}"))
        .header("content-type", "application/json")
        .body(Full::from(body))
        .expect("a request")
}

async fn ask(
    requests: &mut SendRequest<Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
) -> (http::response::Parts, String) {
    let answer = within(requests.send_request(request)).await.expect("an answer");
    let (head, body) = answer.into_parts();
    let body = within(body.collect()).await.expect("a whole body").to_bytes();
    (head, String::from_utf8(body.into()).expect("UTF-8"))
}

#[tokio::test]
async fn requests_on_one_connection_are_decided_side_by_side() {
    let server = Server::over(requiring_world().await, ServerLimits::DEFAULT).await;
    let both = std::sync::Barrier::new(2);
    server.world.store.before_read(move || {
        both.wait();
    });
    let mut one = connect(&server).await;
    let mut other = one.clone();
    let decisions = |number| request(Method::POST, "/v1/decisions", asking(&image(number)));
    let (one, other) = tokio::join!(ask(&mut one, decisions(1)), ask(&mut other, decisions(2)));
    assert!(one.1.contains(&image(1)), "{one:?}");
    assert!(other.1.contains(&image(2)), "{other:?}");
}

#[tokio::test]
async fn refusals_and_head_are_as_over_http1() {
    let limits = ServerLimits { body_bytes_max: 100, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut client = connect(&server).await;
    let large = request(Method::POST, "/v1/decisions", "x".repeat(101));
    let (head, body) = ask(&mut client, large).await;
    assert_eq!(head.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(body.contains(r#""code":413"#), "{body}");
    let (head, body) = ask(&mut client, request(Method::HEAD, "/livez", String::new())).await;
    assert_eq!((head.status, body.as_str()), (StatusCode::OK, ""));
    assert_eq!(head.headers["content-length"], "3");
}

#[tokio::test]
async fn a_foreign_authority_is_refused() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let mut client = connect(&server).await;
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example"] {
        let mut rebound = request(Method::GET, "/livez", String::new());
        *rebound.uri_mut() = format!("http://{host}/livez").parse().expect("a target");
        let (head, _) = ask(&mut client, rebound).await;
        assert_eq!(head.status, StatusCode::FORBIDDEN, "{host}");
    }
    let (head, _) = ask(&mut client, request(Method::GET, "/livez", String::new())).await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn streams_and_header_bytes_are_limited() {
    let limits =
        ServerLimits { http2_streams_max: 7, header_bytes_max: 9_000, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut raw = server.connect().await;
    raw.write(PREFACE_AND_SETTINGS).await;
    let mut settings = vec![0; 9];
    within(raw.0.read_exact(&mut settings)).await.expect("a frame");
    settings.resize(9 + usize::from(settings[2]), 0);
    within(raw.0.read_exact(&mut settings[9..])).await.expect("its payload");
    let announced: Vec<_> = settings[9..].as_chunks::<6>().0.to_vec();
    assert!(announced.contains(&[0, 3, 0, 0, 0, 7]), "{announced:?}");

    let mut client = connect(&server).await;
    let mut long = request(Method::GET, "/livez", String::new());
    let value = "x".repeat(9_000).parse().expect("a header value");
    long.headers_mut().insert("x-long", value);
    let (head, _) = ask(&mut client, long).await;
    assert_eq!(head.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone() {
    let soon = Duration::from_millis(50);
    let limits =
        ServerLimits { http2_ping_interval: soon, linger_timeout: soon, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut raw = server.connect().await;
    raw.write(PREFACE_AND_SETTINGS).await;
    raw.read_to_end().await;
    server.shows("hallmark_http_connections 0").await;
}

#[tokio::test]
async fn what_is_under_way_when_the_server_stops_is_finished() {
    let (server, turns) = Server::holding(ServerLimits::DEFAULT).await;
    let mut client = connect(&server).await;
    let asked = request(Method::POST, "/v1/decisions", asking(&image(1)));
    let asking = tokio::spawn(async move { ask(&mut client, asked).await });
    server.shows("hallmark_http_in_flight 1").await;
    let api = Arc::clone(&server.api);
    let stopping = tokio::spawn(server.stop());
    within(api.engine.readiness.drained()).await;
    turns.send(()).expect("it is held");
    let (head, _) = within(asking).await.expect("answered");
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(within(stopping).await.expect("stopped"), Drained { cut_off: 0 });
}
