//! Everything that is written is obeyed or refused: nothing in a request or a document is dropped
//! in silence.

use hallmark_tests::admission::{creation, pod};
use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::project::{World, attestor_body, image, note, policy};
use hyper::Method;
use serde_json::{Value, json};

async fn send(client: &Client, line: &str, body: &Value) -> (u16, String) {
    let (method, path) = line.split_once(' ').expect("METHOD PATH");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let answer = client.call(method, path, "application/json", body.to_string().into()).await;
    (answer.status, answer.text)
}

/// serde reads an array as a struct by position: `[P, null, …, [image], true]` set breakGlass.
#[tokio::test]
async fn an_array_is_no_object_in_any_body() {
    let world = World::new().await;
    let client = world.client();
    let review = creation(&pod(&[&image("x")]));
    let mut request = review["request"].clone();
    let array = |object: &Value| -> Value {
        object.as_object().expect("an object").values().cloned().collect::<Vec<_>>().into()
    };
    request["kind"] = array(&request["kind"]);
    let kind =
        json!({"apiVersion": review["apiVersion"], "kind": review["kind"], "request": request});
    let mut object = review.clone();
    object["request"]["object"]["spec"]["containers"] = json!([["c", image("x")]]);
    let admission = "POST /k8s/projects/p/clusters/l.c/admission";
    let image_review = json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
        "spec": [[[image("x")]], {}, "shop"]});
    let external = json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1",
        "kind": "ProviderRequest", "request": [[image("x")]]});
    let attestors = "POST /v1/projects/p/attestors?attestorId=a";
    for (line, body) in [
        ("POST /v1/decisions", json!(["p", null, null, null, null, [image("x")], true])),
        ("POST /v1/decisions", json!([])),
        (admission, array(&review)),
        (
            admission,
            json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": array(&review["request"])}),
        ),
        (admission, kind),
        ("POST /k8s/projects/p/clusters/l.c/imagereview", image_review),
        ("POST /gatekeeper/projects/p/clusters/l.c/validate", external),
        ("PUT /v1/projects/p/policy", array(&policy("ALWAYS_ALLOW", &[]))),
        (attestors, array(&attestor_body("build", &[]))),
        ("POST /v1/projects/p/notes?noteId=a", json!([{"hint": {}}])),
        ("POST /v1/projects/p/occurrences", json!(["projects/p/notes/build"])),
        ("POST /v1/projects/p/attestors/build:setIamPolicy", json!({"policy": [1, []]})),
        ("POST /v1/projects/p/platforms/gke/policies?policyId=a", json!([{}])),
    ] {
        let (status, text) = send(client, line, &body).await;
        assert_eq!(status, 400, "{line} {body}: {text}");
    }
    let (status, text) = send(client, admission, &object).await;
    assert!(status == 200 && text.contains(r#""allowed":false"#), "{text}");
    let ndjson = client.stream(&[json!(["p", null, null, null, null, [image("x")], true])]).await;
    assert_eq!(ndjson[0]["error"]["status"], "INVALID_ARGUMENT", "{ndjson:?}");
}

/// Malformed, it would match no rule, and the laxer default would decide.
#[tokio::test]
async fn a_malformed_cluster_or_namespace_is_never_the_default_rule() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    let client = &daemon.client;
    client.put("/v1/projects/p/policy", &policy("ALWAYS_ALLOW", &[])).await.ok();
    let long = format!("l.{}", "c".repeat(300));
    let decide =
        |member: &str, value: &str| json!({"project": "p", "images": [image("x")], member: value});
    for (member, values) in [
        ("cluster", ["", "foo", "l.c ", "L.C", "l.c\0", "l.", &long]),
        ("namespace", ["", "a.b", "shop ", "Shop", "shop\0", "a/b", &long]),
        ("serviceAccount", ["", "shop:web", "web ", "Web", "web\0", "a/b", &long]),
        ("istioIdentity", ["", "d", "d/ns/n/sa/s ", "d/ns/N/sa/s", "d/ns/n/sa/s\0", "a/b", &long]),
    ] {
        for value in values {
            let body = decide(member, value);
            let message =
                client.post("/v1/decisions", &body).await.refused(400, "INVALID_ARGUMENT");
            assert!(message.starts_with(&format!("`{member}`: ")), "{message}");
            let line = client.stream(&[body]).await.remove(0);
            assert_eq!(line["error"]["status"], "INVALID_ARGUMENT", "{line}");
        }
    }
    let message = client.post("/v1/decisions", &decide("serviceAccount", "web")).await;
    let message = message.refused(400, "INVALID_ARGUMENT");
    assert!(message.starts_with("`serviceAccount` needs `namespace`"), "{message}");
    let review = creation(&pod(&[&image("x")]));
    let image_review = |namespace: &str| {
        json!({"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview",
            "spec": {"containers": [{"image": image("x")}], "namespace": namespace}})
    };
    let external = json!({"apiVersion": "externaldata.gatekeeper.sh/v1beta1",
        "kind": "ProviderRequest", "request": {"keys": [image("x")]}});
    for cluster in ["foo", "l.c%20", "L.C", "l.c%00", "l.", &long] {
        for (path, body) in [
            (format!("/k8s/projects/p/clusters/{cluster}/admission"), &review),
            (format!("/k8s/projects/p/clusters/{cluster}/imagereview"), &image_review("shop")),
            (format!("/gatekeeper/projects/p/clusters/{cluster}/validate"), &external),
        ] {
            client.post(&path, body).await.refused(400, "INVALID_ARGUMENT");
        }
    }
    for namespace in ["", "Shop", "shop ", "a.b", "shop\0"] {
        let path = "/k8s/projects/p/clusters/l.c/imagereview";
        client.post(path, &image_review(namespace)).await.refused(400, "INVALID_ARGUMENT");
        for pointer in ["/request/namespace", "/request/object/metadata/namespace"] {
            let mut review = review.clone();
            *review.pointer_mut(pointer).expect("a namespace") = json!(namespace);
            let path = "/k8s/projects/p/clusters/l.c/admission";
            let response = client.post(path, &review).await.ok()["response"].take();
            // To Kubernetes an object with an empty namespace has none.
            let refused = !(namespace.is_empty() && pointer.contains("object"));
            assert_eq!(response["allowed"], json!(!refused), "{pointer} {namespace:?} {response}");
            assert_eq!(response["status"]["code"] == 400, refused, "{response}");
        }
    }
    let mut account = review;
    account["request"]["object"]["spec"]["serviceAccountName"] = json!("shop:web");
    let path = "/k8s/projects/p/clusters/l.c/admission";
    assert_eq!(client.post(path, &account).await.ok()["response"]["allowed"], false);
}

