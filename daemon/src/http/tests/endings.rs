//! The end of serving.

use super::*;

async fn busy(limits: ServerLimits) -> (Server, Client, Turns) {
    let (server, turns) = Server::holding(limits).await;
    let mut client = server.connect().await;
    client.write(post("/v1/decisions", "", asking(&image(1)))).await;
    server.shows("hallmark_http_in_flight 1").await;
    (server, client, turns)
}

#[tokio::test]
async fn what_is_under_way_is_finished_idle_connections_close_and_new_ones_are_refused() {
    let (server, mut working, turns) = busy(ServerLimits::DEFAULT).await;
    let mut idle = server.connect().await;
    idle.write("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    idle.read_until("ok\n").await;
    let mut silent = server.connect().await;
    server.shows("hallmark_http_connections 3").await;
    let (address, api) = (server.address, Arc::clone(&server.api));
    let stopping = tokio::spawn(server.stop());

    assert_eq!(idle.read_to_end().await, "");
    assert_eq!(silent.read_to_end().await, "");
    drop((idle, silent));
    assert!(api.engine.readiness.is_draining());
    TcpStream::connect(address).await.expect_err("nobody listens any more");
    turns.send(()).expect("it is held");
    let answer = working.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(working);
    assert_eq!(within(stopping).await.expect("stopped"), Drained { cut_off: 0 });
}

#[tokio::test]
async fn what_is_not_finished_by_the_drain_timeout_is_cut_off() {
    let limits = ServerLimits { drain_timeout: Duration::from_millis(50), ..ServerLimits::DEFAULT };
    let (server, mut working, _turns) = busy(limits).await;
    assert_eq!(server.stop().await, Drained { cut_off: 1 });
    assert_eq!(working.read_to_end().await, "");
}

#[tokio::test]
async fn a_client_that_hangs_up_calls_its_work_off() {
    let (server, client, _turns) = busy(ServerLimits::DEFAULT).await;
    drop(client);
    server.shows("hallmark_http_in_flight 0").await;
}
