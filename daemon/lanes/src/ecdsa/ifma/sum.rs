//! Adds up each signature's table entries, and compares.
//!
//! A coordinate of a [`Point`] is below 2.001 p throughout; `docs/lanes.md` has every bound.

use std::arch::x86_64::*;

use super::super::field::Field;
use super::super::job::{Answer, Job};
use super::super::params::{LIMBS, WORDS};
use super::super::table::{BASE_WINDOWS, BaseComb, Comb, KEY_WINDOWS, POINTS};
use super::GROUP;
use super::number::{
    Limbs, Mask, Number, P, carry, difference, first_lane, fold, from_words, is_zero, limbs, mul,
    mul_add, p_times_minus, plus, select, splat, square, square_add, swap_lanes,
};
use super::scalars::{LaneHalves, transpose};
use crate::ifma::{LANES, load, prefetch, store, transpose_rows};

/// One affine point in each lane.
#[derive(Clone, Copy)]
struct Point {
    x: Number,
    y: Number,
}

/// The points of a group's vectors that are still to be added up.
struct Sums {
    /// `POINTS` of each vector, of which the first `left` count.
    points: Vec<Point>,
    vectors: usize,
    left: usize,
    /// Lanes that met two points with the same x: what they hold is meaningless from there on.
    unclear: [Mask; GROUP],
}

/// The words at which loads of an entry start. The last ends where the entry does.
const ENTRY_LOADS: [usize; (2 * WORDS).div_ceil(LANES)] = {
    let mut starts = [0; (2 * WORDS).div_ceil(LANES)];
    starts[starts.len() - 1] = 2 * WORDS - LANES;
    starts
};
const _: () = assert!(ENTRY_LOADS.len() <= 2, "two loads reach no further");

/// Independent products in flight: enough to hide the latency of the multiplier.
const BLOCK: usize = 4;

/// Affine additions that an inversion must be shared by to be worth its while.
const SHARED_MIN: usize = 24;

/// R = 2^(52 LIMBS) mod p, the one of these products.
const ONE: Limbs = limbs(&shifted_one(52 * LIMBS - 64 * WORDS));
/// R² mod p: takes a number to its Montgomery form.
const TO_MONTGOMERY: Limbs = limbs(&shifted_one(104 * LIMBS - 64 * WORDS));
/// 2^(156 LIMBS − 128 WORDS) mod p: takes 2^(128 WORDS) / a to R² / a.
const TO_INVERSE: Limbs = limbs(&shifted_one(156 * LIMBS - 192 * WORDS));

/// 2^(64 WORDS + bits) mod p.
const fn shifted_one(bits: usize) -> [u64; WORDS] {
    let mut value = Field::ONE;
    let mut bit = 0;
    while bit < bits {
        value = value.double();
        bit += 1;
    }
    value.montgomery()
}

/// Answers the jobs of one group. `None` if an inversion is wrong.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn answer(
    jobs: &[Job<'_>],
    halves: &[LaneHalves],
    base: &BaseComb,
    answers: &mut [Answer],
) -> Option<()> {
    let mut sums = gather(jobs, halves, base);
    let mut before = Vec::with_capacity(halves.len() * POINTS / 2);
    while sums.vectors * (sums.left / 2) >= SHARED_MIN {
        add_pairs(&mut sums, &mut before)?;
    }
    let totals = add_rest(&sums);
    for (vector, (jobs, answers)) in jobs.chunks(LANES).zip(answers.chunks_mut(LANES)).enumerate() {
        let Extended { x, zz, .. } = &totals[vector];
        let r = mul(&transpose(jobs, |job| job.signature.r), &splat(&TO_MONTGOMERY));
        // r · ZZ − X, folded: zero modulo p exactly if p or 2 p.
        let good = is_zero(&fold(mul_add(&r, zz, &p_times_minus(3, x))));
        let unclear = sums.unclear[vector] | is_zero(zz);
        for (lane, answer) in answers.iter_mut().enumerate() {
            *answer = match (unclear >> lane & 1, good >> lane & 1) {
                (0, 0) => Answer::Bad,
                (0, _) => Answer::Good,
                _ => Answer::Unclear,
            };
        }
    }
    Some(())
}

