//! Memory of a real daemon under bodies that are small to send and large to hold.

use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::gpg::{Gpg, MADE};
use hallmark_tests::project::{
    assert_denied, decide, digest, file, image, note, occurrence, payload, policy, put_policy,
};
use serde_json::{Value, json};

/// MiB that one hostile request may add to a daemon at rest: what `docs/operating.md` says.
const ONE_REQUEST_MIB: u64 = 256;
const MIB: usize = 1 << 20;
const SIGNATURES: usize = 16;

/// A daemon with attestor `a`, which trusts an OpenPGP certificate with as many signing keys as a
/// blob has signatures.
struct World {
    daemon: Daemon,
    dir: tempfile::TempDir,
    gpg: Gpg,
    signers: Vec<String>,
    at_rest_mib: u64,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let daemon = Daemon::start(dir.path());
        let gpg = Gpg::new();
        let primary = gpg.key("ed25519");
        let subkeys = (1..SIGNATURES).map(|_| gpg.subkey(MADE, &primary, "ed25519"));
        let signers = std::iter::once(primary.clone()).chain(subkeys).collect();
        note(&daemon.client, "a").await;
        let attestor = json!({"userOwnedGrafeasNote": {
            "noteReference": "projects/p/notes/a",
            "publicKeys": [{"asciiArmoredPgpPublicKey": gpg.export(&primary)}],
        }});
        daemon.client.post("/v1/projects/p/attestors?attestorId=a", &attestor).await.ok();
        put_policy(&daemon.client, &policy("REQUIRE_ATTESTATION", &["a"])).await;
        let at_rest_mib = daemon.peak_memory_mib();
        Self { daemon, dir, gpg, signers, at_rest_mib }
    }

    fn client(&self) -> &Client {
        &self.daemon.client
    }

    /// So many zeros, compressed and signed by every key.
    fn blob(&self, zeros: usize) -> Vec<u8> {
        let signers: Vec<_> = self.signers.iter().map(|key| format!("{key}!")).collect();
        let users = signers.iter().flat_map(|key| ["--local-user", key]);
        let form = ["--compress-algo", "zlib", "-z", "9", "--sign"];
        let arguments: Vec<_> = users.chain(form).collect();
        let blob = self.gpg.run(MADE, &arguments, &vec![0; zeros]);
        assert!(blob.len() < 8 << 10, "{} bytes", blob.len());
        blob
    }

    /// An attestation of `image` with a blob so many times.
    fn attestation(&self, image: &str, blob: &[u8], count: usize) -> Value {
        let mut one = occurrence("a", image, &payload(image), &self.signers[0], blob);
        let signature = one["attestation"]["signatures"][0].clone();
        one["attestation"]["signatures"] = vec![signature; count].into();
        one
    }

    fn assert_small(&self, what: &str) {
        let peak = self.daemon.peak_memory_mib();
        let limit = self.at_rest_mib + ONE_REQUEST_MIB;
        assert!(peak <= limit, "{what}: {peak} MiB, {} at rest", self.at_rest_mib);
        eprintln!("{what}: {peak} MiB, {} at rest", self.at_rest_mib);
    }
}

/// A read-only permission is all that this takes.
#[tokio::test]
async fn envelopes_that_are_not_stored_are_opened_within_a_budget() {
    let world = World::new().await;
    let image = image("unstored");
    for zeros in [60 << 10, MIB] {
        let blob = world.blob(zeros);
        let body = json!({
            "occurrenceNote": "projects/p/notes/a",
            "occurrenceResourceUri": image,
            "attestation": world.attestation(&image, &blob, 60)["attestation"],
        });
        let path = "/v1/projects/p/attestors/a:validateAttestationOccurrence";
        let answer = world.client().post(path, &body).await.ok();
        assert_eq!(answer["result"], "ATTESTATION_NOT_VERIFIABLE", "{answer}");
        world.assert_small(&format!("60 blobs of {zeros} zeros, validated"));
    }
}

#[tokio::test]
async fn envelopes_that_are_stored_are_opened_within_a_budget() {
    let world = World::new().await;
    let client = world.client();
    let blob = world.blob(60 << 10);
    let images: Vec<_> = (0..8).map(|n| image(&format!("stored {n}"))).collect();
    for image in &images {
        file(client, &world.attestation(image, &blob, 60)).await;
    }
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    assert_denied(&decide(client, &images).await, "NOT_ATTESTED");
    world.assert_small("8 images with 60 blobs each, decided");
}

#[tokio::test]
async fn evidence_that_is_large_is_read_within_a_budget() {
    let world = World::new().await;
    let client = world.client();
    let images: Vec<_> = (0..8).map(|n| image(&format!("large {n}"))).collect();
    for image in &images {
        for n in 0..20 {
            let key = format!("https://{n}");
            let signature = vec![7; 700 << 10];
            file(client, &occurrence("a", image, &payload(image), &key, &signature)).await;
        }
    }
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    assert_denied(&decide(client, &images).await, "NOT_ATTESTED");
    world.assert_small("8 images with 14 MiB of attestations each, decided");

    let listed = client.list("/v1/projects/p/occurrences", "occurrences", 1_000).await;
    assert_eq!(listed.len(), 160);
    let page = client.get("/v1/projects/p/occurrences?pageSize=1000").await;
    assert!(page.text.len() < 12 * MIB, "{} bytes", page.text.len());
    assert_ne!(page.json["nextPageToken"], "");
    world.assert_small("150 MiB of occurrences, listed");
}

#[tokio::test]
async fn explanations_are_made_within_a_budget() {
    let world = World::new().await;
    let client = world.client();
    let one = image("explained");
    let mut junk = occurrence("a", &one, &payload(&one), &"k".repeat(900), b"junk");
    let signature = junk["attestation"]["signatures"][0].clone();
    junk["attestation"]["signatures"] = vec![signature; 1_000].into();
    file(client, &junk).await;
    let at = digest("explained");
    let images: Vec<_> =
        (0..1_000).map(|tag| format!("r/{}:{tag}@{at}", "i".repeat(600))).collect();
    let answer = client.post("/v1/decisions", &json!({"project": "p", "images": images})).await;
    assert!(answer.text.len() < 6 * MIB, "{} bytes", answer.text.len());
    assert_denied(&answer.ok(), "NOT_ATTESTED");
    world.assert_small("1,000 tags of a digest with 1,000 signatures, decided");
    let lines = hallmark_tests::audit::records(world.dir.path());
    assert_eq!(lines.last().expect("a record")["type"], "decision");
}
