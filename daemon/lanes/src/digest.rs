//! Digests, and the number that ECDSA makes of one.

use sha2::Digest as _;
use sha2::{Sha256, Sha384, Sha512};

/// A hash function of FIPS 180-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Digest {
    /// The digest as ECDSA signs it on a curve whose order has `BYTES`: the leftmost bytes of a
    /// longer one, zeros before a shorter one (FIPS 186-5 §6.4.1).
    pub(crate) fn number_of<const BYTES: usize>(self, message: &[u8]) -> [u8; BYTES] {
        match self {
            Self::Sha256 => fitted(&Sha256::digest(message)),
            Self::Sha384 => fitted(&Sha384::digest(message)),
            Self::Sha512 => fitted(&Sha512::digest(message)),
        }
    }
}

fn fitted<const BYTES: usize>(digest: &[u8]) -> [u8; BYTES] {
    let mut number = [0; BYTES];
    let taken = &digest[..digest.len().min(BYTES)];
    number[BYTES - taken.len()..].copy_from_slice(taken);
    number
}

/// The digest that goes with P-256.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// The digest that goes with P-384.
#[must_use]
pub fn sha384(message: &[u8]) -> [u8; 48] {
    Sha384::digest(message).into()
}
