//! From the numbers of a key to its SubjectPublicKeyInfo, for keys that come as numbers.

use der::Encode;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::{EC_PUBLIC_KEY, ED25519, P256, P384, RSA_ENCRYPTION};

/// The numbers of a key, not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded<'a> {
    /// Modulus and exponent, big-endian.
    Rsa {
        /// The modulus.
        n: &'a [u8],
        /// The exponent.
        e: &'a [u8],
    },
    /// A point in SEC 1 form.
    P256(&'a [u8]),
    /// A point in SEC 1 form.
    P384(&'a [u8]),
    /// The encoded point.
    Ed25519(&'a [u8]),
}

/// The SubjectPublicKeyInfo in DER; `None` if the numbers have no encoding.
pub fn encode(key: &Encoded<'_>) -> Option<Vec<u8>> {
    match key {
        Encoded::Rsa { n, e } => {
            let numbers = [UintRef::new(n).ok()?, UintRef::new(e).ok()?].to_der().ok()?;
            wrap(RSA_ENCRYPTION, Some(AnyRef::NULL), &numbers)
        }
        Encoded::P256(point) => on_curve(&P256, point),
        Encoded::P384(point) => on_curve(&P384, point),
        Encoded::Ed25519(point) => wrap(ED25519, None, point),
    }
}

fn on_curve(curve: &ObjectIdentifier, point: &[u8]) -> Option<Vec<u8>> {
    wrap(EC_PUBLIC_KEY, Some(AnyRef::from(curve)), point)
}

fn wrap(oid: ObjectIdentifier, parameters: Option<AnyRef<'_>>, bits: &[u8]) -> Option<Vec<u8>> {
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(bits).ok()?,
    };
    info.to_der().ok()
}
