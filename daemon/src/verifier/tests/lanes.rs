//! Lanes behind the verifier: hot keys, both forms, and what happens if they are not to be trusted.

use hallmark_lanes::{Check as LaneCheck, Engines, Kernel};
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, KeyPair};
use spki::der::Encode;
use spki::der::asn1::{BitString, Null};

use super::*;
use crate::verifier::lanes::in_lanes;
use crate::verifier::self_test::{KNOWN_ANSWERS, MESSAGE};

const DISPUTED: Verdict = Verdict::Unavailable(Unavailable::Disagreement);

const LANES: LanesConfig =
    LanesConfig { kernel: None, hot_checks: 32, table_bytes_max: 1 << 26, recheck_one_in: 1024 };

fn with_lanes(lanes: LanesConfig, arithmetic: Arithmetic) -> Bench {
    bench_with(config(2, 100_000, 64), arithmetic, |metrics| {
        Some(Arc::new(Lanes::new(lanes, metrics.lanes.clone()).expect("an engine")))
    })
}

/// From a message to a signature.
type Sign = dyn Fn(&[u8]) -> Vec<u8>;

/// A new key of some algorithm, and how it signs.
struct Signer {
    key: Arc<VerificationKey>,
    sign: Box<Sign>,
}

/// OIDs of SEC 2: P-256, P-384.
const CURVES: [(SignatureAlgorithm, &str, &ring::signature::EcdsaSigningAlgorithm); 2] = [
    (
        SignatureAlgorithm::EcdsaP256Sha256,
        "1.2.840.10045.3.1.7",
        &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
    ),
    (
        SignatureAlgorithm::EcdsaP384Sha384,
        "1.3.132.0.34",
        &ring::signature::ECDSA_P384_SHA384_ASN1_SIGNING,
    ),
];

fn ecdsa(nth: usize) -> Signer {
    let (algorithm, curve, rules) = CURVES[nth];
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(rules, &random).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(rules, pkcs8.as_ref(), &random).expect("a key");
    let spki = spki::SubjectPublicKeyInfo {
        algorithm: spki::AlgorithmIdentifier {
            oid: spki::ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
            parameters: Some(spki::ObjectIdentifier::new_unwrap(curve)),
        },
        subject_public_key: BitString::from_bytes(pair.public_key().as_ref()).expect("bits"),
    };
    let key = key(algorithm, &spki.to_der().expect("a key"));
    let sign = move |message: &[u8]| pair.sign(&random, message).expect("signs").as_ref().to_vec();
    Signer { key, sign: Box::new(sign) }
}

/// A key of RSA-2048 that signs with PKCS#1 or PSS.
fn ed25519() -> Signer {
    let random = SystemRandom::new();
    let pkcs8 = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
    let pair = ring::signature::Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    let spki = spki::SubjectPublicKeyInfo {
        algorithm: spki::AlgorithmIdentifier {
            oid: spki::ObjectIdentifier::new_unwrap("1.3.101.112"),
            parameters: None::<Null>,
        },
        subject_public_key: BitString::from_bytes(pair.public_key().as_ref()).expect("bits"),
    };
    let key = key(SignatureAlgorithm::Ed25519, &spki.to_der().expect("a key"));
    Signer { key, sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()) }
}

fn rsa(algorithm: SignatureAlgorithm) -> Signer {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let rules: &'static dyn RsaEncoding = match algorithm {
        SignatureAlgorithm::RsaPss2048Sha256 => &RSA_PSS_SHA256,
        _ => &RSA_PKCS1_SHA256,
    };
    let spki_der = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).expect("DER");
    let key = key(algorithm, spki_der.as_ref());
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = aws_lc_rs::rand::SystemRandom::new();
        pair.sign(rules, &random, message, &mut signature).expect("signs");
        signature
    };
    Signer { key, sign: Box::new(sign) }
}

/// `count` checks by one key: good ones of both forms, and in between bad ones.
fn signed(signer: &Signer, count: usize, salt: &str) -> (Vec<Check>, Vec<Verdict>) {
    let enveloped = Verdict::Verified(Verified::assertion(SignedForm::Pae));
    let one = |nth: usize| {
        let payload = format!("{salt} {nth}");
        let (message, verdict) = match nth % 3 {
            0 => (payload.clone().into_bytes(), RAW),
            1 => (pae(&payload), enveloped),
            _ => (b"another".to_vec(), Verdict::BadSignature),
        };
        let signature = (signer.sign)(&message).into();
        (
            Check { exact: None, key: Arc::clone(&signer.key), payload: payload.into(), signature },
            verdict,
        )
    };
    (0..count).map(one).unzip()
}

