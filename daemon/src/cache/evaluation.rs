//! Evaluations by what they rest on, and who is working one out right now.

use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hallmark_core::decision::{AttestorReason, AttestorResult, Trial};
use hallmark_core::evaluate::decide::Evaluation;
use hallmark_core::image::Digest;
use hallmark_core::names::AttestorName;
use hallmark_core::time::UnixTime;
use moka::sync::Cache;
use sha2::Digest as _;
use tokio::sync::watch;

use super::Epoch;
use crate::metrics::cache::CacheCounters;

/// The part of an [`EvaluationKey`] that the images of one request share: which attestors must have
/// attested, and as which of their states. Hashed, so that a key is fixed-size and free to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvaluationScope([u8; 32]);

impl EvaluationScope {
    /// The scope of the attestors that a rule requires, in their order, each with its identity in
    /// the snapshot, if it exists.
    pub fn new<'a>(required: impl IntoIterator<Item = (&'a AttestorName, Option<u64>)>) -> Self {
        let mut hash = sha2::Sha256::new();
        for (name, identity) in required {
            match identity {
                Some(identity) => hash.update(identity.to_be_bytes()),
                None => {
                    // No identity is 0, and no id holds a slash.
                    hash.update(0_u64.to_be_bytes());
                    let (project, id) = (name.project().as_str(), name.id());
                    [project, "/", id, "/"].iter().for_each(|part| hash.update(part));
                }
            }
        }
        Self(hash.finalize().into())
    }
}

/// Everything that an evaluation rests on, the clock aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvaluationKey {
    /// Under which attestors.
    pub scope: EvaluationScope,
    /// Of which image.
    pub digest: Digest,
    /// With which evidence: taken from [`super::EvidenceEpochs`] before gathering.
    pub epoch: Epoch,
}

/// What there is for a key: an answer, the duty to work it out, or somebody who does.
#[derive(Debug)]
pub enum Entry {
    /// The answer.
    Cached(Arc<Evaluation>),
    /// Nobody works it out: the caller must.
    Lead(Lead),
    /// Somebody works it out.
    Follow(Flight),
}

/// Evaluations, bounded in bytes, each worked out by one request at a time. Clones share it.
#[derive(Clone, Debug)]
pub struct EvaluationCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    evaluations: Cache<EvaluationKey, Arc<Evaluation>>,
    flights: Mutex<HashMap<EvaluationKey, Flight>>,
    counters: CacheCounters,
}

impl EvaluationCache {
    /// A cache that holds about `bytes_max` bytes. 0 remembers nothing.
    pub fn new(bytes_max: u64, counters: CacheCounters) -> Self {
        let evictions = counters.clone();
        let evaluations = Cache::builder()
            .name("evaluation")
            .max_capacity(bytes_max)
            .weigher(|_, evaluation: &Arc<Evaluation>| weight(evaluation))
            .eviction_listener(move |_, _, cause| evictions.evicted(cause))
            .build();
        Self { shared: Arc::new(Shared { evaluations, flights: Mutex::default(), counters }) }
    }

    /// The evaluation, where one is held that is valid at `now`. Counts a hit, never a miss.
    pub fn get(&self, key: &EvaluationKey, now: UnixTime) -> Option<Arc<Evaluation>> {
        let found = self.shared.valid(key, now)?;
        self.shared.counters.hits.inc();
        Some(found)
    }

    /// What there is for `key` at `now`. An outcome that says only that it could not be determined
    /// goes to everybody who waits for it and is then forgotten. Dropped or panicking, the request
    /// that leads hands its duty to one of those who wait.
    ///
    /// Finish all leads before awaiting any flight: two callers that each lead what the other
    /// follows would else wait for each other. A key entered twice is led once and followed once.
    pub fn enter(&self, key: EvaluationKey, now: UnixTime) -> Entry {
        if let Some(found) = self.get(&key, now) {
            return Entry::Cached(found);
        }
        let mut flights = self.shared.flights();
        match flights.entry(key) {
            hash_map::Entry::Occupied(flight) => {
                self.shared.counters.shared.inc();
                Entry::Follow(flight.get().clone())
            }
            hash_map::Entry::Vacant(vacant) => {
                // A flight is cached before it ends, so it may have landed since the first look.
                if let Some(found) = self.get(&key, now) {
                    return Entry::Cached(found);
                }
                let (outcome, flight) = watch::channel(None);
                vacant.insert(Flight(flight));
                self.shared.counters.misses.inc();
                Entry::Lead(Lead { shared: Arc::clone(&self.shared), key, outcome })
            }
        }
    }

