//! The batch as callers see it, by a kernel that is proven first.

use super::encoding::{MessageHash, Padding, holds};
use super::job::{Job, LANES};
use super::key::KeyTable;
use super::known_answers;
use super::number::{BLOCKS, Number, less_once, to_be_bytes};

#[cfg(not(target_arch = "x86_64"))]
use super::absent::Available;
#[cfg(target_arch = "x86_64")]
use crate::ifma::Available;
use crate::{EngineError, KeyError};

/// Verifies RSA signatures, eight at a time.
#[derive(Clone, Copy, Debug)]
pub struct Engine(Available);

/// One signature to verify.
#[derive(Clone, Copy, Debug)]
pub struct LaneCheck<'a> {
    /// The table of the key.
    pub table: &'a KeyTable,
    /// The encoding of the hash.
    pub padding: Padding,
    /// The hash of the message.
    pub message_hash: MessageHash,
    /// As many bytes as the modulus.
    pub signature: &'a [u8],
}

impl Engine {
    /// The engine for AVX-512 IFMA. There is no other.
    pub fn ifma() -> Result<Self, EngineError> {
        let engine = Self(Available::detect().ok_or(EngineError::Unsupported)?);
        known_answers::hold(engine).then_some(engine).ok_or(EngineError::SelfTest(engine.name()))
    }

    /// For metrics and `version`.
    #[must_use]
    pub fn name(self) -> &'static str {
        "ifma"
    }

    /// Computes the table of a key, an `RSAPublicKey` (RFC 8017 appendix A.1.1) in DER. Takes as
    /// long as some ten verifications of a library.
    pub fn build_table(self, rsa_public_key_der: &[u8]) -> Result<KeyTable, KeyError> {
        KeyTable::new(rsa_public_key_der)
    }

    /// Sets `good[i]` to whether `checks[i]` holds. `good` must be as long as `checks`.
    ///
    /// # Panics
    /// If it is not.
    pub fn verify_batch(self, checks: &[LaneCheck<'_>], good: &mut [bool]) {
        assert_eq!(checks.len(), good.len(), "one verdict for each check");
        good.fill(false);
        for blocks in BLOCKS {
            let jobs: Vec<_> = checks
                .iter()
                .enumerate()
                .filter(|(_, check)| check.table.blocks() == blocks)
                .filter_map(|(slot, check)| Some((slot, check, Job::new(check)?)))
                .collect();
            for jobs in jobs.chunks(LANES) {
                // Lanes without a job repeat the first.
                let lanes = std::array::from_fn(|lane| &jobs.get(lane).unwrap_or(&jobs[0]).2);
                for ((slot, check, job), power) in jobs.iter().zip(&self.0.power(&lanes, blocks)) {
                    good[*slot] = is_good(check, &less_once(power, job.key.n()));
                }
            }
        }
    }
}

/// True if the signature to the public exponent, which is below the modulus, encodes the hash.
fn is_good(check: &LaneCheck<'_>, power: &Number) -> bool {
    let mut encoded = vec![0; check.signature.len()];
    to_be_bytes(power, &mut encoded);
    holds(check.padding, &check.message_hash, &encoded)
}
