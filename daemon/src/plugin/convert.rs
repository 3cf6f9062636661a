//! From a plugin's key record to a key that the daemon verifies with.
//!
//! The record's SubjectPublicKeyInfo is parsed here, its type, size and curve are held against the
//! algorithm, a compressed P-256 point is written out, and the fingerprint is computed: nothing in
//! a [`VerificationKey`] rests on the word of a plugin but the ids and the validity.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    VerificationAlgorithm,
};
use der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use hallmark_core::attestor::{KeyId, SignatureAlgorithm, Validity, VerificationKey};
use hallmark_core::time::UnixTime;
use hallmark_plugin_api::KeyFlags;
use hallmark_plugin_api::host::KeyRecord;
use p256::elliptic_curve::sec1::ToSec1Point;
use sha2::{Digest, Sha256};
use spki::SubjectPublicKeyInfoRef;

/// A public key is not usable with its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WrongKey {
    /// Not DER.
    #[error("the public key is no SubjectPublicKeyInfo in DER: {0}")]
    Der(der::Error),
    /// A type of key that verifies no attestation.
    #[error("a public key of type {0} is not supported")]
    Type(ObjectIdentifier),
    /// A curve that verifies no attestation.
    #[error("an elliptic curve key must name its curve, P-256, P-384 or P-521")]
    Curve,
    /// The bits are not a key of this type.
    #[error("the public key is not a valid {0} key")]
    Bits(&'static str),
    /// Points of this curve are read uncompressed only.
    #[error("a {0} point must be uncompressed")]
    Compressed(&'static str),
    /// RFC 8017 §3.1: odd and at least 3. Larger than 33 bits is what no verifier takes.
    #[error("the RSA exponent must be odd, at least 3 and at most 33 bits long")]
    Exponent,
    /// The key is fine, and of another algorithm.
    #[error("the key is {found}, which {declared} cannot be verified with")]
    Mismatch {
        /// What it is.
        found: String,
        /// What it should be.
        declared: SignatureAlgorithm,
    },
    /// The plugin says that the key must not be used for this.
    #[error("the key may not be used to verify")]
    Usage,
}

/// The keys of records that the host can verify with, one for each algorithm. Records that only
/// sign, or that have no algorithm known here, give none.
pub(super) fn of_records(records: &[KeyRecord]) -> Result<Vec<VerificationKey>, WrongKey> {
    let usable = KeyFlags::VERIFY.with(KeyFlags::HOST_VERIFY);
    let mut keys = Vec::with_capacity(records.len());
    for record in records.iter().filter(|record| record.flags.contains(usable)) {
        let names = std::iter::once(&record.id).chain(&record.other_ids);
        let ids: Vec<_> = names.map(|id| KeyId::from(id.as_str())).collect();
        let numbers = record.algorithms.iter().map(|algorithm| algorithm.number());
        for algorithm in numbers.filter_map(SignatureAlgorithm::from_number) {
            keys.push(verification_key(record, ids.clone(), algorithm)?);
        }
    }
    Ok(keys)
}

/// The key of a record, for one algorithm.
pub(super) fn verification_key(
    record: &KeyRecord,
    ids: Vec<KeyId>,
    algorithm: SignatureAlgorithm,
) -> Result<VerificationKey, WrongKey> {
    if !record.flags.contains(KeyFlags::VERIFY) {
        return Err(WrongKey::Usage);
    }
    let (kind, spki_der) = parse(&record.spki_der)?;
    if !kind.verifies(algorithm) {
        return Err(WrongKey::Mismatch { found: kind.to_string(), declared: algorithm });
    }
    Ok(VerificationKey {
        ids,
        fingerprint: Sha256::digest(&spki_der).into(),
        spki_der: spki_der.into(),
        algorithm,
        validity: validity(record),
    })
}

fn validity(record: &KeyRecord) -> Validity {
    let hard = record.flags.contains(KeyFlags::HARD_REVOKED).then_some(i64::MIN);
    Validity {
        not_before: record.not_before.map(UnixTime),
        not_after: record.not_after.map(UnixTime),
        revoked_at: hard.or(record.revoked_at).map(UnixTime),
    }
}

/// What a public key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa(usize),
    P256,
    P384,
    P521,
    Ed25519,
    MlDsa65,
}

