//! Arithmetic modulo p and n, eight numbers at a time, in limbs of 52 bits; R = 2^(52 LIMBS).
//!
//! A [`Number`] has limbs in [0, 2^52), a [`Loose`] one any signed 64-bit limbs. Neither need be
//! below its modulus: each function says what it takes and gives, in multiples of the modulus.

use std::arch::x86_64::*;

use super::super::lane_prime::reduce_limb;
use super::super::params::{self, LIMBS, WORDS};

pub(crate) use super::super::lane_prime::fold;

/// Limbs in [0, 2^52).
pub(crate) type Number = [__m512i; LIMBS];
/// Signed limbs below 2^59 in magnitude: what is not yet carried.
pub(crate) type Loose = [__m512i; LIMBS];
/// Columns in which a product is added up.
pub(crate) type Columns = [__m512i; 2 * LIMBS];
/// A bit for each lane.
pub(super) type Mask = __mmask8;

/// The limbs of a constant.
pub(crate) type Limbs = [i64; LIMBS];

const LOW_52: i64 = (1 << 52) - 1;

/// p in limbs.
pub(crate) const P: Limbs = limbs(&params::P);
/// n in limbs.
pub(super) const N: Limbs = limbs(&params::N);
/// −1/n mod 2^52.
const N_QUOTIENT: i64 = {
    // Newton: x · (2 − n x) doubles the correct bits, of which n itself has three.
    let n = params::N[0];
    let mut inverse = n;
    let mut round = 0;
    while round < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(n.wrapping_mul(inverse)));
        round += 1;
    }
    inverse.wrapping_neg().cast_signed() & LOW_52
};

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(limbs: &Limbs) -> Number {
    let mut out = [_mm512_setzero_si512(); LIMBS];
    for i in 0..LIMBS {
        out[i] = _mm512_set1_epi64(limbs[i]);
    }
    out
}

/// multiple · p − a, limb by limb. To be at least 0, `a` must be at most multiple · p.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn p_times_minus(multiple: i64, a: &Number) -> Loose {
    let mut out = [_mm512_setzero_si512(); LIMBS];
    for i in 0..LIMBS {
        out[i] = _mm512_sub_epi64(_mm512_set1_epi64(multiple * P[i]), a[i]);
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn minus(a: &Loose, b: &Loose) -> Loose {
    let mut out = [_mm512_setzero_si512(); LIMBS];
    for i in 0..LIMBS {
        out[i] = _mm512_sub_epi64(a[i], b[i]);
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn plus(a: &Loose, b: &Loose) -> Loose {
    let mut out = [_mm512_setzero_si512(); LIMBS];
    for i in 0..LIMBS {
        out[i] = _mm512_add_epi64(a[i], b[i]);
    }
    out
}

/// a − b + 3 p, for b at most 3 p.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn difference(a: &Number, b: &Number) -> Number {
    carry(plus(a, &p_times_minus(3, b)))
}

/// The same value, in [0, R), with limbs in range.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn carry(mut a: Loose) -> Number {
    let low = _mm512_set1_epi64(LOW_52);
    for i in 0..LIMBS - 1 {
        a[i + 1] = _mm512_add_epi64(a[i + 1], _mm512_srai_epi64::<52>(a[i]));
        a[i] = _mm512_and_si512(a[i], low);
    }
    a
}

/// The lanes where a value below 3 p is 0 modulo p.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn is_zero(a: &Number) -> Mask {
    const TWICE_P: Limbs = {
        let (mut twice, mut carry, mut i) = ([0; LIMBS], 0, 0);
        while i < LIMBS {
            let limb = 2 * P[i] + carry;
            twice[i] = limb & LOW_52;
            carry = limb >> 52;
            i += 1;
        }
        twice
    };
    equals(a, &[0; LIMBS]) | equals(a, &P) | equals(a, &TWICE_P)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn equals(a: &Number, limbs: &Limbs) -> Mask {
    let mut equal = !0;
    for i in 0..LIMBS {
        equal &= _mm512_cmpeq_epi64_mask(a[i], _mm512_set1_epi64(limbs[i]));
    }
    equal
}

/// `b` in the lanes of `mask`, else `a`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn select(mask: Mask, a: &Number, b: &Number) -> Number {
    let mut out = *a;
    for i in 0..LIMBS {
        out[i] = _mm512_mask_blend_epi64(mask, a[i], b[i]);
    }
    out
}

/// a · b / R mod p: below a b / R + p.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul(a: &Number, b: &Number) -> Number {
    carry(mul_add(a, b, &[_mm512_setzero_si512(); LIMBS]))
}

/// a² / R mod p: below a² / R + p.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn square(a: &Number) -> Number {
    carry(square_add(a, &[_mm512_setzero_si512(); LIMBS]))
}

/// a · b / R + c mod p, not carried: below a b / R + p + c.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul_add(a: &Number, b: &Number, c: &Loose) -> Loose {
    let mut z = [_mm512_setzero_si512(); 2 * LIMBS];
    z[LIMBS..].copy_from_slice(c);
    for i in 0..LIMBS {
        for j in 0..LIMBS {
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], a[j], b[i]);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], a[j], b[i]);
        }
    }
    for i in 0..LIMBS {
        reduce_limb(&mut z, i);
    }
    upper(&z)
}

