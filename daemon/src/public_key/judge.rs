//! The judgement on a key when it enters: only its owner can make signatures that it verifies, and it
//! has one encoding, so that one key has one fingerprint.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, ParsedPublicKey,
    VerificationAlgorithm,
};
use curve25519_dalek::edwards::CompressedEdwardsY;
use hallmark_core::attestor::{Curve, KeyType, Spki};
use p256::elliptic_curve::sec1::ToSec1Point;

use super::{KeyTypeError, encode, read, rsa_numbers};

/// Sizes of RSA keys that some verifier here takes. Attestors take three of them.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// SP 800-89 §5.3.3 asks that a modulus has no factor below 752.
const SMALL_FACTORS_END: u32 = 752;

/// The key of a SubjectPublicKeyInfo that may enter, with its point written out if it was compressed.
///
/// # Errors
/// It is no key of a known type, not a member of its group, or one for which others than its owner
/// can sign.
pub fn judge(spki_der: &[u8]) -> Result<Spki, KeyTypeError> {
    let key = read(spki_der)?;
    let bits = key.bits();
    match key.key_type() {
        KeyType::Ec(Curve::P256) if bits.len() == 33 && matches!(bits, [2 | 3, ..]) => {
            return written_out(bits);
        }
        KeyType::Ec(curve @ Curve::P256) => point(curve, &ECDSA_P256_SHA256_ASN1, bits)?,
        KeyType::Ec(curve @ Curve::P384) => point(curve, &ECDSA_P384_SHA384_ASN1, bits)?,
        KeyType::Ec(curve @ Curve::P521) => point(curve, &ECDSA_P521_SHA512_ASN1, bits)?,
        KeyType::Rsa(size) => rsa(size, bits)?,
        KeyType::Ed25519 => ed25519(bits)?,
        KeyType::MlDsa65 => ml_dsa_65(bits)?,
    }
    Ok(key)
}

/// The key of a compressed point on P-256.
fn written_out(point: &[u8]) -> Result<Spki, KeyTypeError> {
    let wrong = || KeyTypeError::Bits(Curve::P256.name());
    let key = p256::PublicKey::from_sec1_bytes(point).map_err(|_| wrong())?;
    let point = key.to_sec1_point(false);
    read(&encode(&super::Encoded::P256(point.as_bytes())).ok_or_else(wrong)?)
}

/// An uncompressed point that is on its curve: the curves have prime order, so it is in the group.
fn point(
    curve: Curve,
    rules: &'static impl VerificationAlgorithm,
    bits: &[u8],
) -> Result<(), KeyTypeError> {
    if matches!(bits.first(), Some(2 | 3)) {
        return Err(KeyTypeError::Compressed(curve.name()));
    }
    let shaped = bits.len() == 1 + 2 * curve.coordinate_bytes() && bits.first() == Some(&4);
    match shaped && ParsedPublicKey::new(rules, bits).is_ok() {
        true => Ok(()),
        false => Err(KeyTypeError::Bits(curve.name())),
    }
}

fn rsa(size: usize, bits: &[u8]) -> Result<(), KeyTypeError> {
    if !RSA_BITS.contains(&size) {
        return Err(KeyTypeError::ModulusBits(size));
    }
    let modulus = rsa_numbers(bits)?.modulus;
    let divides = |factor: &u32| remainder(modulus.as_bytes(), *factor) == 0;
    // Odd numbers instead of primes: the first that divides is a prime.
    let factor = (3..SMALL_FACTORS_END).step_by(2).find(divides);
    factor.map_or(Ok(()), |factor| Err(KeyTypeError::SmallFactor(factor)))
}

/// A big-endian number modulo a small one, four bytes at a time.
fn remainder(number: &[u8], divisor: u32) -> u64 {
    let (head, words) = number.as_rchunks::<4>();
    let divisor = u64::from(divisor);
    let head = head.iter().fold(0, |rest, &byte| (rest << 8 | u64::from(byte)) % divisor);
    words
        .iter()
        .fold(head, |rest, word| (rest << 32 | u64::from(u32::from_be_bytes(*word))) % divisor)
}

/// A point of the prime-order group in its one encoding. For a point of small order a signature
/// verifies that nobody made: the identity verifies (R, S) = (B·s, s) over every message.
fn ed25519(bits: &[u8]) -> Result<(), KeyTypeError> {
    let encoded = CompressedEdwardsY::from_slice(bits);
    let encoded = encoded.map_err(|_| KeyTypeError::Bits("Ed25519"))?;
    let point = encoded.decompress().ok_or(KeyTypeError::Bits("Ed25519"))?;
    let good = point.compress() == encoded && !point.is_small_order() && point.is_torsion_free();
    if good { Ok(()) } else { Err(KeyTypeError::Ed25519Point) }
}

/// FIPS 204 §5.1: 32 bytes of seed, then coefficients of ten bits. If each is 0 or 1023, the key is
/// of the secret s1 = 0, which anybody can sign with.
fn ml_dsa_65(bits: &[u8]) -> Result<(), KeyTypeError> {
    let (_, packed) = bits.split_at_checked(32).ok_or(KeyTypeError::Bits("ML-DSA-65"))?;
    let (groups, _) = packed.as_chunks::<5>();
    let coefficients = groups.iter().flat_map(|group| {
        let group = group.iter().rev().fold(0_u64, |all, &byte| all << 8 | u64::from(byte));
        (0..4).map(move |nth| (group >> (10 * nth)) & 0x3ff)
    });
    let known = |coefficient: u64| matches!(coefficient, 0 | 0x3ff);
    match coefficients.into_iter().all(known) {
        true => Err(KeyTypeError::MlDsaDegenerate),
        false => Ok(()),
    }
}
