//! Numbers modulo p = 2^256 − 2^224 + 2^192 + 2^96 − 1, in the arithmetic of the formally verified
//! generator Fiat-Crypto: always canonical (below p), in Montgomery form with R = 2^256.

use fiat_crypto::p256_64 as fiat;

use super::inverse;

/// p, least significant limb first.
pub(crate) const P: [u64; 4] =
    [0xffff_ffff_ffff_ffff, 0x0000_0000_ffff_ffff, 0, 0xffff_ffff_0000_0001];

/// One number modulo p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field([u64; 4]);

type Montgomery = fiat::fiat_p256_montgomery_domain_field_element;
type Plain = fiat::fiat_p256_non_montgomery_domain_field_element;

impl Field {
    pub(crate) const ZERO: Self = Self([0; 4]);
    pub(crate) const ONE: Self = Self::new([1, 0, 0, 0]);

    /// `plain` must be below p.
    pub(crate) const fn new(plain: [u64; 4]) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        fiat::fiat_p256_to_montgomery(&mut out, &Plain { 0: plain });
        Self(out.0)
    }

    /// The number whose Montgomery form these limbs are. They must be below p.
    pub(crate) const fn from_montgomery(limbs: [u64; 4]) -> Self {
        Self(limbs)
    }

    /// The limbs of the Montgomery form, x · 2^256 mod p.
    pub(crate) const fn montgomery(self) -> [u64; 4] {
        self.0
    }

    /// Montgomery's product, word by word, for this p: below p if both factors are.
    #[inline]
    pub(crate) const fn mul(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        let mut t = [0; 5];
        let mut i = 0;
        while i < 4 {
            let mut carry;
            (t[0], carry) = multiply_add(a[0], b[i], t[0], 0);
            (t[1], carry) = multiply_add(a[1], b[i], t[1], carry);
            (t[2], carry) = multiply_add(a[2], b[i], t[2], carry);
            (t[3], carry) = multiply_add(a[3], b[i], t[3], carry);
            t = add_quotient(t, carry);
            i += 1;
        }
        Self(below_p(t))
    }

    #[inline]
    pub(crate) const fn square(self) -> Self {
        self.mul(self)
    }

    #[inline]
    pub(crate) const fn add(self, other: Self) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        fiat::fiat_p256_add(&mut out, &Montgomery { 0: self.0 }, &Montgomery { 0: other.0 });
        Self(out.0)
    }

    #[inline]
    pub(crate) const fn sub(self, other: Self) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        fiat::fiat_p256_sub(&mut out, &Montgomery { 0: self.0 }, &Montgomery { 0: other.0 });
        Self(out.0)
    }

    pub(crate) const fn neg(self) -> Self {
        Self::ZERO.sub(self)
    }

    pub(crate) const fn double(self) -> Self {
        self.add(self)
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0[0] | self.0[1] | self.0[2] | self.0[3] == 0
    }

    /// `None` for zero, which has no inverse. An inverse is multiplied out before it is returned.
    pub(crate) fn invert(self) -> Option<Self> {
        /// 2^768 mod p: takes (x · 2^256)⁻¹ to x⁻¹ · 2^256 by one Montgomery product.
        const TO_MONTGOMERY: Field = {
            let r2 = Field::new(Field::ONE.0);
            Field(r2.mul(r2).0)
        };
        let inverse = Self(inverse::invert(&self.0, &inverse::P256_P)).mul(TO_MONTGOMERY);
        (inverse.mul(self) == Self::ONE).then_some(inverse)
    }
}

/// a · b + c + d, low word first: at most (2^64 − 1)² + 2 (2^64 − 1) = 2^128 − 1.
#[inline]
const fn multiply_add(a: u64, b: u64, c: u64, d: u64) -> (u64, u64) {
    split(a as u128 * b as u128 + c as u128 + d as u128)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "low word and high word are meant")]
const fn split(x: u128) -> (u64, u64) {
    (x as u64, (x >> 64) as u64)
}

/// (t + carry · 2^256 + m · p) / 2^64, where m = t mod 2^64 is its own quotient, p being −1 modulo
/// 2^64. With t below 2 p before the row that gave `carry`, the result is below 2 p.
#[inline]
const fn add_quotient(t: [u64; 5], carry: u64) -> [u64; 5] {
    // p = 2^96 − 1 + P[3] · 2^192; t[0] − m is zero.
    let m = t[0];
    let (t1, c) = split(t[1] as u128 + (m << 32) as u128);
    let (t2, c) = split(t[2] as u128 + (m >> 32) as u128 + c as u128);
    let (t3, c) = multiply_add(m, P[3], t[3], c);
    let (t4, t5) = split(t[4] as u128 + carry as u128 + c as u128);
    [t1, t2, t3, t4, t5]
}

/// t mod p, for t below 2 p.
#[inline]
const fn below_p(t: [u64; 5]) -> [u64; 4] {
    let (d0, under) = t[0].overflowing_sub(P[0]);
    let (d1, under) = borrow(t[1], P[1], under);
    let (d2, under) = borrow(t[2], P[2], under);
    let (d3, under) = borrow(t[3], P[3], under);
    if under && t[4] == 0 { [t[0], t[1], t[2], t[3]] } else { [d0, d1, d2, d3] }
}

/// a − b − under, and whether that is negative.
#[inline]
const fn borrow(a: u64, b: u64, under: bool) -> (u64, bool) {
    let (low, first) = a.overflowing_sub(b);
    let (low, second) = low.overflowing_sub(under as u64);
    (low, first | second)
}