/// a² / R + c mod p, not carried: below a² / R + p + c.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn square_add(a: &Number, c: &Loose) -> Loose {
    let mut z = [_mm512_setzero_si512(); 2 * LIMBS];
    for i in 0..LIMBS {
        for j in i + 1..LIMBS {
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], a[j], a[i]);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], a[j], a[i]);
        }
    }
    for limb in &mut z[1..2 * LIMBS - 1] {
        *limb = _mm512_add_epi64(*limb, *limb);
    }
    for i in 0..LIMBS {
        z[2 * i] = _mm512_madd52lo_epu64(z[2 * i], a[i], a[i]);
        z[2 * i + 1] = _mm512_madd52hi_epu64(z[2 * i + 1], a[i], a[i]);
    }
    for i in 0..LIMBS {
        reduce_limb(&mut z, i);
    }
    plus(&upper(&z), c)
}

/// a · b / R mod n: below a b / R + n.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul_mod_n(a: &Number, b: &Number) -> Number {
    let zero = _mm512_setzero_si512();
    let mut z = [zero; 2 * LIMBS];
    for i in 0..LIMBS {
        for j in 0..LIMBS {
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], a[j], b[i]);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], a[j], b[i]);
        }
        let m = _mm512_madd52lo_epu64(zero, z[i], _mm512_set1_epi64(N_QUOTIENT));
        for j in 0..LIMBS {
            let limb = _mm512_set1_epi64(N[j]);
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], m, limb);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], m, limb);
        }
        z[i + 1] = _mm512_add_epi64(z[i + 1], _mm512_srli_epi64::<52>(z[i]));
    }
    carry(upper(&z))
}

/// a mod n, for a below 3 n.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn canonical_mod_n(a: &Number) -> Number {
    let mut out = *a;
    for _ in 0..2 {
        let less = carry(minus(&out, &splat(&N)));
        // The sign of the last limb is that of the whole.
        let negative = _mm512_cmplt_epi64_mask(less[LIMBS - 1], _mm512_setzero_si512());
        out = select(negative, &less, &out);
    }
    out
}

/// Words of 64 bits as limbs of 52.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn from_words(w: &[__m512i; WORDS]) -> Number {
    let count = |bits: usize| _mm_cvtsi64_si128(i64::try_from(bits).unwrap_or(0));
    let low = _mm512_set1_epi64(LOW_52);
    let mut out = [_mm512_setzero_si512(); LIMBS];
    for (i, limb) in out.iter_mut().enumerate() {
        let (word, shift) = (52 * i / 64, 52 * i % 64);
        let mut bits = _mm512_srl_epi64(w[word], count(shift));
        if shift > 12 && word + 1 < WORDS {
            bits = _mm512_or_si512(bits, _mm512_sll_epi64(w[word + 1], count(64 - shift)));
        }
        *limb = _mm512_and_si512(bits, low);
    }
    out
}

/// Lane i takes what lane i ^ `DISTANCE` has; the distance is 1, 2 or 4.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn swap_lanes<const DISTANCE: usize>(a: &Number) -> Number {
    let mut out = *a;
    for limb in &mut out {
        *limb = match DISTANCE {
            1 => _mm512_permutex_epi64::<0b10_11_00_01>(*limb),
            2 => _mm512_permutex_epi64::<0b01_00_11_10>(*limb),
            _ => _mm512_shuffle_i64x2::<0b01_00_11_10>(*limb, *limb),
        };
    }
    out
}

/// The value of the first lane, less `modulus` until it is below, in words of 64 bits.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn first_lane(a: &Number, modulus: &Limbs) -> [u64; WORDS] {
    let mut value = [0; LIMBS];
    for i in 0..LIMBS {
        value[i] = _mm_cvtsi128_si64(_mm512_castsi512_si128(a[i]));
    }
    while value.iter().rev().ge(modulus.iter().rev()) {
        for i in 0..LIMBS {
            value[i] -= modulus[i];
        }
        for i in 0..LIMBS - 1 {
            value[i + 1] += value[i] >> 52;
            value[i] &= LOW_52;
        }
    }
    let mut words = [0; WORDS];
    for (i, limb) in value.map(i64::cast_unsigned).into_iter().enumerate() {
        let (word, shift) = (52 * i / 64, 52 * i % 64);
        words[word] |= limb << shift;
        if shift > 12 && word + 1 < WORDS {
            words[word + 1] |= limb >> (64 - shift);
        }
    }
    words
}

/// Words of 64 bits as limbs of 52.
pub(super) const fn limbs(w: &[u64; WORDS]) -> Limbs {
    let mut out = [0; LIMBS];
    let mut i = 0;
    while i < LIMBS {
        let (word, shift) = (52 * i / 64, 52 * i % 64);
        let mut bits = w[word] >> shift;
        if shift > 12 && word + 1 < WORDS {
            bits |= w[word + 1] << (64 - shift);
        }
        out[i] = bits.cast_signed() & LOW_52;
        i += 1;
    }
    out
}

/// The upper half of the columns, which is the product once the lower is zero.
#[inline]
#[target_feature(enable = "avx512f")]
fn upper(z: &Columns) -> Loose {
    let mut out = [z[LIMBS]; LIMBS];
    out.copy_from_slice(&z[LIMBS..]);
    out
}
