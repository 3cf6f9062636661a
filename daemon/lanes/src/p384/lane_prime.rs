//! Reduction by p = 2^384 − 2^128 − 2^96 + 2^32 − 1, eight numbers at a time.

use std::arch::x86_64::*;

use super::ifma::number::{Columns, Loose, Number, P, carry};

/// The results of [`fold`] are above p − 2^a and below 2 p + 2^b.
#[cfg(test)]
pub(crate) const FOLDED: (usize, usize) = (373, 373);

/// The same value modulo p, brought from [0, 16 p) into (p − 2^373, 2 p + 2^373).
///
/// q is the value's multiple of 2^384, up to what the lower limbs still carry, which is below
/// 2^372; q − 1 times p is subtracted, as 2^384 − (2^128 + 2^96 − 2^32 + 1).
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn fold(mut a: Loose) -> Number {
    let q = _mm512_srai_epi64::<20>(_mm512_sub_epi64(a[7], _mm512_set1_epi64(1 << 20)));
    a[0] = _mm512_add_epi64(a[0], _mm512_sub_epi64(q, _mm512_slli_epi64::<32>(q)));
    a[1] = _mm512_add_epi64(a[1], _mm512_slli_epi64::<44>(q));
    a[2] = _mm512_add_epi64(a[2], _mm512_slli_epi64::<24>(q));
    a[7] = _mm512_sub_epi64(a[7], _mm512_slli_epi64::<20>(q));
    carry(a)
}

/// Adds a multiple m of p, which makes limb i zero modulo 2^52, and carries what is above into limb
/// i + 1. −1/p is 1 + 2^32 modulo 2^52, and so m = `z[i]` (1 + 2^32) mod 2^52.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn reduce_limb(z: &mut Columns, i: usize) {
    // p = P[0] + P[1] · 2^52 + P[2] · 2^104 − 2^156 + 2^384, and 384 is 7 · 52 + 20.
    let m = _mm512_add_epi64(z[i], _mm512_slli_epi64::<32>(z[i]));
    for j in 0..3 {
        let limb = _mm512_set1_epi64(P[j]);
        z[i + j] = _mm512_madd52lo_epu64(z[i + j], m, limb);
        z[i + j + 1] = _mm512_madd52hi_epu64(z[i + j + 1], m, limb);
    }
    let low = _mm512_and_si512(m, _mm512_set1_epi64((1 << 52) - 1));
    z[i + 3] = _mm512_sub_epi64(z[i + 3], low);
    let shift_20 = _mm512_set1_epi64(1 << 20);
    z[i + 7] = _mm512_madd52lo_epu64(z[i + 7], m, shift_20);
    z[i + 8] = _mm512_madd52hi_epu64(z[i + 8], m, shift_20);
    // Columns may be negative until what is subtracted has been carried.
    z[i + 1] = _mm512_add_epi64(z[i + 1], _mm512_srai_epi64::<52>(z[i]));
}