/// The table entries of every job.
#[target_feature(enable = "avx512f,avx512ifma")]
fn gather(jobs: &[Job<'_>], halves: &[LaneHalves], base: &BaseComb) -> Sums {
    let mut points = Vec::with_capacity(halves.len() * POINTS);
    for (jobs, halves) in jobs.chunks(LANES).zip(halves) {
        let mut tables = [jobs[0].table; LANES];
        for (table, job) in tables.iter_mut().zip(jobs) {
            *table = job.table;
        }
        // With many keys these come from memory: all at once, while the base point's are loaded.
        for window in 0..KEY_WINDOWS {
            prefetch_terms(&tables, &halves.key, window);
        }
        for window in 0..BASE_WINDOWS {
            points.push(terms(&[base; LANES], &halves.base, window));
        }
        for window in 0..KEY_WINDOWS {
            points.push(terms(&tables, &halves.key, window));
        }
    }
    Sums { points, vectors: halves.len(), left: POINTS, unclear: [0; GROUP] }
}

/// The term that window `window` of each lane's table adds for v: see `table::digit`, eight times.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn terms<const WINDOWS: usize, const ENTRIES: usize>(
    tables: &[&Comb<WINDOWS, ENTRIES>; LANES],
    v: &Number,
    window: usize,
) -> Point {
    let (indices, negative) = digits(v, Comb::<WINDOWS, ENTRIES>::BITS, window);
    let mut words = [_mm512_setzero_si512(); 2 * WORDS];
    for start in ENTRY_LOADS {
        let mut rows = [_mm512_setzero_si512(); LANES];
        for lane in 0..LANES {
            let entry = &tables[lane].window(window)[indices[lane] % ENTRIES];
            rows[lane] = load(entry.words()[start..].first_chunk().unwrap_or(&[0; LANES]));
        }
        words[start..start + LANES].copy_from_slice(&transpose_rows(&rows));
    }
    let (mut x, mut y) = ([words[0]; WORDS], [words[0]; WORDS]);
    x.copy_from_slice(&words[..WORDS]);
    y.copy_from_slice(&words[WORDS..]);
    let (x, y) = (from_words(&x), from_words(&y));
    let mut signed = y;
    for i in 0..LIMBS {
        let prime = _mm512_set1_epi64(P[i]);
        signed[i] = _mm512_mask_sub_epi64(y[i], negative, prime, y[i]);
    }
    Point { x, y: carry(signed) }
}

/// Asks for the entries that [`terms`] will load.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn prefetch_terms<const WINDOWS: usize, const ENTRIES: usize>(
    tables: &[&Comb<WINDOWS, ENTRIES>; LANES],
    v: &Number,
    window: usize,
) {
    let (indices, _) = digits(v, Comb::<WINDOWS, ENTRIES>::BITS, window);
    for lane in 0..LANES {
        let entry = &tables[lane].window(window)[indices[lane] % ENTRIES];
        for start in ENTRY_LOADS {
            prefetch(&entry.words()[start]);
        }
    }
}

/// `table::digit` in each lane: the entry, and whether it is to be mirrored.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn digits(v: &Number, width: usize, window: usize) -> ([usize; LANES], Mask) {
    let (limb, shift) = (window * width / 52, window * width % 52);
    let count = |bits: usize| _mm_cvtsi64_si128(i64::try_from(bits).unwrap_or(0));
    let mut bits = _mm512_srl_epi64(v[limb], count(shift));
    if shift + width > 52 && limb + 1 < LIMBS {
        bits = _mm512_or_si512(bits, _mm512_sll_epi64(v[limb + 1], count(52 - shift)));
    }
    let entries = _mm512_set1_epi64(1 << (width - 1));
    let negative = _mm512_testn_epi64_mask(bits, entries);
    let bits = _mm512_mask_xor_epi64(bits, negative, bits, _mm512_set1_epi64(-1));
    let low = _mm512_and_si512(bits, _mm512_set1_epi64((1 << (width - 1)) - 1));
    (store(low).map(|index| usize::try_from(index).unwrap_or(0)), negative)
}

/// One pair to add: the difference in x, and the product of those before it in its chain.
#[derive(Clone, Copy)]
struct Before {
    difference: Number,
    product: Number,
}

impl Sums {
    /// Chains of products, a multiple of the vectors and at least `BLOCK`. Pair f, of vector
    /// f mod vectors, is in chain f mod chains.
    fn chains(&self) -> usize {
        self.vectors * BLOCK.div_ceil(self.vectors)
    }

    /// Where the points of pair f are. The first becomes the sum.
    fn pair(&self, f: usize) -> (usize, usize) {
        let first = f % self.vectors * POINTS + f / self.vectors;
        (first, first + self.left / 2)
    }
}

/// Halves what is left of every sum by adding the first half to the second, with one inversion
/// for all. An odd last point is left alone. `None` if the inversion is wrong.
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_pairs(sums: &mut Sums, before: &mut Vec<Before>) -> Option<()> {
    let (half, chains) = (sums.left / 2, sums.chains());
    let mut products = [splat(&ONE); CHAINS_MAX];
    before.clear();
    for f in 0..half * sums.vectors {
        let (first, second) = sums.pair(f);
        let product = products[f % chains];
        let difference = difference(&sums.points[second].x, &sums.points[first].x);
        before.push(Before { difference, product });
        products[f % chains] = mul(&product, &difference);
    }
    for (chain, product) in products[..chains].iter_mut().enumerate() {
        // Zero exactly if one of the differences is. The other lanes must not suffer from it.
        let zero = is_zero(product);
        sums.unclear[chain % sums.vectors] |= zero;
        *product = select(zero, product, &splat(&ONE));
    }
    invert_each(&mut products[..chains])?;
    let mut end = before.len();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        add_block(sums, &before[start..end], start, &mut products);
        end = start;
    }
    for vector in 0..sums.vectors {
        let points = &mut sums.points[vector * POINTS..][..sums.left];
        points[half] = points[sums.left - 1];
    }
    sums.left -= half;
    Some(())
}

