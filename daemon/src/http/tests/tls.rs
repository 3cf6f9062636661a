//! Limits on the cost of a TLS handshake.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::tls::TlsFiles;

/// With a certificate made by OpenSSL.
async fn behind_tls(limits: ServerLimits) -> Server {
    let dir = tempfile::tempdir().expect("a directory");
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    make(&cert, &key);
    let tls = Tls::load(TlsFiles { cert, key, client_ca: None, client_crl: None }).expect("loads");
    let world = world();
    let api = api(&world, limits);
    Server::at(world, api, Some(Arc::new(tls))).await
}

fn make(cert: &Path, key: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "1", "-subj", "/CN=hallmark", "-keyout"])
        .arg(key)
        .arg("-out")
        .arg(cert)
        .output();
    assert!(made.expect("openssl runs").status.success());
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let handshake_timeout = Duration::from_millis(50);
    let server = behind_tls(ServerLimits { handshake_timeout, ..ServerLimits::DEFAULT }).await;
    let mut silent = server.connect().await;
    assert_eq!(silent.read_to_end().await, "");
    server.shows("hallmark_tls_handshake_errors_total 1").await;
    server.stop().await;
}

#[tokio::test]
async fn handshakes_that_stall_make_room_for_those_that_do_not() {
    let server = behind_tls(ServerLimits { connections_max: 4, ..ServerLimits::DEFAULT }).await;
    let mut stalled = Vec::new();
    for _ in 0..10 {
        stalled.push(server.connect().await);
    }
    server.shows(r#"hallmark_http_closed_total{cause="stranger"} 8"#).await;
    let mut last = stalled.pop().expect("ten");
    last.write("no handshake").await;
    assert!(!last.read_to_end().await.contains("HTTP/1.1"));
    server.shows("hallmark_tls_handshake_errors_total 1").await;
    server.stop().await;
}
