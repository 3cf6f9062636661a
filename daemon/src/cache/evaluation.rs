//! Evaluations by what they rest on, and who is working one out right now.

use std::collections::HashMap;
use std::collections::hash_map;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hallmark_core::decision::{AttestorReason, AttestorResult, OtherOutcomes, Trial};
use hallmark_core::evaluate::decide::Evaluation;
use hallmark_core::image::Digest;
use hallmark_core::names::AttestorName;
use hallmark_core::platform::evaluate::checked::CheckEvaluation;
use hallmark_core::platform::result::AuthenticatorResult;
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

    /// The scope of one check of a platform policy: the identity of the policy in the snapshot, and
    /// the places of the check set and of the check in it.
    pub fn of_check(policy: u64, check_set: usize, check: usize) -> Self {
        let mut hash = sha2::Sha256::new();
        for part in [policy, check_set as u64, check as u64] {
            hash.update(part.to_be_bytes());
        }
        Self(hash.finalize().into())
    }
}

/// An answer that a cache may keep.
pub trait Evaluated: Debug + Send + Sync + 'static {
    /// True if the keys it rests on are at `now` what they were.
    fn holds_at(&self, now: UnixTime) -> bool;

    /// True if the same question would get the same answer.
    fn is_settled(&self) -> bool;

    /// Bytes that it takes beside its entry, estimated. Names and ids share their text with the
    /// snapshot's, where they come from it, and count in full: the estimate errs upwards.
    fn bytes(&self) -> usize;
}

impl Evaluated for Evaluation {
    fn holds_at(&self, now: UnixTime) -> bool {
        self.holds_at(now)
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }

    fn bytes(&self) -> usize {
        let result = |it: &AttestorResult| {
            size_of::<AttestorResult>() + result_bytes(&it.reason, &it.trials, &it.others)
        };
        size_of::<Self>() + self.attestors.iter().map(result).sum::<usize>()
    }
}

impl Evaluated for CheckEvaluation {
    fn holds_at(&self, now: UnixTime) -> bool {
        self.holds_at(now)
    }

    fn is_settled(&self) -> bool {
        self.is_settled()
    }

    fn bytes(&self) -> usize {
        let result = |it: &AuthenticatorResult| {
            let names = it.display_name.len() + it.project.as_str().len();
            size_of::<AuthenticatorResult>()
                + names
                + result_bytes(&it.reason, &it.trials, &it.others)
        };
        size_of::<Self>() + self.authenticators.iter().map(result).sum::<usize>()
    }
}

/// Everything that an evaluation rests on, the clock aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EvaluationKey {
    /// Under which attestors, or which check.
    pub scope: EvaluationScope,
    /// Of which image.
    pub digest: Digest,
    /// With which evidence: taken from [`super::EvidenceEpochs`] before gathering.
    pub epoch: Epoch,
}

/// The state of a key in the cache: an answer, the duty to work it out, or somebody who does.
#[derive(Debug)]
pub enum Entry<E: Evaluated> {
    /// The answer.
    Cached(Arc<E>),
    /// Nobody works it out: the caller must.
    Lead(Lead<E>),
    /// Somebody works it out.
    Follow(Flight<E>),
}

/// Evaluations, bounded in bytes, each worked out by one request at a time. Clones share it.
#[derive(Debug)]
pub struct EvaluationCache<E: Evaluated = Evaluation> {
    shared: Arc<Shared<E>>,
}

#[derive(Debug)]
struct Shared<E: Evaluated> {
    evaluations: Cache<EvaluationKey, Arc<E>>,
    flights: Mutex<HashMap<EvaluationKey, Flight<E>>>,
    counters: CacheCounters,
}

