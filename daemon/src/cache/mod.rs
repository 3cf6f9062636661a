//! The decision caches: what attestors, or the authenticators of a check, say of a digest, for as
//! long as nothing it rests on changes.
//!
//! An evaluation rests on the attestors that are required, or on the platform policy, on the evidence
//! stored for the digest, and on the clock. The first two are in its key ([`EvaluationKey`]), as
//! identities that the snapshot gives ([`crate::snapshot`]) and an epoch, so a change makes old
//! entries unreachable in O(1); the third is checked against the entry's own validity at every use.
//! What could not be determined is never kept. Concurrent requests for one key are evaluated once.
//!
//! The other cache, of verdicts, is the verifier's own: see [`crate::verifier`].

mod epochs;
mod evaluation;

pub use epochs::{Epoch, EvidenceEpochs};
pub use evaluation::{
    Entry, Evaluated, EvaluationCache, EvaluationKey, EvaluationScope, Flight, Lead,
};

#[cfg(test)]
mod tests;
