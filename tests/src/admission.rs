//! Requests of a Kubernetes API server: recorded calls, and reviews made for the occasion.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// The cluster of every call.
pub const CLUSTER: &str = "europe-west2.prod";

/// The folder of the recorded calls.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/admission")
}

/// A recorded call, or what is expected of all.
pub fn recorded(name: &str) -> Value {
    let text = std::fs::read(folder().join(name)).expect(name);
    serde_json::from_slice(&text).expect(name)
}

/// Posts to `door` of project `p`: `admission` or `imagereview`.
pub async fn post(client: &Client, door: &str, body: &Value) -> Answer {
    client.post(&format!("/k8s/projects/p/clusters/{CLUSTER}/{door}?timeout=10s"), body).await
}

/// The response to an AdmissionReview, once it is one to this very review.
pub async fn review(client: &Client, body: &Value) -> Value {
    let mut answer = post(client, "admission", body).await.ok();
    assert_eq!(answer["apiVersion"], "admission.k8s.io/v1", "{answer:#}");
    assert_eq!(answer["kind"], "AdmissionReview", "{answer:#}");
    assert_eq!(answer["response"]["uid"], body["request"]["uid"], "{answer:#}");
    answer["response"].take()
}

/// A pod of these images.
pub fn pod(images: &[&str]) -> Value {
    let container = |(n, image): (usize, &&str)| json!({"name": format!("c{n}"), "image": image});
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": images.iter().enumerate().map(container).collect::<Vec<_>>()},
    })
}

/// The review of the creation of `object` in namespace `shop`.
pub fn creation(object: &Value) -> Value {
    let (group, version) = match object["apiVersion"].as_str().expect("a version").split_once('/') {
        Some(both) => both,
        None => ("", object["apiVersion"].as_str().expect("a version")),
    };
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": version, "kind": object["kind"]},
        "resource": {"group": group, "version": version, "resource": "any"},
        "name": "web", "namespace": "shop", "operation": "CREATE",
        "userInfo": {"username": "alice", "uid": "014fbff9", "groups": ["devs", "system:authenticated"]},
        "object": object, "oldObject": null, "dryRun": false,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    }})
}

/// The review of an update.
pub fn update(old: &Value, new: &Value) -> Value {
    let mut review = creation(new);
    review["request"]["operation"] = json!("UPDATE");
    review["request"]["oldObject"] = old.clone();
    review
}
