//! The arithmetic: one function from (algorithm, key, message, signature) to yes or no.
//!
//! *ring* for RSA, P-256, P-384 and Ed25519; *aws-lc-rs* for what ring does not have: P-521,
//! ML-DSA-65 and RSA-PSS with a salt of maximum length.
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
    ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm, ML_DSA_65, PqdsaVerificationAlgorithm,
    RSA_PSS_2048_8192_SHA256 as PSS_SHA256, RSA_PSS_2048_8192_SHA512 as PSS_SHA512, RsaParameters,
    RsaPssSaltLength,
};
use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use hallmark_core::attestor::SignatureAlgorithm;
use ring::signature as ring;
use spki::SubjectPublicKeyInfoRef;

/// Whether `signature` over `message` was made with the private half of the key. A key that is
/// not one of `algorithm` has signed nothing.
pub(super) fn verify(
    algorithm: SignatureAlgorithm,
    spki_der: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    use SignatureAlgorithm as A;
    let Some(key) = key_of_type(algorithm, spki_der) else { return false };
    let by_ring = |rules: &'static dyn ring::VerificationAlgorithm| {
        ring::UnparsedPublicKey::new(rules, key).verify(message, signature).is_ok()
    };
    let by_aws_lc = |rules: &'static dyn aws_lc_rs::signature::VerificationAlgorithm| {
        rules.verify_sig(key, message, signature).is_ok()
    };
    match algorithm {
        A::RsaPss2048Sha256 | A::RsaPss3072Sha256 | A::RsaPss4096Sha256 => {
            by_ring(&ring::RSA_PSS_2048_8192_SHA256) || by_aws_lc(&PSS_SHA256_SALT_MAX)
        }
        A::RsaPss4096Sha512 => {
            by_ring(&ring::RSA_PSS_2048_8192_SHA512) || by_aws_lc(&PSS_SHA512_SALT_MAX)
        }
        A::RsaPkcs1_2048Sha256 | A::RsaPkcs1_3072Sha256 | A::RsaPkcs1_4096Sha256 => {
            by_ring(&ring::RSA_PKCS1_2048_8192_SHA256)
        }
        A::RsaPkcs1_4096Sha512 => by_ring(&ring::RSA_PKCS1_2048_8192_SHA512),
        A::EcdsaP256Sha256 => by_ring(&ring::ECDSA_P256_SHA256_ASN1),
        A::EcdsaP384Sha384 => by_ring(&ring::ECDSA_P384_SHA384_ASN1),
        A::EcdsaP521Sha512 => by_aws_lc(&P521_SHA512),
        A::MlDsa65 => by_aws_lc(&ML_DSA_65_PURE),
        A::Ed25519 => by_ring(&ring::ED25519),
    }
}

static PSS_SHA256_SALT_MAX: RsaParameters = PSS_SHA256.with_pss_salt_length(RsaPssSaltLength::Max);
static PSS_SHA512_SALT_MAX: RsaParameters = PSS_SHA512.with_pss_salt_length(RsaPssSaltLength::Max);
static P521_SHA512: EcdsaVerificationAlgorithm = ECDSA_P521_SHA512_ASN1;
static ML_DSA_65_PURE: PqdsaVerificationAlgorithm = ML_DSA_65;

/// RFC 8017 appendix A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480 §2.1.1.
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 5480 §2.1.1.1.
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// RFC 5480 §2.1.1.1.
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// RFC 5480 §2.1.1.1.
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// RFC 8410 §3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 9881 §2.
const ML_DSA_65_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");

/// The bits of the subject public key, if it is of the type and size that `algorithm` demands.
///
/// Done for every check: it takes 0.2 µs of a verification's 13 to 380, and neither library
/// verifies measurably faster with a key that it has parsed before.
fn key_of_type(algorithm: SignatureAlgorithm, spki_der: &[u8]) -> Option<&[u8]> {
    use SignatureAlgorithm as A;
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).ok()?;
    let bits = BitStringRef::as_bytes(&spki.subject_public_key)?;
    let oid = spki.algorithm.oid;
    let rsa = |modulus_bits| oid == RSA_ENCRYPTION && rsa_modulus_bits(bits) == Some(modulus_bits);
    let ec = |curve, uncompressed_bytes| {
        oid == EC_PUBLIC_KEY
            && spki.algorithm.parameters_oid() == Ok(curve)
            && bits.len() == uncompressed_bytes
            && bits[0] == 4
    };
    let fits = match algorithm {
        A::RsaPss2048Sha256 | A::RsaPkcs1_2048Sha256 => rsa(2048),
        A::RsaPss3072Sha256 | A::RsaPkcs1_3072Sha256 => rsa(3072),
        A::RsaPss4096Sha256
        | A::RsaPss4096Sha512
        | A::RsaPkcs1_4096Sha256
        | A::RsaPkcs1_4096Sha512 => rsa(4096),
        A::EcdsaP256Sha256 => ec(P256, 65),
        A::EcdsaP384Sha384 => ec(P384, 97),
        A::EcdsaP521Sha512 => ec(P521, 133),
        A::MlDsa65 => oid == ML_DSA_65_KEY && bits.len() == 1952,
        A::Ed25519 => oid == ED25519 && bits.len() == 32,
    };
    fits.then_some(bits)
}

/// The size of the modulus in `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa_modulus_bits(public_key: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(public_key).ok()?;
    let modulus = reader.sequence(|numbers| {
        let modulus = UintRef::decode(numbers)?;
        UintRef::decode(numbers)?;
        Ok::<_, der::Error>(modulus)
    });
    let modulus = modulus.ok()?.as_bytes();
    reader.is_finished().then_some(())?;
    Some(modulus.len() * 8 - modulus.first()?.leading_zeros() as usize)
}
