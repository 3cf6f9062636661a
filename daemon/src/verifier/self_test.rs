//! Known answers, asked before the first check is: a build whose arithmetic is wrong must not
//! decide anything.
//!
//! The keys and signatures in `known_answers/` were made for this purpose with OpenSSL 3.0
//! (ML-DSA-65 with aws-lc-rs) and the private keys thrown away.

use hallmark_core::attestor::SignatureAlgorithm;

use super::Arithmetic;
use crate::public_key;

/// An algorithm that does not do as it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelfTestError {
    /// A good signature was refused.
    #[error("{0} refuses a good signature")]
    RefusesGood(SignatureAlgorithm),
    /// A signature with one bit flipped was accepted.
    #[error("{0} accepts a bad signature")]
    AcceptsBad(SignatureAlgorithm),
}

/// Asks every known answer, good and with one bit flipped.
pub(super) fn run(arithmetic: Arithmetic) -> Result<(), SelfTestError> {
    for &KnownAnswer { algorithm, spki_der, signature } in KNOWN_ANSWERS {
        let Ok(spki) = public_key::judge(spki_der) else {
            return Err(SelfTestError::RefusesGood(algorithm));
        };
        if !arithmetic(algorithm, &spki, MESSAGE, signature) {
            return Err(SelfTestError::RefusesGood(algorithm));
        }
        let mut flipped = signature.to_vec();
        if let Some(byte) = flipped.last_mut() {
            *byte ^= 1;
        }
        if arithmetic(algorithm, &spki, MESSAGE, &flipped) {
            return Err(SelfTestError::AcceptsBad(algorithm));
        }
    }
    Ok(())
}

pub(super) struct KnownAnswer {
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) spki_der: &'static [u8],
    pub(super) signature: &'static [u8],
}

/// A simple-signing payload, what every signature of [`KNOWN_ANSWERS`] covers.
pub(super) const MESSAGE: &[u8] = include_bytes!("known_answers/payload.json");

macro_rules! known_answers {
    ($($algorithm:ident $key:literal $signature:literal)*) => {
        &[$(KnownAnswer {
            algorithm: SignatureAlgorithm::$algorithm,
            spki_der: include_bytes!(concat!("known_answers/", $key, ".spki")),
            signature: include_bytes!(concat!("known_answers/", $signature, ".sig")),
        }),*]
    };
}

/// At least one for each algorithm; for RSA-PSS one for each salt length.
pub(super) const KNOWN_ANSWERS: &[KnownAnswer] = known_answers! {
    RsaPss2048Sha256 "rsa2048" "pss2048_sha256"
    RsaPss2048Sha256 "rsa2048" "pss2048_sha256_salt_max"
    RsaPss3072Sha256 "rsa3072" "pss3072_sha256"
    RsaPss4096Sha256 "rsa4096" "pss4096_sha256"
    RsaPss4096Sha512 "rsa4096" "pss4096_sha512"
    RsaPss4096Sha512 "rsa4096" "pss4096_sha512_salt_max"
    RsaPkcs1_2048Sha256 "rsa2048" "pkcs1_2048_sha256"
    RsaPkcs1_3072Sha256 "rsa3072" "pkcs1_3072_sha256"
    RsaPkcs1_4096Sha256 "rsa4096" "pkcs1_4096_sha256"
    RsaPkcs1_4096Sha512 "rsa4096" "pkcs1_4096_sha512"
    EcdsaP256Sha256 "p256" "p256_sha256"
    EcdsaP384Sha384 "p384" "p384_sha384"
    EcdsaP521Sha512 "p521" "p521_sha512"
    MlDsa65 "ml_dsa_65" "ml_dsa_65"
    Ed25519 "ed25519" "ed25519"
    RsaPkcs1_2048Sha384 "rsa2048" "pkcs1_2048_sha384"
    RsaPkcs1_2048Sha512 "rsa2048" "pkcs1_2048_sha512"
    RsaPkcs1_3072Sha384 "rsa3072" "pkcs1_3072_sha384"
    RsaPkcs1_3072Sha512 "rsa3072" "pkcs1_3072_sha512"
    RsaPkcs1_4096Sha384 "rsa4096" "pkcs1_4096_sha384"
    EcdsaP256Sha384 "p256" "p256_sha384"
    EcdsaP256Sha512 "p256" "p256_sha512"
    EcdsaP384Sha256 "p384" "p384_sha256"
    EcdsaP384Sha512 "p384" "p384_sha512"
    EcdsaP521Sha256 "p521" "p521_sha256"
    EcdsaP521Sha384 "p521" "p521_sha384"
};
