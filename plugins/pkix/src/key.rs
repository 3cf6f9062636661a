//! A public key: its `SubjectPublicKeyInfo` and what the object identifiers in it allow.

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Reader, SliceReader};
use hallmark_plugin_api::Algorithm;
use sha2::{Digest, Sha256};
use spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::algorithm;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");

/// Largest RSA public exponent. Ring and BoringSSL end at 33 bits; a longer one only makes every
/// verification slow.
const RSA_EXPONENT_BITS_MAX: usize = 33;
/// FIPS 204, table 2.
const ML_DSA_65_KEY_BYTES: usize = 1_952;
const ED25519_KEY_BYTES: usize = 32;

/// Why the bytes are not a key that signatures can be checked with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// Not one canonical DER value.
    #[error("not a SubjectPublicKeyInfo in DER")]
    Der,
    /// A key of a kind that no signature algorithm here uses.
    #[error(
        "keys of algorithm {0} are not supported: use RSA, P-256, P-384, P-521, Ed25519 or \
         ML-DSA-65"
    )]
    Algorithm(ObjectIdentifier),
    /// A key that its own identifier restricts to RSASSA-PSS parameters.
    #[error("id-RSASSA-PSS keys ({RSASSA_PSS}) are not supported: encode as rsaEncryption")]
    RsassaPss,
    /// A curve that no signature algorithm here uses.
    #[error("curve {0} is not supported: use P-256, P-384 or P-521")]
    Curve(ObjectIdentifier),
    /// The parameters are not those of the algorithm.
    #[error("the algorithm parameters are not {0}")]
    Parameters(&'static str),
    /// An RSA modulus of another size.
    #[error("an RSA key of {0} bits is not supported: use 2048, 3072 or 4096")]
    ModulusBits(usize),
    /// An RSA public exponent that is even, too small or too large.
    #[error("the RSA public exponent is not an odd number from 3 to 2^{RSA_EXPONENT_BITS_MAX}-1")]
    Exponent,
    /// A key of the wrong length for its algorithm.
    #[error("a key of {given} bytes where {kind} has {expected}")]
    Length {
        /// The algorithm or curve.
        kind: &'static str,
        /// The sizes that it takes, in words.
        expected: &'static str,
        /// The size that was given, in bytes.
        given: usize,
    },
    /// A point in hybrid form or at infinity.
    #[error("the {0} point is neither uncompressed nor compressed")]
    PointForm(&'static str),
    /// A key that the arithmetic refuses, such as a point off its curve.
    #[error("not a valid {0} public key")]
    Invalid(&'static str),
}

impl From<der::Error> for KeyError {
    fn from(_: der::Error) -> Self {
        Self::Der
    }
}

/// A public key that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The `SubjectPublicKeyInfo`, canonical DER. An elliptic point may be compressed.
    pub(crate) spki_der: Vec<u8>,
    /// The algorithms that its signatures can have: never empty, all of one key size or curve.
    pub(crate) algorithms: Vec<Algorithm>,
}

impl Key {
    /// The key of a `SubjectPublicKeyInfo`.
    pub(crate) fn from_spki_der(spki_der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki_der)?;
        let key = spki.subject_public_key.as_bytes().ok_or(KeyError::Der)?;
        let (kind, algorithms) = match spki.algorithm.oid {
            RSA_ENCRYPTION => ("RSA", rsa(&spki.algorithm, key)?),
            EC_PUBLIC_KEY => elliptic(&spki.algorithm, key)?,
            ED25519 => raw(&spki.algorithm, key, "Ed25519", Algorithm::Ed25519)?,
            ML_DSA_65 => raw(&spki.algorithm, key, "ML-DSA-65", Algorithm::MlDsa65)?,
            RSASSA_PSS => return Err(KeyError::RsassaPss),
            other => return Err(KeyError::Algorithm(other)),
        };
        ParsedPublicKey::new(algorithm::verification(algorithms[0]), spki_der)
            .map_err(|_| KeyError::Invalid(kind))?;
        Ok(Self { spki_der: spki_der.to_vec(), algorithms: algorithms.to_vec() })
    }

    /// The key of a PKCS#1 `RSAPublicKey`, as under `BEGIN RSA PUBLIC KEY`.
    pub(crate) fn from_rsa_public_key_der(pkcs1: &[u8]) -> Result<Self, KeyError> {
        Self::wrap(RSA_ENCRYPTION, Some(AnyRef::from(Null)), pkcs1)
    }

    /// The RSA key of a modulus and an exponent, both big-endian.
    pub(crate) fn from_rsa_numbers(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let numbers = [UintRef::new(modulus)?, UintRef::new(exponent)?];
        Self::from_rsa_public_key_der(&numbers.to_der()?)
    }

    /// The elliptic key of a point in SEC 1 form.
    pub(crate) fn from_point(curve: Curve, point: &[u8]) -> Result<Self, KeyError> {
        Self::wrap(EC_PUBLIC_KEY, Some(AnyRef::from(&curve.oid())), point)
    }

    /// The Ed25519 key of its 32 bytes.
    pub(crate) fn from_ed25519(key: &[u8]) -> Result<Self, KeyError> {
        Self::wrap(ED25519, None, key)
    }

    /// The ML-DSA-65 key of its 1952 bytes.
    pub(crate) fn from_ml_dsa_65(key: &[u8]) -> Result<Self, KeyError> {
        Self::wrap(ML_DSA_65, None, key)
    }

    /// The id it goes by where its owner gave none: Google's and RFC 6920's `ni` URI.
    pub(crate) fn default_id(&self) -> String {
        let digest = Sha256::digest(&self.spki_der);
        format!("ni:///sha-256;{}", URL_SAFE_NO_PAD.encode(digest))
    }

    fn wrap(
        oid: ObjectIdentifier,
        parameters: Option<AnyRef<'_>>,
        key: &[u8],
    ) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid, parameters },
            subject_public_key: BitStringRef::from_bytes(key)?,
        };
        Self::from_spki_der(&spki.to_der()?)
    }
}

