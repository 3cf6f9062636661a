//! The value that a signature to the public exponent must have for a message: EMSA-PKCS1-v1_5 and
//! EMSA-PSS (RFC 8017 §9) for moduli of whole bytes.

use sha2::digest::Digest as HashFunction;
use sha2::{Sha256, Sha384, Sha512};

use crate::Digest;

/// The encoding of the hash in a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1,
    /// RSASSA-PSS, with MGF1 over the same hash function and a salt as long as the hash or as long
    /// as can be.
    Pss,
}

/// The hash of a message, by the function of the signature's algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageHash {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-384.
    Sha384([u8; 48]),
    /// SHA-512.
    Sha512([u8; 64]),
}

impl MessageHash {
    /// Hashes a message.
    #[must_use]
    pub fn new(digest: Digest, message: &[u8]) -> Self {
        match digest {
            Digest::Sha256 => Self::Sha256(Sha256::digest(message).into()),
            Digest::Sha384 => Self::Sha384(Sha384::digest(message).into()),
            Digest::Sha512 => Self::Sha512(Sha512::digest(message).into()),
        }
    }
}

/// True if `encoded`, as long as the modulus, encodes the hash.
pub(crate) fn holds(padding: Padding, hash: &MessageHash, encoded: &[u8]) -> bool {
    match (padding, hash) {
        (Padding::Pkcs1, MessageHash::Sha256(hash)) => is_pkcs1(encoded, &SHA256_INFO, hash),
        (Padding::Pkcs1, MessageHash::Sha384(hash)) => is_pkcs1(encoded, &SHA384_INFO, hash),
        (Padding::Pkcs1, MessageHash::Sha512(hash)) => is_pkcs1(encoded, &SHA512_INFO, hash),
        (Padding::Pss, MessageHash::Sha256(hash)) => is_pss::<Sha256>(encoded, hash),
        (Padding::Pss, MessageHash::Sha384(hash)) => is_pss::<Sha384>(encoded, hash),
        (Padding::Pss, MessageHash::Sha512(hash)) => is_pss::<Sha512>(encoded, hash),
    }
}

/// `DigestInfo` up to the hash: RFC 8017 §9.2, note 1.
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
const SHA384_INFO: [u8; 19] = [
    0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05,
    0x00, 0x04, 0x30,
];
const SHA512_INFO: [u8; 19] = [
    0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05,
    0x00, 0x04, 0x40,
];

/// Compares with the one encoding there is: 00 01 FF … FF 00, `info`, the hash. Never parsed.
fn is_pkcs1(encoded: &[u8], info: &[u8], hash: &[u8]) -> bool {
    let mut expected = Vec::with_capacity(encoded.len());
    expected.extend([0x00, 0x01]);
    expected.resize(encoded.len().saturating_sub(1 + info.len() + hash.len()), 0xff);
    expected.push(0x00);
    expected.extend(info);
    expected.extend(hash);
    expected == encoded
}

/// EMSA-PSS-VERIFY, RFC 8017 §9.1.2, of 8 · `encoded.len()` − 1 bits; the numbers are its steps.
fn is_pss<D: HashFunction>(encoded: &[u8], hash: &[u8]) -> bool {
    // 3, 4, 5. Every modulus is long enough for two hashes.
    let Some((&0xbc, rest)) = encoded.split_last() else { return false };
    let Some(at) = rest.len().checked_sub(hash.len()) else { return false };
    let (masked, encoded_hash) = rest.split_at(at);
    // 6. The bit that is not part of the encoding.
    if masked.first().is_none_or(|first| first & 0x80 != 0) {
        return false;
    }
    // 7, 8, 9.
    let mut block = masked.to_vec();
    mask::<D>(&mut block, encoded_hash);
    block[0] &= 0x7f;
    // 10. A one after the zeros, and then the salt.
    let Some(salt) = salt(&block, hash.len()) else { return false };
    // 12, 13, 14.
    let again = D::new().chain_update([0; 8]).chain_update(hash).chain_update(salt).finalize();
    again.as_slice() == encoded_hash
}

/// The bytes that follow the zeros and the one: `hash_bytes` long, or everything but the one.
fn salt(block: &[u8], hash_bytes: usize) -> Option<&[u8]> {
    if let [1, longest @ ..] = block {
        return Some(longest);
    }
    let (start, salt) = block.split_at_checked(block.len().checked_sub(hash_bytes)?)?;
    let (one, zeros) = start.split_last()?;
    (*one == 1 && zeros.iter().all(|&zero| zero == 0)).then_some(salt)
}

/// XORs MGF1 of `seed` (RFC 8017 appendix B.2.1) onto `block`.
fn mask<D: HashFunction>(block: &mut [u8], seed: &[u8]) {
    for (counter, chunk) in (0u32..).zip(block.chunks_mut(<D as HashFunction>::output_size())) {
        let mask = D::new().chain_update(seed).chain_update(counter.to_be_bytes()).finalize();
        for (byte, mask) in chunk.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
}
