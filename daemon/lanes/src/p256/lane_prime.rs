//! Reduction by p = 2^256 − 2^224 + 2^192 + 2^96 − 1, eight numbers at a time.

use std::arch::x86_64::*;

use super::ifma::number::{Columns, Loose, Number, P, carry};

/// The results of [`fold`] are above p − 2^a and below 2 p + 2^b.
#[cfg(test)]
pub(crate) const FOLDED: (usize, usize) = (216, 230);

/// The same value modulo p, brought from [0, 16 p) into (p − 2^216, 2 p + 2^230).
///
/// q is the value's multiple of 2^256, up to what the lower limbs still carry, which is below
/// 2^216; q − 1 times p is subtracted, as 2^256 − (2^224 − 2^192 − 2^96 + 1).
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn fold(mut a: Loose) -> Number {
    let q = _mm512_srai_epi64::<48>(_mm512_sub_epi64(a[4], _mm512_set1_epi64(1 << 48)));
    a[0] = _mm512_add_epi64(a[0], q);
    a[1] = _mm512_sub_epi64(a[1], _mm512_slli_epi64::<44>(q));
    a[3] = _mm512_sub_epi64(a[3], _mm512_slli_epi64::<36>(q));
    let high = _mm512_sub_epi64(_mm512_slli_epi64::<48>(q), _mm512_slli_epi64::<16>(q));
    a[4] = _mm512_sub_epi64(a[4], high);
    carry(a)
}

/// Adds `z[i]` · p, which makes limb i zero modulo 2^52, and carries what is above into limb i + 1.
/// p is −1 modulo 2^52, so that `z[i]` is its own quotient; the instruction reads its low 52 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn reduce_limb(z: &mut Columns, i: usize) {
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