/// The NIST curves that have a signature algorithm here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Bytes of one coordinate.
    pub(crate) const fn field_bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => P256,
            Self::P384 => P384,
            Self::P521 => P521,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    const fn point_lengths(self) -> &'static str {
        match self {
            Self::P256 => "65 (compressed: 33)",
            Self::P384 => "97 (compressed: 49)",
            Self::P521 => "133 (compressed: 67)",
        }
    }

    const fn algorithms(self) -> &'static [Algorithm] {
        match self {
            Self::P256 => &[Algorithm::EcdsaP256Sha256],
            Self::P384 => &[Algorithm::EcdsaP384Sha384],
            Self::P521 => &[Algorithm::EcdsaP521Sha512],
        }
    }
}

/// The name of a kind of key for messages, and what its signatures can be.
type Detected = (&'static str, &'static [Algorithm]);

fn rsa(
    identifier: &AlgorithmIdentifierRef<'_>,
    key: &[u8],
) -> Result<&'static [Algorithm], KeyError> {
    if identifier.parameters != Some(AnyRef::from(Null)) {
        return Err(KeyError::Parameters("NULL, as RSA has them (RFC 3279)"));
    }
    let mut reader = SliceReader::new(key)?;
    let (modulus, exponent) = reader.sequence(|fields| {
        Ok::<_, der::Error>((UintRef::decode(fields)?, UintRef::decode(fields)?))
    })?;
    reader.finish()?;
    let exponent = exponent.as_bytes();
    let odd = exponent.last().is_some_and(|last| last % 2 == 1);
    if !odd || exponent == [1] || bits(exponent) > RSA_EXPONENT_BITS_MAX {
        return Err(KeyError::Exponent);
    }
    match bits(modulus.as_bytes()) {
        2048 => Ok(&[Algorithm::RsaPss2048Sha256, Algorithm::RsaPkcs1_2048Sha256]),
        3072 => Ok(&[Algorithm::RsaPss3072Sha256, Algorithm::RsaPkcs1_3072Sha256]),
        4096 => Ok(&[
            Algorithm::RsaPss4096Sha256,
            Algorithm::RsaPss4096Sha512,
            Algorithm::RsaPkcs1_4096Sha256,
            Algorithm::RsaPkcs1_4096Sha512,
        ]),
        other => Err(KeyError::ModulusBits(other)),
    }
}

/// Bits of a big-endian number without leading zero octets.
fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len() * 8 - leading
}

