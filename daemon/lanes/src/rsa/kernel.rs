//! s^65537 mod n for eight signatures at a time, each with its own modulus.
//!
//! A number is in blocks of 20 limbs of 52 bits, one number in each 64-bit lane. Products are
//! formed by columns: twenty of them are in registers while everything that falls into them is
//! added, at most 320 halves of products below 2^52 each, so that nothing is carried before a
//! column is done.

use std::arch::x86_64::*;

use super::job::{Job, LANES};
use super::key::KeyTable;
use super::number::{BLOCK, BLOCKS_MAX, LOW_52, Number};
use crate::ifma::{load, store};

/// Twenty limbs of eight numbers: in [0, 2^52), or columns that are being added up.
type Block = [__m512i; BLOCK];
/// Eight numbers. What is above the blocks of the modulus is not used.
pub(super) type Blocks = [Block; BLOCKS_MAX];

/// base^65537 mod n of every job, below 2 n. All moduli must be of so many blocks.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(crate) fn power(jobs: &[&Job<'_>; LANES], blocks: usize) -> [Number; LANES] {
    let moduli = Moduli::new(&jobs.map(|job| job.key), blocks);
    let base = transpose(&jobs.map(|job| &job.base), blocks);
    let to_montgomery = transpose(&jobs.map(|job| job.key.to_montgomery()), blocks);
    let zero = [[_mm512_setzero_si512(); BLOCK]; BLOCKS_MAX];
    let (mut power, mut square) = (zero, zero);
    moduli.mul(&mut power, &base, &to_montgomery);
    for _ in 0..8 {
        moduli.square(&mut square, &power);
        moduli.square(&mut power, &square);
    }
    // A factor without R takes away the one of the other.
    moduli.mul(&mut square, &power, &base);
    untranspose(&square, blocks)
}

/// Eight moduli.
pub(super) struct Moduli {
    n: Blocks,
    /// −1/n mod 2^52.
    quotient: __m512i,
    blocks: usize,
}

/// The lower twenty columns of a product of two blocks.
const LOWER: usize = 0;
/// The upper twenty.
const UPPER: usize = 1;

/// Does something for every index of a block, each a constant: only then are columns registers.
macro_rules! for_each_limb {
    ($i:ident $body:block) => {
        for_each_limb!($i $body: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19)
    };
    ($name:ident $body:block: $($i:literal)*) => {
        $({ const $name: usize = $i; $body })*
    };
}

impl Moduli {
    #[target_feature(enable = "avx512f")]
    pub(super) fn new(keys: &[&KeyTable; LANES], blocks: usize) -> Self {
        let quotient = load(&keys.map(KeyTable::quotient));
        Self { n: transpose(&keys.map(KeyTable::n), blocks), quotient, blocks }
    }

    /// out = a · b / R mod n, for R = 2^(52 · 20 · blocks): below (a b / n R + 1) n.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn mul(&self, out: &mut Blocks, a: &Blocks, b: &Blocks) {
        let (a, b) = (&a[..self.blocks], &b[..self.blocks]);
        self.reduce(out, |sum, column| add_products(sum, a, b, column));
    }

    /// out = a · a / R mod n: below (a² / n R + 1) n.
    #[target_feature(enable = "avx512f,avx512ifma")]
    pub(super) fn square(&self, out: &mut Blocks, a: &Blocks) {
        let a = &a[..self.blocks];
        self.reduce(out, |sum, column| {
            // Of two equal products, the one whose first factor is the lower block.
            for (i, first) in a.iter().enumerate() {
                if let Some(second) = partner(a, column, i).filter(|_| 2 * i < column) {
                    add_product::<LOWER>(sum, first, second);
                }
                if let Some(second) = partner(a, column, i + 1).filter(|_| 2 * i + 1 < column) {
                    add_product::<UPPER>(sum, first, second);
                }
            }
            if column % 2 == LOWER {
                double_and_add_square::<LOWER>(sum, &a[column / 2]);
            } else {
                double_and_add_square::<UPPER>(sum, &a[column / 2]);
            }
        });
    }

    /// Montgomery's reduction of what `add_terms` adds to each block of columns.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn reduce(&self, out: &mut Blocks, add_terms: impl Fn(&mut Block, usize)) {
        let blocks = self.blocks;
        let mut carry = _mm512_setzero_si512();
        for column in 0..2 * blocks {
            let mut sum = [_mm512_setzero_si512(); BLOCK];
            add_terms(&mut sum, column);
            // The quotients found so far are in `out`. The first block of them is used last in the
            // column whose sum replaces it, and so on.
            add_products(&mut sum, &out[..blocks.min(column)], &self.n[..blocks], column);
            sum[0] = _mm512_add_epi64(sum[0], carry);
            if column < blocks {
                carry = self.clear(&mut sum, &mut out[column]);
            } else {
                carry = carry_up(&mut sum);
                out[column - blocks] = sum;
            }
        }
    }

    /// Finds the quotients that make these columns a multiple of 2^(52 · 20), and gives what
    /// they then carry.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn clear(&self, sum: &mut Block, quotients: &mut Block) -> __m512i {
        let zero = _mm512_setzero_si512();
        let low = _mm512_set1_epi64(LOW_52.cast_signed());
        let mut carry = zero;
        for_each_limb!(I {
            sum[I] = _mm512_add_epi64(sum[I], carry);
            let q = _mm512_madd52lo_epu64(zero, sum[I], self.quotient);
            // The low half of q · n[0] makes the low 52 bits zero, which is to round up.
            carry = _mm512_srli_epi64::<52>(_mm512_add_epi64(sum[I], low));
            add_row::<I, LOWER, 0>(sum, q, &self.n[0]);
            quotients[I] = q;
        });
        carry
    }
}

