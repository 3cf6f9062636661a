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

    #[inline]
    pub(crate) const fn mul(self, other: Self) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        fiat::fiat_p256_mul(&mut out, &Montgomery { 0: self.0 }, &Montgomery { 0: other.0 });
        Self(out.0)
    }

    #[inline]
    pub(crate) const fn square(self) -> Self {
        let mut out = Montgomery { 0: [0; 4] };
        fiat::fiat_p256_square(&mut out, &Montgomery { 0: self.0 });
        Self(out.0)
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
