//! Tables of multiples, so that u · P is a sum of table entries and takes no doubling.
//!
//! With windows of w bits, window j holds the odd multiples 1, 3, …, 2^w − 1 of 2^(w j) · P. The
//! digits of [`Comb::OFFSET`] and [`digit`] are odd, hence never zero: every window contributes
//! exactly one entry, or its mirror image.

use super::curve::{Affine, GENERATOR};
use super::field::Field;
use super::params::{BASE_WINDOW, KEY_WINDOW, WORDS};
use super::scalar::Scalar;
use crate::comb::digit;

pub(crate) const KEY_WINDOWS: usize = (64 * WORDS).div_ceil(KEY_WINDOW);
const KEY_ENTRIES: usize = 1 << (KEY_WINDOW - 1);

pub(crate) const BASE_WINDOWS: usize = (64 * WORDS).div_ceil(BASE_WINDOW);
const BASE_ENTRIES: usize = 1 << (BASE_WINDOW - 1);

/// Entries that add up to u1 · G + u2 · Q.
pub(crate) const POINTS: usize = KEY_WINDOWS + BASE_WINDOWS;

pub(crate) type KeyComb = Comb<KEY_WINDOWS, KEY_ENTRIES>;
pub(crate) type BaseComb = Comb<BASE_WINDOWS, BASE_ENTRIES>;

/// In which Montgomery form the entries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// x · 2^(64 WORDS) mod p, for arithmetic on words of 64 bits.
    Words,
    /// x · 2^(52 LIMBS) mod p, for arithmetic on limbs of 52 bits.
    #[cfg(target_arch = "x86_64")]
    Limbs,
}

/// One point, both coordinates canonical.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// x, then y.
    words: [u64; 2 * WORDS],
}

/// The table of one point.
#[derive(Debug)]
pub(crate) struct Comb<const WINDOWS: usize, const ENTRIES: usize> {
    form: Form,
    windows: Box<[Window<ENTRIES>; WINDOWS]>,
}

/// In whole cache lines, so that an entry takes no more of them than it must.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Window<const ENTRIES: usize>([Entry; ENTRIES]);

impl Form {
    /// The factors of the coordinates on the way into the table, and out of it.
    fn factors(self) -> Option<(Field, Field)> {
        match self {
            Self::Words => None,
            #[cfg(target_arch = "x86_64")]
            Self::Limbs => Some(LIMB_FACTORS),
        }
    }
}

#[cfg(target_arch = "x86_64")]
const LIMB_FACTORS: (Field, Field) = {
    let power = 52 * super::params::LIMBS - 64 * WORDS;
    let (mut there, mut back) = ([0; WORDS], [0; WORDS]);
    there[0] = 1 << power;
    // 2^-power has the Montgomery form 2^(64 WORDS − power).
    back[WORDS - 1] = 1 << (64 - power);
    (Field::new(there), Field::from_montgomery(back))
};

impl Entry {
    fn new(point: &Affine, form: Form) -> Self {
        let Affine { x, y } = match form.factors() {
            None => *point,
            Some((there, _)) => Affine { x: point.x.mul(there), y: point.y.mul(there) },
        };
        let mut words = [0; 2 * WORDS];
        words[..WORDS].copy_from_slice(&x.montgomery());
        words[WORDS..].copy_from_slice(&y.montgomery());
        Self { words }
    }

    /// The point, whatever the form.
    pub(crate) fn point(&self, form: Form) -> Affine {
        let half = |start| Field::from_montgomery(std::array::from_fn(|i| self.words[start + i]));
        let (x, y) = (half(0), half(WORDS));
        match form.factors() {
            None => Affine { x, y },
            Some((_, back)) => Affine { x: x.mul(back), y: y.mul(back) },
        }
    }

    /// x, then y, in the table's form.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub(crate) fn words(&self) -> &[u64; 2 * WORDS] {
        &self.words
    }
}

impl<const WINDOWS: usize, const ENTRIES: usize> Comb<WINDOWS, ENTRIES> {
    /// Bits of a window.
    pub(crate) const BITS: usize = ENTRIES.ilog2() as usize + 1;

    /// (2^(w · windows) − 1) / 2 mod n. For v = u/2 + offset mod n, with bits bᵢ, u is congruent to
    /// 2 v − (2^(w · windows) − 1) = Σ (2 bᵢ − 1) · 2^i: a sum of odd digits for any u whatever.
    pub(crate) const OFFSET: Scalar = {
        let mut ones = Scalar::UNIT;
        let mut bit = 1;
        while bit < Self::BITS * WINDOWS {
            ones = ones.add(ones).add(Scalar::UNIT);
            bit += 1;
        }
        ones.halved()
    };

    /// `None` never happens for a point of the curve: the additions are of kP and 2P with
    /// 3 ≤ k + 2 and k − 2 < n, so neither equal nor opposite.
    pub(crate) fn build(point: &Affine, form: Form) -> Option<Self> {
        let mut bases = vec![*point];
        for window in 1..WINDOWS {
            let mut base = bases[window - 1];
            for _ in 0..Self::BITS {
                base = base.double()?;
            }
            bases.push(base);
        }
        let doubles: Vec<_> = bases.iter().map(Affine::double).collect::<Option<_>>()?;
        let mut multiples = bases;
        let blank = Entry { words: [0; 2 * WORDS] };
        let mut windows = vec![Window([blank; ENTRIES]); WINDOWS];
        for entry in 0..ENTRIES {
            if entry > 0 {
                add_each(&mut multiples, &doubles)?;
            }
            for (window, multiple) in windows.iter_mut().zip(&multiples) {
                window.0[entry] = Entry::new(multiple, form);
            }
        }
        // On the heap from the start: larger than a thread's stack may be.
        let windows = windows.into_boxed_slice().try_into().ok()?;
        Some(Self { form, windows })
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.windows)
    }

    /// The entries of one window.
    #[inline]
    pub(crate) fn window(&self, window: usize) -> &[Entry; ENTRIES] {
        &self.windows[window].0
    }

    /// The point that window `window` adds for v.
    #[inline]
    pub(crate) fn term(&self, v: &[u64; WORDS], window: usize) -> Affine {
        let (index, negative) = digit(v, Self::BITS, window);
        let point = self.windows[window].0[index].point(self.form);
        if negative { point.neg() } else { point }
    }
}

/// The table of the base point.
pub(crate) fn base_comb(form: Form) -> Option<BaseComb> {
    Comb::build(&GENERATOR, form)
}

/// `points[i] += addends[i]`, with one inversion for all. `None` if two have the same x.
fn add_each(points: &mut [Affine], addends: &[Affine]) -> Option<()> {
    let mut product = Field::ONE;
    let mut before = Vec::with_capacity(points.len());
    for (point, addend) in points.iter().zip(addends) {
        before.push(product);
        product = product.mul(addend.x.sub(point.x));
    }
    let mut inverse = product.invert()?;
    for ((point, addend), before) in points.iter_mut().zip(addends).zip(before).rev() {
        let slope = addend.y.sub(point.y).mul(inverse.mul(before));
        inverse = inverse.mul(addend.x.sub(point.x));
        *point = point.along(slope, addend.x);
    }
    Some(())
}
