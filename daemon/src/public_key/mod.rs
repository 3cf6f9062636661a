//! Public keys: the one place that reads SubjectPublicKeyInfo.
//!
//! [`read`] looks at the structure only.
//! [`fn@judge`] decides if a key may enter, whichever door it comes by: keys of plugins and of
//! attestors, of the issuers of JWTs, of client CAs and clients, of key versions.

mod encode;
mod judge;
#[cfg(test)]
mod tests;

pub use encode::{Encoded, encode};
pub use judge::judge;

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Reader, SliceReader};
use hallmark_core::attestor::{Curve, KeyType, Spki};
use spki::SubjectPublicKeyInfoRef;

/// The bytes are no public key that verifies attestations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyTypeError {
    /// Not DER.
    #[error("the public key is no SubjectPublicKeyInfo in DER")]
    Der,
    /// A type of key that verifies no attestation.
    #[error("a public key of type {0} is not supported")]
    Type(ObjectIdentifier),
    /// A curve that verifies no attestation.
    #[error("an elliptic curve key must name its curve, P-256, P-384 or P-521")]
    Curve,
    /// The bits are not a key of this type.
    #[error("the public key is not a valid {0} key")]
    Bits(&'static str),
    /// RFC 8017 §3.1: odd and at least 3. Larger than 33 bits is what no verifier takes.
    #[error("the RSA exponent must be odd, at least 3 and at most 33 bits long")]
    Exponent,
    /// NIST SP 800-131A allows no fewer than 2048 bits; AWS-LC and ring verify with no more than
    /// 8192.
    #[error("an RSA key of {0} bits is refused: use 2048, 3072 or 4096")]
    ModulusBits(usize),
    /// SP 800-89 §5.3.3. Who knows a factor has the private key.
    #[error("the RSA modulus has the small factor {0}, so anybody can sign with this key")]
    SmallFactor(u32),
    /// Points of this curve are read uncompressed only.
    #[error("a {0} point must be uncompressed")]
    Compressed(&'static str),
    /// Not in the subgroup of prime order, or not the one encoding of its point.
    #[error(
        "the Ed25519 key is not a canonical point of the prime-order group: signatures can be forged \
         for it"
    )]
    Ed25519Point,
    /// A key whose secret is known: its matrix part is zero.
    #[error("the ML-DSA-65 key is degenerate: signatures can be forged for it")]
    MlDsaDegenerate,
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

/// Reads a key by its structure only: what was not judged may be anybody's.
pub fn read(spki_der: &[u8]) -> Result<Spki, KeyTypeError> {
    let (key_type, bits) = parts(spki_der)?;
    // The bits are the last of a SubjectPublicKeyInfo, after which nothing is read.
    let start = spki_der.len() - bits.len();
    Ok(Spki::new(spki_der, key_type, start..spki_der.len()))
}

/// The type of a key, and the bits of its subject public key.
fn parts(spki_der: &[u8]) -> Result<(KeyType, &[u8]), KeyTypeError> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der).map_err(|_| KeyTypeError::Der)?;
    let bits = BitStringRef::as_bytes(&spki.subject_public_key);
    let bits = bits.ok_or(KeyTypeError::Bits("whole"))?;
    let bare = spki.algorithm.parameters.is_none();
    let key_type = match spki.algorithm.oid {
        RSA_ENCRYPTION if spki.algorithm.parameters == Some(AnyRef::NULL) => {
            KeyType::Rsa(rsa_numbers(bits)?.bits())
        }
        RSA_ENCRYPTION => return Err(KeyTypeError::Bits("RSA")),
        EC_PUBLIC_KEY => match spki.algorithm.parameters_oid() {
            Ok(P256) => KeyType::Ec(Curve::P256),
            Ok(P384) => KeyType::Ec(Curve::P384),
            Ok(P521) => KeyType::Ec(Curve::P521),
            _ => return Err(KeyTypeError::Curve),
        },
        ED25519 if bare && bits.len() == 32 => KeyType::Ed25519,
        ED25519 => return Err(KeyTypeError::Bits("Ed25519")),
        ML_DSA_65 if bare && bits.len() == ML_DSA_65_BYTES => KeyType::MlDsa65,
        ML_DSA_65 => return Err(KeyTypeError::Bits("ML-DSA-65")),
        other => return Err(KeyTypeError::Type(other)),
    };
    Ok((key_type, bits))
}

/// The numbers of an `RSAPublicKey`.
struct RsaNumbers<'a> {
    modulus: UintRef<'a>,
}

impl RsaNumbers<'_> {
    fn bits(&self) -> usize {
        bit_length(&self.modulus)
    }
}

/// Reads an `RSAPublicKey` (RFC 8017 appendix A.1.1) with an odd modulus and a usual exponent.
fn rsa_numbers(public_key: &[u8]) -> Result<RsaNumbers<'_>, KeyTypeError> {
    let wrong = KeyTypeError::Bits("RSA");
    let mut reader = SliceReader::new(public_key).map_err(|_| wrong.clone())?;
    let numbers = reader.sequence(|numbers| {
        let modulus = UintRef::decode(numbers)?;
        let exponent = UintRef::decode(numbers)?;
        Ok::<_, der::Error>((modulus, exponent))
    });
    let (modulus, exponent) = numbers.map_err(|_| wrong.clone())?;
    let odd = |number: &UintRef<'_>| number.as_bytes().last().is_some_and(|last| last & 1 == 1);
    if !reader.is_finished() || !odd(&modulus) {
        return Err(wrong);
    }
    let one = exponent.as_bytes() == [1];
    if one || !odd(&exponent) || bit_length(&exponent) > 33 {
        return Err(KeyTypeError::Exponent);
    }
    Ok(RsaNumbers { modulus })
}

fn bit_length(number: &UintRef<'_>) -> usize {
    let bytes = number.as_bytes();
    let leading = bytes.first().map_or(8, |first| first.leading_zeros() as usize);
    (bytes.len() * 8).saturating_sub(leading)
}
