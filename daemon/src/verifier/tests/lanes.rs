//! Lanes behind the verifier: hot keys, both forms, and what happens if they are not to be trusted.

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::EncodePublicKey;

use super::*;

fn with_lanes(arithmetic: Arithmetic) -> Bench {
    bench_with(config(2, 100_000, 64), arithmetic, |metrics| {
        Some(Arc::new(Lanes::new(metrics.lanes.clone()).expect("an engine")))
    })
}

/// `count` checks by one key: good ones of both forms, and in between bad ones.
fn signed(secret: u8, count: usize, salt: &str) -> (Vec<Check>, Vec<Verdict>) {
    let signing = SigningKey::from_bytes(&[secret; 32].into()).expect("a secret");
    let spki = signing.verifying_key().to_public_key_der().expect("a key");
    let key = key(SignatureAlgorithm::EcdsaP256Sha256, spki.as_bytes());
    let enveloped = Verdict::Verified(Verified::assertion(SignedForm::Pae));
    let one = |nth: usize| {
        let payload = format!("{salt} {nth}");
        let (message, verdict) = match nth % 3 {
            0 => (payload.clone().into_bytes(), RAW),
            1 => (pae(&payload), enveloped),
            _ => (b"another".to_vec(), Verdict::BadSignature),
        };
        let signature: Signature = signing.sign(&message);
        let signature = Bytes::copy_from_slice(signature.to_der().as_bytes());
        (Check { exact: None, key: Arc::clone(&key), payload: payload.into(), signature }, verdict)
    };
    (0..count).map(one).unzip()
}

fn pae(payload: &str) -> Vec<u8> {
    use hallmark_core::payload::pae;
    pae::encode(pae::COSIGN_SIMPLE_SIGNING_TYPE, payload.as_bytes())
}

/// Verifies until the key has its table.
async fn heat(bench: &Bench, secret: u8) {
    let (checks, verdicts) = signed(secret, 32, "heat");
    assert_eq!(bench.verify(&checks).await, verdicts);
    until(|| bench.metrics.lanes.tables_built.get() == 1).await;
}

#[tokio::test]
async fn a_key_that_turns_hot_verifies_in_lanes_with_the_same_verdicts() {
    let bench = with_lanes(algorithm::verify);
    heat(&bench, 7).await;
    assert_eq!(bench.metrics.lanes.checks.get(), 0, "no table yet");
    let (checks, verdicts) = signed(7, 3000, "hot");
    assert_eq!(bench.verify(&checks).await, verdicts);
    let lanes = &bench.metrics.lanes;
    assert_eq!(lanes.checks.get(), 3000);
    // The first hundred, and of those after them numbers 1,024 and 2,048.
    assert_eq!(lanes.rechecks.get(), 102);
    assert_eq!((lanes.disagreements.get(), lanes.tables_built.get()), (0, 1));
    bench.verifier.refresh_metrics();
    assert!(lanes.table_bytes.get() > 256 << 10, "{}", lanes.table_bytes.get());
    // Cold keys meanwhile: by the library.
    let (checks, verdicts) = signed(8, 31, "cold");
    assert_eq!(bench.verify(&checks).await, verdicts);
    assert_eq!(lanes.checks.get(), 3000);
}

#[tokio::test]
async fn a_disagreement_denies_and_ends_lanes() {
    /// A library that knows of nothing good.
    fn refuses(_: SignatureAlgorithm, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        false
    }
    let bench = with_lanes(refuses);
    let (checks, _) = signed(7, 32, "heat");
    let bad = vec![Verdict::BadSignature; 32];
    assert_eq!(bench.verify(&checks).await, bad);
    until(|| bench.metrics.lanes.tables_built.get() == 1).await;
    let (one, _) = signed(7, 1, "good in lanes");
    assert_eq!(bench.verify(&one).await, [PANICKED], "which is no verdict");
    assert_eq!(bench.metrics.lanes.disagreements.get(), 1);
    let before = bench.metrics.lanes.checks.get();
    assert_eq!(bench.verify(&one).await, [Verdict::BadSignature], "not remembered; by the library");
    assert_eq!(bench.metrics.lanes.checks.get(), before);
}
