//! Every algorithm of the API: signatures made by OpenSSL, or by a library where OpenSSL cannot.

use hallmark_tests::client::Client;
use hallmark_tests::daemon::Daemon;
use hallmark_tests::keys::{ALGORITHMS, Key};
use hallmark_tests::project::{
    assert_allowed, assert_denied, attestor, attestor_body, decide, file, flipped, image, note,
    occurrence, outcome, pae, payload as payload_of, policy, put_policy,
};
use serde_json::json;

/// Both spellings of each algorithm that has two: the one that is written, and the other.
const ALIASES: [(&str, &str); 8] = [
    ("RSA_PSS_2048_SHA256", "RSA_SIGN_PSS_2048_SHA256"),
    ("RSA_PSS_3072_SHA256", "RSA_SIGN_PSS_3072_SHA256"),
    ("RSA_PSS_4096_SHA256", "RSA_SIGN_PSS_4096_SHA256"),
    ("RSA_PSS_4096_SHA512", "RSA_SIGN_PSS_4096_SHA512"),
    ("ECDSA_P256_SHA256", "EC_SIGN_P256_SHA256"),
    ("ECDSA_P384_SHA384", "EC_SIGN_P384_SHA384"),
    ("ECDSA_P521_SHA512", "EC_SIGN_P521_SHA512"),
    ("ED25519", "EC_SIGN_ED25519"),
];

const KEY_ID: &str = "https://keys.example.com/release";

#[tokio::test]
async fn a_signature_attests_in_every_algorithm_and_a_flipped_bit_denies() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    for algorithm in ALGORITHMS {
        let case =
            Case { client: &daemon.client, key: Key::shared(algorithm), note: slug(algorithm) };
        attestor(case.client, &case.note, &[(KEY_ID, &case.key)]).await;
        put_policy(case.client, &policy("REQUIRE_ATTESTATION", &[&case.note])).await;
        case.signed_as_it_is().await;
        case.signed_in_its_dsse_form().await;
        case.flipped_signature().await;
        case.flipped_payload().await;
        case.flipped_key_id().await;
        case.signed_for_another_image().await;
    }
}

/// One algorithm.
struct Case<'a> {
    client: &'a Client,
    key: Key,
    note: String,
}

impl Case<'_> {
    async fn signed_as_it_is(&self) {
        let image = self.image("attested");
        let payload = payload_of(&image);
        self.file(&image, &payload, KEY_ID, &self.key.sign(&payload)).await;
        let decision = decide(self.client, &[&image]).await;
        assert_allowed(&decision, "ATTESTED");
        let trial = &decision["images"][0]["attestors"][0]["trials"][0];
        assert_eq!(trial["outcome"], "VERIFIED", "{decision:#}");
        assert_eq!(trial["algorithm"], self.key.algorithm, "{decision:#}");
        assert_eq!(trial["keyId"], KEY_ID, "{decision:#}");
    }

    /// The payload is stored as it is, whatever form of it was signed.
    async fn signed_in_its_dsse_form(&self) {
        let image = self.image("pae");
        let payload = payload_of(&image);
        let signature = self.key.sign(&pae(&payload));
        self.file(&image, &payload, KEY_ID, &signature).await;
        assert_allowed(&decide(self.client, &[&image]).await, "ATTESTED");

        let image = self.image("pae of another");
        let payload = payload_of(&image);
        self.file(&image, &payload, KEY_ID, &signature).await;
        self.denied(&image, "BAD_SIGNATURE").await;
    }

    async fn flipped_signature(&self) {
        for place in 0..5 {
            let image = self.image(&format!("flipped signature {place}"));
            let payload = payload_of(&image);
            let signature = self.key.sign(&payload);
            let bit = (signature.len() * 8 - 1) * place / 4;
            self.file(&image, &payload, KEY_ID, &flipped(&signature, bit)).await;
            self.denied(&image, "BAD_SIGNATURE").await;
        }
    }

    async fn flipped_payload(&self) {
        for place in 0..5 {
            let image = self.image(&format!("flipped payload {place}"));
            let payload = payload_of(&image);
            let signature = self.key.sign(&payload);
            let bit = (payload.len() * 8 - 1) * place / 4;
            self.file(&image, &flipped(&payload, bit), KEY_ID, &signature).await;
            self.denied(&image, "BAD_SIGNATURE").await;
        }
    }

    async fn flipped_key_id(&self) {
        for byte in [0, KEY_ID.len() / 2, KEY_ID.len() - 1] {
            let image = self.image(&format!("flipped key id {byte}"));
            let payload = payload_of(&image);
            let id = flipped(KEY_ID.as_bytes(), byte * 8 + 7);
            let id = String::from_utf8(id).expect("the last bit of ASCII gives ASCII");
            self.file(&image, &payload, &id, &self.key.sign(&payload)).await;
            self.denied(&image, "KEY_ID_UNKNOWN").await;
        }
    }

    /// A valid signature, filed where the policy looks for another image.
    async fn signed_for_another_image(&self) {
        let image = self.image("copied");
        let payload = payload_of(&self.image("attested"));
        self.file(&image, &payload, KEY_ID, &self.key.sign(&payload)).await;
        self.denied(&image, "DIGEST_MISMATCH").await;
    }

    fn image(&self, seed: &str) -> String {
        image(&format!("{} {seed}", self.key.algorithm))
    }

    async fn file(&self, image: &str, payload: &[u8], key_id: &str, signature: &[u8]) {
        file(self.client, &occurrence(&self.note, image, payload, key_id, signature)).await;
    }

    async fn denied(&self, image: &str, why: &str) {
        let decision = decide(self.client, &[image]).await;
        assert_denied(&decision, "NOT_ATTESTED");
        assert_eq!(outcome(&decision), why, "{decision:#}");
        let message = decision["images"][0]["message"].as_str().expect("a message");
        let google =
            "No attestations found that were valid and signed by a key trusted by the attestor";
        assert!(message.contains(google), "{message}");
    }
}

