//! How a signature of each algorithm is verified.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, ED25519, ML_DSA_65, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use hallmark_plugin_api::Algorithm;

/// Names in a list, for messages.
pub(crate) fn names(algorithms: &[Algorithm]) -> String {
    algorithms.iter().copied().map(Algorithm::name).collect::<Vec<_>>().join(", ")
}

/// How a signature of it is verified.
pub(crate) fn verification(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    use Algorithm::*;
    match algorithm {
        RsaPss2048Sha256 | RsaPss3072Sha256 | RsaPss4096Sha256 => &RSA_PSS_2048_8192_SHA256,
        RsaPss4096Sha512 => &RSA_PSS_2048_8192_SHA512,
        RsaPkcs1_2048Sha256 | RsaPkcs1_3072Sha256 | RsaPkcs1_4096Sha256 => {
            &RSA_PKCS1_2048_8192_SHA256
        }
        RsaPkcs1_4096Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
        EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
        EcdsaP521Sha512 => &ECDSA_P521_SHA512_ASN1,
        MlDsa65 => &ML_DSA_65,
        Ed25519 => &ED25519,
        RsaPkcs1_2048Sha384 | RsaPkcs1_3072Sha384 | RsaPkcs1_4096Sha384 => {
            &RSA_PKCS1_2048_8192_SHA384
        }
        RsaPkcs1_2048Sha512 | RsaPkcs1_3072Sha512 => &RSA_PKCS1_2048_8192_SHA512,
        EcdsaP256Sha384 => &ECDSA_P256_SHA384_ASN1,
        EcdsaP256Sha512 => &ECDSA_P256_SHA512_ASN1,
        EcdsaP384Sha256 => &ECDSA_P384_SHA256_ASN1,
        EcdsaP384Sha512 => &ECDSA_P384_SHA512_ASN1,
        EcdsaP521Sha256 => &ECDSA_P521_SHA256_ASN1,
        EcdsaP521Sha384 => &ECDSA_P521_SHA384_ASN1,
    }
}

/// The hash that is signed, where the algorithm hashes the message once and no more.
pub(crate) fn hash(algorithm: Algorithm) -> Option<&'static digest::Algorithm> {
    use Algorithm::*;
    match algorithm {
        RsaPss2048Sha256 | RsaPss3072Sha256 | RsaPss4096Sha256 | RsaPkcs1_2048Sha256
        | RsaPkcs1_3072Sha256 | RsaPkcs1_4096Sha256 | EcdsaP256Sha256 | EcdsaP384Sha256
        | EcdsaP521Sha256 => Some(&digest::SHA256),
        RsaPkcs1_2048Sha384 | RsaPkcs1_3072Sha384 | RsaPkcs1_4096Sha384 | EcdsaP256Sha384
        | EcdsaP384Sha384 | EcdsaP521Sha384 => Some(&digest::SHA384),
        RsaPss4096Sha512 | RsaPkcs1_2048Sha512 | RsaPkcs1_3072Sha512 | RsaPkcs1_4096Sha512
        | EcdsaP256Sha512 | EcdsaP384Sha512 | EcdsaP521Sha512 => Some(&digest::SHA512),
        MlDsa65 | Ed25519 => None,
    }
}
