//! Lanes behind the verifier: hot keys, both forms, and what happens if they are not to be trusted.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
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
        (Check { key: Arc::clone(&key), payload: payload.into(), signature }, verdict)
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

/// A key of RSA-2048 that signs with both encodings, and what checks by it must come to: good ones
/// of both forms, and in between bad ones.
struct RsaSigner {
    pair: RsaKeyPair,
    spki_der: Vec<u8>,
}

impl RsaSigner {
    fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
        let spki_der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
        Self { spki_der: spki_der.as_ref().to_vec(), pair }
    }

    fn signed(&self, algorithm: SignatureAlgorithm, count: usize) -> (Vec<Check>, Vec<Verdict>) {
        let rules: &dyn RsaEncoding = match algorithm {
            SignatureAlgorithm::RsaPss2048Sha256 => &RSA_PSS_SHA256,
            _ => &RSA_PKCS1_SHA256,
        };
        let key = key(algorithm, &self.spki_der);
        let enveloped = Verdict::Verified(Verified::assertion(SignedForm::Pae));
        let one = |nth: usize| {
            let payload = format!("{algorithm} {count} {nth}");
            let (message, verdict) = match nth % 3 {
                0 => (payload.clone().into_bytes(), RAW),
                1 => (pae(&payload), enveloped),
                _ => (b"another".to_vec(), Verdict::BadSignature),
            };
            let mut signature = vec![0; 256];
            let random = SystemRandom::new();
            self.pair.sign(rules, &random, &message, &mut signature).expect("signed");
            let check = Check {
                key: Arc::clone(&key),
                payload: payload.into(),
                signature: signature.into(),
            };
            (check, verdict)
        };
        (0..count).map(one).unzip()
    }
}

#[tokio::test]
async fn hot_keys_of_rsa_and_of_p256_share_a_batch() {
    if hallmark_lanes::rsa::Engine::detect().is_err() {
        return;
    }
    let bench = with_lanes(algorithm::verify);
    let (metrics, signer) = (&bench.metrics.lanes, RsaSigner::new());
    let algorithms =
        [SignatureAlgorithm::RsaPss2048Sha256, SignatureAlgorithm::RsaPkcs1_2048Sha256];
    for (nth, algorithm) in (1..).zip(algorithms) {
        let (checks, verdicts) = signer.signed(algorithm, 32);
        assert_eq!(bench.verify(&checks).await, verdicts, "{algorithm}");
        until(|| metrics.tables_built.get() == nth).await;
    }
    assert_eq!(metrics.checks.get(), 0, "no table yet");
    let (mut checks, mut verdicts) = signed(7, 32, "heat");
    assert_eq!(bench.verify(&checks).await, verdicts);
    until(|| metrics.tables_built.get() == 3).await;
    for algorithm in algorithms {
        let (more_checks, more_verdicts) = signer.signed(algorithm, 60);
        checks.extend(more_checks);
        verdicts.extend(more_verdicts);
    }
    let (p256_checks, p256_verdicts) = signed(7, 60, "hot");
    checks.splice(..32, p256_checks);
    verdicts.splice(..32, p256_verdicts);
    // Each batch has some of each.
    let by_turns = |nth: usize| nth % 3 * 60 + nth / 3;
    let checks: Vec<_> = (0..180).map(|nth| checks[by_turns(nth)].clone()).collect();
    let verdicts: Vec<_> = (0..180).map(|nth| verdicts[by_turns(nth)]).collect();
    assert_eq!(bench.verify(&checks).await, verdicts);
    assert_eq!((metrics.checks.get(), metrics.disagreements.get()), (180, 0));
}

#[tokio::test]
async fn keys_of_rsa_that_are_not_for_lanes_verify_with_the_library() {
    let bench = with_lanes(algorithm::verify);
    let signer = RsaSigner::new();
    let (mut checks, _) = signer.signed(SignatureAlgorithm::RsaPkcs1_2048Sha256, 40);
    // Of another size than its algorithm demands: good for none.
    let wrong = key(SignatureAlgorithm::RsaPkcs1_3072Sha256, &signer.spki_der);
    checks.iter_mut().for_each(|check| check.key = Arc::clone(&wrong));
    for _ in 0..3 {
        assert_eq!(bench.verify(&checks).await, vec![Verdict::BadSignature; checks.len()]);
        for check in &mut checks {
            check.payload = [&check.payload[..], b"."].concat().into();
        }
    }
    let lanes = &bench.metrics.lanes;
    assert_eq!((lanes.tables_built.get(), lanes.checks.get()), (0, 0));
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
