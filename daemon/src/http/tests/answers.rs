//! What is answered.

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::decision::{AttestorReason, AttestorResult, OtherOutcomes, Trial, TrialOutcome};
use hallmark_core::policy::RuleMatch;
use hallmark_core::time::UnixTime;

use super::*;

const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Denies in dry run, with an explanation.
fn denied(request: Request) -> Decision {
    let mut decision = allowed_one(request);
    decision.dry_run = true;
    decision.generation = 7;
    for image in &mut decision.images {
        image.digest = Some(DIGEST.parse().expect("a digest"));
        image.allowed = false;
        image.rule = Some(RuleMatch::Cluster("europe-west2.prod".to_owned()));
        image.reason = Reason::NotAttested;
        image.message = "denied by \"it\"\n".to_owned();
        image.attestors = Arc::new([
            AttestorResult {
                attestor: "projects/p/attestors/built".parse().expect("a name"),
                reason: AttestorReason::NoneVerified,
                trials: vec![Trial {
                    signer: None,
                    key: None,
                    occurrence: "projects/p/occurrences/1".parse().expect("a name"),
                    signature_index: 0,
                    key_id: "k".into(),
                    algorithm: Some(SignatureAlgorithm::EcdsaP256Sha256),
                    outcome: TrialOutcome::KeyExpired { not_after: UnixTime(0) },
                }],
                others: OtherOutcomes::default(),
            },
            AttestorResult {
                attestor: "projects/p/attestors/tested".parse().expect("a name"),
                reason: AttestorReason::KeysUnavailable("token is out".to_owned()),
                trials: Vec::new(),
                others: OtherOutcomes::default(),
            },
        ]);
    }
    decision
}

#[tokio::test]
async fn a_denial_is_explained_in_the_documented_shape() {
    let server = Server::deciding(ServerLimits::DEFAULT, |requests| {
        std::future::ready(requests.into_iter().map(denied).collect())
    })
    .await;
    let image = format!("r/x@{DIGEST}");
    let answer = server.post("/v1/decisions", "", asking(&image)).await;
    let expected = format!(
        r#"{{"allowed":true,"enforced":false,"dryRun":true,"breakGlass":false,"generation":7,"images":[{{"image":"{image}","digest":"{DIGEST}","allowed":false,"rule":"cluster admission rule for europe-west2.prod","reason":"NOT_ATTESTED","message":"denied by \"it\"\n","attestors":[{{"attestor":"projects/p/attestors/built","satisfied":false,"reason":"NONE_VERIFIED","trials":[{{"occurrence":"projects/p/occurrences/1","signature":0,"keyId":"k","algorithm":"ECDSA_P256_SHA256","outcome":"KEY_EXPIRED","detail":"valid until 1970-01-01T00:00:00Z"}}]}},{{"attestor":"projects/p/attestors/tested","satisfied":false,"reason":"KEYS_UNAVAILABLE","detail":"token is out","trials":[]}}],"cached":false}}]}}"#
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
    let server = Server::deciding(ServerLimits::DEFAULT, |_| std::future::ready(Vec::new())).await;
    let answer = server.post("/v1/decisions", "", asking("i")).await;
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
    let readiness = &server.doors.readiness;
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
    assert!(ready.contains("\"generation\":3"), "{ready}");
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
        r#"hallmark_http_requests_total{code="200",door="decisions"} 1"#,
        r#"hallmark_http_request_seconds_count{door="decisions"} 1"#,
        "hallmark_http_in_flight 0",
        "hallmark_http_connections 1",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} in\n{metrics}");
    }
}