impl Kind {
    fn verifies(self, algorithm: SignatureAlgorithm) -> bool {
        use SignatureAlgorithm as A;
        self == match algorithm {
            A::RsaPss2048Sha256 | A::RsaPkcs1_2048Sha256 => Self::Rsa(2048),
            A::RsaPss3072Sha256 | A::RsaPkcs1_3072Sha256 => Self::Rsa(3072),
            A::RsaPss4096Sha256
            | A::RsaPss4096Sha512
            | A::RsaPkcs1_4096Sha256
            | A::RsaPkcs1_4096Sha512 => Self::Rsa(4096),
            A::EcdsaP256Sha256 => Self::P256,
            A::EcdsaP384Sha384 => Self::P384,
            A::EcdsaP521Sha512 => Self::P521,
            A::MlDsa65 => Self::MlDsa65,
            A::Ed25519 => Self::Ed25519,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA with {bits} bits"),
            Self::P256 => f.write_str("EC P-256"),
            Self::P384 => f.write_str("EC P-384"),
            Self::P521 => f.write_str("EC P-521"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::MlDsa65 => f.write_str("ML-DSA-65"),
        }
    }
}

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
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
/// FIPS 204 table 2.
const ML_DSA_65_BYTES: usize = 1952;

/// What the key is, and its SubjectPublicKeyInfo with the point written out.
fn parse(spki_der: &[u8]) -> Result<(Kind, Vec<u8>), WrongKey> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(WrongKey::Der)?;
    let bits = BitStringRef::as_bytes(&spki.subject_public_key).ok_or(WrongKey::Bits("whole"))?;
    let bare = spki.algorithm.parameters.is_none();
    let as_given = |kind| Ok((kind, spki_der.to_vec()));
    match spki.algorithm.oid {
        RSA_ENCRYPTION => as_given(Kind::Rsa(rsa_bits(bits)?)),
        EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
            Ok(P256) => Ok((Kind::P256, p256(spki_der, bits)?)),
            Ok(P384) => point("P-384", &ECDSA_P384_SHA384_ASN1, bits, 97)
                .and_then(|()| as_given(Kind::P384)),
            Ok(P521) => point("P-521", &ECDSA_P521_SHA512_ASN1, bits, 133)
                .and_then(|()| as_given(Kind::P521)),
            _ => Err(WrongKey::Curve),
        },
        ED25519 if bare && bits.len() == 32 => as_given(Kind::Ed25519),
        ED25519 => Err(WrongKey::Bits("Ed25519")),
        ML_DSA_65 if bare && bits.len() == ML_DSA_65_BYTES => as_given(Kind::MlDsa65),
        ML_DSA_65 => Err(WrongKey::Bits("ML-DSA-65")),
        other => Err(WrongKey::Type(other)),
    }
}

/// The size of the modulus in an `RSAPublicKey` (RFC 8017 appendix A.1.1).
fn rsa_bits(public_key: &[u8]) -> Result<usize, WrongKey> {
    let mut reader = SliceReader::new(public_key).map_err(|_| WrongKey::Bits("RSA"))?;
    let numbers = reader.sequence(|numbers| {
        let modulus = UintRef::decode(numbers)?;
        let exponent = UintRef::decode(numbers)?;
        Ok::<_, der::Error>((modulus, exponent))
    });
    let (modulus, exponent) = numbers.map_err(|_| WrongKey::Bits("RSA"))?;
    let odd = |number: &UintRef<'_>| number.as_bytes().last().is_some_and(|last| last & 1 == 1);
    if !reader.is_finished() || !odd(&modulus) {
        return Err(WrongKey::Bits("RSA"));
    }
    let one = exponent.as_bytes() == [1];
    if one || !odd(&exponent) || bit_length(&exponent) > 33 {
        return Err(WrongKey::Exponent);
    }
    Ok(bit_length(&modulus))
}

fn bit_length(number: &UintRef<'_>) -> usize {
    let bytes = number.as_bytes();
    let leading = bytes.first().map_or(8, |first| first.leading_zeros() as usize);
    (bytes.len() * 8).saturating_sub(leading)
}

/// A point on P-256, compressed or not; gives back the key with the point uncompressed.
fn p256(spki_der: &[u8], bits: &[u8]) -> Result<Vec<u8>, WrongKey> {
    if !matches!(bits, [2 | 3, ..] if bits.len() == 33) {
        point("P-256", &ECDSA_P256_SHA256_ASN1, bits, 65)?;
        return Ok(spki_der.to_vec());
    }
    let key = p256::PublicKey::from_sec1_bytes(bits).map_err(|_| WrongKey::Bits("P-256"))?;
    // RFC 5480: the 26 bytes in front of every uncompressed P-256 point.
    let head = [0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]
        .into_iter()
        .chain([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00]);
    Ok(head.chain(key.to_sec1_point(false).as_bytes().iter().copied()).collect())
}

/// An uncompressed point that is on its curve.
fn point(
    curve: &'static str,
    rules: &'static impl VerificationAlgorithm,
    bits: &[u8],
    uncompressed_bytes: usize,
) -> Result<(), WrongKey> {
    if matches!(bits.first(), Some(2 | 3)) {
        return Err(WrongKey::Compressed(curve));
    }
    let shaped = bits.len() == uncompressed_bytes && bits.first() == Some(&4);
    if shaped && ParsedPublicKey::new(rules, bits).is_ok() {
        Ok(())
    } else {
        Err(WrongKey::Bits(curve))
    }
}
