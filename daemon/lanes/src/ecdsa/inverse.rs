//! Modular inversion by Bernstein and Yang's divsteps (<https://gcd.cr.yp.to/safegcd-20190413.pdf>),
//! 62 at a time and in variable time, as in libsecp256k1 (`doc/safegcd_implementation.md`).
//!
//! Callers multiply every inverse out, so that a mistake in here costs time and never a verdict.

use super::params::{N, P, WORDS};

/// A modulus, prepared.
#[derive(Debug)]
pub(crate) struct Modulus {
    limbs: Signed62,
    /// modulus⁻¹ mod 2^62.
    inverse_62: u64,
}

pub(crate) const FIELD: Modulus = Modulus::new(&P);
pub(crate) const ORDER: Modulus = Modulus::new(&N);

/// Σ limb · 2^(62 i); all but the last limb are in [0, 2^62).
type Signed62 = [i64; LIMBS_62];

/// Limbs of a number below twice the modulus, with its sign.
const LIMBS_62: usize = (64 * WORDS + 2).div_ceil(62);
const TOP: usize = LIMBS_62 - 1;

const LOW_62: u64 = u64::MAX >> 2;

impl Modulus {
    const fn new(modulus: &[u64; WORDS]) -> Self {
        // Newton: x · (2 − m x) doubles the correct bits, of which m itself has three.
        let mut inverse = modulus[0];
        let mut round = 0;
        while round < 5 {
            inverse = inverse.wrapping_mul(2u64.wrapping_sub(modulus[0].wrapping_mul(inverse)));
            round += 1;
        }
        Self { limbs: to_62(modulus), inverse_62: inverse & LOW_62 }
    }
}

/// 1 / x mod the modulus, which must be above x; anything at all for x = 0.
pub(crate) fn invert(x: &[u64; WORDS], modulus: &Modulus) -> [u64; WORDS] {
    // Of d-bit numbers g is zero after (49 d + 57) / 17 divsteps (§11 of the paper).
    const ROUNDS_MAX: usize = ((49 * 64 * WORDS + 57) / 17).div_ceil(62);
    let (mut d, mut e): (Signed62, Signed62) = ([0; LIMBS_62], [0; LIMBS_62]);
    e[0] = 1;
    let (mut f, mut g) = (modulus.limbs, to_62(x));
    let mut eta = -1;
    for _ in 0..ROUNDS_MAX {
        let step;
        (eta, step) = divsteps_62(eta, unsigned(f[0]), unsigned(g[0]));
        (d, e) = step.apply_modular(&d, &e, modulus);
        (f, g) = step.apply(&f, &g);
        if g == [0; LIMBS_62] {
            break;
        }
    }
    normalize(d, f[TOP] < 0, modulus)
}

/// 2^62 times the matrix of 62 divsteps: ((u, v), (q, r)).
struct Step {
    u: i64,
    v: i64,
    q: i64,
    r: i64,
}

/// 62 divsteps of the low words of f and g, several at a time where g allows. `eta` is −delta.
fn divsteps_62(mut eta: i64, f: u64, g: u64) -> (i64, Step) {
    let (mut f, mut g) = (f, g);
    let (mut u, mut v, mut q, mut r) = (1u64, 0u64, 0u64, 1u64);
    let mut left = 62u32;
    loop {
        // Even steps: halve g as often as it goes.
        let zeros = (g | (u64::MAX << left)).trailing_zeros();
        g >>= zeros;
        u <<= zeros;
        v <<= zeros;
        eta -= i64::from(zeros);
        left -= zeros;
        if left == 0 {
            break;
        }
        // Odd steps: cancel low bits of g with a multiple of f, at most as many as eta allows.
        let window: u64;
        let multiple: u64;
        if eta < 0 {
            eta = -eta;
            (f, g) = (g, f.wrapping_neg());
            (u, q) = (q, u.wrapping_neg());
            (v, r) = (r, v.wrapping_neg());
            window = low_bits(eta, left) & 63;
            // f (f² − 2) is −1/f mod 2^6.
            multiple = f.wrapping_mul(g).wrapping_mul(f.wrapping_mul(f).wrapping_sub(2)) & window;
        } else {
            window = low_bits(eta, left) & 15;
            // f + ((f + 1) & 4) · 2 is 1/f mod 2^4.
            let inverse = f.wrapping_add((f.wrapping_add(1) & 4) << 1);
            multiple = inverse.wrapping_neg().wrapping_mul(g) & window;
        }
        g = g.wrapping_add(f.wrapping_mul(multiple));
        q = q.wrapping_add(u.wrapping_mul(multiple));
        r = r.wrapping_add(v.wrapping_mul(multiple));
    }
    (eta, Step { u: signed(u), v: signed(v), q: signed(q), r: signed(r) })
}

/// A mask of min(eta + 1, left) bits; `left` is 1 to 62.
fn low_bits(eta: i64, left: u32) -> u64 {
    let bits = u32::try_from(eta + 1).unwrap_or(left).min(left);
    u64::MAX >> (64 - bits)
}

