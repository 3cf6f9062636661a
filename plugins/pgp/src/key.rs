//! From an OpenPGP public key to a `SubjectPublicKeyInfo` and what it verifies.

use hallmark_plugin_api::Algorithm;
use pgp::ser::Serialize;
use pgp::types::{EcdsaPublicParams, EddsaLegacyPublicParams, Fingerprint, PublicParams};

/// A public key that the host verifies with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostKey {
    pub(crate) spki_der: Vec<u8>,
    pub(crate) algorithms: &'static [Algorithm],
}

/// The key that the host verifies with, or the reason why nobody here does.
pub(crate) fn host_key(params: &PublicParams) -> Result<HostKey, String> {
    match params {
        PublicParams::RSA(_) => rsa(params),
        PublicParams::ECDSA(ecdsa) => self::ecdsa(params, ecdsa),
        PublicParams::EdDSALegacy(EddsaLegacyPublicParams::Ed25519 { key }) => {
            Ok(ed25519(key.as_bytes()))
        }
        PublicParams::Ed25519(ed25519_key) => Ok(ed25519(ed25519_key.key.as_bytes())),
        PublicParams::Ed448(_) => Err("Ed448 is not supported".to_owned()),
        PublicParams::DSA(_) => Err("DSA is refused".to_owned()),
        _ => Err("its algorithm does not sign, or is not supported".to_owned()),
    }
}

/// A fingerprint as an id: upper-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The fingerprint of a key as its id.
pub(crate) fn id(fingerprint: &Fingerprint) -> String {
    hex(fingerprint.as_bytes())
}

/// Bits of the modulus of an RSA key.
pub(crate) fn rsa_bits(params: &PublicParams) -> Option<usize> {
    let wire = params.to_bytes().ok()?;
    let [high, low, ..] = wire[..] else { return None };
    Some(usize::from(u16::from_be_bytes([high, low])))
}

/// Modulus and exponent of an RSA key.
pub(crate) fn rsa_numbers(params: &PublicParams) -> Option<(Vec<u8>, Vec<u8>)> {
    let wire = params.to_bytes().ok()?;
    let (modulus, rest) = mpi(&wire)?;
    let (exponent, _) = mpi(rest)?;
    Some((modulus.to_vec(), exponent.to_vec()))
}

fn rsa(params: &PublicParams) -> Result<HostKey, String> {
    use Algorithm as A;
    let damaged = || "its RSA numbers are damaged".to_owned();
    let algorithms: &[Algorithm] = match rsa_bits(params).ok_or_else(damaged)? {
        2048 => &[A::RsaPkcs1_2048Sha256, A::RsaPkcs1_2048Sha384, A::RsaPkcs1_2048Sha512],
        3072 => &[A::RsaPkcs1_3072Sha256, A::RsaPkcs1_3072Sha384, A::RsaPkcs1_3072Sha512],
        4096 => &[A::RsaPkcs1_4096Sha256, A::RsaPkcs1_4096Sha384, A::RsaPkcs1_4096Sha512],
        bits => return Err(format!("RSA with {bits} bits is refused: 2048, 3072 or 4096")),
    };
    let (modulus, exponent) = rsa_numbers(params).ok_or_else(damaged)?;
    let numbers = sequence(&[unsigned(&modulus), unsigned(&exponent)].concat());
    Ok(HostKey { spki_der: spki(RSA_ENCRYPTION, &numbers), algorithms })
}

fn ecdsa(params: &PublicParams, curve: &EcdsaPublicParams) -> Result<HostKey, String> {
    use Algorithm as A;
    let (identifier, algorithms): (_, &[Algorithm]) = match curve {
        EcdsaPublicParams::P256 { .. } => {
            (EC_P256, &[A::EcdsaP256Sha256, A::EcdsaP256Sha384, A::EcdsaP256Sha512])
        }
        EcdsaPublicParams::P384 { .. } => {
            (EC_P384, &[A::EcdsaP384Sha384, A::EcdsaP384Sha256, A::EcdsaP384Sha512])
        }
        EcdsaPublicParams::P521 { .. } => {
            (EC_P521, &[A::EcdsaP521Sha512, A::EcdsaP521Sha256, A::EcdsaP521Sha384])
        }
        _ => return Err("its curve is not supported: P-256, P-384, P-521 or Ed25519".to_owned()),
    };
    let damaged = || "its point is damaged".to_owned();
    let wire = params.to_bytes().map_err(|_| damaged())?;
    // One octet of length, the curve, the point.
    let (&curve_len, rest) = wire.split_first().ok_or_else(damaged)?;
    let point = rest.get(usize::from(curve_len)..).and_then(mpi).ok_or_else(damaged)?.0;
    Ok(HostKey { spki_der: spki(identifier, point), algorithms })
}

fn ed25519(point: &[u8]) -> HostKey {
    HostKey { spki_der: spki(ED25519, point), algorithms: &[Algorithm::Ed25519] }
}

/// A multiprecision integer, RFC 9580 §3.2, and what follows it.
fn mpi(wire: &[u8]) -> Option<(&[u8], &[u8])> {
    let (bits, rest) = wire.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*bits)).div_ceil(8))
}

/// `AlgorithmIdentifier` of RFC 8017 appendix A.1, RFC 5480 §2.1.1 and RFC 8410 §3, in DER.
const RSA_ENCRYPTION: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const EC_P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const EC_P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const EC_P521: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23";
const ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";

fn spki(identifier: &[u8], key: &[u8]) -> Vec<u8> {
    let bits = value(0x03, &[&[0], key].concat());
    sequence(&[identifier, &bits].concat())
}

/// A SEQUENCE in DER.
pub(crate) fn sequence(content: &[u8]) -> Vec<u8> {
    value(0x30, content)
}

/// An INTEGER in DER, of the unsigned number `big_endian`.
pub(crate) fn unsigned(big_endian: &[u8]) -> Vec<u8> {
    let zeros = big_endian.iter().take_while(|&&byte| byte == 0).count();
    let number = &big_endian[zeros..];
    let positive = number.first().is_some_and(|first| first & 0x80 == 0);
    let sign: &[u8] = if positive { &[] } else { &[0] };
    value(0x02, &[sign, number].concat())
}

fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|&&byte| byte == 0).count();
    let head = match content.len() {
        short @ 0..128 => vec![tag, short as u8],
        _ => [&[tag, 0x80 | (length.len() - zeros) as u8], &length[zeros..]].concat(),
    };
    [head.as_slice(), content].concat()
}
