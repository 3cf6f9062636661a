//! `ECDSA-Sig-Value` (RFC 3279 §2.2.3) in DER, exactly what *ring* takes.

use super::params::WORDS;
use super::scalar::Scalar;

/// r and s, each in [1, n).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) r: Scalar,
    pub(crate) s: Scalar,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

impl Signature {
    /// `None` for whatever is not strict DER or out of range. Two integers of 49 bytes make a
    /// sequence of 102, so that every length of a good signature is in the short form.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let [SEQUENCE, length, numbers @ ..] = der else { return None };
        if *length >= 0x80 || usize::from(*length) != numbers.len() {
            return None;
        }
        let (r, rest) = positive_integer(numbers)?;
        let (s, rest) = positive_integer(rest)?;
        rest.is_empty().then_some(Self { r, s })
    }
}

/// One INTEGER in [1, n), and what follows it.
fn positive_integer(der: &[u8]) -> Option<(Scalar, &[u8])> {
    let [INTEGER, length, rest @ ..] = der else { return None };
    if *length >= 0x80 {
        return None;
    }
    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
    let magnitude = match value {
        // A leading zero only where the number would else be negative.
        [0, first, ..] if first & 0x80 != 0 => &value[1..],
        [first, ..] if *first != 0 && first & 0x80 == 0 => value,
        _ => return None,
    };
    let mut bytes = [0; 8 * WORDS];
    bytes[(8 * WORDS).checked_sub(magnitude.len())?..].copy_from_slice(magnitude);
    Some((Scalar::in_range(from_be_bytes(&bytes))?, rest))
}

/// Least significant limb first.
pub(crate) fn from_be_bytes(bytes: &[u8; 8 * WORDS]) -> [u64; WORDS] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_be_bytes(words[WORDS - 1 - i]))
}
