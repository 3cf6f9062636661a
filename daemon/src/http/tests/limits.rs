//! Every limit of the server, reached.

use super::*;
use crate::http::engine::limits::BODY_BYTES_FREE;

const DECISIONS: &str = "/v1/decisions";
const SOON: Duration = Duration::from_millis(50);

/// A request for one image, with so many bytes of white space.
fn padded(image: &str, bytes: usize) -> String {
    asking(image) + &" ".repeat(bytes)
}

#[tokio::test]
async fn an_announced_body_over_the_limit_is_refused_unread() {
    let limits = ServerLimits { body_bytes_max: 100, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\nexpect: 100-continue\r\ncontent-length:";
    let refused = server.send(format!("{head} 101\r\n\r\n")).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    assert!(refused.contains("larger than 100 bytes"), "{refused}");

    let body = asking("i");
    let mut client = server.connect().await;
    client.write(format!("{head} {}\r\n\r\n", body.len())).await;
    assert_eq!(client.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write(body).await;
    assert!(client.read_until("}]}").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_chunked_body_is_refused_where_it_passes_the_limit() {
    let limits = ServerLimits { body_bytes_max: 100, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let body = asking(&"i".repeat(50));
    let (front, back) = body.split_at(40);
    let chunks = format!("{:x}\r\n{front}\r\n{:x}\r\n{back}\r\n", front.len(), back.len());
    let taken = server.send(format!("{head}connection: close\r\n\r\n{chunks}0\r\n\r\n")).await;
    assert!(taken.starts_with("HTTP/1.1 200 "), "{taken}");
    let refused = server.send(format!("{head}\r\n{chunks}{chunks}")).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_given_up() {
    let limits = ServerLimits { body_timeout: SOON, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ncontent-length: 40\r\n\r\n{";
    let refused = server.send(head).await;
    assert!(refused.starts_with("HTTP/1.1 408 "), "{refused}");
    assert!(refused.contains("\r\nconnection: close\r\n"), "{refused}");
}

#[tokio::test]
async fn silence_a_partial_preface_and_a_slow_header_are_each_closed() {
    let limits = ServerLimits {
        first_byte_timeout: SOON,
        header_timeout: 2 * SOON,
        ..ServerLimits::DEFAULT
    };
    let server = Server::start(limits).await;
    for opening in ["", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1\r\nhost:"] {
        let answer = server.send(opening).await;
        assert!(!answer.contains("200"), "{opening}: {answer}");
    }
    server.shows("hallmark_http_connections 0").await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = ServerLimits { header_timeout: SOON, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let answer = server.send(post(DECISIONS, "", asking("i"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn headers_are_limited_in_bytes_and_number() {
    let limits = ServerLimits { header_bytes_max: 8_192, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let long = format!("x-long: {}\r\n", "x".repeat(8_192));
    let answer = server.post(DECISIONS, &long, asking("i")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = server.post(DECISIONS, &"x-many: 1\r\n".repeat(100), asking("i")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let limits = ServerLimits { header_count_max: 4, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    assert!(server.post(DECISIONS, "", asking("i")).await.starts_with("HTTP/1.1 200 "));
    let answer = server.post(DECISIONS, "a: 1\r\nb: 2\r\n", asking("i")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_its_place_comes_free_again() {
    let limits = ServerLimits { connections_max: 1, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut first = server.connect().await;
    first.write(post(DECISIONS, "", asking("i"))).await;
    first.read_until("}]}").await;
    let refused = server.connect().await.read_to_end().await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    drop(first);
    server.shows("hallmark_http_connections 0").await;
    server.shows(r#"hallmark_http_shed_total{cause="connections"} 1"#).await;
    assert!(server.send(get("/livez")).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_stranger_too_many_takes_the_place_of_another_and_not_of_one_who_was_let_in() {
    let limits = ServerLimits { connections_max: 4, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut known = server.connect().await;
    known.write(post(DECISIONS, "", asking("i"))).await;
    known.read_until("}]}").await;
    let mut silent = server.connect().await;
    let mut probing = server.connect().await;
    probing.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    probing.read_until("ok\n").await;
    let mut dripping = server.connect().await;
    dripping.write("POST /v1/decisions HTTP/1.1\r\nhos").await;
    assert_eq!(silent.read_to_end().await, "", "the oldest goes first");
    let answer = server.send(post(DECISIONS, "connection: close\r\n", asking("i"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(probing.read_to_end().await, "");
    server.shows(r#"hallmark_http_closed_total{cause="stranger"} 2"#).await;
    known.write(post(DECISIONS, "", asking("again"))).await;
    assert!(known.read_until("}]}").await.contains("again"));
    server.shows(r#"hallmark_http_shed_total{cause="connections"} 0"#).await;
}

/// Ten times as many as there are slots.
#[tokio::test]
async fn a_body_on_its_way_holds_no_slot() {
    let limits = ServerLimits { in_flight_max: 5, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let lines = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    let json = post(DECISIONS, "expect: 100-continue\r\n", asking("i"));
    let mut held = Vec::new();
    for number in 0..50 {
        let mut slow = server.connect().await;
        match number % 5 {
            0 => slow.write(lines).await,
            1 => slow.write(&json[..json.len() - asking("i").len()]).await,
            _ => slow.write(&json[..json.len() - 1]).await,
        }
        held.push(slow);
    }
    server.has_bodies(40).await;
    server.shows("hallmark_http_in_flight 0").await;
    for _ in 0..20 {
        assert!(server.post(DECISIONS, "", asking("i")).await.starts_with("HTTP/1.1 200 "));
    }
    server.shows(r#"hallmark_http_shed_total{cause="requests"} 0"#).await;
    server.shows("hallmark_http_waiting 0").await;
    drop(held);
    server.has_bodies(0).await;
}

#[tokio::test]
async fn the_body_longest_under_way_makes_room_for_the_next() {
    let limits = ServerLimits { bodies_max: 2, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ncontent-length: 40\r\n\r\n{";
    let mut slow = Vec::new();
    for number in 1..=2 {
        let mut client = server.connect().await;
        client.write(head).await;
        server.has_bodies(number).await;
        slow.push(client);
    }
    assert!(server.post(DECISIONS, "", asking("i")).await.starts_with("HTTP/1.1 200 "));
    let given_up = slow[0].read_to_end().await;
    assert!(given_up.starts_with("HTTP/1.1 503 ") && given_up.contains("bodies"), "{given_up}");
    server.has_bodies(1).await;
    server.shows(r#"hallmark_http_shed_total{cause="bodies"} 1"#).await;
}

#[tokio::test]
async fn large_bodies_that_stand_still_make_room_for_those_that_come() {
    let limits = ServerLimits { body_bytes_in_flight_max: 150_000, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let large = asking(&"i".repeat(BODY_BYTES_FREE + 100_000));
    let mut slow = server.connect().await;
    let whole = post(DECISIONS, "", &large);
    slow.write(&whole[..whole.len() - 1]).await;
    server.has_bodies(1).await;
    while server.api.engine.capacity.bodies.bytes_held() < 100_000 {
        tokio::task::yield_now().await;
    }
    assert!(server.post(DECISIONS, "", &large).await.starts_with("HTTP/1.1 200 "));
    let given_up = slow.read_to_end().await;
    assert!(given_up.starts_with("HTTP/1.1 503 "), "{given_up}");
}

#[tokio::test]
async fn requests_beyond_the_limit_are_shed_while_others_and_operations_are_served() {
    let limits = ServerLimits { in_flight_max: 1, ..ServerLimits::DEFAULT };
    let (server, turns) = Server::holding(limits).await;
    let mut first = server.connect().await;
    first.write(post(DECISIONS, "", asking(&image(1)))).await;
    server.shows("hallmark_http_in_flight 1").await;

    let shed = server.post(DECISIONS, "", asking(&image(2))).await;
    assert!(shed.starts_with("HTTP/1.1 503 "), "{shed}");
    assert!(shed.contains("\r\nretry-after: 1\r\n"), "{shed}");
    assert!(shed.contains(r#""status":"UNAVAILABLE""#), "{shed}");
    assert!(server.send(get("/livez")).await.starts_with("HTTP/1.1 200 "));

    turns.send(()).expect("the first is held");
    assert!(first.read_until("}]}").await.contains(&image(1)));
    turns.send(()).expect("reads are held");
    assert!(server.post(DECISIONS, "", asking(&image(3))).await.starts_with("HTTP/1.1 200 "));
    server.shows(r#"hallmark_http_shed_total{cause="requests"} 1"#).await;
    server.shows("hallmark_http_in_flight 0").await;
}

#[tokio::test]
async fn bodies_beyond_the_budget_of_all_are_shed_and_small_ones_are_served() {
    let limits = ServerLimits { body_bytes_in_flight_max: 100_000, ..ServerLimits::DEFAULT };
    let (server, turns) = Server::holding(limits).await;
    let large = |number| padded(&image(number), BODY_BYTES_FREE + 60_000);
    let mut first = server.connect().await;
    first.write(post(DECISIONS, "", large(1))).await;
    server.shows("hallmark_http_in_flight 1").await;

    let shed = server.post(DECISIONS, "", large(2)).await;
    assert!(shed.starts_with("HTTP/1.1 503 ") && shed.contains("body_bytes"), "{shed}");
    let chunk = format!("{:x}\r\n{}\r\n", large(2).len(), large(2));
    let head = "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\nconnection: close\r\n\
        transfer-encoding: chunked\r\n\r\n";
    let shed = server.send(format!("{head}{chunk}0\r\n\r\n")).await;
    assert!(shed.starts_with("HTTP/1.1 503 "), "{shed}");

    assert!(server.post(DECISIONS, "", asking("small")).await.starts_with("HTTP/1.1 200 "));
    drop(turns);
    assert!(first.read_until("}]}").await.starts_with("HTTP/1.1 200 "));
    assert!(server.post(DECISIONS, "", large(2)).await.starts_with("HTTP/1.1 200 "));
    server.shows(r#"hallmark_http_shed_total{cause="body_bytes"} 2"#).await;
}

#[tokio::test]
async fn an_answer_that_is_not_there_by_the_deadline_is_504() {
    let limits = ServerLimits { request_deadline: SOON, ..ServerLimits::DEFAULT };
    let (server, _turns) = Server::holding(limits).await;
    let late = server.send(get("/v1/projects/p/policy")).await;
    assert!(late.starts_with("HTTP/1.1 504 "), "{late}");
    assert!(late.contains(r#""status":"DEADLINE_EXCEEDED""#), "{late}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let limits = ServerLimits { write_timeout: SOON, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let large = post(DECISIONS, "", asking(&"i".repeat(100_000)));
    let mut client = server.connect().await;
    within(async { while client.0.write_all(&large).await.is_ok() {} }).await;
    server.shows("hallmark_http_connections 0").await;
}

#[tokio::test]
async fn a_refused_client_may_go_on_sending_for_a_while_only() {
    let limits = ServerLimits { linger_timeout: SOON, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let mut client = server.connect().await;
    client
        .write(
            "POST /v1/decisions HTTP/1.1\r\nhost: localhost\r\n\
        content-type: application/json\r\ncontent-length: 9999999999\r\n\r\n",
        )
        .await;
    within(async { while client.0.write_all(&[b'x'; 1_000]).await.is_ok() {} }).await;
    server.shows("hallmark_http_connections 0").await;
}
