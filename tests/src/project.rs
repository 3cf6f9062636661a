//! Project `p` on a daemon: notes, attestors, policies and attestations in one call each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::client::{Answer, Client};
use crate::daemon::Daemon;
use crate::keys::Key;

/// The repository of every image.
pub const REPOSITORY: &str = "registry.example.com/shop/web";

/// The id of the key that [`World`] trusts.
pub const KEY_ID: &str = "https://keys.example.com/build";

/// A daemon with attestor `build`, which trusts one P-256 key, and a policy that requires it.
#[derive(Debug)]
pub struct World {
    /// Where the daemon keeps everything; `dir/data` is its data directory.
    pub dir: TempDir,
    /// The daemon.
    pub daemon: Daemon,
    /// The key, known as [`KEY_ID`].
    pub key: Key,
}

impl World {
    /// On an embedded store.
    pub async fn new() -> Self {
        Self::configured("").await
    }

    /// With a configuration file.
    pub async fn configured(toml: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = Daemon::start_configured(dir.path(), toml);
        let world = Self { dir, daemon, key: Key::shared("ECDSA_P256_SHA256") };
        attestor(world.client(), "build", &[(KEY_ID, &world.key)]).await;
        put_policy(world.client(), &policy("REQUIRE_ATTESTATION", &["build"])).await;
        world
    }

    /// A client of the daemon.
    pub fn client(&self) -> &Client {
        &self.daemon.client
    }

    /// Attests an image for `build`; answers the name of the occurrence.
    pub async fn attest(&self, image: &str) -> String {
        attest(self.client(), "build", image, KEY_ID, &self.key).await
    }
}

/// An image by digest; another `seed`, another digest.
pub fn image(seed: &str) -> String {
    format!("{REPOSITORY}@{}", digest(seed))
}

/// `sha256:…` of a seed.
pub fn digest(seed: &str) -> String {
    format!("sha256:{}", sha256_hex(seed.as_bytes()))
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

/// DSSE's pre-authentication encoding of a payload, under the type that Google's tool gives it.
pub fn pae(payload: &[u8]) -> Vec<u8> {
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

/// Creates note `id` and attestor `id` that trusts `keys`, each under its id.
pub async fn attestor(client: &Client, id: &str, keys: &[(&str, &Key)]) {
    note(client, id).await;
    let body = attestor_body(id, keys);
    client.post(&format!("/v1/projects/p/attestors?attestorId={id}"), &body).await.ok();
}

/// Creates a note.
pub async fn note(client: &Client, id: &str) {
    let note = json!({"attestation": {"hint": {"humanReadableName": id}}});
    client.post(&format!("/v1/projects/p/notes?noteId={id}"), &note).await.ok();
}

/// Replaces the keys of an attestor.
pub async fn put_attestor(client: &Client, id: &str, keys: &[(&str, &Key)]) {
    client.put(&format!("/v1/projects/p/attestors/{id}"), &attestor_body(id, keys)).await.ok();
}

/// An attestor as the API takes it.
pub fn attestor_body(id: &str, keys: &[(&str, &Key)]) -> Value {
    let key = |(id, key): &(&str, &Key)| {
        json!({"id": id, "pkixPublicKey": {
            "publicKeyPem": key.public_pem, "signatureAlgorithm": key.algorithm,
        }})
    };
    json!({"userOwnedGrafeasNote": {
        "noteReference": format!("projects/p/notes/{id}"),
        "publicKeys": keys.iter().map(key).collect::<Vec<_>>(),
    }})
}

/// A policy whose default rule is [`rule`].
pub fn policy(mode: &str, attestors: &[&str]) -> Value {
    json!({"defaultAdmissionRule": rule(mode, attestors)})
}

/// An enforced admission rule; `attestors` belong to `REQUIRE_ATTESTATION` only.
pub fn rule(mode: &str, attestors: &[&str]) -> Value {
    let names: Vec<_> = attestors.iter().map(|id| format!("projects/p/attestors/{id}")).collect();
    json!({
        "evaluationMode": mode,
        "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        "requireAttestationsBy": names,
    })
}

/// A rule whose denials are recorded only.
pub fn dry_run(mut rule: Value) -> Value {
    rule["enforcementMode"] = json!("DRYRUN_AUDIT_LOG_ONLY");
    rule
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

/// Files an occurrence; answers its name.
pub async fn file(client: &Client, occurrence: &Value) -> String {
    let created = client.post("/v1/projects/p/occurrences", occurrence).await.ok();
    created["name"].as_str().expect("a name").to_owned()
}

/// Signs the payload of `image` and files the attestation; answers its name.
pub async fn attest(client: &Client, note: &str, image: &str, key_id: &str, key: &Key) -> String {
    let payload = payload(image);
    file(client, &occurrence(note, image, &payload, key_id, &key.sign(&payload))).await
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

/// Asserts that a decision is an allow for this reason.
pub fn assert_allowed(decision: &Value, why: &str) {
    assert_eq!((&decision["allowed"], reason(decision)), (&json!(true), why), "{decision:#}");
}

/// Asserts that a decision is a denial for this reason.
pub fn assert_denied(decision: &Value, why: &str) {
    assert_eq!((&decision["allowed"], reason(decision)), (&json!(false), why), "{decision:#}");
}

/// The bytes with one bit flipped, counted from the first bit of the first byte.
pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 0x80 >> (bit % 8);
    bytes
}