/// Holds a write to what it says of its own name: `bad` is refused, `good` is carried out.
async fn assert_named(client: &Client, line: &str, bad: &Value, good: &Value) {
    let (status, text) = send(client, line, bad).await;
    assert_eq!(status, 400, "{line} {bad}: {text}");
    let (status, text) = send(client, line, good).await;
    assert_eq!(status, 200, "{line} {good}: {text}");
}

fn with(member: &str, value: &str, mut body: Value) -> Value {
    body[member] = json!(value);
    body
}

/// A document says whose it is, or nothing of that.
#[tokio::test]
async fn a_document_is_not_named_as_another_resource() {
    let world = World::new().await;
    let client = world.client();
    note(client, "n").await;
    let hint = json!({"attestation": {"hint": {}}});
    let occurrence = json!({"noteName": "projects/p/notes/n", "resourceUri": image("x"),
        "attestation": {"serializedPayload": "eA==",
            "signatures": [{"publicKeyId": "k", "signature": "eA=="}]}});
    for (line, body, bad, good) in [
        (
            "PUT /v1/projects/p/policy",
            policy("ALWAYS_DENY", &[]),
            "projects/q/policy",
            "projects/p/policy",
        ),
        (
            "POST /v1/projects/p/attestors?attestorId=a",
            attestor_body("n", &[]),
            "projects/q/attestors/a",
            "projects/p/attestors/a",
        ),
        ("PUT /v1/projects/p/attestors/a", attestor_body("n", &[]), "projects/p/attestors/b", "a"),
        (
            "POST /v1/projects/p/notes?noteId=m",
            hint,
            "projects/q/notes/m",
            "projects/p/locations/global/notes/m",
        ),
        (
            "POST /v1/projects/p/occurrences",
            occurrence,
            "projects/q/occurrences/o",
            "projects/p/occurrences/o",
        ),
        (
            "POST /v1/projects/p/platforms/gke/policies?policyId=a",
            json!({"gkePolicy": {}}),
            "projects/q/platforms/gke/policies/a",
            "projects/p/platforms/gke/policies/a",
        ),
    ] {
        let bad = with("name", bad, body.clone());
        assert_named(client, line, &bad, &with("name", good, body)).await;
    }
}

/// As a document's name, so what a body repeats of its path; and a note that is null is none.
#[tokio::test]
async fn a_body_repeats_its_path_or_nothing() {
    let world = World::new().await;
    let client = world.client();
    note(client, "n").await;
    let hint = json!({"attestation": {"hint": {}}});
    let named = |name: &str| json!({"notes": {"o": with("name", name, hint.clone())}});
    let batch = "POST /v1/projects/p/notes:batchCreate";
    assert_named(client, batch, &named("projects/q/notes/o"), &named("projects/p/notes/o")).await;
    let under = |parent: &str| json!({"parent": parent, "notes": {"r": hint}});
    assert_named(client, batch, &under("projects/q"), &under("projects/p/locations/global")).await;
    let null = json!({"notes": {"s": hint, "t": null}});
    assert_named(client, batch, &null, &json!({"notes": {"s": hint, "t": hint}})).await;
    let set = "POST /v1/projects/p/attestors/build:setIamPolicy";
    let of = |attestor: &str| with("resource", attestor, json!({"policy": {}}));
    assert_named(client, set, &of("projects/q/attestors/build"), &of("projects/p/attestors/build"))
        .await;
    let masked = |mask: &str| with("updateMask", mask, json!({"policy": {}}));
    let set = "POST /v1/projects/p/notes/n:setIamPolicy";
    assert_named(client, set, &masked("etag"), &masked("bindings,etag")).await;
}
