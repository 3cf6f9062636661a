//! Reviews of Kubernetes in front of a store that does not answer: the denial is there in time, in
//! the form in which the API server heeds it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Server;
use super::ServerLimits;
use super::image;
use super::requiring_world;

/// The answer to a body, and the time it took.
async fn posted(server: &Server, path: &str, body: &Value) -> (u16, Value, Duration) {
    let started = Instant::now();
    let answer = server.post(path, "content-type: application/json\r\n", body.to_string()).await;
    let elapsed = started.elapsed();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).expect(body), elapsed)
}

fn admission(kind: &str) -> Value {
    let containers = json!({"containers": [{"name": "c", "image": image(1)}]});
    let (group, spec) = match kind {
        "Pod" => ("", containers),
        _ => ("apps", json!({"template": {"spec": containers}})),
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u-1", "kind": {"group": group, "version": "v1", "kind": kind},
        "operation": "CREATE", "namespace": "n", "object": {"kind": kind, "spec": spec},
    }})
}

fn image_review() -> Value {
    json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": {"containers": [{"image": image(2)}], "namespace": "n"}})
}

fn provider_request() -> Value {
    json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest",
        "request": {"keys": [image(3)]}})
}

const ADMISSION: &str = "/k8s/projects/p/clusters/l.c/admission";
const IMAGE_REVIEW: &str = "/k8s/projects/p/clusters/l.c/imagereview";
const GATEKEEPER: &str = "/gatekeeper/projects/p/clusters/l.c/validate";

#[tokio::test]
async fn late_means_denied_within_the_timeout_of_the_api_server() {
    let (server, _turns) = Server::holding(ServerLimits::DEFAULT).await;
    let timeout = Duration::from_secs(2);
    let (status, body, elapsed) =
        posted(&server, &format!("{ADMISSION}?timeout=2s"), &admission("Pod")).await;
    assert!(status == 200 && elapsed < timeout, "{status} after {elapsed:?}");
    let response = &body["response"];
    assert_eq!((&response["uid"], &response["allowed"]), (&json!("u-1"), &json!(false)));
    let status = &response["status"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(503), &json!("UNDETERMINED")));
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("Could not be determined"), "{message}");

    let (_, body, elapsed) =
        posted(&server, &format!("{IMAGE_REVIEW}?timeout=2s"), &image_review()).await;
    assert!(elapsed < timeout, "{elapsed:?}");
    assert_eq!(body["status"]["allowed"], false);
    assert!(
        body["status"]["reason"].as_str().expect("a reason").contains("Could not be determined")
    );

    let (_, body, elapsed) =
        posted(&server, &format!("{GATEKEEPER}?timeout=2s"), &provider_request()).await;
    assert!(elapsed < timeout, "{elapsed:?}");
    let error = body["response"]["items"][0]["error"].as_str().expect("an error");
    assert!(error.contains("Could not be determined"), "{error}");
}

/// A workload is let in with a warning: its pods are judged when they come.
#[tokio::test]
async fn late_advice_is_a_warning() {
    let (server, _turns) = Server::holding(ServerLimits::DEFAULT).await;
    let path = format!("{ADMISSION}?timeout=200ms");
    let (_, body, _) = posted(&server, &path, &admission("Deployment")).await;
    let response = &body["response"];
    assert_eq!(response["allowed"], true);
    assert!(
        response["warnings"][0].as_str().expect("a warning").contains("would be denied"),
        "{body}"
    );
}

/// The daemon's own limit holds where the API server gives more time, or says nothing of it.
#[tokio::test]
async fn the_limit_of_the_daemon_holds_as_well() {
    let limits =
        ServerLimits { request_deadline: Duration::from_millis(200), ..ServerLimits::DEFAULT };
    let (server, _turns) = Server::holding(limits).await;
    for query in ["", "?timeout=30s", "?timeout=9999999h", "?x=y&timeout=30s"] {
        let path = format!("{ADMISSION}{query}");
        let (status, body, elapsed) = posted(&server, &path, &admission("Pod")).await;
        assert_eq!((status, &body["response"]["allowed"]), (200, &json!(false)), "{query}");
        assert!(elapsed < Duration::from_secs(5), "{query} {elapsed:?}");
    }
}