impl<E: Evaluated> Clone for EvaluationCache<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E: Evaluated> EvaluationCache<E> {
    /// A cache that holds about `bytes_max` bytes. 0 remembers nothing.
    pub fn new(bytes_max: u64, counters: CacheCounters) -> Self {
        let evictions = counters.clone();
        let evaluations = Cache::builder()
            .name("evaluation")
            .max_capacity(bytes_max)
            .weigher(|_, evaluation: &Arc<E>| weight(&**evaluation))
            .eviction_listener(move |_, _, cause| evictions.evicted(cause))
            .build();
        Self { shared: Arc::new(Shared { evaluations, flights: Mutex::default(), counters }) }
    }

    /// The evaluation, where one is held that is valid at `now`. Counts a hit, never a miss.
    pub fn get(&self, key: &EvaluationKey, now: UnixTime) -> Option<Arc<E>> {
        let found = self.shared.valid(key, now)?;
        self.shared.counters.hits.inc();
        Some(found)
    }

    /// The state of `key` at `now`. An outcome that says only that it could not be determined goes
    /// to everybody who waits for it and is then forgotten. Dropped or panicking, the request that
    /// leads hands its duty to one of those who wait.
    ///
    /// Finish all leads before awaiting any flight: two callers that each lead what the other
    /// follows would else wait for each other. A key entered twice is led once and followed once.
    pub fn enter(&self, key: EvaluationKey, now: UnixTime) -> Entry<E> {
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

impl<E: Evaluated> Shared<E> {
    fn valid(&self, key: &EvaluationKey, now: UnixTime) -> Option<Arc<E>> {
        self.evaluations.get(key).filter(|evaluation| evaluation.holds_at(now))
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<EvaluationKey, Flight<E>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to work out one evaluation, on which others may be waiting. Dropped unfinished, the
/// duty falls to one of them.
#[derive(Debug)]
pub struct Lead<E: Evaluated> {
    shared: Arc<Shared<E>>,
    key: EvaluationKey,
    outcome: watch::Sender<Option<Arc<E>>>,
}

impl<E: Evaluated> Lead<E> {
    /// Hands the outcome to everybody who waits, and to the cache if it was determined.
    pub fn finish(self, evaluation: E) -> Arc<E> {
        let evaluation = Arc::new(evaluation);
        if evaluation.is_settled() {
            self.shared.evaluations.insert(self.key, Arc::clone(&evaluation));
        }
        self.outcome.send_replace(Some(Arc::clone(&evaluation)));
        evaluation
    }
}

impl<E: Evaluated> Drop for Lead<E> {
    fn drop(&mut self) {
        // Before the sender goes: whoever then sees that the lead is lost finds no flight, and
        // may take it over.
        self.shared.flights().remove(&self.key);
    }
}

/// An evaluation that another request is working out.
#[derive(Debug)]
pub struct Flight<E>(watch::Receiver<Option<Arc<E>>>);

impl<E> Clone for Flight<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Flight<E> {
    /// Waits for the outcome. `None`: its leader was lost, enter again.
    pub async fn landed(mut self) -> Option<Arc<E>> {
        self.0.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Bytes that an entry costs beside what its evaluation holds: key, the cache's own bookkeeping
/// (entry, queue node, hash slot, frequency sketch) and the allocator's rounding. Measured as
/// growth of resident memory over half a million entries; see `tests/cache_memory.rs`.
const ENTRY_BYTES: usize = 480;

/// Bytes that an entry costs, estimated.
fn weight(evaluation: &impl Evaluated) -> u32 {
    u32::try_from(ENTRY_BYTES + evaluation.bytes()).unwrap_or(u32::MAX)
}

/// Bytes that a result holds beside itself.
fn result_bytes(reason: &AttestorReason, trials: &[Trial], others: &OtherOutcomes) -> usize {
    let text = match reason {
        AttestorReason::EvidenceUnavailable(text) | AttestorReason::KeysUnavailable(text) => {
            text.len()
        }
        _ => 0,
    };
    let trials = trials.iter().map(trial_bytes).sum::<usize>();
    text + trials + others.iter().count() * OTHER_OUTCOME_BYTES
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
