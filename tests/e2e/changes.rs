//! Notes and occurrences that change under decisions: what is acknowledged holds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hallmark_tests::client::{Answer, Client};
use hallmark_tests::project::{
    World, assert_allowed, assert_denied, decide, flipped, image, note, payload, reason,
};
use hyper::Method;
use serde_json::{Value, json};

async fn patch(client: &Client, path: &str, body: &Value) -> Answer {
    client.call(Method::PATCH, path, "application/json", body.to_string().into()).await
}

#[tokio::test]
async fn a_deleted_note_attests_nothing_until_it_is_there_again() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("web"));
    world.attest(&image).await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    client.delete("/v1/projects/p/notes/build").await.ok();
    let denied = decide(client, &[&image]).await;
    assert_denied(&denied, "NOT_ATTESTED");
    assert_eq!(denied["images"][0]["attestors"][0]["reason"], "NO_ATTESTATIONS");
    client.delete("/v1/projects/p/notes/build").await.refused(404, "NOT_FOUND");
    note(client, "build").await;
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
}

#[tokio::test]
async fn a_changed_attestation_is_verified_anew() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("web"));
    let path = format!("/v1/{}", world.attest(&image).await);
    assert_allowed(&decide(client, &[&image]).await, "ATTESTED");
    let made = client.get(&path).await.ok();
    let signature = STANDARD
        .decode(made["attestation"]["signatures"][0]["signature"].as_str().expect("a signature"));
    let signature = signature.expect("base64");
    let bit = signature.len() * 8 - 1;
    let broken = STANDARD.encode(flipped(&signature, bit));
    let mut body = made.clone();
    body["attestation"]["signatures"][0]["signature"] = broken.into();
    let changed = patch(client, &format!("{path}?updateMask=attestation"), &body).await.ok();
    assert_eq!(changed["createTime"], made["createTime"]);
    assert_ne!(changed["updateTime"], made["updateTime"]);
    assert_denied(&decide(client, &[&image]).await, "NOT_ATTESTED");
    patch(client, &format!("{path}?updateMask=attestation.signatures"), &made).await.ok();
    assert_eq!(reason(&decide(client, &[&image]).await), "ATTESTED");
}

#[tokio::test]
async fn what_an_occurrence_is_cannot_be_changed() {
    let world = World::new().await;
    let (client, image) = (world.client(), image("web"));
    let path = format!("/v1/{}", world.attest(&image).await);
    note(client, "other").await;
    for (member, value) in [
        ("name", "projects/p/occurrences/other"),
        ("kind", "BUILD"),
        ("noteName", "projects/p/notes/other"),
        ("resourceUri", "https://registry.example.com/other"),
    ] {
        let message = patch(client, &path, &json!({member: value})).await;
        let message = message.refused(400, "INVALID_ARGUMENT");
        assert!(message.starts_with(&format!("{member}: cannot be changed")), "{message}");
    }
    let empty = json!({"attestation": {"serializedPayload": "", "signatures": []}});
    patch(client, &path, &empty).await.refused(400, "INVALID_ARGUMENT");
    let kept = client.get(&path).await.ok();
    assert_eq!(kept["attestation"]["serializedPayload"], STANDARD.encode(payload(&image)));
    let missing = "/v1/projects/p/occurrences/none";
    patch(client, missing, &json!({"remediation": "r"})).await.refused(404, "NOT_FOUND");
    patch(client, &path, &json!([])).await.refused(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn members_that_the_daemon_does_not_read_come_back_as_they_were() {
    let world = World::new().await;
    let client = world.client();
    let body = json!({
        "vulnerability": {"cvssScore": 7.5, "someNewMember": {"deep": [1, "2", null, true]}},
    });
    let made = client.post("/v1/projects/p/notes?noteId=cve", &body).await.ok();
    assert_eq!(made["vulnerability"], body["vulnerability"]);
    let path = "/v1/projects/p/notes/cve?updateMask=shortDescription";
    patch(client, path, &json!({"shortDescription": "s"})).await.ok();
    let read = client.get("/v1/projects/p/notes/cve?$alt=json;enum-encoding=int").await.ok();
    assert_eq!((&read["vulnerability"], &read["kind"]), (&body["vulnerability"], &json!(1)));
    let answer = client.get("/v1/projects/p/notes/cve?alt=proto").await;
    assert!(answer.refused(400, "INVALID_ARGUMENT").contains("ask for alt=json"));
}

#[tokio::test]
async fn iam_policies_are_those_that_can_be_held_to() {
    let world = World::new().await;
    let client = world.client();
    let path = "/v1/projects/p/attestors/build";
    let unwritten = client.get(&format!("{path}:getIamPolicy")).await.ok();
    assert_eq!(unwritten, json!({"etag": "ACAB"}));
    let set = format!("{path}:setIamPolicy");
    let binding =
        json!({"role": "roles/binaryauthorization.policyViewer", "members": ["user:a@b.example"]});
    let mut conditional = binding.clone();
    conditional["condition"] = json!({"expression": "false"});
    for (policy, says) in [
        (json!({"bindings": [conditional]}), "conditions are not evaluated"),
        (json!({"auditConfigs": [{"service": "allServices"}]}), "leave auditConfigs out"),
        (
            json!({"bindings": [{"role": "roles/binaryauthorization.policyViewer", "members": ["a"]}]}),
            "is no member",
        ),
        (json!({"bindings": [{"role": "roles/viewer", "members": []}]}), "no role `roles/viewer`"),
    ] {
        let answer = client.post(&set, &json!({"policy": policy})).await;
        assert!(answer.refused(400, "INVALID_ARGUMENT").contains(says), "{says}");
    }
    let policy = json!({"bindings": [binding], "etag": "ACAB"});
    let written = client.post(&set, &json!({"policy": policy})).await.ok();
    assert_eq!((&written["version"], &written["bindings"]), (&json!(1), &json!([binding])));
    client.post(&set, &json!({"policy": policy})).await.refused(409, "ABORTED");
    let missing = "/v1/projects/p/attestors/none:getIamPolicy";
    client.get(missing).await.refused(404, "NOT_FOUND");
    let ask = json!({"permissions": ["storage.buckets.get"]});
    let answer = client.post(&format!("{path}:testIamPermissions"), &ask).await;
    assert!(answer.refused(400, "INVALID_ARGUMENT").contains("no permission on projects/p"));
    let many = json!({"permissions": vec!["binaryauthorization.attestors.get"; 101]});
    let answer = client.post(&format!("{path}:testIamPermissions"), &many).await;
    assert!(answer.refused(400, "INVALID_ARGUMENT").contains("101 permissions; at most 100"));
    let occurrence = "/v1/projects/p/occurrences/o:getIamPolicy";
    client.post(occurrence, &json!({})).await.refused(501, "UNIMPLEMENTED");
}
