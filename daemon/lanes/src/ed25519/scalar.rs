//! Numbers modulo the order of the base point, in the arithmetic of Fiat-Crypto: always canonical, as
//! plain integers; `mul` is the Montgomery product a · b / 2^256.

use crate::ecdsa::verified_arithmetic;

/// Words of a number.
const WORDS: usize = 4;

/// L = 2^252 + 27742317777372353535851937790883648493, least significant word first.
pub(crate) const ORDER: [u64; WORDS] =
    [0x5812_631a_5cf5_d3ed, 0x14de_f9de_a2f7_9cd6, 0, 0x1000_0000_0000_0000];

verified_arithmetic!(modulo_l of curve25519_scalar_64:
    fiat_25519_scalar_montgomery_domain_field_element,
    mul = fiat_25519_scalar_mul, add = fiat_25519_scalar_add,
    sub = fiat_25519_scalar_sub);

pub(crate) use modulo_l::{add, mul, sub};

/// 2^power mod L.
const fn two_to(power: usize) -> [u64; WORDS] {
    let mut value = [1, 0, 0, 0];
    let mut bit = 0;
    while bit < power {
        value = add(value, value);
        bit += 1;
    }
    value
}

/// Takes a to a / 2 by one product.
const HALF: [u64; WORDS] = two_to(255);

/// a / 2 mod L.
pub(crate) const fn halved(a: [u64; WORDS]) -> [u64; WORDS] {
    mul(a, HALF)
}

/// `None` unless the little-endian number is below L.
pub(crate) fn in_range(bytes: &[u8; 32]) -> Option<[u64; WORDS]> {
    let words = words(bytes);
    words.iter().rev().lt(ORDER.iter().rev()).then_some(words)
}

/// Half of a little-endian number of 64 bytes, mod L: its pieces of 252 bits are below L.
pub(crate) fn half_of_wide(bytes: &[u8; 64]) -> [u64; WORDS] {
    const SECOND: [u64; WORDS] = two_to(252 + 255);
    const THIRD: [u64; WORDS] = two_to(504 + 255);
    let (chunks, _) = bytes.as_chunks::<8>();
    let w: [u64; 8] = std::array::from_fn(|i| u64::from_le_bytes(chunks[i]));
    let low = (1 << 60) - 1;
    let first = [w[0], w[1], w[2], w[3] & low];
    let join = |i: usize| w[i] >> 60 | w[i + 1] << 4;
    let second = [join(3), join(4), join(5), join(6) & low];
    let third = [w[7] >> 56, 0, 0, 0];
    add(add(mul(first, HALF), mul(second, SECOND)), mul(third, THIRD))
}

/// Least significant word first.
pub(crate) fn words(bytes: &[u8; 32]) -> [u64; WORDS] {
    let (words, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|i| u64::from_le_bytes(words[i]))
}
