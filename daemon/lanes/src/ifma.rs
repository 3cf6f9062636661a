//! AVX-512 IFMA: the proof that this CPU has it, and all `unsafe` that RSA's kernel needs, which
//! is the call into functions compiled for the instruction set, and loads and stores.

use std::arch::x86_64::{__m512i, _mm512_loadu_si512, _mm512_storeu_si512};

use crate::rsa::{Job, LANES, Number, kernel};

/// Proof that this CPU has the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Available(());

impl Available {
    pub(crate) fn detect() -> Option<Self> {
        let both = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        both.then_some(Self(()))
    }

    /// The RSA public operation of every job: see [`kernel::power`].
    pub(crate) fn power(self, jobs: &[&Job<'_>; LANES], blocks: usize) -> [Number; LANES] {
        // SAFETY: `self` exists only if the CPU has both features, see `detect`.
        unsafe { kernel::power(jobs, blocks) }
    }

    /// `function` must demand nothing but the two features.
    #[cfg(test)]
    pub(crate) fn call(self, function: unsafe fn()) {
        // SAFETY: as above; the tests pass functions that are unsafe for their features alone.
        unsafe { function() }
    }
}

/// One word for each lane.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn load(words: &[u64; LANES]) -> __m512i {
    // SAFETY: the reference is valid for reads of 64 bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// The words of all lanes.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn store(vector: __m512i) -> [u64; LANES] {
    let mut words = [0; LANES];
    // SAFETY: the array is valid for writes of 64 bytes; the store needs no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), vector) };
    words
}
