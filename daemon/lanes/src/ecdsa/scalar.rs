//! Numbers modulo the group order n, in the arithmetic of Fiat-Crypto: always canonical, as plain
//! integers; [`Scalar::mul`] is the Montgomery product a · b / 2^(64 WORDS).

use super::inverse;
use super::params::{N, P, WORDS, modulo_n};

/// p − n: r + n is a second candidate for the x coordinate exactly if r is below this.
pub(crate) const P_MINUS_N: [u64; WORDS] = minus(&P, &N);

/// 2^(64 WORDS − 1), which is below n.
const TOP_BIT: [u64; WORDS] = {
    let mut bit = [0; WORDS];
    bit[WORDS - 1] = 1 << 63;
    bit
};

/// One number modulo n.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scalar([u64; WORDS]);

impl Scalar {
    /// The number 1.
    pub(crate) const UNIT: Self = {
        let mut one = [0; WORDS];
        one[0] = 1;
        Self(one)
    };
    /// R = 2^(64 WORDS) mod n, the one of Montgomery products.
    pub(crate) const ONE: Self = Self::shifted(Self::UNIT.0);
    /// R² / 2 mod n: takes 1 / P to R / 2 P, see [`Scalar::invert_halved`].
    const HALF_INVERSE: Self = Self(TOP_BIT).mul(Self::shifted(Self::ONE.0));

    /// `limbs` mod n, whatever they are: n is above half of their range, so one subtraction does it.
    pub(crate) fn reduced(limbs: [u64; WORDS]) -> Self {
        if less(&limbs, &N) { Self(limbs) } else { Self(minus(&limbs, &N)) }
    }

    /// `None` unless 0 < `limbs` < n.
    pub(crate) fn in_range(limbs: [u64; WORDS]) -> Option<Self> {
        (limbs != [0; WORDS] && less(&limbs, &N)).then_some(Self(limbs))
    }

    pub(crate) const fn limbs(self) -> [u64; WORDS] {
        self.0
    }

    /// `plain` · R mod n; `plain` must be below n.
    const fn shifted(plain: [u64; WORDS]) -> Self {
        Self(modulo_n::to_montgomery(plain))
    }

    /// a · b / R mod n.
    #[inline]
    pub(crate) const fn mul(self, other: Self) -> Self {
        Self(modulo_n::mul(self.0, other.0))
    }

    #[inline]
    pub(crate) const fn add(self, other: Self) -> Self {
        Self(modulo_n::add(self.0, other.0))
    }

    /// self / 2 mod n.
    pub(crate) const fn halved(self) -> Self {
        self.mul(Self(TOP_BIT))
    }

    /// R / 2 / self mod n: what, multiplied with `z` by [`mul`](Self::mul), is z / self / 2.
    /// `None` for zero. An inverse is multiplied out before it is returned.
    pub(crate) fn invert_halved(self) -> Option<Self> {
        let inverse = Self(inverse::invert(&self.0, &inverse::ORDER));
        // (1 / self) · self / R · R² / R = 1
        let product = inverse.mul(self).mul(Self::shifted(Self::ONE.0));
        (product == Self::UNIT).then(|| inverse.mul(Self::HALF_INVERSE))
    }
}

/// a < b.
pub(crate) fn less(a: &[u64; WORDS], b: &[u64; WORDS]) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// a − b, which must not be negative.
pub(crate) const fn minus(a: &[u64; WORDS], b: &[u64; WORDS]) -> [u64; WORDS] {
    let mut out = [0; WORDS];
    let mut borrow = false;
    let mut i = 0;
    while i < WORDS {
        let (low, under) = a[i].overflowing_sub(b[i]);
        let (low, under_again) = low.overflowing_sub(borrow as u64);
        out[i] = low;
        borrow = under | under_again;
        i += 1;
    }
    out
}
