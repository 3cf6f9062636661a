//! AVX-512 IFMA: the proof that this CPU has it, and all `unsafe` of the kernels, which is the call
//! into functions compiled for the instruction set, and loads, stores and prefetches.

use std::arch::x86_64::*;
use std::ptr;

pub(crate) use crate::rsa::LANES;
use crate::rsa::{Job, Number, kernel};

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

/// `call!(available, function(arguments))`: calls a safe function that demands the two features and
/// nothing else. Arguments are names, so that nothing unsafe can be among them.
macro_rules! call {
    ($available:ident, $function:ident($($argument:ident),*)) => {{
        let _: $crate::ifma::Available = $available;
        // SAFETY: an `Available` exists only if the CPU has both features, see `detect`, and no
        // function of this package that is called so demands another.
        unsafe { $function($($argument),*) }
    }};
}
pub(crate) use call;

/// Asks for what is loaded later.
#[inline]
pub(crate) fn prefetch(word: &u64) {
    // SAFETY: a prefetch reads nothing into the program, and the reference is valid besides.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(ptr::from_ref(word).cast()) }
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

/// Column i of the result holds word i of each row.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transpose_rows(rows: &[__m512i; 8]) -> [__m512i; 8] {
    let mut columns = *rows;
    for odd in 0..2 {
        let mut pairs = [rows[0]; 4];
        for (i, pair) in pairs.iter_mut().enumerate() {
            *pair = if odd == 0 {
                _mm512_unpacklo_epi64(rows[2 * i], rows[2 * i + 1])
            } else {
                _mm512_unpackhi_epi64(rows[2 * i], rows[2 * i + 1])
            };
        }
        let even = (
            _mm512_shuffle_i64x2::<0x88>(pairs[0], pairs[1]),
            _mm512_shuffle_i64x2::<0x88>(pairs[2], pairs[3]),
        );
        let uneven = (
            _mm512_shuffle_i64x2::<0xdd>(pairs[0], pairs[1]),
            _mm512_shuffle_i64x2::<0xdd>(pairs[2], pairs[3]),
        );
        columns[odd] = _mm512_shuffle_i64x2::<0x88>(even.0, even.1);
        columns[odd + 2] = _mm512_shuffle_i64x2::<0x88>(uneven.0, uneven.1);
        columns[odd + 4] = _mm512_shuffle_i64x2::<0xdd>(even.0, even.1);
        columns[odd + 6] = _mm512_shuffle_i64x2::<0xdd>(uneven.0, uneven.1);
    }
    columns
}
