//! From r, s and the digest to the scalars that the tables take, with one inversion for all.

use std::arch::x86_64::_mm512_setzero_si512;

use super::super::job::Job;
use super::super::params::{LIMBS, WORDS};
use super::super::scalar::Scalar;
use super::super::table::{BaseComb, KeyComb};
use super::number::{
    Limbs, N, Number, canonical_mod_n, first_lane, from_words, limbs, mul_mod_n, plus, splat,
    swap_lanes,
};
use crate::ifma::{LANES, load};

/// u/2 + offset mod n of both scalars, for eight signatures.
#[derive(Clone, Copy)]
pub(super) struct LaneHalves {
    pub(super) base: Number,
    pub(super) key: Number,
}

/// 2^(104 LIMBS − 64 WORDS) mod n: takes 2^(64 WORDS − 1) / P to R / 2 / P by one product.
const TO_HALF_INVERSE: Limbs = {
    let mut value = Scalar::ONE;
    let mut bit = 0;
    while bit < 104 * LIMBS - 128 * WORDS {
        value = value.add(value);
        bit += 1;
    }
    limbs(&value.limbs())
};
const BASE_OFFSET: Limbs = limbs(&BaseComb::OFFSET.limbs());
const KEY_OFFSET: Limbs = limbs(&KeyComb::OFFSET.limbs());

/// The scalars of each vector of jobs. `None` if the inversion is wrong.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn halves(jobs: &[Job<'_>]) -> Option<Vec<LaneHalves>> {
    let vectors = jobs.chunks(LANES);
    let mut before = Vec::with_capacity(vectors.len());
    let mut product: Option<Number> = None;
    for jobs in vectors.clone() {
        let s = transpose(jobs, |job| job.signature.s);
        before.push((s, product));
        product = Some(product.map_or(s, |product| mul_mod_n(&product, &s)));
    }
    let mut inverse = invert(&product?)?;
    let mut halves = Vec::with_capacity(before.len());
    for (jobs, (s, product)) in vectors.zip(before).rev() {
        let own = product.map_or(inverse, |product| mul_mod_n(&inverse, &product));
        inverse = mul_mod_n(&inverse, &s);
        let half = |numbers: &Number, offset: &Limbs| {
            // Below 1.1 n + n.
            let sum = plus(&mul_mod_n(numbers, &own), &splat(offset));
            canonical_mod_n(&super::number::carry(sum))
        };
        let digest = transpose(jobs, |job| job.digest);
        let r = transpose(jobs, |job| job.signature.r);
        halves.push(LaneHalves { base: half(&digest, &BASE_OFFSET), key: half(&r, &KEY_OFFSET) });
    }
    halves.reverse();
    Some(halves)
}

/// R / 2 / a mod n, in every lane.
#[target_feature(enable = "avx512f,avx512ifma")]
fn invert(a: &Number) -> Option<Number> {
    let four = swap_lanes::<4>(a);
    let pairs = mul_mod_n(a, &four);
    let two = swap_lanes::<2>(&pairs);
    let quads = mul_mod_n(&pairs, &two);
    let one = swap_lanes::<1>(&quads);
    let all = mul_mod_n(&quads, &one);
    let inverse = Scalar::reduced(first_lane(&all, &N)).invert_halved()?;
    let inverse = mul_mod_n(&splat(&limbs(&inverse.limbs())), &splat(&TO_HALF_INVERSE));
    Some(mul_mod_n(&mul_mod_n(&mul_mod_n(&inverse, &one), &two), &four))
}

/// One scalar of each job; lanes without a job repeat the first.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(jobs: &[Job<'_>], scalar: impl Fn(&Job<'_>) -> Scalar) -> Number {
    let mut words = [[0; LANES]; WORDS];
    for lane in 0..LANES {
        let limbs = scalar(jobs.get(lane).unwrap_or(&jobs[0])).limbs();
        for (word, limb) in words.iter_mut().zip(limbs) {
            word[lane] = limb;
        }
    }
    let mut columns = [_mm512_setzero_si512(); WORDS];
    for (column, words) in columns.iter_mut().zip(&words) {
        *column = load(words);
    }
    from_words(&columns)
}