fn pae(payload: &str) -> Vec<u8> {
    use hallmark_core::payload::pae;
    pae::encode(pae::COSIGN_SIMPLE_SIGNING_TYPE, payload.as_bytes())
}

/// Verifies until the key has its table.
async fn heat(bench: &Bench, signer: &Signer) {
    let before = bench.metrics.lanes.tables_built.get();
    let (checks, verdicts) = signed(signer, 32, "heat");
    assert_eq!(bench.verify(&checks).await, verdicts);
    until(|| bench.metrics.lanes.tables_built.get() > before).await;
}

#[tokio::test]
async fn a_key_that_turns_hot_verifies_in_lanes_with_the_same_verdicts() {
    let signer = ecdsa(0);
    for kernel in [None, Some(Kernel::Portable)] {
        let bench = with_lanes(LanesConfig { kernel, ..LANES }, algorithm::verify);
        heat(&bench, &signer).await;
        assert_eq!(bench.metrics.lanes.checks.get(), 0, "no table yet");
        let (checks, verdicts) = signed(&signer, 3000, "hot");
        assert_eq!(bench.verify(&checks).await, verdicts);
        let lanes = &bench.metrics.lanes;
        assert_eq!(lanes.checks.get(), 3000);
        // The first hundred, and of those after them numbers 1,024 and 2,048.
        assert_eq!(lanes.rechecks.get(), 102);
        assert_eq!((lanes.disagreements.get(), lanes.tables_built.get()), (0, 1));
        bench.verifier.refresh_metrics();
        assert!(lanes.table_bytes.get() > 256 << 10, "{}", lanes.table_bytes.get());
        // Cold keys meanwhile: by the library.
        let (checks, verdicts) = signed(&ecdsa(0), 31, "cold");
        assert_eq!(bench.verify(&checks).await, verdicts);
        assert_eq!(lanes.checks.get(), 3000);
    }
}

#[tokio::test]
async fn one_batch_holds_keys_of_every_algorithm() {
    let bench = with_lanes(LANES, algorithm::verify);
    let mut signers = vec![ecdsa(0), ecdsa(1), ed25519()];
    if Kernel::detect() == Kernel::Ifma {
        signers.push(rsa(SignatureAlgorithm::RsaPkcs1_2048Sha256));
        signers.push(rsa(SignatureAlgorithm::RsaPss2048Sha256));
    }
    let (mut checks, mut verdicts) = (Vec::new(), Vec::new());
    for signer in &signers {
        heat(&bench, signer).await;
        let (more, expected) = signed(signer, 90, "mixed");
        checks.extend(more);
        verdicts.extend(expected);
    }
    let order: Vec<_> = (0..checks.len()).map(|nth| nth * 7 % checks.len()).collect();
    let mixed: Vec<_> = order.iter().map(|&nth| checks[nth].clone()).collect();
    let expected: Vec<_> = order.iter().map(|&nth| verdicts[nth]).collect();
    assert_eq!(bench.verify(&mixed).await, expected);
    assert_eq!(bench.metrics.lanes.checks.get() as usize, mixed.len());
    assert_eq!(bench.metrics.lanes.disagreements.get(), 0);
}

#[tokio::test]
async fn rsa_without_an_engine_or_of_another_size_verifies_with_the_library() {
    let signer = rsa(SignatureAlgorithm::RsaPkcs1_2048Sha256);
    let portable = LanesConfig { kernel: Some(Kernel::Portable), ..LANES };
    let bench = with_lanes(portable, algorithm::verify);
    let (checks, verdicts) = signed(&signer, 70, "portable");
    assert_eq!(bench.verify(&checks).await, verdicts);
    // A key of another size than its algorithm demands has signed nothing, hot or not.
    let other = with_lanes(LANES, algorithm::verify);
    if Kernel::detect() == Kernel::Ifma {
        heat(&other, &signer).await;
    }
    let (mut wrong, _) = signed(&signer, 70, "wrong");
    let wrong_key = key(SignatureAlgorithm::RsaPkcs1_3072Sha256, signer.key.spki.der());
    wrong.iter_mut().for_each(|check| check.key = Arc::clone(&wrong_key));
    assert_eq!(other.verify(&wrong).await, vec![Verdict::BadSignature; 70]);
    let counts = |bench: &Bench| {
        let lanes = &bench.metrics.lanes;
        (lanes.tables_built.get(), lanes.checks.get())
    };
    let heated = u64::from(Kernel::detect() == Kernel::Ifma);
    assert_eq!((counts(&bench), counts(&other)), ((0, 0), (heated, 0)));
}