impl Step {
    /// The matrix applied to (f, g), divided by 2^62; exact.
    fn apply(&self, f: &Signed62, g: &Signed62) -> (Signed62, Signed62) {
        let (mut f_out, mut g_out) = ([0; LIMBS_62], [0; LIMBS_62]);
        let (mut f_sum, mut g_sum) = (0i128, 0i128);
        for i in 0..LIMBS_62 {
            f_sum += wide(self.u, f[i]) + wide(self.v, g[i]);
            g_sum += wide(self.q, f[i]) + wide(self.r, g[i]);
            if i > 0 {
                f_out[i - 1] = low_62(f_sum);
                g_out[i - 1] = low_62(g_sum);
            }
            f_sum >>= 62;
            g_sum >>= 62;
        }
        (f_out[TOP], g_out[TOP]) = (top(f_sum), top(g_sum));
        (f_out, g_out)
    }

    /// The matrix applied to (d, e), divided by 2^62 modulo the modulus. In and out are in
    /// (−2 modulus, modulus).
    fn apply_modular(&self, d: &Signed62, e: &Signed62, m: &Modulus) -> (Signed62, Signed62) {
        let (d_sign, e_sign) = (d[TOP] >> 63, e[TOP] >> 63);
        let d_first = wide(self.u, d[0]) + wide(self.v, e[0]);
        let e_first = wide(self.q, d[0]) + wide(self.r, e[0]);
        let d_times = cancel((self.u & d_sign) + (self.v & e_sign), d_first, m);
        let e_times = cancel((self.q & d_sign) + (self.r & e_sign), e_first, m);
        let (mut d_out, mut e_out) = ([0; LIMBS_62], [0; LIMBS_62]);
        let (mut d_sum, mut e_sum) = (0i128, 0i128);
        for i in 0..LIMBS_62 {
            d_sum += wide(self.u, d[i]) + wide(self.v, e[i]) + wide(d_times, m.limbs[i]);
            e_sum += wide(self.q, d[i]) + wide(self.r, e[i]) + wide(e_times, m.limbs[i]);
            if i > 0 {
                d_out[i - 1] = low_62(d_sum);
                e_out[i - 1] = low_62(e_sum);
            }
            d_sum >>= 62;
            e_sum >>= 62;
        }
        (d_out[TOP], e_out[TOP]) = (top(d_sum), top(e_sum));
        (d_out, e_out)
    }
}

/// The multiple of the modulus, near `times`, that makes the low 62 bits of `first` zero.
fn cancel(times: i64, first: i128, modulus: &Modulus) -> i64 {
    let low = modulus.inverse_62.wrapping_mul(low_word(first)).wrapping_add(unsigned(times));
    times - signed(low & LOW_62)
}

/// ±d, by the sign of the last f, from (−2 modulus, modulus) to [0, modulus).
fn normalize(d: Signed62, negate: bool, modulus: &Modulus) -> [u64; WORDS] {
    let plus_if_negative =
        |x: Signed62| if x[TOP] < 0 { carry(&add(&x, &modulus.limbs)) } else { x };
    let mut d = plus_if_negative(d);
    if negate {
        d = carry(&d.map(|limb| -limb));
    }
    to_64(&plus_if_negative(d))
}

fn add(a: &Signed62, b: &Signed62) -> Signed62 {
    std::array::from_fn(|i| a[i] + b[i])
}

fn carry(x: &Signed62) -> Signed62 {
    let mut out = *x;
    for i in 0..TOP {
        out[i + 1] += out[i] >> 62;
        out[i] &= signed(LOW_62);
    }
    out
}

const fn to_62(x: &[u64; WORDS]) -> Signed62 {
    let mut out = [0; LIMBS_62];
    let mut i = 0;
    while i < LIMBS_62 {
        let (word, shift) = (62 * i / 64, 62 * i % 64);
        let mut bits = if word < WORDS { x[word] >> shift } else { 0 };
        if shift > 2 && word + 1 < WORDS {
            bits |= x[word + 1] << (64 - shift);
        }
        out[i] = signed(bits & LOW_62);
        i += 1;
    }
    out
}

/// The other way, for limbs in [0, 2^62).
fn to_64(x: &Signed62) -> [u64; WORDS] {
    let x = x.map(unsigned);
    std::array::from_fn(|word| {
        // Word i starts in limb i, at bit 2 i, and what limb i lacks are the low bits of the next.
        let (limb, shift) = (64 * word / 62, 64 * word % 62);
        let next = x.get(limb + 1).map_or(0, |next| next << (62 - shift));
        x[limb] >> shift | next
    })
}

fn wide(a: i64, b: i64) -> i128 {
    i128::from(a) * i128::from(b)
}

fn low_62(x: i128) -> i64 {
    signed(low_word(x) & LOW_62)
}

/// The last limb of a sum that is known to fit.
fn top(x: i128) -> i64 {
    signed(low_word(x))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the low word is meant"
)]
const fn low_word(x: i128) -> u64 {
    x as u64
}

const fn signed(x: u64) -> i64 {
    x.cast_signed()
}

const fn unsigned(x: i64) -> u64 {
    x.cast_unsigned()
}
