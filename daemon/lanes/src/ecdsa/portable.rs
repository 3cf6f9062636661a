//! The kernel for any 64-bit CPU: one signature after the other, inversions shared by all.

use super::curve::Affine;
use super::field::Field;
use super::job::{Answer, Halves, Job};
use super::scalar::Scalar;
use super::table::{BASE_WINDOWS, BaseComb, KEY_WINDOWS, POINTS};

/// Jobs taken together: their points fit the second-level cache, and one inversion among so many
/// costs next to nothing.
const GROUP: usize = 32;

/// Affine additions that an inversion must be shared by to be worth its while: it costs as much as
/// some 60 products, and an affine addition saves four.
const SHARED_MIN: usize = 16;

/// Answers every job.
pub(crate) fn verify(jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
    for (jobs, answers) in jobs.chunks(GROUP).zip(answers.chunks_mut(GROUP)) {
        verify_group(jobs, base, answers);
    }
}

fn verify_group(jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
    let Some(inverses) = invert_each(jobs) else {
        answers.fill(Answer::Unclear);
        return;
    };
    let mut sums: Vec<_> =
        jobs.iter().zip(inverses).map(|(job, inverse)| Sum::gather(job, inverse, base)).collect();
    while sums.len() * (sums[0].left / 2) >= SHARED_MIN {
        if add_pairs(&mut sums).is_none() {
            answers.fill(Answer::Unclear);
            return;
        }
    }
    for ((job, sum), answer) in jobs.iter().zip(&sums).zip(answers) {
        *answer = sum.answer(job);
    }
}

/// R / 2 / s of every job, with one inversion for all.
fn invert_each(jobs: &[Job<'_>]) -> Option<Vec<Scalar>> {
    let mut product = Scalar::ONE;
    let mut before = Vec::with_capacity(jobs.len());
    for job in jobs {
        before.push(product);
        product = product.mul(job.signature.s);
    }
    let mut inverse = product.invert_halved()?;
    for (place, job) in before.iter_mut().zip(jobs).rev() {
        *place = place.mul(inverse);
        inverse = inverse.mul(job.signature.s);
    }
    Some(before)
}

/// The points of one job that are still to be added up: the first `left` of them.
struct Sum {
    points: [Affine; POINTS],
    left: usize,
    /// True if two points with the same x were met: the rest is then meaningless.
    unclear: bool,
}

impl Sum {
    fn gather(job: &Job<'_>, half_inverse: Scalar, base: &BaseComb) -> Self {
        let halves = Halves::new(job, half_inverse);
        let points = std::array::from_fn(|nth| {
            if nth < BASE_WINDOWS {
                base.term(&halves.base, nth)
            } else {
                job.table.term(&halves.key, nth - BASE_WINDOWS)
            }
        });
        const { assert!(POINTS == BASE_WINDOWS + KEY_WINDOWS) };
        Self { points, left: POINTS, unclear: false }
    }

    /// The points that are added in one round: the first half to the second. An odd last point is
    /// left alone.
    fn pairs(&self) -> impl Iterator<Item = (&Affine, &Affine)> {
        let half = self.left / 2;
        self.points[..half].iter().zip(&self.points[half..])
    }

    /// Adds the pairs, given the inverse of the product of all differences in x, and takes from
    /// the end of `before` the products of the differences before each.
    fn add_pairs(&mut self, mut inverse: Field, before: &mut Vec<Field>) {
        let half = self.left / 2;
        for nth in (0..half).rev() {
            let (first, second) = (self.points[nth], self.points[half + nth]);
            let slope = inverse.mul(before.pop().unwrap_or(Field::ZERO));
            inverse = inverse.mul(second.x.sub(first.x));
            let slope = slope.mul(second.y.sub(first.y));
            self.points[nth] = first.along(slope, second.x);
        }
        self.points[half] = self.points[self.left - 1];
        self.left -= half;
    }

    /// Adds up what is left and compares.
    fn answer(&self, job: &Job<'_>) -> Answer {
        let (first, rest) = (&self.points[0], &self.points[1..self.left]);
        let start = Extended { x: first.x, y: first.y, zz: Field::ONE, zzz: Field::ONE };
        let sum = rest.iter().fold(start, |sum, point| sum.add(point));
        if self.unclear || sum.zz.is_zero() {
            Answer::Unclear
        } else if Field::new(job.signature.r.limbs()).mul(sum.zz) == sum.x {
            Answer::Good
        } else {
            Answer::Bad
        }
    }
}

/// Halves the points of every sum by adding pairs, with one inversion for all. `None` if the
/// inversion is wrong.
fn add_pairs(sums: &mut [Sum]) -> Option<()> {
    let mut product = Field::ONE;
    let mut shares = Vec::with_capacity(sums.len());
    let mut before = Vec::with_capacity(sums.len() * POINTS / 2);
    for sum in sums.iter_mut() {
        let mut own = Field::ONE;
        for (first, second) in sum.pairs() {
            before.push(own);
            own = own.mul(second.x.sub(first.x));
        }
        // Zero exactly if one of the differences is. The other sums must not suffer from it.
        if own.is_zero() {
            sum.unclear = true;
            own = Field::ONE;
        }
        shares.push((product, own));
        product = product.mul(own);
    }
    let mut inverse = product.invert()?;
    for (sum, (others, own)) in sums.iter_mut().zip(shares).rev() {
        sum.add_pairs(inverse.mul(others), &mut before);
        inverse = inverse.mul(own);
    }
    Some(())
}

/// A point (X / ZZ, Y / ZZZ) with ZZ³ = ZZZ².
struct Extended {
    x: Field,
    y: Field,
    zz: Field,
    zzz: Field,
}

impl Extended {
    /// `madd-2008-s` of the Explicit-Formulas Database. If both have the same x, or ZZ was zero
    /// before, ZZ is zero for ever after.
    fn add(&self, other: &Affine) -> Self {
        let p = other.x.mul(self.zz).sub(self.x);
        let r = other.y.mul(self.zzz).sub(self.y);
        let pp = p.square();
        let ppp = p.mul(pp);
        let q = self.x.mul(pp);
        let x = r.square().sub(ppp).sub(q.double());
        let y = r.mul(q.sub(x)).sub(self.y.mul(ppp));
        Self { x, y, zz: self.zz.mul(pp), zzz: self.zzz.mul(ppp) }
    }
}
