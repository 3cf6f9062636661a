//! The arithmetic: one function from (algorithm, key, message, signature) to yes or no.
//!
//! *ring* for RSA, P-256 and Ed25519; *aws-lc-rs* for P-384, where it takes a third of ring's time,
//! and for what ring does not have: P-521, SHA-512 on P-256, ML-DSA-65 and RSA-PSS with a salt of
//! maximum length.
//!
//! Strict: a key must be of the declared type, curve and exact RSA size, EC points uncompressed,
//! ECDSA signatures DER, EdDSA as RFC 8032 §5.1.7 with `s` in range. High-s ECDSA signatures are
//! good, as they are to Google's service and cosign: a signature is never used as an identity.
//!
//! **RSA-PSS salt.** Verified with a salt as long as the digest (Cloud KMS, PKCS#11, RFC 8017's
//! choice) and, if that fails, as long as the key allows (what `openssl dgst` and Go's
//! `PSSSaltLengthAuto` sign with). The verifiers of the field take any length; no tool of the
//! field makes another, and no well-kept library here recovers it from the signature.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1,
    EcdsaVerificationAlgorithm, ML_DSA_65, PqdsaVerificationAlgorithm,
    RSA_PSS_2048_8192_SHA256 as PSS_SHA256, RSA_PSS_2048_8192_SHA384 as PSS_SHA384,
    RSA_PSS_2048_8192_SHA512 as PSS_SHA512, RsaParameters, RsaPssSaltLength,
};
use hallmark_core::attestor::{Curve, HashFunction, KeyType, Scheme, SignatureAlgorithm, Spki};
use ring::signature as ring;

/// True if `signature` over `message` was made with the private half of the key. A key that is not
/// one of `algorithm` has signed nothing.
pub(super) fn verify(
    algorithm: SignatureAlgorithm,
    spki: &Spki,
    message: &[u8],
    signature: &[u8],
) -> bool {
    use Curve::{P256, P384, P521};
    use HashFunction::{Sha256, Sha384, Sha512};
    let Some(key) = key_of_type(algorithm, spki) else { return false };
    let by_ring = |rules: &'static dyn ring::VerificationAlgorithm| {
        ring::UnparsedPublicKey::new(rules, key).verify(message, signature).is_ok()
    };
    let by_aws_lc = |rules: &'static dyn aws_lc_rs::signature::VerificationAlgorithm| {
        rules.verify_sig(key, message, signature).is_ok()
    };
    match algorithm.scheme() {
        Scheme::RsaPss { hash, .. } => match hash {
            Sha256 => by_ring(&ring::RSA_PSS_2048_8192_SHA256) || by_aws_lc(&PSS_SHA256_SALT_MAX),
            Sha384 => by_ring(&ring::RSA_PSS_2048_8192_SHA384) || by_aws_lc(&PSS_SHA384_SALT_MAX),
            Sha512 => by_ring(&ring::RSA_PSS_2048_8192_SHA512) || by_aws_lc(&PSS_SHA512_SALT_MAX),
        },
        Scheme::RsaPkcs1 { hash, .. } => by_ring(match hash {
            Sha256 => &ring::RSA_PKCS1_2048_8192_SHA256,
            Sha384 => &ring::RSA_PKCS1_2048_8192_SHA384,
            Sha512 => &ring::RSA_PKCS1_2048_8192_SHA512,
        }),
        Scheme::Ecdsa { curve, hash } => match (curve, hash) {
            (P256, Sha256) => by_ring(&ring::ECDSA_P256_SHA256_ASN1),
            (P256, Sha384) => by_ring(&ring::ECDSA_P256_SHA384_ASN1),
            (P256, Sha512) => by_aws_lc(&P256_SHA512),
            (P384, Sha256) => by_aws_lc(&P384_SHA256),
            (P384, Sha384) => by_aws_lc(&P384_SHA384),
            (P384, Sha512) => by_aws_lc(&P384_SHA512),
            (P521, Sha256) => by_aws_lc(&P521_SHA256),
            (P521, Sha384) => by_aws_lc(&P521_SHA384),
            (P521, Sha512) => by_aws_lc(&P521_SHA512),
        },
        Scheme::MlDsa65 => by_aws_lc(&ML_DSA_65_PURE),
        Scheme::Ed25519 => by_ring(&ring::ED25519),
    }
}

static PSS_SHA256_SALT_MAX: RsaParameters = PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
static PSS_SHA384_SALT_MAX: RsaParameters = PSS_SHA384.with_pss_salt_length(RsaPssSaltLength::Max);
static PSS_SHA512_SALT_MAX: RsaParameters = PSS_SHA512.with_pss_salt_length(RsaPssSaltLength::Max);
static P256_SHA512: EcdsaVerificationAlgorithm = ECDSA_P256_SHA512_ASN1;
static P384_SHA256: EcdsaVerificationAlgorithm = ECDSA_P384_SHA256_ASN1;
static P384_SHA384: EcdsaVerificationAlgorithm = ECDSA_P384_SHA384_ASN1;
static P384_SHA512: EcdsaVerificationAlgorithm = ECDSA_P384_SHA512_ASN1;
static P521_SHA256: EcdsaVerificationAlgorithm = ECDSA_P521_SHA256_ASN1;
static P521_SHA384: EcdsaVerificationAlgorithm = ECDSA_P521_SHA384_ASN1;
static P521_SHA512: EcdsaVerificationAlgorithm = ECDSA_P521_SHA512_ASN1;
static ML_DSA_65_PURE: PqdsaVerificationAlgorithm = ML_DSA_65;

/// The bits of the subject public key, if it is of the type and size that `algorithm` demands.
pub(super) fn key_of_type(algorithm: SignatureAlgorithm, spki: &Spki) -> Option<&[u8]> {
    let bits = spki.bits();
    let uncompressed = match spki.key_type() {
        KeyType::Ec(_) => bits.first() == Some(&4),
        KeyType::Rsa(_) | KeyType::Ed25519 | KeyType::MlDsa65 => true,
    };
    (spki.key_type().verifies(algorithm) && uncompressed).then_some(bits)
}
