//! Images by distinct digests, each with an attestation of its own: a P-256 signature that *ring*
//! made over the payload that Google's tool writes.

use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hallmark_core::image::Digest;
use hallmark_core::payload::simple_signing;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::connection::request;

/// The project that is asked for.
pub(crate) const PROJECT: &str = "bench";
/// The repository of every image.
const REPOSITORY: &str = "registry.example.com/shop/web";
/// The id of the attestor and of its note.
const ATTESTOR: &str = "built";

/// SubjectPublicKeyInfo of a P-256 key up to its point, RFC 5480.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The key of the one attestor.
#[derive(Debug)]
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    key_id: Arc<str>,
}

/// One image and its attestation.
#[derive(Clone, Debug)]
pub(crate) struct Attested {
    /// By digest.
    pub(crate) image: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) key_id: Arc<str>,
}

impl Signer {
    /// A new key.
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let rules = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(rules, &random).ok().context("no randomness")?;
        let pair = EcdsaKeyPair::from_pkcs8(rules, pkcs8.as_ref(), &random)?;
        let key_id = Sha256::digest(spki(&pair));
        let key_id = format!("ni:///sha-256;{}", URL_SAFE_NO_PAD.encode(key_id)).into();
        Ok(Self { pair, random, key_id })
    }

    /// The public key as *ring* takes it: an uncompressed point.
    pub(crate) fn point(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Attests the images of these numbers: equal numbers, equal digests.
    pub(crate) fn attest(&self, numbers: std::ops::Range<u64>) -> anyhow::Result<Vec<Attested>> {
        numbers.map(|number| self.attest_one(number)).collect()
    }

    fn attest_one(&self, number: u64) -> anyhow::Result<Attested> {
        let payload = payload(number);
        let signature = self.pair.sign(&self.random, &payload).ok().context("no randomness")?;
        Ok(Attested {
            image: image(number),
            payload,
            signature: signature.as_ref().to_vec(),
            key_id: Arc::clone(&self.key_id),
        })
    }

    /// The calls that a daemon must get first: method, path and body of each.
    pub(crate) fn setup(&self) -> Vec<(&'static str, String, Value)> {
        let spki = spki(&self.pair);
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(spki)
        );
        setup(&json!({"id": *self.key_id, "pkixPublicKey": {
            "publicKeyPem": pem, "signatureAlgorithm": "ECDSA_P256_SHA256",
        }}))
    }
}

/// The calls that a daemon must get first, for an attestor that trusts this key.
pub(crate) fn setup(key: &Value) -> Vec<(&'static str, String, Value)> {
    let parent = format!("projects/{PROJECT}");
    let note = json!({"attestation": {"hint": {"humanReadableName": ATTESTOR}}});
    let attestor = json!({
        "name": format!("{parent}/attestors/{ATTESTOR}"),
        "userOwnedGrafeasNote": {
            "noteReference": format!("{parent}/notes/{ATTESTOR}"), "publicKeys": [key],
        },
    });
    let policy = json!({"name": format!("{parent}/policy"), "defaultAdmissionRule": {
        "evaluationMode": "REQUIRE_ATTESTATION",
        "enforcementMode": "ENFORCED_BLOCK_AND_AUDIT_LOG",
        "requireAttestationsBy": [format!("{parent}/attestors/{ATTESTOR}")],
    }});
    vec![
        ("POST", format!("/v1/{parent}/notes?noteId={ATTESTOR}"), note),
        ("POST", format!("/v1/{parent}/attestors?attestorId={ATTESTOR}"), attestor),
        ("PUT", format!("/v1/{parent}/policy"), policy),
    ]
}

/// The payload of the image of a number.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    simple_signing::payload(REPOSITORY, digest(number))
}

impl Attested {
    /// The occurrence that carries the attestation.
    pub(crate) fn occurrence(&self) -> Value {
        json!({
            "resourceUri": format!("https://{}", self.image),
            "noteName": format!("projects/{PROJECT}/notes/{ATTESTOR}"),
            "attestation": {
                "serializedPayload": STANDARD.encode(&self.payload),
                "signatures": [{
                    "publicKeyId": *self.key_id, "signature": STANDARD.encode(&self.signature),
                }],
            },
        })
    }
}

fn spki(pair: &EcdsaKeyPair) -> Vec<u8> {
    [P256_SPKI.as_slice(), pair.public_key().as_ref()].concat()
}

/// The image of a number, by digest.
pub(crate) fn image(number: u64) -> String {
    format!("{REPOSITORY}@{}", digest(number))
}

fn digest(number: u64) -> Digest {
    Digest(Sha256::digest(number.to_be_bytes()).into())
}

/// The question whether an image may run, as one line of JSON.
pub(crate) fn question(image: &str) -> String {
    json!({
        "project": PROJECT, "cluster": "europe-west2.prod", "namespace": "shop",
        "serviceAccount": "web", "images": [image],
    })
    .to_string()
}

/// The request that asks for one image.
pub(crate) fn ask(image: &str) -> Vec<u8> {
    request("POST", "/v1/decisions", question(image).as_bytes())
}

/// The request with a token, which is the name of its principal.
pub(crate) fn bearing(token: &str, request: &[u8]) -> Vec<u8> {
    let line = request.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
    let header = format!("authorization: Bearer {token}\r\n");
    [&request[..line], header.as_bytes(), &request[line..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    #[test]
    fn every_image_is_another_and_its_signature_good() {
        let signer = Signer::generate().expect("a key");
        let images = signer.attest(0..3).expect("signed");
        assert!(images[0].image != images[1].image && images[0].signature != images[1].signature);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, signer.point());
        for image in &images {
            key.verify(&image.payload, &image.signature).expect("good");
            assert!(question(&image.image).contains(&image.image));
        }
    }
}
