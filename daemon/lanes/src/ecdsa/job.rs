//! One verification on its way through a kernel.

use super::curve::Projective;
use super::field::Field;
use super::params::{N, WORDS};
use super::scalar::{P_MINUS_N, Scalar, less};
use super::signature::Signature;
use super::table::{BASE_WINDOWS, BaseComb, KEY_WINDOWS, KeyComb};

/// A well-formed signature, the digest it should sign, and the table of the key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// Where the verdict goes.
    pub(crate) slot: usize,
    pub(crate) table: &'a KeyComb,
    pub(crate) signature: Signature,
    /// The digest mod n.
    pub(crate) digest: Scalar,
}

/// A kernel's answer to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Good,
    Bad,
    /// Two points to add had the same x, or an inverse was wrong: the kernel cannot tell.
    Unclear,
}

/// A signature's scalars as the tables take them: u/2 + offset mod n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halves {
    pub(crate) base: [u64; WORDS],
    pub(crate) key: [u64; WORDS],
}

impl Halves {
    /// `half_inverse` is R / 2 / s mod n.
    pub(crate) fn new(job: &Job<'_>, half_inverse: Scalar) -> Self {
        let base = job.digest.mul(half_inverse).add(BaseComb::OFFSET);
        let key = job.signature.r.mul(half_inverse).add(KeyComb::OFFSET);
        Self { base: base.limbs(), key: key.limbs() }
    }
}

impl Job<'_> {
    /// True if both r and r + n are x coordinates to compare with; kernels compare only r.
    pub(crate) fn has_two_candidates(&self) -> bool {
        less(&self.signature.r.limbs(), &P_MINUS_N)
    }

    /// The verdict by complete additions: right for every input, at the speed of a library.
    pub(crate) fn verify_alone(&self, base: &BaseComb) -> bool {
        let Some(half_inverse) = self.signature.s.invert_halved() else { return false };
        let halves = Halves::new(self, half_inverse);
        let mut sum = Projective::INFINITY;
        for window in 0..BASE_WINDOWS {
            sum = sum.add(&base.term(&halves.base, window));
        }
        for window in 0..KEY_WINDOWS {
            sum = sum.add(&self.table.term(&halves.key, window));
        }
        let r = self.signature.r.limbs();
        let is_x = |candidate| Field::new(candidate).mul(sum.z) == sum.x;
        !sum.z.is_zero() && (is_x(r) || self.has_two_candidates() && is_x(plus_n(&r)))
    }
}

/// r + n, for r < p − n.
fn plus_n(r: &[u64; WORDS]) -> [u64; WORDS] {
    let mut sum = [0; WORDS];
    let mut carry = false;
    for i in 0..WORDS {
        let (low, over) = r[i].overflowing_add(N[i]);
        let (low, over_again) = low.overflowing_add(u64::from(carry));
        sum[i] = low;
        carry = over | over_again;
    }
    sum
}
