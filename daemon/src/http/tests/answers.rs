//! The content of answers.

use hallmark_core::policy::{AdmissionRule, EnforcementMode};

use super::*;
use crate::resources::tests::fixture::{attestation, digest, note};

#[tokio::test]
async fn a_denial_is_explained_in_the_documented_shape() {
    let world = requiring_world().await;
    let policy = requiring(&[ATTESTOR]);
    let rule = AdmissionRule {
        enforcement: EnforcementMode::DryrunAuditLogOnly,
        ..policy.default_admission_rule.clone()
    };
    let policy = Policy { default_admission_rule: rule, ..policy };
    world.resources.put_policy(project("p"), policy).await.expect("a policy");
    world.resources.create_note(note("n", "ATTESTATION")).await.expect("a note");
    let attestation = world.resources.create_occurrence(project("p"), attestation(2, "s")).await;
    let occurrence = attestation.expect("an attestation").name;
    let generation = world.snapshots.current().generation;
    let server = Server::over(world, ServerLimits::DEFAULT).await;
    let digest = digest(2);
    let image = format!("r/x@{digest}");
    let answer = server.post("/v1/decisions", "", asking(&image)).await;
    let expected = format!(
        r#"{{"allowed":true,"enforced":false,"dryRun":true,"breakGlass":false,"generation":{generation},"images":[{{"image":"{image}","digest":"{digest}","allowed":false,"rule":"default admission rule","reason":"NOT_ATTESTED","message":"Image {image} denied by Binary Authorization default admission rule. Image {image} denied by attestor {ATTESTOR}: No attestations found that were valid and signed by a key trusted by the attestor (1 signature tried: key \"k\": bad signature)","attestors":[{{"attestor":"{ATTESTOR}","satisfied":false,"reason":"NONE_VERIFIED","trials":[{{"occurrence":"{occurrence}","signature":0,"keyId":"k","algorithm":"ECDSA_P256_SHA256","plugin":"pkix","spkiSha256":"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed","outcome":"BAD_SIGNATURE"}}]}}],"cached":false}}]}}"#
    );
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert_eq!(body, expected);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"), "{head}");
}

#[tokio::test]
async fn every_refusal_is_google_shaped_and_says_what_to_do() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let decisions = "/v1/decisions";
    let brotli = "content-encoding: br\r\n";
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for (answer, status, words) in [
        (
            server.send(get("/v2")).await,
            "404",
            r#""message":"no such path: /v2","status":"NOT_FOUND"}}"#,
        ),
        (server.send(get(decisions)).await, "405", "this path answers POST only"),
        (server.send(get(decisions)).await, "405", "\r\nallow: POST\r\n"),
        (server.post(decisions, brotli, "x").await, "415", "of compressed bodies gzip is read"),
        (server.post(decisions, form, "x").await, "415", "Content-Type: application/json"),
        (
            server.post(decisions, "", "{}").await,
            "400",
            r#"{"error":{"code":400,"message":"the body is not the JSON expected: missing field `project`"#,
        ),
        (
            server.send("GET / HTTP/1.1\r\nno colon\r\n\r\n").await,
            "400",
            "HTTP/1.1 400 Bad Request",
        ),
    ] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(words), "{answer} lacks {words}");
    }
}

#[tokio::test]
async fn what_is_wrong_inside_stays_inside() {
    let world = world();
    let mut api = api(&world, ServerLimits::DEFAULT);
    api.refresh = Box::new(|| panic!("a panic on purpose"));
    let server = Server::at(world, api, None).await;
    let answer = server.send(get("/metrics")).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(answer.ends_with(
        r#"{"error":{"code":500,"message":"internal error: the daemon's log says what went wrong","status":"INTERNAL"}}"#
    ));
}

#[tokio::test]
async fn the_type_of_json_may_have_parameters_and_any_case() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let header = "content-type: Application/JSON; charset=utf-8\r\n";
    let answer = server.post("/v1/decisions", header, asking("i")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let answer = server.send(get("/livez").replace("GET", "HEAD")).await;
    assert!(
        answer.contains("\r\ncontent-length: 3\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    assert!(server.send(get("/livez")).await.ends_with("\r\n\r\nok\n"));
}

#[tokio::test]
async fn readiness_follows_store_snapshot_reload_and_drain() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let readiness = &server.api.engine.readiness;
    let generation = server.api.gate.snapshots.current().generation;
    let readyz = || server.send(get("/readyz"));
    let first = readyz().await;
    assert!(first.starts_with("HTTP/1.1 503 "), "{first}");
    assert!(
        first.ends_with(r#"{"ready":false,"draining":false,"storeOpen":false,"generation":null}"#),
        "{first}"
    );
    readiness.store_opened();
    assert!(readyz().await.starts_with("HTTP/1.1 503 "));
    readiness.snapshot_loaded(3);
    let ready = readyz().await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    assert!(ready.contains(&format!("\"generation\":{generation}")), "{ready}");
    readiness.reload_failed("policy.yaml: line 3".to_owned());
    let stale = readyz().await;
    assert!(stale.starts_with("HTTP/1.1 200 "), "{stale}");
    assert!(stale.contains(r#""lastReloadError":"policy.yaml: line 3""#), "{stale}");
    readiness.snapshot_loaded(4);
    assert!(!readyz().await.contains("lastReloadError"));
    readiness.start_draining();
    assert!(readyz().await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn version_and_metrics_are_there() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    let version = server.send(get("/version")).await;
    let expected = format!(r#""version":"{}""#, env!("CARGO_PKG_VERSION"));
    assert!(version.contains(&expected) && version.contains(r#""pluginAbi":1"#), "{version}");
    server.post("/v1/decisions", "", asking("i")).await;
    let metrics = server.send(get("/metrics")).await;
    assert!(metrics.contains("\r\ncontent-type: text/plain; version=0.0.4\r\n"), "{metrics}");
    for line in [
        r#"hallmark_http_requests_total{api="decisions",code="200",door="decisions"} 1"#,
        r#"hallmark_http_request_seconds_count{api="decisions",door="decisions"} 1"#,
        "hallmark_http_in_flight 0",
        "hallmark_http_connections 1",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} in\n{metrics}");
    }
}
