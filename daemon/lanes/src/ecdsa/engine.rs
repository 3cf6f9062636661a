//! Which kernel runs, proven before it does, and the batch as callers see it.

use std::fmt;

use super::curve::Affine;
use super::job::{Answer, Job};
use super::params::{NOT_A_KEY, WORDS};
use super::portable;
use super::scalar::Scalar;
use super::signature::{Signature, from_be_bytes};
use super::table::{BaseComb, Form, KeyComb, base_comb};

#[cfg(target_arch = "x86_64")]
use super::ifma;
#[cfg(target_arch = "x86_64")]
use crate::ifma::Available;
use crate::{EngineError, KeyError};

/// A kernel, and the table of the base point in its form. Cheap to share, not to make: some
/// milliseconds.
pub struct Engine {
    kernel: Kernel,
    base: BaseComb,
}

/// The table of one key, for one kind of engine.
#[derive(Debug)]
pub struct KeyTable(KeyComb);

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct LaneCheck<'a> {
    /// The table of the key. One of another kind of engine is only slow.
    pub table: &'a KeyTable,
    /// The digest of the message: if it is longer than the curve's order, its leftmost bytes.
    pub message_hash: [u8; 8 * WORDS],
    /// `ECDSA-Sig-Value`, in strict DER.
    pub signature_der: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Ifma(Available),
}

impl Engine {
    /// The fastest engine of this CPU.
    pub fn detect() -> Result<Self, EngineError> {
        Self::ifma().or_else(|_| Self::portable())
    }

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

    /// True if this CPU has what [`ifma`](Self::ifma) takes.
    #[must_use]
    pub fn runs_ifma() -> bool {
        #[cfg(target_arch = "x86_64")]
        return Available::detect().is_some();
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }

    fn proven(kernel: Kernel) -> Result<Self, EngineError> {
        let failed = EngineError::SelfTest(kernel.name());
        let base = base_comb(kernel.form()).ok_or(failed)?;
        let engine = Self { kernel, base };
        super::self_test::hold(&engine).then_some(engine).ok_or(failed)
    }

    /// For metrics and `version`: `ifma` or `portable`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kernel.name()
    }

    /// Computes the table of a key, an uncompressed point of SEC 1 §2.3.3. Takes about a
    /// millisecond, or some twenty verifications of a library.
    pub fn build_table(
        &self,
        sec1_uncompressed: &[u8; 1 + 16 * WORDS],
    ) -> Result<KeyTable, KeyError> {
        let point = Affine::from_sec1(sec1_uncompressed).ok_or(NOT_A_KEY)?;
        KeyComb::build(&point, self.kernel.form()).map(KeyTable).ok_or(NOT_A_KEY)
    }

    /// Sets `good[i]` to whether `checks[i]` holds. `good` must be as long as `checks`.
    ///
    /// # Panics
    /// If it is not.
    pub fn verify_batch(&self, checks: &[LaneCheck<'_>], good: &mut [bool]) {
        assert_eq!(checks.len(), good.len(), "one verdict for each check");
        good.fill(false);
        let mut jobs = Vec::with_capacity(checks.len());
        for (slot, check) in checks.iter().enumerate() {
            let Some(job) = job(slot, check) else { continue };
            if job.table.form() == self.kernel.form() && !job.has_two_candidates() {
                jobs.push(job);
            } else {
                good[slot] = job.verify_alone(&self.base);
            }
        }
        let mut answers = vec![Answer::Unclear; jobs.len()];
        self.kernel.verify(&jobs, &self.base, &mut answers);
        for (job, answer) in jobs.iter().zip(answers) {
            good[job.slot] = match answer {
                Answer::Good => true,
                Answer::Bad => false,
                Answer::Unclear => job.verify_alone(&self.base),
            };
        }
    }
}

/// `None` if the signature is malformed.
fn job<'a>(slot: usize, check: &LaneCheck<'a>) -> Option<Job<'a>> {
    let signature = Signature::from_der(check.signature_der)?;
    let digest = Scalar::reduced(from_be_bytes(&check.message_hash));
    Some(Job { slot, table: &check.table.0, signature, digest })
}

impl KeyTable {
    /// The memory that the table takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.bytes()
    }
}

impl Kernel {
    fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => "ifma",
        }
    }

    fn form(self) -> Form {
        match self {
            Self::Portable => Form::Words,
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(_) => Form::Limbs,
        }
    }

    fn verify(self, jobs: &[Job<'_>], base: &BaseComb, answers: &mut [Answer]) {
        match self {
            Self::Portable => portable::verify(jobs, base, answers),
            #[cfg(target_arch = "x86_64")]
            Self::Ifma(available) => ifma::verify(available, jobs, base, answers),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.name()).finish()
    }
}
