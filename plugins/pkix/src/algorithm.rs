//! The verification of a signature of each algorithm.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_65, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use hallmark_plugin_api::{Algorithm, Curve, HashFunction, Scheme};

/// Names in a list, for messages.
pub(crate) fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().copied().map(Algorithm::name).collect::<Vec<_>>().join(", ")
}

/// The verification of a signature of it.
pub(crate) fn verification(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    use Curve::{P256, P384, P521};
    use HashFunction::{Sha256, Sha384, Sha512};
    match algorithm.scheme() {
        Scheme::RsaPss { hash: Sha256, .. } => &RSA_PSS_2048_8192_SHA256,
        Scheme::RsaPss { hash: Sha384, .. } => &RSA_PSS_2048_8192_SHA384,
        Scheme::RsaPss { hash: Sha512, .. } => &RSA_PSS_2048_8192_SHA512,
        Scheme::RsaPkcs1 { hash: Sha256, .. } => &RSA_PKCS1_2048_8192_SHA256,
        Scheme::RsaPkcs1 { hash: Sha384, .. } => &RSA_PKCS1_2048_8192_SHA384,
        Scheme::RsaPkcs1 { hash: Sha512, .. } => &RSA_PKCS1_2048_8192_SHA512,
        Scheme::Ecdsa { curve, hash } => match (curve, hash) {
            (P256, Sha256) => &ECDSA_P256_SHA256_ASN1,
            (P256, Sha384) => &ECDSA_P256_SHA384_ASN1,
            (P256, Sha512) => &ECDSA_P256_SHA512_ASN1,
            (P384, Sha256) => &ECDSA_P384_SHA256_ASN1,
            (P384, Sha384) => &ECDSA_P384_SHA384_ASN1,
            (P384, Sha512) => &ECDSA_P384_SHA512_ASN1,
            (P521, Sha256) => &ECDSA_P521_SHA256_ASN1,
            (P521, Sha384) => &ECDSA_P521_SHA384_ASN1,
            (P521, Sha512) => &ECDSA_P521_SHA512_ASN1,
        },
        Scheme::MlDsa65 => &ML_DSA_65,
        Scheme::Ed25519 => &ED25519,
    }
}

/// The hash that is signed, where the algorithm hashes the message once and no more.
pub(crate) fn hash(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    Some(match algorithm.hash()? {
        HashFunction::Sha256 => &digest::SHA256,
        HashFunction::Sha384 => &digest::SHA384,
        HashFunction::Sha512 => &digest::SHA512,
    })
}
