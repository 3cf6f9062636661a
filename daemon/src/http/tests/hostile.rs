//! Bodies and clients that mean no good: a clear error, bounded memory, others still served.

use super::*;

const DECISIONS: &str = "/v1/decisions";

#[tokio::test]
async fn a_hundred_megabytes_are_refused_and_the_client_hears_why() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    for framing in ["content-length: 104857600", "transfer-encoding: chunked"] {
        let (mut reading, mut writing) =
            TcpStream::connect(server.address).await.expect("accepted").into_split();
        let head =
            format!("POST {DECISIONS} HTTP/1.1\r\nhost: localhost\r\n{JSON}{framing}\r\n\r\n");
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
        let sending = tokio::spawn(async move {
            writing.write_all(head.as_bytes()).await.expect("the head is read");
            for _ in 0..100 {
                if writing.write_all(chunk.as_bytes()).await.is_err() {
                    break;
                }
            }
            writing
        });
        let mut answer = [0; 12];
        within(reading.read_exact(&mut answer)).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 413", "{framing}");
        within(sending).await.expect("sent");
    }
}

#[tokio::test]
async fn malformed_bodies_are_refused_by_name() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let deep = format!("{}{}", r#"{"project":"#.repeat(1_000), "}".repeat(1_000));
    let images = vec![r#""r/i""#; 10_000].join(",");
    let many = format!(r#"{{"project":"p","images":[{images}]}}"#);
    let twice = r#"{"project":"p","project":"q","images":["i"]}"#;
    for (body, words) in [
        (deep.as_bytes(), "expected a string"),
        (many.as_bytes(), "more than 1000 `images`: split them over several requests"),
        (twice.as_bytes(), "duplicate field `project`"),
        (b"{\"project\":\"\xff\",\"images\":[\"i\"]}", "invalid unicode"),
        (b"\x00\x01\x02", "expected value"),
    ] {
        let answer = server.post(DECISIONS, "", body).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains(words), "{answer} lacks {words}");
    }
}

#[tokio::test]
async fn slow_senders_and_half_open_connections_hold_up_nobody() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let mut held = Vec::new();
    for opening in [
        "",
        "POST /v1/",
        "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 9\r\n\r\n{",
    ] {
        for _ in 0..50 {
            let mut client = server.connect().await;
            client.write(opening).await;
            held.push(client);
        }
    }
    assert!(server.post(DECISIONS, "", asking("i")).await.starts_with("HTTP/1.1 200 "));
    drop(held);
    server.shows("hallmark_http_connections 0").await;
    server.shows("hallmark_http_in_flight 0").await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_hold_up_nobody() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let mut client = server.connect().await;
    let requests = (0..1_000).flat_map(|n| post(DECISIONS, "", asking(&format!("i{n}"))));
    client.write(requests.collect::<Vec<u8>>()).await;
    assert!(server.post(DECISIONS, "", asking("other")).await.contains("other"));
    for n in 0..1_000 {
        let answer = client.read_until("}]}").await;
        assert!(answer.contains(&format!(r#""image":"i{n}""#)), "{n}: {answer}");
    }
}

#[tokio::test]
async fn a_panic_is_one_answer_of_500() {
    let world = allowing_world().await;
    let mut api = api(&world, ServerLimits::DEFAULT);
    api.refresh = Box::new(|| panic!("a panic on purpose"));
    let server = Server::at(world, api, None).await;
    let mut client = server.connect().await;
    client.write("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(client.read_until("}}").await.starts_with("HTTP/1.1 500 "));
    client.write(post(DECISIONS, "", asking("i"))).await;
    assert!(client.read_until("}]}").await.starts_with("HTTP/1.1 200 "));
}