#[tokio::test]
async fn both_spellings_of_an_algorithm_are_read_and_one_is_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "n").await;
    for (written, other) in ALIASES {
        let key = Key::shared(written);
        for (spelling, which) in [(written, "first"), (other, "second")] {
            let id = format!("{}-{which}", slug(written));
            let mut body = attestor_body(&id, &[(KEY_ID, &key)]);
            body["userOwnedGrafeasNote"]["noteReference"] = json!("projects/p/notes/n");
            let path = "/userOwnedGrafeasNote/publicKeys/0/pkixPublicKey/signatureAlgorithm";
            *body.pointer_mut(path).expect("a key") = json!(spelling);
            let create = format!("/v1/projects/p/attestors?attestorId={id}");
            daemon.client.post(&create, &body).await.ok();
            let read = daemon.client.get(&format!("/v1/projects/p/attestors/{id}")).await.ok();
            assert_eq!(read.pointer(path), Some(&json!(written)), "{read:#}");
        }
    }
}

/// Size and curve are part of an algorithm: a key of another is refused where it is written, not
/// where it would deny.
#[tokio::test]
async fn a_key_that_is_not_of_its_declared_algorithm_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "n").await;
    for key in ALGORITHMS.map(Key::shared) {
        for declared in ALGORITHMS {
            if key.fits(declared) {
                continue;
            }
            let posing = Key { algorithm: declared, ..key.clone() };
            let body = attestor_body("n", &[(KEY_ID, &posing)]);
            let answer = daemon.client.post("/v1/projects/p/attestors?attestorId=n", &body).await;
            let message = answer.refused(400, "INVALID_ARGUMENT");
            let field = "userOwnedGrafeasNote.publicKeys[0].pkixPublicKey";
            assert!(message.contains(field), "{} as {declared}: {message}", key.algorithm);
        }
    }
}

#[tokio::test]
async fn an_unspecified_or_unknown_algorithm_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let daemon = Daemon::start(dir.path());
    note(&daemon.client, "n").await;
    for algorithm in ["SIGNATURE_ALGORITHM_UNSPECIFIED", "ECDSA_P224_SHA224", ""] {
        let key = Key { algorithm, ..Key::shared("ECDSA_P256_SHA256") };
        let body = attestor_body("n", &[(KEY_ID, &key)]);
        let answer = daemon.client.post("/v1/projects/p/attestors?attestorId=n", &body).await;
        let message = answer.refused(400, "INVALID_ARGUMENT");
        let field = "userOwnedGrafeasNote.publicKeys[0].pkixPublicKey.signatureAlgorithm";
        assert!(message.contains(field), "{algorithm}: {message}");
    }
}

fn slug(algorithm: &str) -> String {
    algorithm.to_lowercase().replace('_', "-")
}
