//! Arithmetic modulo p and n, eight numbers at a time, five limbs of 52 bits each.
//!
//! A [`Number`] has limbs in [0, 2^52), a [`Loose`] one any signed 64-bit limbs. Neither need be
//! below its modulus: each function says what it takes and gives, in multiples of the modulus.

use std::arch::x86_64::*;

use super::super::{field, scalar};

/// Five limbs, each in [0, 2^52).
pub(super) type Number = [__m512i; 5];
/// Five signed limbs, each below 2^59 in magnitude: what is not yet carried.
pub(super) type Loose = [__m512i; 5];
/// A bit for each lane.
pub(super) type Mask = __mmask8;

/// Five limbs of a constant.
pub(super) type Limbs = [i64; 5];

const LOW_52: i64 = (1 << 52) - 1;

/// p in limbs.
pub(super) const P: Limbs = limbs(&field::P);
/// n in limbs.
pub(super) const N: Limbs = limbs(&scalar::N);
/// −1/n mod 2^52.
const N_QUOTIENT: i64 = 0x1_c8aa_ee00_bc4f;

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn splat(limbs: &Limbs) -> Number {
    [
        _mm512_set1_epi64(limbs[0]),
        _mm512_set1_epi64(limbs[1]),
        _mm512_set1_epi64(limbs[2]),
        _mm512_set1_epi64(limbs[3]),
        _mm512_set1_epi64(limbs[4]),
    ]
}

/// multiple · p − a, limb by limb. To be at least 0, `a` must be at most multiple · p.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn p_times_minus(multiple: i64, a: &Number) -> Loose {
    let mut out = [_mm512_setzero_si512(); 5];
    for i in 0..5 {
        out[i] = _mm512_sub_epi64(_mm512_set1_epi64(multiple * P[i]), a[i]);
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn minus(a: &Loose, b: &Loose) -> Loose {
    let mut out = [_mm512_setzero_si512(); 5];
    for i in 0..5 {
        out[i] = _mm512_sub_epi64(a[i], b[i]);
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn plus(a: &Loose, b: &Loose) -> Loose {
    let mut out = [_mm512_setzero_si512(); 5];
    for i in 0..5 {
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

/// The same value, in [0, 2^260), with limbs in range.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn carry(mut a: Loose) -> Number {
    let low = _mm512_set1_epi64(LOW_52);
    for i in 0..4 {
        a[i + 1] = _mm512_add_epi64(a[i + 1], _mm512_srai_epi64::<52>(a[i]));
        a[i] = _mm512_and_si512(a[i], low);
    }
    a
}

/// The same value modulo p, brought from [0, 16 p) into (p − 2^216, 2 p + 2^230).
///
/// q is the value's multiple of 2^256, up to what the lower limbs still carry, which is below
/// 2^216; q − 1 times p is subtracted, as 2^256 − (2^224 − 2^192 − 2^96 + 1).
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn fold(mut a: Loose) -> Number {
    let q = _mm512_srai_epi64::<48>(_mm512_sub_epi64(a[4], _mm512_set1_epi64(1 << 48)));
    a[0] = _mm512_add_epi64(a[0], q);
    a[1] = _mm512_sub_epi64(a[1], _mm512_slli_epi64::<44>(q));
    a[3] = _mm512_sub_epi64(a[3], _mm512_slli_epi64::<36>(q));
    let high = _mm512_sub_epi64(_mm512_slli_epi64::<48>(q), _mm512_slli_epi64::<16>(q));
    a[4] = _mm512_sub_epi64(a[4], high);
    carry(a)
}

/// The lanes where a value below 3 p is 0 modulo p.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn is_zero(a: &Number) -> Mask {
    const TWICE_P: Limbs =
        [0xf_ffff_ffff_fffe, 0x1fff_ffff_ffff, 0, 0x20_0000_0000, 0x1_ffff_fffe_0000];
    equals(a, &[0; 5]) | equals(a, &P) | equals(a, &TWICE_P)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn equals(a: &Number, limbs: &Limbs) -> Mask {
    let mut equal = !0;
    for i in 0..5 {
        equal &= _mm512_cmpeq_epi64_mask(a[i], _mm512_set1_epi64(limbs[i]));
    }
    equal
}

/// `b` in the lanes of `mask`, else `a`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn select(mask: Mask, a: &Number, b: &Number) -> Number {
    let mut out = *a;
    for i in 0..5 {
        out[i] = _mm512_mask_blend_epi64(mask, a[i], b[i]);
    }
    out
}

/// a · b / 2^260 mod p: below (a b / 16 p² + 1) p.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul(a: &Number, b: &Number) -> Number {
    carry(mul_add(a, b, &[_mm512_setzero_si512(); 5]))
}

/// a² / 2^260 mod p: below (a² / 16 p² + 1) p.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn square(a: &Number) -> Number {
    carry(square_add(a, &[_mm512_setzero_si512(); 5]))
}

/// a · b / 2^260 + c mod p, not carried: below (a b / 16 p² + 1) p + c.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul_add(a: &Number, b: &Number, c: &Loose) -> Loose {
    let zero = _mm512_setzero_si512();
    let mut z = [zero, zero, zero, zero, zero, c[0], c[1], c[2], c[3], c[4]];
    for i in 0..5 {
        for j in 0..5 {
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], a[j], b[i]);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], a[j], b[i]);
        }
    }
    for i in 0..5 {
        reduce_limb(&mut z, i);
    }
    [z[5], z[6], z[7], z[8], z[9]]
}

