//! Numbers modulo p = 2^255 − 19, in the arithmetic of the formally verified generator Fiat-Crypto:
//! five limbs of 51 bits, *tight* between operations.

use fiat_crypto::curve25519_64 as fiat;

/// p in words, least significant first.
pub(crate) const P: [u64; 4] =
    [0xffff_ffff_ffff_ffed, 0xffff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff];

/// One number modulo p.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field([u64; 5]);

type Tight = fiat::fiat_25519_tight_field_element;
type Loose = fiat::fiat_25519_loose_field_element;

impl Field {
    pub(crate) const ZERO: Self = Self([0; 5]);
    pub(crate) const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// Any number of 255 bits.
    pub(crate) const fn new(words: [u64; 4]) -> Self {
        const LOW: u64 = (1 << 51) - 1;
        Self([
            words[0] & LOW,
            (words[0] >> 51 | words[1] << 13) & LOW,
            (words[1] >> 38 | words[2] << 26) & LOW,
            (words[2] >> 25 | words[3] << 39) & LOW,
            words[3] >> 12 & LOW,
        ])
    }

    /// Limbs below 2^52.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn from_limbs(limbs: [u64; 5]) -> Self {
        tight(&Loose { 0: limbs })
    }

    /// The number itself, below p.
    pub(crate) fn words(self) -> [u64; 4] {
        let mut bytes = [0; 32];
        fiat::fiat_25519_to_bytes(&mut bytes, &Tight { 0: self.0 });
        let (words, _) = bytes.as_chunks::<8>();
        std::array::from_fn(|i| u64::from_le_bytes(words[i]))
    }

    #[inline]
    pub(crate) fn mul(self, other: Self) -> Self {
        let mut out = Tight { 0: [0; 5] };
        fiat::fiat_25519_carry_mul(&mut out, &Loose { 0: self.0 }, &Loose { 0: other.0 });
        Self(out.0)
    }

    #[inline]
    pub(crate) fn square(self) -> Self {
        let mut out = Tight { 0: [0; 5] };
        fiat::fiat_25519_carry_square(&mut out, &Loose { 0: self.0 });
        Self(out.0)
    }

    #[inline]
    pub(crate) fn add(self, other: Self) -> Self {
        let mut out = Loose { 0: [0; 5] };
        fiat::fiat_25519_add(&mut out, &Tight { 0: self.0 }, &Tight { 0: other.0 });
        tight(&out)
    }

    #[inline]
    pub(crate) fn sub(self, other: Self) -> Self {
        let mut out = Loose { 0: [0; 5] };
        fiat::fiat_25519_sub(&mut out, &Tight { 0: self.0 }, &Tight { 0: other.0 });
        tight(&out)
    }

    pub(crate) fn neg(self) -> Self {
        Self::ZERO.sub(self)
    }

    pub(crate) fn is_zero(self) -> bool {
        self.words() == [0; 4]
    }

    pub(crate) fn is_odd(self) -> bool {
        self.words()[0] & 1 == 1
    }

    /// self^(2^252 − 3), and with two more squarings and a product self^(p − 2).
    pub(crate) fn to_p58(self) -> Self {
        let times = |mut value: Self, squarings: usize| {
            for _ in 0..squarings {
                value = value.square();
            }
            value
        };
        // x_k is self^(2^k − 1).
        let x2 = self.square().mul(self);
        let x4 = times(x2, 2).mul(x2);
        let x5 = x4.square().mul(self);
        let x10 = times(x5, 5).mul(x5);
        let x20 = times(x10, 10).mul(x10);
        let x40 = times(x20, 20).mul(x20);
        let x50 = times(x40, 10).mul(x10);
        let x100 = times(x50, 50).mul(x50);
        let x200 = times(x100, 100).mul(x100);
        let x250 = times(x200, 50).mul(x50);
        times(x250, 2).mul(self)
    }

    /// 1 / self; zero for zero. 2^255 − 21 is 8 (2^252 − 3) + 3.
    pub(crate) fn invert(self) -> Self {
        let power = self.to_p58().square().square().square();
        power.mul(self.square().mul(self))
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.words() == other.words()
    }
}

fn tight(loose: &Loose) -> Field {
    let mut out = Tight { 0: [0; 5] };
    fiat::fiat_25519_carry(&mut out, loose);
    Field(out.0)
}