#[test]
fn every_algorithm_but_those_of_p521_and_ml_dsa_is_for_lanes() {
    use hallmark_lanes::{Algorithm as L, Digest as D};
    let lanes = [
        (L::RsaPss(D::Sha256), &[1, 2, 3][..]),
        (L::RsaPss(D::Sha512), &[4]),
        (L::RsaPkcs1(D::Sha256), &[5, 6, 7]),
        (L::RsaPkcs1(D::Sha384), &[33, 35, 37]),
        (L::RsaPkcs1(D::Sha512), &[8, 34, 36]),
        (L::EcdsaP256(D::Sha256), &[9]),
        (L::EcdsaP256(D::Sha384), &[38]),
        (L::EcdsaP256(D::Sha512), &[39]),
        (L::EcdsaP384(D::Sha256), &[40]),
        (L::EcdsaP384(D::Sha384), &[10]),
        (L::EcdsaP384(D::Sha512), &[41]),
        (L::Ed25519, &[32]),
    ];
    for algorithm in SignatureAlgorithm::all() {
        let own = lanes.iter().find(|(_, numbers)| numbers.contains(&algorithm.number()));
        assert_eq!(in_lanes(algorithm), own.map(|(lane, _)| *lane), "{algorithm}");
    }
}

#[test]
fn every_known_answer_holds_in_lanes() {
    let engines = Engines::new(Kernel::detect()).expect("engines");
    let mut held = 0;
    for answer in KNOWN_ANSWERS {
        let Some(algorithm) = in_lanes(answer.algorithm) else { continue };
        if !engines.have(algorithm) {
            continue;
        }
        let spki = public_key::read(answer.spki_der).expect("a key");
        let bits = algorithm::key_of_type(answer.algorithm, &spki).expect("of its type");
        let key = engines.prepare(algorithm, bits).expect("a table");
        let mut flipped = answer.signature.to_vec();
        *flipped.last_mut().expect("a byte") ^= 1;
        let check = |signature| LaneCheck { key: &key, algorithm, message: MESSAGE, signature };
        let mut good = [false, true];
        engines.verify_batch(&[check(answer.signature), check(&flipped)], &mut good);
        assert_eq!(good, [true, false], "{}", answer.algorithm);
        held += 1;
    }
    let expected = if Kernel::detect() == Kernel::Ifma { 17 } else { 2 };
    assert!(held >= expected, "only {held}");
}

#[tokio::test]
async fn what_is_configured_is_what_happens() {
    let signer = ecdsa(0);
    let eager = LanesConfig { hot_checks: 3, recheck_one_in: 10, ..LANES };
    let bench = with_lanes(eager, algorithm::verify);
    let (checks, verdicts) = signed(&signer, 3, "few");
    assert_eq!(bench.verify(&checks).await, verdicts);
    until(|| bench.metrics.lanes.tables_built.get() == 1).await;
    let (checks, verdicts) = signed(&signer, 200, "hot");
    assert_eq!(bench.verify(&checks).await, verdicts);
    assert_eq!(bench.metrics.lanes.rechecks.get(), 110, "a hundred, and then one in ten");

    let poor = with_lanes(LanesConfig { table_bytes_max: 1000, ..LANES }, algorithm::verify);
    heat(&poor, &signer).await;
    poor.verifier.refresh_metrics();
    let (checks, verdicts) = signed(&signer, 31, "evicted");
    assert_eq!(poor.verify(&checks).await, verdicts);
    assert_eq!(poor.metrics.lanes.checks.get(), 0, "no table fits");
}

#[tokio::test]
async fn a_disagreement_denies_and_ends_lanes() {
    /// A library that knows of nothing good.
    fn refuses(_: SignatureAlgorithm, _: &Spki, _: &[u8], _: &[u8]) -> bool {
        false
    }
    let bench = with_lanes(LANES, refuses);
    let signer = ecdsa(0);
    let (checks, _) = signed(&signer, 32, "heat");
    let bad = vec![Verdict::BadSignature; 32];
    assert_eq!(bench.verify(&checks).await, bad);
    until(|| bench.metrics.lanes.tables_built.get() == 1).await;
    let (one, _) = signed(&signer, 1, "good in lanes");
    assert_eq!(bench.verify(&one).await, [DISPUTED], "which is no verdict");
    assert_eq!(bench.metrics.lanes.disagreements.get(), 1);
    let before = bench.metrics.lanes.checks.get();
    assert_eq!(bench.verify(&one).await, [Verdict::BadSignature], "not remembered; by the library");
    assert_eq!(bench.metrics.lanes.checks.get(), before);
}
