//! Numbers modulo p: always canonical (below p), in Montgomery form with R = 2^(64 WORDS), in the
//! arithmetic of the formally verified generator Fiat-Crypto but for what `product` says of itself.

use super::inverse;
use super::params::{WORDS, modulo_p, product};

/// One number modulo p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field([u64; WORDS]);

impl Field {
    pub(crate) const ZERO: Self = Self([0; WORDS]);
    pub(crate) const ONE: Self = {
        let mut one = [0; WORDS];
        one[0] = 1;
        Self::new(one)
    };

    /// `plain` must be below p.
    pub(crate) const fn new(plain: [u64; WORDS]) -> Self {
        Self(modulo_p::to_montgomery(plain))
    }

    /// The number whose Montgomery form these words are. They must be below p.
    pub(crate) const fn from_montgomery(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// The words of the Montgomery form.
    pub(crate) const fn montgomery(self) -> [u64; WORDS] {
        self.0
    }

    #[inline]
    pub(crate) const fn mul(self, other: Self) -> Self {
        Self(product(self.0, other.0))
    }

    #[inline]
    pub(crate) const fn square(self) -> Self {
        self.mul(self)
    }

    #[inline]
    pub(crate) const fn add(self, other: Self) -> Self {
        Self(modulo_p::add(self.0, other.0))
    }

    #[inline]
    pub(crate) const fn sub(self, other: Self) -> Self {
        Self(modulo_p::sub(self.0, other.0))
    }

    pub(crate) const fn neg(self) -> Self {
        Self::ZERO.sub(self)
    }

    pub(crate) const fn double(self) -> Self {
        self.add(self)
    }

    pub(crate) fn is_zero(self) -> bool {
        self.0 == [0; WORDS]
    }

    /// `None` for zero, which has no inverse. An inverse is multiplied out before it is returned.
    pub(crate) fn invert(self) -> Option<Self> {
        /// R³ mod p: takes (x R)⁻¹ to x⁻¹ R by one Montgomery product.
        const TO_MONTGOMERY: Field = {
            let r2 = Field::new(Field::ONE.0);
            Field(r2.mul(r2).0)
        };
        let inverse = Self(inverse::invert(&self.0, &inverse::FIELD)).mul(TO_MONTGOMERY);
        (inverse.mul(self) == Self::ONE).then_some(inverse)
    }
}
