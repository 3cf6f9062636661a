//! The values that are computed ahead for a key: less than 2 KiB.

use super::number::{
    BLOCK, BLOCKS_MAX, LIMB_BITS, Number, from_be_bytes, negative_inverse, power_of_two,
};
use crate::KeyError;

/// A modulus, and what Montgomery's products with it take.
#[derive(Clone, Debug)]
pub struct KeyTable {
    /// Big-endian, of its exact length.
    modulus: Box<[u8]>,
    n: Box<Number>,
    to_montgomery: Box<Number>,
    quotient: u64,
}

/// Bytes of the moduli there are.
const MODULUS_BYTES: [usize; 3] = [256, 384, 512];
/// `publicExponent` 65537.
const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];

impl KeyTable {
    /// From `RSAPublicKey` (RFC 8017 appendix A.1.1) in DER.
    pub(crate) fn new(rsa_public_key_der: &[u8]) -> Result<Self, KeyError> {
        let modulus = modulus(rsa_public_key_der).ok_or(KeyError::Rsa)?;
        let n = Box::new(from_be_bytes(modulus));
        let mut table = Self {
            modulus: modulus.into(),
            quotient: negative_inverse(n[0]),
            n,
            to_montgomery: Box::new([0; BLOCK * BLOCKS_MAX]),
        };
        let radix_bits = table.blocks() * BLOCK * LIMB_BITS;
        *table.to_montgomery = power_of_two(2 * radix_bits, &table.n, 8 * modulus.len());
        Ok(table)
    }

    /// The memory that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<Number>() + self.modulus.len()
    }

    pub(crate) fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// Blocks of limbs of the modulus: 2, 3 or 4.
    pub(crate) fn blocks(&self) -> usize {
        (8 * self.modulus.len()).div_ceil(BLOCK * LIMB_BITS)
    }

    pub(crate) fn n(&self) -> &Number {
        &self.n
    }

    /// R² mod n, for R = 2^1040 to the power of blocks.
    pub(crate) fn to_montgomery(&self) -> &Number {
        &self.to_montgomery
    }

    /// −1/n mod 2^52.
    pub(crate) fn quotient(&self) -> u64 {
        self.quotient
    }
}

/// The modulus, if it is odd and of one of the sizes. There is but one encoding of each: a
/// SEQUENCE of two INTEGERs, the first with a zero before its high bit.
fn modulus(der: &[u8]) -> Option<&[u8]> {
    let body = der.strip_prefix(&[0x30, 0x82])?;
    let (length, body) = body.split_first_chunk()?;
    let integer = body.strip_prefix(&[0x02, 0x82])?;
    let (integer_length, integer) = integer.split_first_chunk()?;
    let modulus = integer.strip_prefix(&[0])?.strip_suffix(&EXPONENT)?;
    let lengths_hold = usize::from(u16::from_be_bytes(*length)) == body.len()
        && usize::from(u16::from_be_bytes(*integer_length)) == modulus.len() + 1;
    let is_odd = modulus.last()? & 1 == 1;
    let is_whole = modulus.first()? & 0x80 != 0 && MODULUS_BYTES.contains(&modulus.len());
    (lengths_hold && is_odd && is_whole).then_some(modulus)
}