/// Chains there can be: 6 for 3 vectors, else the vectors or a block.
const CHAINS_MAX: usize = if GROUP > 6 { GROUP } else { 6 };

/// The pairs from `start` on, which are in different chains, with `inverses` those of the product
/// of each chain up to here.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_block(sums: &mut Sums, block: &[Before], start: usize, inverses: &mut [Number; CHAINS_MAX]) {
    let chains = sums.chains();
    let mut slopes = [[_mm512_setzero_si512(); LIMBS]; BLOCK];
    let mut xs = slopes;
    for (i, before) in block.iter().enumerate() {
        let inverse = &mut inverses[(start + i) % chains];
        slopes[i] = mul(inverse, &before.product);
        *inverse = mul(inverse, &before.difference);
    }
    for (i, slope) in slopes[..block.len()].iter_mut().enumerate() {
        let (first, second) = sums.pair(start + i);
        let rise = difference(&sums.points[second].y, &sums.points[first].y);
        *slope = mul(slope, &rise);
    }
    for i in 0..block.len() {
        let (first, second) = sums.pair(start + i);
        let both = plus(&sums.points[first].x, &sums.points[second].x);
        xs[i] = fold(square_add(&slopes[i], &p_times_minus(5, &both)));
    }
    for i in 0..block.len() {
        let (first, _) = sums.pair(start + i);
        let point = &mut sums.points[first];
        let back = difference(&point.x, &xs[i]);
        let y = fold(mul_add(&slopes[i], &back, &p_times_minus(3, &point.y)));
        *point = Point { x: xs[i], y };
    }
}

/// Every number's inverse, none being zero. `None` if the inversion is wrong.
#[target_feature(enable = "avx512f,avx512ifma")]
fn invert_each(numbers: &mut [Number]) -> Option<()> {
    let mut before = [splat(&ONE); CHAINS_MAX];
    for i in 1..numbers.len() {
        before[i] = if i == 1 { numbers[0] } else { mul(&before[i - 1], &numbers[i - 1]) };
    }
    let last = numbers.len() - 1;
    let mut inverse =
        if last == 0 { invert(&numbers[0])? } else { invert(&mul(&before[last], &numbers[last]))? };
    for i in (1..numbers.len()).rev() {
        let own = mul(&inverse, &before[i]);
        inverse = mul(&inverse, &numbers[i]);
        numbers[i] = own;
    }
    numbers[0] = inverse;
    Some(())
}

/// The inverse in every lane, by one scalar inversion of the product of all lanes.
#[target_feature(enable = "avx512f,avx512ifma")]
fn invert(a: &Number) -> Option<Number> {
    let four = swap_lanes::<4>(a);
    let pairs = mul(a, &four);
    let two = swap_lanes::<2>(&pairs);
    let quads = mul(&pairs, &two);
    let one = swap_lanes::<1>(&quads);
    let all = mul(&quads, &one);
    let inverse = Field::from_montgomery(first_lane(&all, &P)).invert()?;
    let inverse = mul(&splat(&limbs(&inverse.montgomery())), &splat(&TO_INVERSE));
    Some(mul(&mul(&mul(&inverse, &one), &two), &four))
}

/// A point (X / ZZ, Y / ZZZ) with ZZ³ = ZZZ², in each lane.
#[derive(Clone, Copy)]
struct Extended {
    x: Number,
    y: Number,
    zz: Number,
    zzz: Number,
}

/// Adds up what is left of every sum, without inversions. ZZ is zero where two points had the
/// same x.
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_rest(sums: &Sums) -> [Extended; GROUP] {
    let one = splat(&ONE);
    let mut totals = [Extended { x: one, y: one, zz: one, zzz: one }; GROUP];
    for (vector, total) in totals[..sums.vectors].iter_mut().enumerate() {
        let Point { x, y } = sums.points[vector * POINTS];
        (total.x, total.y) = (x, y);
    }
    for nth in 1..sums.left {
        for (vector, total) in totals[..sums.vectors].iter_mut().enumerate() {
            *total = add_mixed(total, &sums.points[vector * POINTS + nth]);
        }
    }
    totals
}

/// `madd-2008-s` of the Explicit-Formulas Database.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn add_mixed(total: &Extended, point: &Point) -> Extended {
    let p = carry(mul_add(&point.x, &total.zz, &p_times_minus(3, &total.x)));
    let r = carry(mul_add(&point.y, &total.zzz, &p_times_minus(3, &total.y)));
    let pp = square(&p);
    let ppp = mul(&p, &pp);
    let q = mul(&total.x, &pp);
    let falls = plus(&plus(&q, &q), &ppp);
    let x = fold(square_add(&r, &p_times_minus(5, &falls)));
    let yppp = mul(&total.y, &ppp);
    let y = fold(mul_add(&r, &difference(&q, &x), &p_times_minus(2, &yppp)));
    Extended { x, y, zz: mul(&total.zz, &pp), zzz: mul(&total.zzz, &ppp) }
}
