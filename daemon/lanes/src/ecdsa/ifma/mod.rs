//! The kernel for CPUs with AVX-512 IFMA: eight signatures an instruction.
//!
//! `number` is arithmetic modulo p and n on limbs of 52 bits, one number in each 64-bit lane;
//! `scalars` gives the digits, `sum` adds up the points. All `unsafe` is in this file: the call
//! into functions compiled for the instruction set, and loads and stores.

pub(crate) mod number;
mod scalars;
mod sum;

#[cfg(test)]
mod tests;

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_loadu_si512, _mm512_storeu_si512,
};
use std::ptr;

use super::job::{Answer, Job};
use super::table::BaseComb;

/// Signatures of one vector.
const LANES: usize = 8;
/// Vectors taken together. Their points (37 KiB a vector) and the tables fit the second-level
/// cache, and an inversion among so many costs little.
const GROUP: usize = 8;

/// Proof that this CPU has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Available(());

impl Available {
    pub(super) fn detect() -> Option<Self> {
        let both = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        both.then_some(Self(()))
    }

    /// Answers every job.
    pub(super) fn verify(self, jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
        // SAFETY: `self` exists only if the CPU has both features, see `detect`.
        unsafe { verify(jobs, base, answers) }
    }

    /// `function` must demand nothing but the two features.
    #[cfg(test)]
    fn call(self, function: unsafe fn()) {
        // SAFETY: as above; the tests pass functions that are unsafe for their features alone.
        unsafe { function() }
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn verify(jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
    const JOBS: usize = LANES * GROUP;
    for (jobs, answers) in jobs.chunks(JOBS).zip(answers.chunks_mut(JOBS)) {
        let clear =
            scalars::halves(jobs).and_then(|halves| sum::answer(jobs, &halves, base, answers));
        if clear.is_none() {
            answers.fill(Answer::Unclear);
        }
    }
}

/// Asks for what is loaded later.
#[inline]
fn prefetch(entry: &u64) {
    // SAFETY: a prefetch reads nothing into the program, and the reference is valid besides.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(entry).cast()) }
}

/// One word for each lane.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: the reference is valid for reads of 64 bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// The words of all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
fn store(vector: __m512i) -> [u64; LANES] {
    let mut words = [0; LANES];
    // SAFETY: the array is valid for writes of 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    words
}
