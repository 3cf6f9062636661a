//! Signatures made by the tools of the field, through the whole verifier: what they signed is
//! accepted, and with any one bit changed it is not.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::verifier::self_test::{KNOWN_ANSWERS, KnownAnswer, MESSAGE};

fn real() -> Bench {
    bench(config(2, 100_000, 64), algorithm::verify)
}

fn check(answer: &KnownAnswer) -> Check {
    Check {
        exact: None,
        key: key(answer.algorithm, answer.spki_der),
        payload: Bytes::from_static(MESSAGE),
        signature: Bytes::from_static(answer.signature),
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.into()
}

/// Some bits spread over all of `bytes`, the first and the last among them.
fn some_bits(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let last = bytes.len() * 8 - 1;
    (0..=16).map(move |nth| last * nth / 16)
}

#[tokio::test]
async fn a_signature_of_openssl_is_accepted_by_every_algorithm() {
    let checks: Vec<_> = KNOWN_ANSWERS.iter().map(check).collect();
    assert_eq!(real().verify(&checks).await, vec![RAW; KNOWN_ANSWERS.len()]);
}

#[tokio::test]
async fn one_flipped_bit_anywhere_is_refused() {
    for answer in KNOWN_ANSWERS {
        let whole = check(answer);
        let mut checks = Vec::new();
        for bit in some_bits(&whole.signature) {
            checks.push(Check { signature: flipped(&whole.signature, bit), ..whole.clone() });
        }
        for bit in some_bits(&whole.payload) {
            checks.push(Check { payload: flipped(&whole.payload, bit), ..whole.clone() });
        }
        for bit in some_bits(answer.spki_der) {
            let key = key(answer.algorithm, &flipped(answer.spki_der, bit));
            checks.push(Check { key, ..whole.clone() });
        }
        let refused = vec![Verdict::BadSignature; checks.len()];
        assert_eq!(real().verify(&checks).await, refused, "{}", answer.algorithm);
    }
}

#[tokio::test]
async fn a_key_verifies_with_its_declared_algorithm_and_size_only() {
    for answer in KNOWN_ANSWERS {
        let others = SignatureAlgorithm::all().filter(|&other| other != answer.algorithm);
        let checks: Vec<_> = others
            .map(|other| Check { key: key(other, answer.spki_der), ..check(answer) })
            .collect();
        let refused = vec![Verdict::BadSignature; checks.len()];
        assert_eq!(real().verify(&checks).await, refused, "{}", answer.algorithm);
    }
}

#[tokio::test]
async fn ragged_signatures_and_keys_are_refused() {
    for answer in KNOWN_ANSWERS {
        let whole = check(answer);
        let longer = [answer.signature, &[0]].concat();
        let shorter = answer.signature[..answer.signature.len() - 1].to_vec();
        let mut checks: Vec<_> = [Vec::new(), longer, shorter]
            .map(|signature| Check { signature: signature.into(), ..whole.clone() })
            .into();
        let longer = [answer.spki_der, &[0]].concat();
        let shorter = &answer.spki_der[..answer.spki_der.len() - 1];
        for spki_der in [&[], longer.as_slice(), shorter] {
            checks.push(Check { key: key(answer.algorithm, spki_der), ..whole.clone() });
        }
        let refused = vec![Verdict::BadSignature; checks.len()];
        assert_eq!(real().verify(&checks).await, refused, "{}", answer.algorithm);
    }
}

/// SubjectPublicKeyInfo of Ed25519 up to the key itself, RFC 8410 §4.
const ED25519_SPKI_PREFIX: [u8; 12] = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];

#[tokio::test]
async fn a_signature_over_cosigns_envelope_is_told_from_one_over_the_payload() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("key");
    let spki_der = [&ED25519_SPKI_PREFIX, pair.public_key().as_ref()].concat();
    let envelope = |payload_type: &str| {
        let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), MESSAGE.len());
        [head.as_bytes(), MESSAGE].concat()
    };
    let cosign = envelope("application/vnd.dev.cosign.simplesigning.v1+json");
    let other_type = envelope("application/json");
    let checks: Vec<_> = [MESSAGE, &cosign, &other_type]
        .map(|signed| Check {
            exact: None,
            key: key(SignatureAlgorithm::Ed25519, &spki_der),
            payload: Bytes::from_static(MESSAGE),
            signature: Bytes::copy_from_slice(pair.sign(signed).as_ref()),
        })
        .into();
    let enveloped = Verdict::Verified(Verified::assertion(SignedForm::Pae));
    assert_eq!(real().verify(&checks).await, [RAW, enveloped, Verdict::BadSignature]);
}