    /// Brings the gauges up to date; call it at scrape.
    pub fn refresh_metrics(&self) {
        let evaluations = &self.shared.evaluations;
        evaluations.run_pending_tasks();
        self.shared.counters.holds(evaluations.entry_count(), evaluations.weighted_size());
    }
}

impl Shared {
    fn valid(&self, key: &EvaluationKey, now: UnixTime) -> Option<Arc<Evaluation>> {
        self.evaluations.get(key).filter(|evaluation| evaluation.holds_at(now))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<EvaluationKey, Flight>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to work out one evaluation, on which others may be waiting. Dropped unfinished, the
/// duty falls to one of them.
#[derive(Debug)]
pub struct Lead {
    shared: Arc<Shared>,
    key: EvaluationKey,
    outcome: watch::Sender<Option<Arc<Evaluation>>>,
}

impl Lead {
    /// Hands the outcome to everybody who waits, and to the cache if it was determined.
    pub fn finish(self, evaluation: Evaluation) -> Arc<Evaluation> {
        let evaluation = Arc::new(evaluation);
        if evaluation.is_settled() {
            self.shared.evaluations.insert(self.key, Arc::clone(&evaluation));
        }
        self.outcome.send_replace(Some(Arc::clone(&evaluation)));
        evaluation
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Before the sender goes: whoever then sees that the lead is lost finds no flight, and
        // may take it over.
        self.shared.flights().remove(&self.key);
    }
}

/// An evaluation that another request is working out.
#[derive(Clone, Debug)]
pub struct Flight(watch::Receiver<Option<Arc<Evaluation>>>);

impl Flight {
    /// Waits for the outcome. `None`: its leader was lost, enter again.
    pub async fn landed(mut self) -> Option<Arc<Evaluation>> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Bytes that an entry costs beside what its evaluation holds: key, the cache's own bookkeeping
/// (entry, queue node, hash slot, frequency sketch) and the allocator's rounding. Measured as
/// growth of resident memory over half a million entries; see `tests/cache_memory.rs`.
const ENTRY_BYTES: usize = 480;

/// Bytes that an entry costs, estimated. Names and ids share their text with the snapshot's, where
/// they come from it, and count in full: the estimate errs upwards.
fn weight(evaluation: &Evaluation) -> u32 {
    let attestors = evaluation.attestors.iter().map(attestor_bytes).sum::<usize>();
    u32::try_from(ENTRY_BYTES + size_of::<Evaluation>() + attestors).unwrap_or(u32::MAX)
}

fn attestor_bytes(result: &AttestorResult) -> usize {
    let text = match &result.reason {
        AttestorReason::EvidenceUnavailable(text) | AttestorReason::KeysUnavailable(text) => {
            text.len()
        }
        _ => 0,
    };
    let trials = result.trials.iter().map(trial_bytes).sum::<usize>();
    let others = result.others.iter().count() * OTHER_OUTCOME_BYTES;
    size_of::<AttestorResult>() + text + trials + others
}

/// Bytes of one outcome in the tree that counts them, its half-empty nodes included.
const OTHER_OUTCOME_BYTES: usize = 64;

fn trial_bytes(trial: &Trial) -> usize {
    let detail = trial.outcome.detail().map_or(0, str::len);
    let signer =
        trial.signer.as_ref().map_or(0, |signer| size_of_val(&**signer) + signer.key.len());
    let occurrence = trial.occurrence.project().as_str().len() + trial.occurrence.id().len();
    size_of::<Trial>() + occurrence + trial.key_id.as_str().len() + detail + signer
}
