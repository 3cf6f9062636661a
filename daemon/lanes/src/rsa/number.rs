//! One number at a time, in limbs of 52 bits, least significant first: what a key's table needs,
//! and the way in and out of the kernel.

/// Bits of a limb.
pub(crate) const LIMB_BITS: usize = 52;
/// A limb of all ones.
pub(crate) const LOW_52: u64 = (1 << LIMB_BITS) - 1;

/// Limbs that the kernel keeps in registers at once: modulus sizes are multiples of it.
pub(crate) const BLOCK: usize = 20;
/// Blocks of moduli of 2,048, 3,072 and 4,096 bits.
pub(crate) const BLOCKS: [usize; 3] = [2, 3, 4];
/// Blocks of the largest.
pub(crate) const BLOCKS_MAX: usize = 4;

/// A number of at most 4,160 bits, each limb below 2^52.
pub(crate) type Number = [u64; BLOCK * BLOCKS_MAX];

/// A big-endian number of at most 512 bytes.
pub(crate) fn from_be_bytes(bytes: &[u8]) -> Number {
    let mut limbs = [0; BLOCK * BLOCKS_MAX];
    let (mut held, mut bits, mut next) = (0u128, 0, 0);
    for word in bytes.rchunks(8) {
        held |= u128::from(big_endian(word)) << bits;
        bits += 8 * word.len();
        while bits >= LIMB_BITS {
            limbs[next] = low(held);
            held >>= LIMB_BITS;
            bits -= LIMB_BITS;
            next += 1;
        }
    }
    if bits > 0 {
        limbs[next] = low(held);
    }
    limbs
}

fn big_endian(bytes: &[u8]) -> u64 {
    match bytes.try_into() {
        Ok(word) => u64::from_be_bytes(word),
        Err(_) => bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the mask leaves 52 bits")]
fn low(held: u128) -> u64 {
    held as u64 & LOW_52
}

/// Writes the number big-endian. It must be below 256^`bytes.len()`.
pub(crate) fn to_be_bytes(number: &Number, bytes: &mut [u8]) {
    let (mut held, mut bits) = (0u128, 0);
    let mut limbs = number.iter();
    for word in bytes.rchunks_mut(8) {
        while bits < 64 {
            held |= u128::from(*limbs.next().unwrap_or(&0)) << bits;
            bits += LIMB_BITS;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low word is what is wanted")]
        let whole = (held as u64).to_be_bytes();
        word.copy_from_slice(&whole[8 - word.len()..]);
        held >>= 64;
        bits -= 64;
    }
}

/// a − n, unless that is negative.
pub(crate) fn less_once(a: &Number, n: &Number) -> Number {
    let mut difference = *a;
    let mut borrow = 0;
    for (limb, n) in difference.iter_mut().zip(n) {
        // In 64 bits, so that the sign shows in the high ones.
        let signed = limb.wrapping_sub(*n).wrapping_sub(borrow);
        *limb = signed & LOW_52;
        borrow = signed >> 63;
    }
    if borrow == 0 { difference } else { *a }
}

/// 2^`exponent` mod n, for n between 2^(bits − 1) and 2^bits and an exponent from bits − 1 on.
pub(crate) fn power_of_two(exponent: usize, n: &Number, bits: usize) -> Number {
    let mut power = [0; BLOCK * BLOCKS_MAX];
    power[(bits - 1) / LIMB_BITS] = 1 << ((bits - 1) % LIMB_BITS);
    power = less_once(&power, n);
    for _ in bits - 1..exponent {
        power = less_once(&doubled(&power), n);
    }
    power
}

fn doubled(a: &Number) -> Number {
    let mut out = *a;
    let mut carry = 0;
    for limb in &mut out {
        let twice = *limb << 1 | carry;
        *limb = twice & LOW_52;
        carry = twice >> LIMB_BITS;
    }
    out
}

/// −1/n mod 2^52, for odd n: Newton's iteration doubles the bits that are right, from five on.
pub(crate) fn negative_inverse(n: u64) -> u64 {
    let mut inverse = n.wrapping_mul(3) ^ 2;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(n.wrapping_mul(inverse)));
    }
    inverse.wrapping_neg() & LOW_52
}
