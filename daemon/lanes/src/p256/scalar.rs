//! Numbers modulo the group order n, in the arithmetic of Fiat-Crypto: always canonical, as plain
//! integers; [`Scalar::mul`] is the Montgomery product a · b / 2^256.

use fiat_crypto::p256_scalar_64 as fiat;

use super::{field, inverse};

/// n, least significant limb first.
pub(crate) const N: [u64; 4] =
    [0xf3b9_cac2_fc63_2551, 0xbce6_faad_a717_9e84, 0xffff_ffff_ffff_ffff, 0xffff_ffff_0000_0000];

/// p − n: r + n is a second candidate for the x coordinate exactly if r is below this.
pub(crate) const P_MINUS_N: [u64; 4] = minus(&field::P, &N);

type Montgomery = fiat::fiat_p256_scalar_montgomery_domain_field_element;
type Plain = fiat::fiat_p256_scalar_non_montgomery_domain_field_element;

/// One number modulo n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar([u64; 4]);

impl Scalar {
    /// The number 1.
    pub(crate) const UNIT: Self = Self([1, 0, 0, 0]);
    /// 2^256 mod n, the one of Montgomery products.
    pub(crate) const ONE: Self = Self::shifted([1, 0, 0, 0]);
    /// 2^511 mod n: takes (a product P) to 2^255 / P, see [`Scalar::invert_halved`].
    const HALF_INVERSE: Self = {
        // 2^255 is below n; three more of R = 2^256 give the Montgomery form of what is wanted.
        let half = Self([0, 0, 0, 1 << 63]);
        half.mul(Self::shifted(Self::ONE.0))
    };

    /// `limbs` mod n, for any 256-bit number: n is above 2^255, so one subtraction does it.
    pub(crate) fn reduced(limbs: [u64; 4]) -> Self {
        if less(&limbs, &N) { Self(limbs) } else { Self(minus(&limbs, &N)) }
    }

    /// `None` unless 0 < `limbs` < n.
    pub(crate) fn in_range(limbs: [u64; 4]) -> Option<Self> {
        (limbs != [0; 4] && less(&limbs, &N)).then_some(Self(limbs))
    }

    pub(crate) const fn limbs(self) -> [u64; 4] {
        self.0
    }

    /// `plain` · 2^256 mod n; `plain` must be below n.
    const fn shifted(plain: [u64; 4]) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        fiat::fiat_p256_scalar_to_montgomery(&mut out, &Plain { 0: plain });
        Self(out.0)
    }

    /// a · b / 2^256 mod n.
    #[inline]
    pub(crate) const fn mul(self, other: Self) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        let (a, b) = (Montgomery { 0: self.0 }, Montgomery { 0: other.0 });
        fiat::fiat_p256_scalar_mul(&mut out, &a, &b);
        Self(out.0)
    }

    #[inline]
    pub(crate) const fn add(self, other: Self) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        let (a, b) = (Montgomery { 0: self.0 }, Montgomery { 0: other.0 });
        fiat::fiat_p256_scalar_add(&mut out, &a, &b);
        Self(out.0)
    }

    /// self / 2 mod n.
    pub(crate) const fn halved(self) -> Self {
        // 2^255 is below n.
        self.mul(Self([0, 0, 0, 1 << 63]))
    }

    /// 2^255 / self mod n: what, multiplied with `z` by [`mul`](Self::mul), is z / self / 2.
    /// `None` for zero. An inverse is multiplied out before it is returned.
    pub(crate) fn invert_halved(self) -> Option<Self> {
        let inverse = Self(inverse::invert(&self.0, &inverse::P256_N));
        // (1 / self) · self / 2^256 · 2^512 / 2^256 = 1
        let product = inverse.mul(self).mul(Self::shifted(Self::ONE.0));
        (product.0 == [1, 0, 0, 0]).then(|| inverse.mul(Self::HALF_INVERSE))
    }
}

/// a < b.
pub(crate) fn less(a: &[u64; 4], b: &[u64; 4]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// a − b, which must not be negative.
pub(crate) const fn minus(a: &[u64; 4], b: &[u64; 4]) -> [u64; 4] {
    let mut out = [0; 4];
    let mut borrow = false;
    let mut i = 0;
    while i < 4 {
        let (low, under) = a[i].overflowing_sub(b[i]);
        let (low, under_again) = low.overflowing_sub(borrow as u64);
        out[i] = low;
        borrow = under | under_again;
        i += 1;
    }
    out
}
