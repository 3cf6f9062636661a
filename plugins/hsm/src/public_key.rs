//! The public half of a key pair, from whichever of its attributes a token has.

use cryptoki::object::Attribute;
use der::asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode, Encode, Reader, SliceReader};
use hallmark_plugin_api::Algorithm;
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use x509_cert::Certificate;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

/// Why what a token says of a key makes no public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PublicKeyError {
    /// The token holds the private key alone.
    #[error("the token has neither its public key nor a certificate: import one beside it")]
    Absent,
    /// Not what the attribute should be.
    #[error("the token's {0} cannot be read")]
    Der(&'static str),
    /// A type of key that signs no attestation from a token.
    #[error("it is neither RSA of 2048, 3072 or 4096 bits nor ECDSA on P-256, P-384 or P-521")]
    Type,
    /// A point in no known form.
    #[error("CKA_EC_POINT has {0} bytes, which is no point of its curve")]
    Point(usize),
}

/// A public key and what signatures of it may be, the preferred first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) spki_der: Vec<u8>,
    pub(crate) algorithms: Vec<Algorithm>,
}

impl PublicKey {
    /// The key of the first of these that says it: `CKA_PUBLIC_KEY_INFO` of either half, the
    /// certificate of the pair, the numbers of the public key.
    ///
    /// `objects` are the attributes of the public key, the private key and the certificate, as far
    /// as they are there.
    pub(crate) fn of(objects: &[&[Attribute]]) -> Result<Self, PublicKeyError> {
        let all = || objects.iter().copied().flatten();
        let info = all().find_map(|attribute| match attribute {
            // SoftHSM 2.6 has the attribute, and nothing in it.
            Attribute::PublicKeyInfo(der) if !der.is_empty() => Some(der),
            _ => None,
        });
        if let Some(der) = info {
            return Self::from_spki_der("CKA_PUBLIC_KEY_INFO", der);
        }
        if let Some(der) = all().find_map(|it| match it {
            Attribute::Value(der) if !der.is_empty() => Some(der),
            _ => None,
        }) {
            return Self::from_certificate(der);
        }
        let numbers = objects.iter().find_map(|attributes| from_numbers(attributes));
        let der = numbers.ok_or(PublicKeyError::Absent)??;
        Self::from_spki_der("public key", &der)
    }

    fn from_certificate(der: &[u8]) -> Result<Self, PublicKeyError> {
        const WHAT: &str = "certificate";
        let certificate = Certificate::from_der(der).map_err(|_| PublicKeyError::Der(WHAT))?;
        let spki = certificate.tbs_certificate().subject_public_key_info().to_der();
        Self::from_spki_der(WHAT, &spki.map_err(|_| PublicKeyError::Der(WHAT))?)
    }

    fn from_spki_der(what: &'static str, der: &[u8]) -> Result<Self, PublicKeyError> {
        let wrong = |_: der::Error| PublicKeyError::Der(what);
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(wrong)?;
        let algorithms: &[Algorithm] = match spki.algorithm.oid {
            RSA_ENCRYPTION => {
                let key = spki.subject_public_key.as_bytes().ok_or(PublicKeyError::Type)?;
                rsa(modulus_bits(key).map_err(wrong)?)
            }
            EC_PUBLIC_KEY => {
                let curve = spki.algorithm.parameters.ok_or(PublicKeyError::Type)?;
                ecdsa(curve.decode_as::<ObjectIdentifier>().map_err(wrong)?)
            }
            _ => &[],
        };
        if algorithms.is_empty() {
            return Err(PublicKeyError::Type);
        }
        Ok(Self { spki_der: der.to_vec(), algorithms: algorithms.to_vec() })
    }
}

fn rsa(bits: usize) -> &'static [Algorithm] {
    match bits {
        2048 => &[Algorithm::RsaPss2048Sha256, Algorithm::RsaPkcs1_2048Sha256],
        3072 => &[Algorithm::RsaPss3072Sha256, Algorithm::RsaPkcs1_3072Sha256],
        4096 => &[
            Algorithm::RsaPss4096Sha256,
            Algorithm::RsaPss4096Sha512,
            Algorithm::RsaPkcs1_4096Sha256,
            Algorithm::RsaPkcs1_4096Sha512,
        ],
        _ => &[],
    }
}

fn ecdsa(curve: ObjectIdentifier) -> &'static [Algorithm] {
    match curve {
        P256 => &[Algorithm::EcdsaP256Sha256],
        P384 => &[Algorithm::EcdsaP384Sha384],
        P521 => &[Algorithm::EcdsaP521Sha512],
        _ => &[],
    }
}

/// Bytes of an uncompressed point.
fn point_bytes(curve: ObjectIdentifier) -> Option<usize> {
    match curve {
        P256 => Some(65),
        P384 => Some(97),
        P521 => Some(133),
        _ => None,
    }
}

