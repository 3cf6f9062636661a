//! The verdicts of arithmetic so far. A verdict is mathematics: it never goes stale, so nothing
//! here expires and no change of policy, attestor or key touches it.

use hallmark_core::verdict::{Check, SignedForm, Verdict, Verified};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::metrics::cache::CacheCounters;

/// The identity of a check: SHA-256 over key, algorithm, what is signed and signature. Two checks with
/// the same id have the same verdict, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct CheckId([u8; 32]);

impl CheckId {
    /// Every part is of fixed length or preceded by its length, but the last, so no two checks
    /// share an input. The key is named by its fingerprint, never by an id that others choose.
    pub(super) fn of(check: &Check) -> Self {
        let mut hash = Sha256::new();
        hash.update(check.key.fingerprint);
        hash.update(check.key.algorithm.number().to_be_bytes());
        // The payload, or what is signed instead: never one for the other.
        let message = check.exact.as_ref().unwrap_or(&check.payload);
        hash.update([u8::from(check.exact.is_some())]);
        hash.update((message.len() as u64).to_be_bytes());
        hash.update(message);
        hash.update(&check.signature);
        Self(hash.finalize().into())
    }
}

/// The answer of arithmetic to a check: the form that the signature covers, or that it covers none.
pub(super) type Outcome = Option<SignedForm>;

/// The verdict that an outcome is. The one place that vouches for a signature.
pub(super) fn verdict(outcome: Outcome) -> Verdict {
    outcome.map_or(Verdict::BadSignature, |form| Verdict::Verified(Verified::assertion(form)))
}

/// Bytes that one entry costs: 33 of key and outcome, the rest is the cache's own bookkeeping
/// (entry, queue node, hash slot, frequency sketch). Measured as growth of resident memory over a
/// million entries, 263; see `tests/cache_memory.rs`.
const ENTRY_BYTES: u32 = 300;

/// Outcomes by check. Cannot hold that a check was not carried out: there is no such [`Outcome`].
#[derive(Debug)]
pub(super) struct VerdictCache {
    outcomes: Cache<CheckId, Outcome>,
    counters: CacheCounters,
}

impl VerdictCache {
    pub(super) fn new(bytes_max: u64, counters: CacheCounters) -> Self {
        let evictions = counters.clone();
        let outcomes = Cache::builder()
            .name("verdict")
            .max_capacity(bytes_max)
            .weigher(|_, _| ENTRY_BYTES)
            .eviction_listener(move |_, _, cause| evictions.evicted(cause))
            .build();
        Self { outcomes, counters }
    }

    /// The verdict, where it is known. Counts a hit; who works out a miss counts that.
    pub(super) fn get(&self, id: &CheckId) -> Option<Verdict> {
        let outcome = self.outcomes.get(id)?;
        self.counters.hits.inc();
        Some(verdict(outcome))
    }

    /// As [`Self::get`], for whoever is about to do the arithmetic: counts nothing.
    pub(super) fn peek(&self, id: &CheckId) -> Option<Outcome> {
        self.outcomes.get(id)
    }

    /// Forgets every outcome: for when one of them may be wrong.
    pub(super) fn forget_all(&self) {
        self.outcomes.invalidate_all();
    }

    pub(super) fn insert(&self, id: CheckId, outcome: Outcome) {
        self.outcomes.insert(id, outcome);
    }

    pub(super) fn counters(&self) -> &CacheCounters {
        &self.counters
    }

    pub(super) fn refresh_metrics(&self) {
        self.outcomes.run_pending_tasks();
        self.counters.holds(self.outcomes.entry_count(), self.outcomes.weighted_size());
    }
}