fn elliptic(identifier: &AlgorithmIdentifierRef<'_>, point: &[u8]) -> Result<Detected, KeyError> {
    let named = identifier.parameters.and_then(|any| any.decode_as::<ObjectIdentifier>().ok());
    let curve = match named.ok_or(KeyError::Parameters("a named curve (RFC 5480)"))? {
        P256 => Curve::P256,
        P384 => Curve::P384,
        P521 => Curve::P521,
        other => return Err(KeyError::Curve(other)),
    };
    let expected = match point.first() {
        Some(2 | 3) => 1 + curve.field_bytes(),
        Some(4) => 1 + 2 * curve.field_bytes(),
        _ => return Err(KeyError::PointForm(curve.name())),
    };
    if point.len() != expected {
        let (kind, expected, given) = (curve.name(), curve.point_lengths(), point.len());
        return Err(KeyError::Length { kind, expected, given });
    }
    Ok((curve.name(), curve.algorithms()))
}

/// The kinds whose key is a string of fixed length and whose identifier has no parameters.
fn raw(
    identifier: &AlgorithmIdentifierRef<'_>,
    key: &[u8],
    kind: &'static str,
    algorithm: Algorithm,
) -> Result<Detected, KeyError> {
    if identifier.parameters.is_some() {
        return Err(KeyError::Parameters("absent (RFC 8410, RFC 9881)"));
    }
    let (length, expected, algorithms): (_, _, &[Algorithm]) = match algorithm {
        Algorithm::MlDsa65 => (ML_DSA_65_KEY_BYTES, "1952", &[Algorithm::MlDsa65]),
        _ => (ED25519_KEY_BYTES, "32", &[Algorithm::Ed25519]),
    };
    if key.len() != length {
        return Err(KeyError::Length { kind, expected, given: key.len() });
    }
    Ok((kind, algorithms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Kind};

    fn spki(
        oid: ObjectIdentifier,
        parameters: Option<AnyRef<'_>>,
        key: &[u8],
    ) -> Result<Key, KeyError> {
        Key::wrap(oid, parameters, key)
    }

    #[test]
    fn the_documented_key_has_the_documented_id() {
        let pem = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXnpuYEfvLl1kj4fjxViFRwY1a+zC5qzlf9LJIK+rnjq4\
                   2tiKGyyXMbnZKJiYPPdMDGyltnkrABnztg2jJ48aYQ==";
        let der = base64::engine::general_purpose::STANDARD.decode(pem).unwrap();
        let key = Key::from_spki_der(&der).unwrap();
        let id = "ni:///sha-256;EwVxs8fNUAHq9FI2AMfh8WNIXVBuuTMeGtPH72U-I70";
        assert_eq!(key.default_id(), id);
        assert_eq!(key.algorithms, [Algorithm::EcdsaP256Sha256]);
        assert_eq!(key.spki_der, der);
    }

    #[test]
    fn each_kind_of_key_has_the_algorithms_of_its_size() {
        for kind in Kind::ALL {
            let key = Key::from_spki_der(fixture::public_der(kind)).unwrap();
            assert_eq!(key.algorithms, kind.algorithms(), "{kind:?}");
            assert_eq!(key.spki_der, fixture::public_der(kind), "{kind:?}");
        }
    }

    #[test]
    fn other_sizes_and_curves_are_refused_by_name() {
        for bits in [1024, 2047, 2056, 4104] {
            let mut modulus = vec![0x80; usize::div_ceil(bits, 8)];
            modulus[0] >>= (8 - bits % 8) % 8;
            let refused = Key::from_rsa_numbers(&modulus, &[1, 0, 1]);
            assert_eq!(refused, Err(KeyError::ModulusBits(bits)));
        }
        let der = fixture::openssl_public_der(&[
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:secp256k1",
        ]);
        let message = Key::from_spki_der(&der).unwrap_err().to_string();
        assert!(message.contains("1.3.132.0.10"), "{message}");
        for (algorithm, oid) in [("X25519", "1.3.101.110"), ("ED448", "1.3.101.113")] {
            let der = fixture::openssl_public_der(&["-algorithm", algorithm]);
            let message = Key::from_spki_der(&der).unwrap_err().to_string();
            assert!(message.contains(oid), "{message}");
        }
        let pss = ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"];
        let der = fixture::openssl_public_der(&pss);
        assert_eq!(Key::from_spki_der(&der), Err(KeyError::RsassaPss));
    }

    #[test]
    fn the_exponent_of_rsa_is_odd_and_of_reasonable_size() {
        let der = fixture::public_der(Kind::Rsa2048);
        let modulus = &der[der.len() - 5 - 256..der.len() - 5];
        let with = |exponent: &[u8]| Key::from_rsa_numbers(modulus, exponent);
        with(&[3]).unwrap();
        with(&[1, 0xff, 0xff, 0xff, 0xff]).unwrap();
        for exponent in [&[1][..], &[2], &[4], &[1, 0, 0], &[3, 0xff, 0xff, 0xff, 0xff]] {
            assert_eq!(with(exponent), Err(KeyError::Exponent), "{exponent:?}");
        }
    }

    #[test]
    fn an_even_modulus_is_no_key() {
        let der = fixture::public_der(Kind::Rsa2048);
        let mut modulus = der[der.len() - 5 - 256..der.len() - 5].to_vec();
        modulus[255] &= 0xfe;
        assert_eq!(Key::from_rsa_numbers(&modulus, &[1, 0, 1]), Err(KeyError::Invalid("RSA")));
    }

    #[test]
    fn compressed_points_are_passed_on_and_other_forms_refused() {
        for (kind, curve) in
            [(Kind::P256, Curve::P256), (Kind::P384, Curve::P384), (Kind::P521, Curve::P521)]
        {
            let der = fixture::public_der(kind);
            let point = &der[der.len() - 1 - 2 * curve.field_bytes()..];
            let sign = 2 + (point[point.len() - 1] & 1);
            let compressed = [&[sign], &point[1..=curve.field_bytes()]].concat();
            let key = Key::from_point(curve, &compressed).unwrap();
            assert!(key.spki_der.ends_with(&compressed));
            assert_eq!(key.algorithms, kind.algorithms());

            let hybrid = [&[sign + 4], &point[1..]].concat();
            assert_eq!(Key::from_point(curve, &hybrid), Err(KeyError::PointForm(curve.name())));
            assert_eq!(Key::from_point(curve, &[0]), Err(KeyError::PointForm(curve.name())));
            let short = Key::from_point(curve, &point[..point.len() - 1]);
            assert!(matches!(short, Err(KeyError::Length { .. })));
            let mut off = point.to_vec();
            off[10] ^= 1;
            assert_eq!(Key::from_point(curve, &off), Err(KeyError::Invalid(curve.name())));
        }
    }

    #[test]
    fn a_key_declared_of_another_curve_is_refused() {
        let der = fixture::public_der(Kind::P256);
        let refused = Key::from_point(Curve::P384, &der[der.len() - 65..]);
        assert!(matches!(refused, Err(KeyError::Length { kind: "P-384", given: 65, .. })));
    }

    #[test]
    fn only_one_canonical_value_is_a_key() {
        for kind in Kind::ALL {
            let der = fixture::public_der(kind);
            let trailing = [der, &[0]].concat();
            assert!(matches!(Key::from_spki_der(&trailing), Err(KeyError::Der)), "{kind:?}");
            assert!(matches!(Key::from_spki_der(&der[..der.len() - 1]), Err(KeyError::Der)));
        }
        let der = fixture::public_der(Kind::P256);
        let long_length = [&[0x30, 0x81, der[1]], &der[2..]].concat();
        assert!(matches!(Key::from_spki_der(&long_length), Err(KeyError::Der)));
        let mut unused_bits = der.to_vec();
        let at = der.len() - 66;
        assert_eq!(unused_bits[at], 0);
        unused_bits[at] = 1;
        assert!(matches!(Key::from_spki_der(&unused_bits), Err(KeyError::Der)));
    }

    #[test]
    fn parameters_are_those_of_the_algorithm() {
        let der = fixture::public_der(Kind::Rsa2048);
        let pkcs1 = &der[24..];
        Key::from_rsa_public_key_der(pkcs1).unwrap();
        assert!(matches!(spki(RSA_ENCRYPTION, None, pkcs1), Err(KeyError::Parameters(_))));
        assert!(matches!(spki(EC_PUBLIC_KEY, None, &[4; 65]), Err(KeyError::Parameters(_))));
        let null = Some(AnyRef::from(Null));
        assert!(matches!(spki(EC_PUBLIC_KEY, null, &[4; 65]), Err(KeyError::Parameters(_))));
        assert!(matches!(spki(ED25519, null, &[1; 32]), Err(KeyError::Parameters(_))));
        assert!(matches!(spki(ED25519, None, &[1; 31]), Err(KeyError::Length { .. })));
        assert!(matches!(spki(ML_DSA_65, None, &[1; 1951]), Err(KeyError::Length { .. })));
        let trailing = [pkcs1, &[0]].concat();
        assert!(matches!(Key::from_rsa_public_key_der(&trailing), Err(KeyError::Der)));
    }
}
