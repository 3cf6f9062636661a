//! The kernel for CPUs with AVX-512 IFMA: eight signatures an instruction.
//!
//! A [`Number`] has five limbs of 51 bits, each below 2^51 + 2^10: what every function takes and
//! gives. A product of two limbs is below 2^103, so that the instruction's high half, at 2^52, is
//! doubled to count at 2^51.

use std::arch::x86_64::*;

use super::engine::Job;
use super::field::Field;
use super::portable::encode;
use super::table::{BaseComb, Comb, KeyComb, Scalar};
use crate::comb::digit;
use crate::ifma::{self, Available, LANES, load, prefetch, store, transpose_rows};

/// Vectors taken together: independent work, and one inversion.
const GROUP: usize = 4;

pub(super) type Number = [__m512i; 5];

const LOW_51: i64 = (1 << 51) - 1;
/// 4 p, limb by limb: more than any number's limbs.
const FOUR_P: [i64; 5] = [4 * (LOW_51 - 18), 4 * LOW_51, 4 * LOW_51, 4 * LOW_51, 4 * LOW_51];

/// s · B − h · A of every job, encoded.
pub(super) fn sums(available: Available, jobs: &[Job<'_>], base: &BaseComb) -> Vec<[u64; 4]> {
    ifma::call!(available, sums_of(jobs, base))
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn sums_of(jobs: &[Job<'_>], base: &BaseComb) -> Vec<[u64; 4]> {
    let mut out = Vec::with_capacity(jobs.len());
    for jobs in jobs.chunks(LANES * GROUP) {
        let mut sums = [Point::zero(); GROUP];
        let vectors = jobs.len().div_ceil(LANES);
        // With many keys these come from memory: all at once, while the base point's are added.
        jobs.iter().for_each(prefetch_terms);
        for window in 0..BaseComb::WINDOWS {
            for (sum, jobs) in sums.iter_mut().zip(jobs.chunks(LANES)) {
                let term = terms(&lanes(jobs, |_| base), &lanes(jobs, |job| &job.base), window);
                *sum = sum.add(&term);
            }
        }
        for window in 0..KeyComb::WINDOWS {
            for (sum, jobs) in sums.iter_mut().zip(jobs.chunks(LANES)) {
                let tables = lanes(jobs, |job| job.table);
                *sum = sum.add(&terms(&tables, &lanes(jobs, |job| &job.key), window));
            }
        }
        encode_each(&sums[..vectors], jobs.len(), &mut out);
    }
    out
}

/// Asks for the entries that are added for the key.
fn prefetch_terms(job: &Job<'_>) {
    for window in 0..KeyComb::WINDOWS {
        let (index, _) = digit(&job.key, KeyComb::WIDTH, window);
        let words = job.table.window(window)[index].words();
        prefetch(&words[0]);
        prefetch(&words[8]);
    }
}

/// The values of each lane's job; lanes without a job repeat the first.
#[inline]
fn lanes<'a, T>(jobs: &'a [Job<'a>], what: impl Fn(&'a Job<'a>) -> T) -> [T; LANES] {
    std::array::from_fn(|lane| what(jobs.get(lane).unwrap_or(&jobs[0])))
}

/// A point (X/Z, Y/Z) with T = XY/Z in each lane.
#[derive(Clone, Copy)]
struct Point {
    x: Number,
    y: Number,
    z: Number,
    t: Number,
}

struct Addend {
    plus: Number,
    minus: Number,
    product: Number,
}

impl Point {
    #[target_feature(enable = "avx512f")]
    fn zero() -> Self {
        let mut zero = [_mm512_setzero_si512(); 5];
        let x = zero;
        zero[0] = _mm512_set1_epi64(1);
        Self { x, y: zero, z: zero, t: x }
    }

    /// See `curve::Point::add_affine`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add(&self, other: &Addend) -> Self {
        let a = mul(&minus(&self.y, &self.x), &other.minus);
        let b = mul(&plus(&self.y, &self.x), &other.plus);
        let c = mul(&self.t, &other.product);
        let d = plus(&self.z, &self.z);
        let (e, f, g, h) = (minus(&b, &a), minus(&d, &c), plus(&d, &c), plus(&b, &a));
        Self { x: mul(&e, &f), y: mul(&g, &h), z: mul(&f, &g), t: mul(&e, &h) }
    }
}

/// The term that window `window` of each lane's table adds for v.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
fn terms<const WIDTH: usize>(
    tables: &[&Comb<WIDTH>; LANES],
    v: &[&Scalar; LANES],
    window: usize,
) -> Addend {
    let (mut first, mut last) = ([_mm512_setzero_si512(); 8], [_mm512_setzero_si512(); 8]);
    let mut negative = 0;
    for lane in 0..LANES {
        let (index, mirrored) = digit(v[lane], WIDTH, window);
        let words = tables[lane].window(window)[index].words();
        first[lane] = load(words.first_chunk().unwrap_or(&[0; LANES]));
        last[lane] = load(words.last_chunk().unwrap_or(&[0; LANES]));
        negative |= u8::from(mirrored) << lane;
    }
    let (first, last) = (transpose_rows(&first), transpose_rows(&last));
    let (y_plus_x, y_minus_x) = first.split_at(4);
    let (y_plus_x, y_minus_x) = (from_words(y_plus_x), from_words(y_minus_x));
    let product = from_words(&last[4..]);
    let zero = [_mm512_setzero_si512(); 5];
    Addend {
        plus: select(negative, &y_plus_x, &y_minus_x),
        minus: select(negative, &y_minus_x, &y_plus_x),
        product: select(negative, &product, &minus(&zero, &product)),
    }
}

/// Encodes the points of `count` lanes, with one inversion for all.
#[target_feature(enable = "avx512f,avx512ifma")]
fn encode_each(points: &[Point], count: usize, out: &mut Vec<[u64; 4]>) {
    let mut before = [points[0].z; GROUP];
    for nth in 1..points.len() {
        before[nth] =
            if nth == 1 { points[0].z } else { mul(&before[nth - 1], &points[nth - 1].z) };
    }
    let last = points.len() - 1;
    let all = if last == 0 { points[0].z } else { mul(&before[last], &points[last].z) };
    let mut inverse = invert(&all);
    let mut inverses = [inverse; GROUP];
    for nth in (1..points.len()).rev() {
        inverses[nth] = mul(&inverse, &before[nth]);
        inverse = mul(&inverse, &points[nth].z);
    }
    inverses[0] = inverse;
    for (nth, (point, inverse)) in points.iter().zip(&inverses).enumerate() {
        let (x, y) = (fields(&mul(&point.x, inverse)), fields(&mul(&point.y, inverse)));
        let lanes = LANES.min(count - nth * LANES);
        out.extend(x.into_iter().zip(y).map(|(x, y)| encode(x, y)).take(lanes));
    }
}

/// The number of each lane.
#[target_feature(enable = "avx512f")]
pub(super) fn fields(a: &Number) -> [Field; LANES] {
    let mut limbs = [[0; 5]; LANES];
    for (nth, &limb) in a.iter().enumerate() {
        for (limbs, limb) in limbs.iter_mut().zip(store(limb)) {
            limbs[nth] = limb;
        }
    }
    limbs.map(Field::from_limbs)
}

/// 1 / a, as `Field::invert`.
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn invert(a: &Number) -> Number {
    let x2 = mul(&mul(a, a), a);
    let x4 = mul(&squared(&x2, 2), &x2);
    let x5 = mul(&mul(&x4, &x4), a);
    let x10 = mul(&squared(&x5, 5), &x5);
    let x20 = mul(&squared(&x10, 10), &x10);
    let x40 = mul(&squared(&x20, 20), &x20);
    let x50 = mul(&squared(&x40, 10), &x10);
    let x100 = mul(&squared(&x50, 50), &x50);
    let x200 = mul(&squared(&x100, 100), &x100);
    let x250 = mul(&squared(&x200, 50), &x50);
    let to_p58 = mul(&squared(&x250, 2), a);
    mul(&squared(&to_p58, 3), &x2)
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn squared(a: &Number, times: usize) -> Number {
    let mut out = *a;
    for _ in 0..times {
        out = mul(&out, &out);
    }
    out
}

/// a · b.
#[inline]
#[target_feature(enable = "avx512f,avx512ifma")]
pub(super) fn mul(a: &Number, b: &Number) -> Number {
    let (mut low, mut high) = ([_mm512_setzero_si512(); 10], [_mm512_setzero_si512(); 10]);
    for i in 0..5 {
        for j in 0..5 {
            low[i + j] = _mm512_madd52lo_epu64(low[i + j], a[j], b[i]);
            high[i + j + 1] = _mm512_madd52hi_epu64(high[i + j + 1], a[j], b[i]);
        }
    }
    let mut out = [_mm512_setzero_si512(); 5];
    for (k, limb) in out.iter_mut().enumerate() {
        let upper = _mm512_add_epi64(low[k + 5], _mm512_slli_epi64::<1>(high[k + 5]));
        let lower = _mm512_add_epi64(low[k], _mm512_slli_epi64::<1>(high[k]));
        *limb = _mm512_add_epi64(lower, times_19(upper));
    }
    carry(&out)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn plus(a: &Number, b: &Number) -> Number {
    let mut out = *a;
    for (limb, b) in out.iter_mut().zip(b) {
        *limb = _mm512_add_epi64(*limb, *b);
    }
    carry(&out)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn minus(a: &Number, b: &Number) -> Number {
    let mut out = *a;
    for ((limb, b), four_p) in out.iter_mut().zip(b).zip(FOUR_P) {
        let less = _mm512_sub_epi64(_mm512_set1_epi64(four_p), *b);
        *limb = _mm512_add_epi64(*limb, less);
    }
    carry(&out)
}

/// Each limb's upper bits to the next, and the last one's, times 19, to the first: for limbs below
/// 2^60, so that what is carried is below 2^9.
#[inline]
#[target_feature(enable = "avx512f")]
fn carry(a: &Number) -> Number {
    let low = _mm512_set1_epi64(LOW_51);
    let mut out = *a;
    for i in 0..5 {
        let from = a[(i + 4) % 5];
        let carried = _mm512_srli_epi64::<51>(from);
        let carried = if i == 0 { times_19(carried) } else { carried };
        out[i] = _mm512_add_epi64(_mm512_and_si512(a[i], low), carried);
    }
    out
}

#[inline]
#[target_feature(enable = "avx512f")]
fn times_19(a: __m512i) -> __m512i {
    let thrice = _mm512_add_epi64(a, _mm512_slli_epi64::<1>(a));
    _mm512_add_epi64(thrice, _mm512_slli_epi64::<4>(a))
}

/// `b` in the lanes of `mask`, else `a`.
#[inline]
#[target_feature(enable = "avx512f")]
fn select(mask: __mmask8, a: &Number, b: &Number) -> Number {
    let mut out = *a;
    for (limb, b) in out.iter_mut().zip(b) {
        *limb = _mm512_mask_blend_epi64(mask, *limb, *b);
    }
    out
}

/// Four words of 64 bits, below 2^255, as limbs.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn from_words(w: &[__m512i]) -> Number {
    let low = _mm512_set1_epi64(LOW_51);
    let joined = |a, b| _mm512_and_si512(_mm512_or_si512(a, b), low);
    [
        _mm512_and_si512(w[0], low),
        joined(_mm512_srli_epi64::<51>(w[0]), _mm512_slli_epi64::<13>(w[1])),
        joined(_mm512_srli_epi64::<38>(w[1]), _mm512_slli_epi64::<26>(w[2])),
        joined(_mm512_srli_epi64::<25>(w[2]), _mm512_slli_epi64::<39>(w[3])),
        _mm512_srli_epi64::<12>(w[3]),
    ]
}
