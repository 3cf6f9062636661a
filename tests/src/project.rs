//! Project `p` on a daemon: notes, attestors, policies and attestations in one call each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{Answer, Client};
use crate::keys::Key;

/// The repository of every image.
pub const REPOSITORY: &str = "registry.example.com/shop/web";

/// An image by digest; another `seed`, another digest.
pub fn image(seed: &str) -> String {
    format!("{REPOSITORY}@{}", digest(seed))
}

/// `sha256:…` of a seed.
pub fn digest(seed: &str) -> String {
    let hash = Sha256::digest(seed.as_bytes());
    format!("sha256:{}", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// The simple-signing payload of an image, byte for byte as Google's tool makes it.
pub fn payload(image: &str) -> Vec<u8> {
    let (repository, digest) = image.split_once('@').expect("an image by digest");
    format!(
        "{{\n  \"critical\": {{\n    \"identity\": {{\n      \"docker-reference\": \"{repository}\"\n    \
         }},\n    \"image\": {{\n      \"docker-manifest-digest\": \"{digest}\"\n    }},\n    \
         \"type\": \"Google cloud binauthz container signature\"\n  }}\n}}\n"
    )
    .into_bytes()
}

/// Creates note `id` and attestor `id` that trusts `keys`, each under its id.
pub async fn attestor(client: &Client, id: &str, keys: &[(&str, &Key)]) {
    let note = json!({"attestation": {"hint": {"humanReadableName": id}}});
    client.post(&format!("/v1/projects/p/notes?noteId={id}"), &note).await.ok();
    let body = attestor_body(id, keys);
    client.post(&format!("/v1/projects/p/attestors?attestorId={id}"), &body).await.ok();
}

/// An attestor as the API takes it.
pub fn attestor_body(id: &str, keys: &[(&str, &Key)]) -> Value {
    let key = |(id, key): &(&str, &Key)| {
        json!({"id": id, "pkixPublicKey": {
            "publicKeyPem": key.public_pem, "signatureAlgorithm": key.algorithm,
        }})
    };
    json!({"name": format!("projects/p/attestors/{id}"), "userOwnedGrafeasNote": {
        "noteReference": format!("projects/p/notes/{id}"),
        "publicKeys": keys.iter().map(key).collect::<Vec<_>>(),
    }})
}

/// A policy whose default rule requires these attestors, or is `ALWAYS_ALLOW`/`ALWAYS_DENY`
/// where there are none.
pub fn policy(mode: &str, attestors: &[&str]) -> Value {
    let names: Vec<_> = attestors.iter().map(|id| format!("projects/p/attestors/{id}")).collect();
    json!({"name": "projects/p/policy", "defaultAdmissionRule": {
        "evaluationMode": mode,
        "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        "requireAttestationsBy": names,
    }})
}

/// Puts the policy of the project.
pub async fn put_policy(client: &Client, policy: &Value) {
    client.put("/v1/projects/p/policy", policy).await.ok();
}

/// An attestation occurrence under note `note`.
pub fn occurrence(
    note: &str,
    image: &str,
    payload: &[u8],
    key_id: &str,
    signature: &[u8],
) -> Value {
    json!({
        "resourceUri": format!("https://{image}"),
        "noteName": format!("projects/p/notes/{note}"),
        "attestation": {
            "serializedPayload": STANDARD.encode(payload),
            "signatures": [{"publicKeyId": key_id, "signature": STANDARD.encode(signature)}],
        },
    })
}

/// Signs the payload of `image` and files the attestation; answers its name.
pub async fn attest(client: &Client, note: &str, image: &str, key_id: &str, key: &Key) -> String {
    let payload = payload(image);
    let occurrence = occurrence(note, image, &payload, key_id, &key.sign(&payload));
    let created = client.post("/v1/projects/p/occurrences", &occurrence).await.ok();
    created["name"].as_str().expect("a name").to_owned()
}

/// Asks for a decision on images.
pub async fn decide(client: &Client, images: &[&str]) -> Value {
    ask(client, &json!({"project": "p", "images": images})).await.ok()
}

/// Asks for a decision.
pub async fn ask(client: &Client, request: &Value) -> Answer {
    client.post("/v1/decisions", request).await
}

/// The reason of the first image of a decision.
pub fn reason(decision: &Value) -> &str {
    decision["images"][0]["reason"].as_str().unwrap_or_default()
}

/// The outcome of the first trial of the first attestor of the first image.
pub fn outcome(decision: &Value) -> &str {
    let trial = &decision["images"][0]["attestors"][0]["trials"][0];
    trial["outcome"].as_str().unwrap_or_default()
}
