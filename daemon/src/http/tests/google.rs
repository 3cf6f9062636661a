//! Google's APIs over a real socket: shapes, status words and every refusal.

use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Server;
use super::ServerLimits;
use crate::resources::tests::fixture::world;

const DIGEST: &str = "sha256:02115bc7409dc044f700a729cacc1648dc4e445572e5765fbcc77029b0adba67";

struct Api {
    server: Server,
}

/// The answer: the status, and the body as JSON.
type Answered = (u16, Value);

impl Api {
    async fn start() -> Self {
        Self { server: Server::over(world(), ServerLimits::DEFAULT).await }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answered {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = self.server.send(head).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).expect(body))
    }

    async fn get(&self, path: &str) -> Answered {
        self.call("GET", path, "").await
    }

    async fn put(&self, path: &str, body: Value) -> Answered {
        self.call("PUT", path, &body.to_string()).await
    }

    async fn post(&self, path: &str, body: Value) -> Answered {
        self.call("POST", path, &body.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answered {
        self.call("DELETE", path, "").await
    }

    async fn with_note() -> Self {
        let api = Self::start().await;
        api.post("/v1/projects/p/notes?noteId=n", attestation_note()).await;
        api
    }
}

fn policy(etag: &str) -> Value {
    json!({
        "name": "projects/p/policy",
        "defaultAdmissionRule": {
            "evaluationMode": "ALWAYS_DENY",
            "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        },
        "etag": etag,
    })
}

fn attestor(keys: &Value) -> Value {
    let note = json!({"noteReference": "projects/p/notes/n", "publicKeys": keys});
    json!({"userOwnedGrafeasNote": note})
}

fn key(pem: &str) -> Value {
    json!({"pkixPublicKey": {"publicKeyPem": pem, "signatureAlgorithm": "ECDSA_P256_SHA256"}})
}

fn attestation_note() -> Value {
    json!({"attestation": {"hint": {"humanReadableName": "qa"}}})
}

fn attestation(signature: &str) -> Value {
    json!({
        "kind": "ATTESTATION",
        "noteName": "projects/p/notes/n",
        "resourceUri": format!("https://gcr.io/p/nginx@{DIGEST}"),
        "attestation": {
            "serializedPayload": STANDARD.encode("payload"),
            "signatures": [{"publicKeyId": "k", "signature": STANDARD.encode(signature)}],
        },
    })
}

/// Asserts an error of Google's shape.
#[track_caller]
fn refused(answered: &Answered, code: u16, status: &str, message: &str) {
    let (http, body) = answered;
    let error = &body["error"];
    assert_eq!(
        (*http, &error["code"], &error["status"]),
        (code, &json!(code), &json!(status)),
        "{body}"
    );
    assert!(error["message"].as_str().unwrap().contains(message), "{body}");
}

#[tokio::test]
async fn a_policy_denies_and_says_why_until_it_is_put() {
    let api = Api::start().await;
    let default = json!({
        "name": "projects/p/policy",
        "description": "No policy was written for this project, so every image is denied. Write \
            one with `hallmark policy import FILE`, or as policy.yaml in the project's directory \
            under --config-dir.",
        "globalPolicyEvaluationMode": "DISABLE",
        "defaultAdmissionRule": {
            "evaluationMode": "ALWAYS_DENY",
            "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        },
    });
    assert_eq!(api.get("/v1/projects/p/policy").await, (200, default));
    let (code, written) =
        api.put("/v1/projects/p/policy?alt=json&prettyPrint=false&key=x", policy("")).await;
    assert_eq!((code, &written["name"]), (200, &json!("projects/p/policy")));
    assert!(written["etag"].is_string() && written["updateTime"].is_string());
    assert_eq!(api.get("/v1/projects/p/policy?$alt=json").await, (200, written.clone()));
    assert_eq!(api.get("/v1beta1/projects/p/policy").await, (200, written));
}

#[tokio::test]
async fn a_policy_with_a_stale_etag_is_aborted() {
    let api = Api::start().await;
    let (_, first) = api.put("/v1/projects/p/policy", policy("")).await;
    let etag = first["etag"].as_str().unwrap();
    let (code, _) = api.put("/v1/projects/p/policy", policy(etag)).await;
    assert_eq!(code, 200);
    let stale = api.put("/v1/projects/p/policy", policy(etag)).await;
    refused(&stale, 409, "ABORTED", "projects/p/policy was changed since it was read");
}

#[tokio::test]
async fn a_policy_that_is_none_is_refused_with_the_field() {
    let api = Api::start().await;
    let path = "/v1/projects/p/policy";
    for (body, message) in [
        ("", "the document is empty"),
        ("[", "line 1"),
        ("{}", "defaultAdmissionRule"),
        (r#"{"defaultRule": {}}"#, "defaultRule"),
        (r#"{"name": "a", "name": "b"}"#, "second time"),
    ] {
        refused(&api.call("PUT", path, body).await, 400, "INVALID_ARGUMENT", message);
    }
    let rule = |names: Vec<&str>| {
        json!({"defaultAdmissionRule": {
            "evaluationMode": "REQUIRE_ATTESTATION",
            "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
            "requireAttestationsBy": names,
        }})
    };
    let missing = api.put(path, rule(vec!["projects/p/attestors/a"])).await;
    let message =
        "defaultAdmissionRule.requireAttestationsBy[0]: projects/p/attestors/a does not exist";
    refused(&missing, 400, "INVALID_ARGUMENT", message);
    let many: Vec<_> = (0..201).map(|i| format!("projects/p/attestors/a{i}")).collect();
    let many = api.put(path, rule(many.iter().map(String::as_str).collect())).await;
    refused(&many, 400, "INVALID_ARGUMENT", "200");
}

#[tokio::test]
async fn the_system_policy_has_a_name_for_each_location() {
    let api = Api::start().await;
    let (code, policy) = api.get("/v1/locations/europe-west2/policy").await;
    assert_eq!((code, &policy["name"]), (200, &json!("locations/europe-west2/policy")));
    assert!(policy["admissionWhitelistPatterns"].is_array());
    refused(&api.get("/v1/locations/A%20b/policy").await, 400, "INVALID_ARGUMENT", "location");
}

#[tokio::test]
async fn an_attestor_lives_from_create_to_delete() {
    let api = Api::start().await;
    let path = "/v1/projects/p/attestors/a";
    let (code, created) =
        api.post("/v1/projects/p/attestors?attestorId=a", attestor(&json!([key("one")]))).await;
    assert_eq!((code, &created["name"]), (200, &json!("projects/p/attestors/a")));
    assert_eq!(created["userOwnedGrafeasNote"]["publicKeys"][0]["id"], "ni:///one");
    assert_eq!(api.get(path).await, (200, created.clone()));
    let (_, beta) = api.get("/v1beta1/projects/p/attestors/a").await;
    assert_eq!(beta["userOwnedDrydockNote"], created["userOwnedGrafeasNote"]);
    assert_eq!(api.get("/v1/projects/p/attestors").await, (200, json!({"attestors": [created]})));
    let (code, updated) = api.put(path, attestor(&json!([key("two")]))).await;
    assert_eq!(
        (code, &updated["userOwnedGrafeasNote"]["publicKeys"][0]["id"]),
        (200, &json!("ni:///two"))
    );
    assert_eq!(api.delete(path).await, (200, json!({})));
    refused(&api.get(path).await, 404, "NOT_FOUND", "projects/p/attestors/a does not exist");
    refused(&api.delete(path).await, 404, "NOT_FOUND", "projects/p/attestors/a does not exist");
    assert_eq!(api.get("/v1/projects/p/attestors").await, (200, json!({})));
}

#[tokio::test]
async fn every_refusal_of_an_attestor_says_why() {
    let api = Api::start().await;
    let collection = "/v1/projects/p/attestors";
    let named = "/v1/projects/p/attestors?attestorId=a";
    let none = attestor(&json!([]));
    let twice = attestor(&json!([key("one"), key("one")]));
    let broken = attestor(&json!([key("one"), key("broken")]));
    let many = attestor(&Value::from_iter((0..1_001).map(|i| key(&format!("k{i}")))));
    for (path, body, message) in [
        (collection, &none, "query parameter `attestorId` is required"),
        ("/v1/projects/p/attestors?attestorId=a%2Fb", &none, "a/b"),
        ("/v1/projects/p%20q/attestors?attestorId=a", &none, "p q"),
        (named, &twice, "Public key with ID [ni:///one] already present on attestor [a]"),
        (named, &broken, "userOwnedGrafeasNote.publicKeys[1].pkixPublicKey: not a P-256 key"),
        (named, &many, "1000"),
        (named, &json!({}), "userOwnedGrafeasNote"),
    ] {
        refused(&api.post(path, body.clone()).await, 400, "INVALID_ARGUMENT", message);
    }
    let missing = api.put("/v1/projects/p/attestors/a", none.clone()).await;
    refused(&missing, 404, "NOT_FOUND", "projects/p/attestors/a does not exist");
    api.post(named, none.clone()).await;
    refused(
        &api.post(named, none.clone()).await,
        409,
        "ALREADY_EXISTS",
        "projects/p/attestors/a already exists",
    );
    let mut moved = none.clone();
    moved["userOwnedGrafeasNote"]["noteReference"] = json!("projects/p/notes/other");
    let moved = api.put("/v1/projects/p/attestors/a", moved).await;
    refused(
        &moved,
        400,
        "INVALID_ARGUMENT",
        "userOwnedGrafeasNote.noteReference: cannot be changed",
    );
    let mut stale = none.clone();
    stale["etag"] = json!("\"stale\"");
    let stale = api.put("/v1/projects/p/attestors/a", stale).await;
    refused(&stale, 409, "ABORTED", "projects/p/attestors/a was changed since it was read");
    api.server.world.keys.down.store(true, Ordering::Relaxed);
    let down = api.put("/v1/projects/p/attestors/a", attestor(&json!([key("one")]))).await;
    refused(&down, 503, "UNAVAILABLE", "temporarily unavailable");
}

#[tokio::test]
async fn a_project_full_of_attestors_has_used_up_its_quota() {
    let api = Api::start().await;
    for i in 0..200 {
        let path = format!("/v1/projects/p/attestors?attestorId=a{i}");
        assert_eq!(api.post(&path, attestor(&json!([]))).await.0, 200);
    }
    let beyond = api.post("/v1/projects/p/attestors?attestorId=beyond", attestor(&json!([]))).await;
    refused(&beyond, 429, "RESOURCE_EXHAUSTED", "the limit is 200");
}

#[tokio::test]
async fn a_listing_goes_on_where_its_page_ended() {
    let api = Api::start().await;
    for id in ["a", "b", "c"] {
        api.post(&format!("/v1/projects/p/attestors?attestorId={id}"), attestor(&json!([]))).await;
    }
    let (_, first) = api.get("/v1/projects/p/attestors?pageSize=2&pageToken=").await;
    assert_eq!(first["attestors"].as_array().unwrap().len(), 2);
    let token = first["nextPageToken"].as_str().unwrap();
    let (_, second) =
        api.get(&format!("/v1/projects/p/attestors?pageSize=2&pageToken={token}")).await;
    assert_eq!(
        (&second["attestors"][0]["name"], &second["nextPageToken"]),
        (&json!("projects/p/attestors/c"), &Value::Null)
    );
    for (query, message) in [
        ("pageSize=two", "`pageSize` is not a number"),
        ("pageSize=-1", "pageSize: must not be negative"),
        ("pageToken=x", "pageToken: is not one that this service gave"),
    ] {
        let answered = api.get(&format!("/v1/projects/p/attestors?{query}")).await;
        refused(&answered, 400, "INVALID_ARGUMENT", message);
    }
    let elsewhere = api.get(&format!("/v1/projects/q/attestors?pageToken={token}")).await;
    refused(&elsewhere, 400, "INVALID_ARGUMENT", "pageToken: belongs to another listing");
}

#[tokio::test]
async fn a_note_is_created_once_and_read_back() {
    let api = Api::start().await;
    let (code, created) = api.post("/v1/projects/p/notes?noteId=n", attestation_note()).await;
    assert_eq!(
        (code, &created["name"], &created["kind"]),
        (200, &json!("projects/p/notes/n"), &json!("ATTESTATION"))
    );
    assert_eq!(created["attestation"], attestation_note()["attestation"]);
    assert_eq!(api.get("/v1/projects/p/notes/n").await, (200, created));
    assert_eq!(api.get("/v1/projects/p/notes?filter=").await.1["notes"][0]["kind"], "ATTESTATION");
    let filtered = api.get("/v1/projects/p/notes?filter=kind%3D%22BUILD%22").await;
    refused(&filtered, 400, "INVALID_ARGUMENT", "leave the filter empty");
    let again = api.post("/v1/projects/p/notes?noteId=n", attestation_note()).await;
    refused(&again, 409, "ALREADY_EXISTS", "projects/p/notes/n already exists");
    refused(
        &api.get("/v1/projects/p/notes/m").await,
        404,
        "NOT_FOUND",
        "projects/p/notes/m does not exist",
    );
    let unnamed = api.post("/v1/projects/p/notes", attestation_note()).await;
    refused(&unnamed, 400, "INVALID_ARGUMENT", "`noteId` is required");
    let bodiless = api.post("/v1/projects/p/notes?noteId=m", json!({})).await;
    refused(&bodiless, 400, "INVALID_ARGUMENT", "no body");
}

#[tokio::test]
async fn an_occurrence_lives_from_create_to_delete() {
    let api = Api::with_note().await;
    let (code, created) = api.post("/v1/projects/p/occurrences", attestation("s")).await;
    assert_eq!(code, 200, "{created}");
    assert_eq!(created["attestation"], attestation("s")["attestation"]);
    assert!(created["createTime"].is_string());
    let name = created["name"].as_str().unwrap();
    let path = format!("/v1/{name}");
    assert_eq!(api.get(&path).await, (200, created.clone()));
    let again = api.post("/v1/projects/p/occurrences", attestation("s")).await;
    let id = name.rsplit('/').next().unwrap();
    refused(&again, 409, "ALREADY_EXISTS", &format!("occurrence ID \"{id}\" already exists"));
    assert_eq!(api.delete(&path).await, (200, json!({})));
    refused(&api.get(&path).await, 404, "NOT_FOUND", name);
    refused(&api.delete(&path).await, 404, "NOT_FOUND", name);
}

#[tokio::test]
async fn occurrences_are_listed_as_clients_filter_them() {
    let api = Api::with_note().await;
    let (_, created) = api.post("/v1/projects/p/occurrences", attestation("s")).await;
    let found = (200, json!({"occurrences": [created]}));
    let url = format!("https%3A%2F%2Fgcr.io%2Fp%2Fnginx%40{DIGEST}");
    for query in [
        "/v1/projects/p/occurrences",
        "/v1/projects/p/occurrences?filter=&pageSize=100",
        "/v1/projects/p/notes/n/occurrences?filter=",
        &format!(
            "/v1/projects/p/notes/n/occurrences?filter=has_suffix(resourceUrl,+%22{DIGEST}%22)"
        ),
        &format!(
            "/v1/projects/p/occurrences?filter=resourceUrl%3D%22{url}%22%20AND%20kind%3D%22ATTESTATION%22"
        ),
    ] {
        assert_eq!(api.get(query).await, found, "{query}");
    }
    assert_eq!(
        api.get("/v1/projects/p/occurrences?filter=kind%3D%22BUILD%22").await,
        (200, json!({}))
    );
    let odd = api.get("/v1/projects/p/occurrences?filter=createTime%3E1").await;
    refused(&odd, 400, "INVALID_ARGUMENT", "supported are resourceUrl=");
    let unknown = api.get("/v1/projects/p/notes/m/occurrences").await;
    refused(&unknown, 404, "NOT_FOUND", "projects/p/notes/m does not exist");
}

#[tokio::test]
async fn a_batch_is_created_whole_or_not_at_all() {
    let api = Api::with_note().await;
    let path = "/v1/projects/p/occurrences:batchCreate";
    let batch = |all: Vec<Value>| json!({"parent": "projects/p", "occurrences": all});
    let (code, created) = api.post(path, batch(vec![attestation("a"), attestation("b")])).await;
    assert_eq!((code, created["occurrences"].as_array().unwrap().len()), (200, 2));
    let taken = api.post(path, batch(vec![attestation("c"), attestation("a")])).await;
    refused(&taken, 409, "ALREADY_EXISTS", "already exists");
    let mut noteless = attestation("c");
    noteless["noteName"] = json!("projects/p/notes/missing");
    let noteless = api.post(path, batch(vec![attestation("c"), noteless])).await;
    refused(&noteless, 404, "NOT_FOUND", "projects/p/notes/missing does not exist");
    let empty = api.post(path, batch(vec![])).await;
    refused(&empty, 400, "INVALID_ARGUMENT", "occurrences: must be 1 to 1000, not 0");
    let many = (0..1_001).map(|i| attestation(&i.to_string())).collect();
    refused(&api.post(path, batch(many)).await, 400, "INVALID_ARGUMENT", "not 1001");
    let (_, all) = api.get("/v1/projects/p/occurrences").await;
    assert_eq!(all["occurrences"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_occurrence_that_is_none_is_refused_with_the_field() {
    let api = Api::with_note().await;
    let mut build = attestation("s");
    build["kind"] = json!("BUILD");
    let other = json!({"noteName": "projects/p/notes/n", "resourceUri": "https://x", "build": {}});
    let mut unsigned = attestation("s");
    unsigned["attestation"]["signatures"] = json!([]);
    for (body, message) in [
        (build, "kind"),
        (other, "is of kind ATTESTATION, the occurrence is of kind BUILD"),
        (unsigned, "no signatures"),
        (json!({"attestation": {}}), "noteName"),
    ] {
        let answered = api.post("/v1/projects/p/occurrences", body).await;
        refused(&answered, 400, "INVALID_ARGUMENT", message);
    }
}

#[tokio::test]
async fn a_daemon_fed_from_files_refuses_writes_and_says_what_to_do() {
    let api = Api::with_note().await;
    api.server.world.store.frozen.store(true, Ordering::Relaxed);
    for answered in [
        api.put("/v1/projects/p/policy", policy("")).await,
        api.post("/v1/projects/p/attestors?attestorId=a", attestor(&json!([]))).await,
        api.delete("/v1/projects/p/attestors/a").await,
        api.post("/v1/projects/p/notes?noteId=m", attestation_note()).await,
        api.post("/v1/projects/p/occurrences", attestation("s")).await,
        api.delete("/v1/projects/p/occurrences/o").await,
    ] {
        refused(&answered, 400, "FAILED_PRECONDITION", "change the files there");
    }
    assert_eq!(api.get("/v1/projects/p/notes/n").await.0, 200);
}