#[tokio::test]
async fn a_store_that_fails_allows_nothing() {
    let server = Server::over(requiring_world().await, ServerLimits::DEFAULT).await;
    server.world.store.fail_reads.store(true, Ordering::Relaxed);
    let (_, body, _) = posted(&server, ADMISSION, &admission("Pod")).await;
    assert_eq!(body["response"]["allowed"], false, "{body}");
    let (_, body, _) = posted(&server, IMAGE_REVIEW, &image_review()).await;
    assert_eq!(body["status"]["allowed"], false, "{body}");
    let (_, body, _) = posted(&server, GATEKEEPER, &provider_request()).await;
    assert!(body["response"]["items"][0]["error"].is_string(), "{body}");
}

#[tokio::test]
async fn reviews_are_counted_by_their_api() {
    let server = Server::start(ServerLimits::DEFAULT).await;
    for (path, body) in [
        (ADMISSION, admission("Pod")),
        (IMAGE_REVIEW, image_review()),
        (GATEKEEPER, provider_request()),
    ] {
        assert_eq!(posted(&server, path, &body).await.0, 200);
        assert_eq!(posted(&server, path, &json!([])).await.0, 400);
    }
    for api in ["admission_review", "image_review", "external_data"] {
        for code in ["200", "400"] {
            let labels = format!(r#"api="{api}",code="{code}",door="{api}""#);
            server.shows(&format!("hallmark_http_requests_total{{{labels}}} 1")).await;
        }
    }
}

/// An error may count as a yes, an answer never does: whoever finds no room is denied, not shed.
#[tokio::test]
async fn whoever_finds_no_room_is_denied() {
    let limits = ServerLimits { in_flight_max: 0, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    let (code, body, _) = posted(&server, ADMISSION, &admission("Pod")).await;
    let response = &body["response"];
    assert_eq!((code, &response["uid"], &response["allowed"]), (200, &json!("u-1"), &json!(false)));
    assert_eq!(response["status"]["reason"], "UNDETERMINED", "{body}");
    let message = response["status"]["message"].as_str().expect("a message");
    assert!(message.contains("Could not be determined: more reviews arrive"), "{message}");
    let (_, body, _) = posted(&server, ADMISSION, &admission("Deployment")).await;
    assert_eq!(body["response"]["allowed"], true);
    assert!(body["response"]["warnings"][0].as_str().expect("text").contains("more reviews"));
    let mut deletion = admission("Pod");
    deletion["request"]["operation"] = json!("DELETE");
    let (_, body, _) = posted(&server, ADMISSION, &deletion).await;
    assert_eq!(body["response"], json!({"uid": "u-1", "allowed": true}));
    let (_, body, _) = posted(&server, ADMISSION, &admission("PodGroup")).await;
    assert_eq!(body["response"]["allowed"], false, "{body}");
    let (_, body, _) = posted(&server, IMAGE_REVIEW, &image_review()).await;
    assert_eq!(body["status"]["allowed"], false);
    assert!(body["status"]["reason"].as_str().expect("a reason").contains("more reviews"));
    let (_, body, _) = posted(&server, GATEKEEPER, &provider_request()).await;
    assert_eq!(body["response"]["items"], json!([]));
    assert!(body["response"]["systemError"].as_str().expect("text").contains("more reviews"));
    for path in [ADMISSION, IMAGE_REVIEW, GATEKEEPER] {
        assert_eq!(posted(&server, path, &json!({})).await.0, 400);
    }
    server.shows(r#"hallmark_http_shed_total{cause="requests"} 9"#).await;
    let limits = ServerLimits { bodies_max: 0, ..ServerLimits::DEFAULT };
    let server = Server::start(limits).await;
    assert_eq!(posted(&server, ADMISSION, &admission("Pod")).await.0, 503);
}