/// Adds the part of a · b, in blocks, that falls into this block of columns.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_products(sum: &mut Block, a: &[Block], b: &[Block], column: usize) {
    for (i, a) in a.iter().enumerate() {
        if let Some(b) = partner(b, column, i) {
            add_product::<LOWER>(sum, a, b);
        }
        if let Some(b) = partner(b, column, i + 1) {
            add_product::<UPPER>(sum, a, b);
        }
    }
}

/// Block `column` − `i`, if there is one.
#[inline]
fn partner(blocks: &[Block], column: usize, i: usize) -> Option<&Block> {
    blocks.get(column.checked_sub(i)?)
}

/// Adds the part of a · b that falls into the lower or upper twenty columns.
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_product<const PART: usize>(sum: &mut Block, a: &Block, b: &Block) {
    for_each_limb!(I {
        add_row::<I, PART, 0>(sum, a[I], b);
    });
}

/// Doubles what is there, and adds the part of a · a that falls into the lower or upper twenty
/// columns.
#[target_feature(enable = "avx512f,avx512ifma")]
fn double_and_add_square<const PART: usize>(sum: &mut Block, a: &Block) {
    for_each_limb!(I {
        add_row::<I, PART, { I + 1 }>(sum, a[I], a);
    });
    double(sum);
    for i in 0..BLOCK / 2 {
        let a = a[PART * BLOCK / 2 + i];
        sum[2 * i] = _mm512_madd52lo_epu64(sum[2 * i], a, a);
        sum[2 * i + 1] = _mm512_madd52hi_epu64(sum[2 * i + 1], a, a);
    }
}

/// Adds a · `b[j]` for every j from `FROM` on, as far as it falls into the part of the columns, for
/// a of limb `I`.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_row<const I: usize, const PART: usize, const FROM: usize>(
    sum: &mut Block,
    a: __m512i,
    b: &Block,
) {
    for (j, &b) in b.iter().enumerate() {
        if j >= FROM && (I + j) / BLOCK == PART {
            let at = (I + j) % BLOCK;
            sum[at] = _mm512_madd52lo_epu64(sum[at], a, b);
        }
    }
    for (j, &b) in b.iter().enumerate() {
        if j >= FROM && (I + j + 1) / BLOCK == PART {
            let at = (I + j + 1) % BLOCK;
            sum[at] = _mm512_madd52hi_epu64(sum[at], a, b);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn double(sum: &mut Block) {
    for column in sum {
        *column = _mm512_add_epi64(*column, *column);
    }
}

/// Brings every limb into [0, 2^52), and gives what the last one carries.
#[inline]
#[target_feature(enable = "avx512f")]
fn carry_up(sum: &mut Block) -> __m512i {
    let low = _mm512_set1_epi64(LOW_52.cast_signed());
    let mut carry = _mm512_setzero_si512();
    for column in sum {
        let whole = _mm512_add_epi64(*column, carry);
        *column = _mm512_and_si512(whole, low);
        carry = _mm512_srli_epi64::<52>(whole);
    }
    carry
}

/// Lane i of the result is number i.
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(numbers: &[&Number; LANES], blocks: usize) -> Blocks {
    let mut out = [[_mm512_setzero_si512(); BLOCK]; BLOCKS_MAX];
    for (limb, out) in out[..blocks].as_flattened_mut().iter_mut().enumerate() {
        *out = load(&numbers.map(|number| number[limb]));
    }
    out
}

/// Number i of the result is lane i.
#[target_feature(enable = "avx512f")]
pub(super) fn untranspose(vectors: &Blocks, blocks: usize) -> [Number; LANES] {
    let mut out = [[0; BLOCK * BLOCKS_MAX]; LANES];
    for (limb, &vector) in vectors[..blocks].as_flattened().iter().enumerate() {
        for (number, word) in out.iter_mut().zip(store(vector)) {
            number[limb] = word;
        }
    }
    out
}
