//! Tables of odd multiples, as those of ECDSA: u · P is a sum of one entry, or its mirror image, of
//! every window, and takes no doubling.

use super::curve::{Addend, D, Point, affine};
use super::field::Field;
use super::scalar;
use crate::comb::digit;

/// Words of a scalar.
pub(crate) type Scalar = [u64; 4];

/// y + x, y − x and 2 d x y of an affine point, each below p.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    words: [u64; 12],
}

/// The table of one point, with windows of `WIDTH` bits.
#[derive(Debug)]
pub(crate) struct Comb<const WIDTH: usize> {
    entries: Vec<Entry>,
}

/// 37 windows of 64 entries, 222 KiB.
pub(crate) type KeyComb = Comb<7>;
/// 23 windows of 1,024 entries.
pub(crate) type BaseComb = Comb<11>;

impl Entry {
    #[inline]
    pub(crate) fn words(&self) -> &[u64; 12] {
        &self.words
    }

    fn part(&self, nth: usize) -> Field {
        Field::new(std::array::from_fn(|i| self.words[4 * nth + i]))
    }
}

impl<const WIDTH: usize> Comb<WIDTH> {
    #[cfg(target_arch = "x86_64")]
    pub(crate) const WIDTH: usize = WIDTH;
    /// v is below 2^253.
    pub(crate) const WINDOWS: usize = 253usize.div_ceil(WIDTH);
    pub(crate) const ENTRIES: usize = 1 << (WIDTH - 1);

    /// (2^(width · windows) − 1) / 2 mod L: for v = u/2 + offset mod L, u is congruent to a sum of odd
    /// digits.
    pub(crate) const OFFSET: Scalar = {
        let mut ones = [1, 0, 0, 0];
        let mut bit = 1;
        while bit < WIDTH * Self::WINDOWS {
            ones = scalar::add(scalar::add(ones, ones), [1, 0, 0, 0]);
            bit += 1;
        }
        scalar::halved(ones)
    };

    pub(crate) fn build(point: &Point) -> Self {
        let mut points = Vec::with_capacity(Self::WINDOWS * Self::ENTRIES);
        let mut base = *point;
        for _ in 0..Self::WINDOWS {
            let double = base.double();
            let mut multiple = base;
            for _ in 0..Self::ENTRIES {
                points.push(multiple);
                multiple = multiple.add(&double);
            }
            for _ in 0..WIDTH {
                base = base.double();
            }
        }
        Self { entries: entries(&points) }
    }

    /// The entries of one window.
    #[inline]
    pub(crate) fn window(&self, window: usize) -> &[Entry] {
        &self.entries[window * Self::ENTRIES..][..Self::ENTRIES]
    }

    /// The point that window `window` adds for v.
    #[inline]
    pub(crate) fn term(&self, v: &Scalar, window: usize) -> Addend {
        let (index, negative) = digit(v, WIDTH, window);
        let entry = &self.window(window)[index];
        let (plus, minus, product) = (entry.part(0), entry.part(1), entry.part(2));
        if negative {
            Addend { plus: minus, minus: plus, product: product.neg() }
        } else {
            Addend { plus, minus, product }
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.entries)
    }
}

/// All points as entries.
fn entries(points: &[Point]) -> Vec<Entry> {
    let twice_d = D.add(D);
    let entry = |(x, y): (Field, Field)| {
        let mut words = [0; 12];
        let parts = [y.add(x), y.sub(x), x.mul(y).mul(twice_d)];
        for (words, part) in words.as_chunks_mut().0.iter_mut().zip(parts) {
            *words = part.words();
        }
        Entry { words }
    };
    affine(points).into_iter().map(entry).collect()
}
