//! Which kernel runs, proven before it does, and the batch as callers see it.

use std::fmt;

use sha2::{Digest, Sha512};

use super::curve::{BASE, Point};
use super::table::{BaseComb, KeyComb, Scalar};
use super::{known_answers, portable, scalar};
#[cfg(target_arch = "x86_64")]
use crate::ifma::Available;
use crate::{EngineError, KeyError};

/// A kernel, and the table of the base point. Cheap to share, not to make: some milliseconds.
pub struct Engine {
    kernel: Kernel,
    base: BaseComb,
}

/// The table of one key, for every kind of engine.
#[derive(Debug)]
pub struct KeyTable {
    key: [u8; 32],
    comb: KeyComb,
}

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct LaneCheck<'a> {
    /// The table of the key.
    pub table: &'a KeyTable,
    /// The message that should have been signed.
    pub message: &'a [u8],
    /// R, then s.
    pub signature: &'a [u8],
}

/// A signature whose s is in range, on its way through a kernel.
pub(crate) struct Job<'a> {
    slot: usize,
    pub(crate) table: &'a KeyComb,
    /// s as the table of the base point takes it.
    pub(crate) base: Scalar,
    /// −h as the key's table takes it.
    pub(crate) key: Scalar,
    /// R, encoded.
    r: Scalar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Ifma(Available),
}

impl Engine {
    /// The engine for every 64-bit CPU.
    pub fn portable() -> Result<Self, EngineError> {
        Self::proven(Kernel::Portable)
    }

    /// The engine for eight signatures an instruction.
    pub fn ifma() -> Result<Self, EngineError> {
        #[cfg(target_arch = "x86_64")]
        if let Some(available) = Available::detect() {
            return Self::proven(Kernel::Ifma(available));
        }
        Err(EngineError::Unsupported)
    }

    fn proven(kernel: Kernel) -> Result<Self, EngineError> {
        let engine = Self { kernel, base: BaseComb::build(&BASE) };
        let failed = EngineError::SelfTest(engine.name());
        known_answers::hold(&engine).then_some(engine).ok_or(failed)
    }

    /// For metrics and `version`: `ifma` or `portable`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self.kernel {
            Kernel::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma(_) => "ifma",
        }
    }

    /// Computes the table of a key. Takes about a millisecond, or some twenty verifications of a
    /// library. A key that is not of the group of prime order, or not in its canonical encoding, has
    /// none.
    pub fn build_table(&self, key: &[u8; 32]) -> Result<KeyTable, KeyError> {
        let point = Point::from_key(key).ok_or(KeyError::Ed25519)?;
        Ok(KeyTable { key: *key, comb: KeyComb::build(&point) })
    }

    /// Sets `good[i]` to whether `checks[i]` holds. `good` must be as long as `checks`.
    ///
    /// # Panics
    /// If it is not.
    pub fn verify_batch(&self, checks: &[LaneCheck<'_>], good: &mut [bool]) {
        assert_eq!(checks.len(), good.len(), "one verdict for each check");
        good.fill(false);
        let jobs = checks.iter().enumerate();
        let jobs: Vec<_> = jobs.filter_map(|(slot, check)| Job::new(slot, check)).collect();
        let sums = match self.kernel {
            Kernel::Portable => portable::sums(&jobs, &self.base),
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma(available) => super::lanes::sums(available, &jobs, &self.base),
        };
        for (job, sum) in jobs.iter().zip(sums) {
            good[job.slot] = sum == job.r;
        }
    }
}

impl<'a> Job<'a> {
    /// `None` if the signature is malformed (RFC 8032 §5.1.7, step 1).
    fn new(slot: usize, check: &LaneCheck<'a>) -> Option<Self> {
        let signature: &[u8; 64] = check.signature.try_into().ok()?;
        let (r, s) = signature.split_first_chunk::<32>()?;
        let s = scalar::in_range(s.first_chunk()?)?;
        let hash = Sha512::new().chain_update(r).chain_update(check.table.key);
        let hash = hash.chain_update(check.message).finalize();
        Some(Self {
            slot,
            table: &check.table.comb,
            base: scalar::add(scalar::halved(s), BaseComb::OFFSET),
            key: scalar::sub(KeyComb::OFFSET, scalar::half_of_wide(&hash.into())),
            r: scalar::words(r),
        })
    }
}

impl KeyTable {
    /// The memory that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.comb.bytes()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.name()).finish()
    }
}