/// The key of `CKA_MODULUS` and `CKA_PUBLIC_EXPONENT`, or of `CKA_EC_PARAMS` and `CKA_EC_POINT`;
/// `None` where the object has neither.
fn from_numbers(attributes: &[Attribute]) -> Option<Result<Vec<u8>, PublicKeyError>> {
    let (mut modulus, mut exponent, mut curve, mut point) = (None, None, None, None);
    for attribute in attributes {
        match attribute {
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            Attribute::EcParams(bytes) => curve = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    match (modulus, exponent, curve, point) {
        (Some(modulus), Some(exponent), ..) => {
            Some(from_modulus(modulus, exponent).map_err(|_| PublicKeyError::Der("RSA numbers")))
        }
        (_, _, Some(curve), Some(point)) => Some(from_point(curve, point)),
        _ => None,
    }
}

fn from_modulus(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, der::Error> {
    let key = [UintRef::new(modulus)?, UintRef::new(exponent)?].to_der()?;
    wrap(RSA_ENCRYPTION, AnyRef::from(Null), &key)
}

fn from_point(curve: &[u8], point: &[u8]) -> Result<Vec<u8>, PublicKeyError> {
    let wrong = |_: der::Error| PublicKeyError::Der("CKA_EC_PARAMS");
    let curve = ObjectIdentifier::from_der(curve).map_err(wrong)?;
    let bytes = point_bytes(curve).ok_or(PublicKeyError::Type)?;
    let wrapped = <&OctetStringRef>::from_der(point).map(OctetStringRef::as_bytes);
    // The standard says an OCTET STRING with the point in it; many tokens give the point alone.
    // The length tells them apart: with its header, a point is two or three bytes longer.
    let point = match (point.len() == bytes, wrapped) {
        (true, _) => point,
        (false, Ok(inner)) if inner.len() == bytes => inner,
        _ => return Err(PublicKeyError::Point(point.len())),
    };
    wrap(EC_PUBLIC_KEY, AnyRef::from(&curve), point).map_err(wrong)
}

fn wrap(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Result<Vec<u8>, der::Error> {
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters: Some(parameters) },
        subject_public_key: BitStringRef::from_bytes(key)?,
    }
    .to_der()
}

fn modulus_bits(key: &[u8]) -> Result<usize, der::Error> {
    let mut reader = SliceReader::new(key)?;
    let (modulus, _) = reader.sequence(|fields| {
        Ok::<_, der::Error>((UintRef::decode(fields)?, UintRef::decode(fields)?))
    })?;
    reader.finish()?;
    let modulus = modulus.as_bytes();
    let leading = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    Ok(modulus.len() * 8 - leading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    /// The point of a SubjectPublicKeyInfo is its end.
    fn numbers(spki_der: &[u8], curve: ObjectIdentifier, wrapped: bool) -> Vec<Attribute> {
        let point = &spki_der[spki_der.len() - point_bytes(curve).unwrap()..];
        let point = match wrapped {
            true => OctetStringRef::new(point).unwrap().to_der().unwrap(),
            false => point.to_vec(),
        };
        vec![Attribute::EcParams(curve.to_der().unwrap()), Attribute::EcPoint(point)]
    }

    #[test]
    fn both_forms_of_a_point_make_the_key_that_openssl_wrote() {
        for (name, curve, algorithm) in [
            ("P-256", P256, Algorithm::EcdsaP256Sha256),
            ("P-384", P384, Algorithm::EcdsaP384Sha384),
            ("P-521", P521, Algorithm::EcdsaP521Sha512),
        ] {
            let spki_der = fixture::ec_public_der(name);
            let expected = PublicKey { spki_der: spki_der.clone(), algorithms: vec![algorithm] };
            for wrapped in [true, false] {
                let attributes = numbers(&spki_der, curve, wrapped);
                assert_eq!(PublicKey::of(&[&attributes]), Ok(expected.clone()), "{name}");
            }
            let info = [Attribute::PublicKeyInfo(spki_der)];
            assert_eq!(PublicKey::of(&[&info]), Ok(expected), "{name}");
        }
    }

    #[test]
    fn the_first_source_that_says_anything_is_asked() {
        let spki_der = fixture::ec_public_der("P-256");
        let point = numbers(&spki_der, P256, true);
        let empty = [Attribute::PublicKeyInfo(Vec::new())];
        assert_eq!(PublicKey::of(&[&empty, &point]).unwrap().spki_der, spki_der);

        let (certificate, certified) = fixture::certificate();
        let value = [Attribute::Value(certificate)];
        assert_eq!(PublicKey::of(&[&empty, &value, &point]).unwrap().spki_der, certified);
        assert_eq!(PublicKey::of(&[&empty]), Err(PublicKeyError::Absent));
        assert_eq!(PublicKey::of(&[]), Err(PublicKeyError::Absent));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let spki_der = fixture::ec_public_der("P-256");
        let mut attributes = numbers(&spki_der, P256, true);
        attributes[1] = Attribute::EcPoint(vec![4; 66]);
        assert_eq!(PublicKey::of(&[&attributes]), Err(PublicKeyError::Point(66)));
        attributes[0] = Attribute::EcParams(b"\x06\x05\x2b\x81\x04\x00\x0a".to_vec());
        assert_eq!(PublicKey::of(&[&attributes]), Err(PublicKeyError::Type));
        attributes[0] = Attribute::EcParams(vec![1, 2, 3]);
        assert!(matches!(PublicKey::of(&[&attributes]), Err(PublicKeyError::Der(..))));

        let rsa = |bits: usize| {
            let modulus = Attribute::Modulus(vec![0x80; bits / 8]);
            PublicKey::of(&[&[modulus, Attribute::PublicExponent(vec![1, 0, 1])]])
        };
        assert_eq!(rsa(2048).unwrap().algorithms.len(), 2);
        assert_eq!(rsa(4096).unwrap().algorithms.len(), 4);
        assert_eq!(rsa(1024), Err(PublicKeyError::Type));
        assert_eq!(PublicKey::of(&[&[Attribute::Modulus(vec![1])]]), Err(PublicKeyError::Absent));
    }
}