/// a² / 2^260 + c mod p, not carried: below (a² / 16 p² + 1) p + c.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn square_add(a: &Number, c: &Loose) -> Loose {
    let mut z = [_mm512_setzero_si512(); 10];
    for i in 0..5 {
        for j in i + 1..5 {
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], a[j], a[i]);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], a[j], a[i]);
        }
    }
    for limb in &mut z[1..9] {
        *limb = _mm512_add_epi64(*limb, *limb);
    }
    for i in 0..5 {
        z[2 * i] = _mm512_madd52lo_epu64(z[2 * i], a[i], a[i]);
        z[2 * i + 1] = _mm512_madd52hi_epu64(z[2 * i + 1], a[i], a[i]);
    }
    for i in 0..5 {
        reduce_limb(&mut z, i);
    }
    plus(&[z[5], z[6], z[7], z[8], z[9]], c)
}

/// Adds z[i] · p, which makes limb i zero modulo 2^52, and carries what is above into limb i + 1.
/// p is −1 modulo 2^52, so that z[i] is its own quotient; the instruction reads its low 52 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn reduce_limb(z: &mut [__m512i; 10], i: usize) {
    // p = 2^96 − 1 + P[3] · 2^156 + P[4] · 2^208, and 96 is 52 + 44.
    let shift_44 = _mm512_set1_epi64(1 << 44);
    let (p3, p4) = (_mm512_set1_epi64(P[3]), _mm512_set1_epi64(P[4]));
    let m = z[i];
    z[i + 1] = _mm512_add_epi64(z[i + 1], _mm512_srli_epi64::<52>(m));
    z[i + 1] = _mm512_madd52lo_epu64(z[i + 1], m, shift_44);
    z[i + 2] = _mm512_madd52hi_epu64(z[i + 2], m, shift_44);
    z[i + 3] = _mm512_madd52lo_epu64(z[i + 3], m, p3);
    z[i + 4] = _mm512_madd52hi_epu64(z[i + 4], m, p3);
    z[i + 4] = _mm512_madd52lo_epu64(z[i + 4], m, p4);
    z[i + 5] = _mm512_madd52hi_epu64(z[i + 5], m, p4);
}

/// a · b / 2^260 mod n: below (a b / 16 n² + 1) n.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul_mod_n(a: &Number, b: &Number) -> Number {
    let zero = _mm512_setzero_si512();
    let mut z = [zero; 10];
    for i in 0..5 {
        for j in 0..5 {
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], a[j], b[i]);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], a[j], b[i]);
        }
        let m = _mm512_madd52lo_epu64(zero, z[i], _mm512_set1_epi64(N_QUOTIENT));
        for j in 0..5 {
            let limb = _mm512_set1_epi64(N[j]);
            z[i + j] = _mm512_madd52lo_epu64(z[i + j], m, limb);
            z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], m, limb);
        }
        z[i + 1] = _mm512_add_epi64(z[i + 1], _mm512_srli_epi64::<52>(z[i]));
    }
    carry([z[5], z[6], z[7], z[8], z[9]])
}

/// a mod n, for a below 3 n.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn canonical_mod_n(a: &Number) -> Number {
    let mut out = *a;
    for _ in 0..2 {
        let less = carry(minus(&out, &splat(&N)));
        // The sign of the last limb is that of the whole.
        let negative = _mm512_cmplt_epi64_mask(less[4], _mm512_setzero_si512());
        out = select(negative, &less, &out);
    }
    out
}

/// Four words of 64 bits as five limbs of 52.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn from_words(w: &[__m512i; 4]) -> Number {
    let low = _mm512_set1_epi64(LOW_52);
    let joined = |a, b| _mm512_and_si512(_mm512_or_si512(a, b), low);
    [
        _mm512_and_si512(w[0], low),
        joined(_mm512_srli_epi64::<52>(w[0]), _mm512_slli_epi64::<12>(w[1])),
        joined(_mm512_srli_epi64::<40>(w[1]), _mm512_slli_epi64::<24>(w[2])),
        joined(_mm512_srli_epi64::<28>(w[2]), _mm512_slli_epi64::<36>(w[3])),
        _mm512_srli_epi64::<16>(w[3]),
    ]
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
pub(super) fn first_lane(a: &Number, modulus: &Limbs) -> [u64; 4] {
    let mut value = [0i64; 5];
    for i in 0..5 {
        value[i] = _mm_cvtsi128_si64(_mm512_castsi512_si128(a[i]));
    }
    while value.iter().rev().ge(modulus.iter().rev()) {
        for i in 0..5 {
            value[i] -= modulus[i];
        }
        for i in 0..4 {
            value[i + 1] += value[i] >> 52;
            value[i] &= LOW_52;
        }
    }
    let w = value.map(i64::cast_unsigned);
    [w[0] | w[1] << 52, w[1] >> 12 | w[2] << 40, w[2] >> 24 | w[3] << 28, w[3] >> 36 | w[4] << 16]
}

/// Words of 64 bits as limbs of 52.
pub(super) const fn limbs(w: &[u64; 4]) -> Limbs {
    const LOW: u64 = LOW_52.cast_unsigned();
    [
        (w[0] & LOW).cast_signed(),
        ((w[0] >> 52 | w[1] << 12) & LOW).cast_signed(),
        ((w[1] >> 40 | w[2] << 24) & LOW).cast_signed(),
        ((w[2] >> 28 | w[3] << 36) & LOW).cast_signed(),
        (w[3] >> 16).cast_signed(),
    ]
}
