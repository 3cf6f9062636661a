//! The kernel for CPUs with AVX-512 IFMA: eight signatures an instruction.
//!
//! `number` is arithmetic modulo p and n on limbs of 52 bits, one number in each 64-bit lane;
//! `scalars` gives the digits, `sum` adds up the points.

pub(crate) mod number;
mod scalars;
mod sum;

#[cfg(test)]
mod tests;

use super::job::{Answer, Job};
use super::table::BaseComb;
use crate::ifma::{self, Available, LANES};

/// Vectors taken together. Their points (37 KiB a vector of P-256) and the tables fit the
/// second-level cache, and an inversion among so many costs little.
const GROUP: usize = 8;

/// Answers every job.
pub(super) fn verify(
    available: Available,
    jobs: &[Job<'_>],
    base: &BaseComb,
    answers: &mut [Answer],
) {
    ifma::call!(available, verify_jobs(jobs, base, answers));
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn verify_jobs(jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
    const JOBS: usize = LANES * GROUP;
    for (jobs, answers) in jobs.chunks(JOBS).zip(answers.chunks_mut(JOBS)) {
        let clear =
            scalars::halves(jobs).and_then(|halves| sum::answer(jobs, &halves, base, answers));
        if clear.is_none() {
            answers.fill(Answer::Unclear);
        }
    }
}
