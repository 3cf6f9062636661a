//! One bounded queue, drained by as many tasks as there are threads.
//!
//! All state is behind one lock, held for a few hundred nanoseconds a check and never over
//! arithmetic. A check is *in flight* from when it is queued until its verdict is delivered, and
//! everybody who asks for it meanwhile is added to its waiters. The invariant that keeps anybody
//! from waiting in vain: a check in flight is either queued, and then at least one drain task is
//! running or about to, or held by a [`Batch`], which settles it when dropped, panic or not.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use hallmark_core::verdict::{Check, Unavailable, Verdict};
use tokio::sync::Notify;

use super::lanes::{Disagreement, Lanes};
use super::metrics::VerifierMetrics;
use super::verdict_cache::{CheckId, Outcome, VerdictCache, verdict};
use super::{Arithmetic, VerifierConfig};

/// Checks on their way to a verdict.
#[derive(Debug)]
pub(super) struct Queue {
    config: VerifierConfig,
    arithmetic: Arithmetic,
    lanes: Option<Arc<Lanes>>,
    verdicts: VerdictCache,
    metrics: VerifierMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queued: VecDeque<(CheckId, Check)>,
    in_flight: HashMap<CheckId, Vec<Waiter>>,
    /// Drain tasks running or promised by [`Queue::submit`].
    draining: usize,
}

/// Who to tell, and which of their checks it is. Whoever has gone away can no longer be told.
#[derive(Debug)]
struct Waiter {
    submission: Weak<Submission>,
    index: usize,
}

impl Waiter {
    fn still_waits(&self, now: Instant) -> bool {
        self.submission.upgrade().is_some_and(|submission| now < submission.deadline)
    }
}

impl Queue {
    pub(super) fn new(
        config: VerifierConfig,
        arithmetic: Arithmetic,
        lanes: Option<Arc<Lanes>>,
        verdicts: VerdictCache,
        metrics: VerifierMetrics,
    ) -> Self {
        Self { config, arithmetic, lanes, verdicts, metrics, state: Mutex::default() }
    }

    pub(super) fn verdicts(&self) -> &VerdictCache {
        &self.verdicts
    }

    pub(super) fn metrics(&self) -> &VerifierMetrics {
        &self.metrics
    }

    pub(super) fn refresh_metrics(&self) {
        self.verdicts.refresh_metrics();
        if let Some(lanes) = &self.lanes {
            lanes.refresh_metrics();
        }
    }

    /// Queues checks, each with its place in `submission`. Returns how many tasks the caller must
    /// now start that [`drain`](Self::drain).
    pub(super) fn submit(
        &self,
        submission: &Arc<Submission>,
        checks: Vec<(usize, CheckId, Check)>,
    ) -> usize {
        let (mut misses, mut shared, mut refused) = (0, 0, Vec::new());
        let mut state = self.lock();
        for (index, id, check) in checks {
            let waiter = Waiter { submission: Arc::downgrade(submission), index };
            let full = state.queued.len() >= self.config.queue_checks_max.get();
            match state.in_flight.entry(id) {
                Entry::Occupied(mut waiters) => {
                    waiters.get_mut().push(waiter);
                    shared += 1;
                }
                Entry::Vacant(_) if full => refused.push(index),
                Entry::Vacant(vacant) => {
                    vacant.insert(vec![waiter]);
                    state.queued.push_back((id, check));
                    misses += 1;
                }
            }
        }
        self.metrics.queue_checks.set(gauge(state.queued.len()));
        let tasks = misses.min(self.config.threads.get() - state.draining);
        state.draining += tasks;
        drop(state);
        self.verdicts.counters().misses.inc_by((misses + refused.len()) as u64);
        self.verdicts.counters().shared.inc_by(shared);
        submission.answer(refused, Verdict::Unavailable(Unavailable::Overloaded));
        tasks
    }

    /// Verifies batches until nothing is queued.
    pub(super) fn drain(&self) {
        while let Some(batch) = self.take_batch() {
            self.metrics.batch_size.observe(batch.checks.len() as f64);
            if catch_unwind(AssertUnwindSafe(|| batch.verify())).is_err() {
                self.metrics.panics.inc();
            }
        }
    }

    /// The next checks that somebody still waits for: this thread's share of what is queued, so
    /// that a burst spreads over all threads. `None` ends the drain task that asks.
    fn take_batch(&self) -> Option<Batch<'_>> {
        let mut state = self.lock();
        let share = state.queued.len().div_ceil(self.config.threads.get());
        let share = share.min(self.config.batch_checks_max.get());
        let now = Instant::now();
        let mut checks = Vec::with_capacity(share);
        while let Some((id, check)) = state.queued.pop_front() {
            if state
                .in_flight
                .get(&id)
                .is_some_and(|all| all.iter().any(|one| one.still_waits(now)))
            {
                checks.push((id, check));
            } else {
                // Whoever waited has given up or is just about to, by a timer of their own.
                state.in_flight.remove(&id);
            }
            if checks.len() == share {
                break;
            }
        }
        self.metrics.queue_checks.set(gauge(state.queued.len()));
        if checks.is_empty() {
            state.draining -= 1;
            return None;
        }
        let (failure, outcomes) = (Unavailable::Panicked, Vec::with_capacity(share));
        Some(Batch { queue: self, checks, outcomes, failure })
    }

    fn verify_one(&self, check: &Check) -> Outcome {
        let key = &check.key;
        let signs =
            |message: &[u8]| (self.arithmetic)(key.algorithm, &key.spki, message, &check.signature);
        check.forms().iter().copied().find(|&form| signs(&check.message(form)))
    }

    /// Outcomes by lanes of the checks that are not known, `None` for those not for lanes.
    fn verify_in_lanes(
        &self,
        checks: &[(CheckId, Check)],
        known: &[Option<Outcome>],
    ) -> Result<Vec<Option<Outcome>>, Disagreement> {
        let mut outcomes = vec![None; checks.len()];
        let Some(lanes) = &self.lanes else { return Ok(outcomes) };
        let unknown: Vec<_> = (0..checks.len()).filter(|&nth| known[nth].is_none()).collect();
        let wanted: Vec<_> = unknown.iter().map(|&nth| &checks[nth].1).collect();
        let found = lanes.verify(&wanted, |check| self.verify_one(check))?;
        for (nth, outcome) in unknown.into_iter().zip(found) {
            outcomes[nth] = outcome;
        }
        Ok(outcomes)
    }

    /// The state stays consistent whatever panics: nothing fallible happens under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(checks: usize) -> i64 {
    i64::try_from(checks).unwrap_or(i64::MAX)
}

/// Checks that one thread verifies together, and that share the fate of a panic, or of a
/// disagreement between lanes and library.
struct Batch<'a> {
    queue: &'a Queue,
    checks: Vec<(CheckId, Check)>,
    outcomes: Vec<Outcome>,
    /// The answer if not every check has an outcome.
    failure: Unavailable,
}

impl Batch<'_> {
    fn verify(mut self) {
        let queue = self.queue;
        // A check may have been settled between its submitter's lookup and its queueing.
        let known: Vec<_> = self.checks.iter().map(|(id, _)| queue.verdicts.peek(id)).collect();
        // Which of the two is right nobody can tell: the batch is not answered, and what lanes have
        // said before is not remembered.
        let Ok(by_lanes) = queue.verify_in_lanes(&self.checks, &known) else {
            queue.verdicts.forget_all();
            self.failure = Unavailable::Disagreement;
            return;
        };
        for (nth, (_, check)) in self.checks.iter().enumerate() {
            self.outcomes.push(known[nth].unwrap_or_else(|| {
                let outcome = by_lanes[nth].unwrap_or_else(|| queue.verify_one(check));
                queue.metrics.count(check.key.algorithm, verdict(outcome));
                outcome
            }));
        }
    }
}

impl Drop for Batch<'_> {
    /// Settles every check of the batch: all by their outcome, or, if something cut it short, all
    /// by that.
    fn drop(&mut self) {
        let complete = self.outcomes.len() == self.checks.len();
        let settled: Vec<_> = self
            .checks
            .iter()
            .enumerate()
            .map(|(nth, &(id, _))| (id, if complete { Some(self.outcomes[nth]) } else { None }))
            .collect();
        for &(id, outcome) in &settled {
            // Before the check leaves the flights: a check is never in neither.
            if let Some(outcome) = outcome {
                self.queue.verdicts.insert(id, outcome);
            }
        }
        let failed = Verdict::Unavailable(self.failure);
        let mut state = self.queue.lock();
        let told: Vec<_> = settled
            .iter()
            .map(|&(id, outcome)| (state.in_flight.remove(&id), outcome.map_or(failed, verdict)))
            .collect();
        drop(state);
        for (waiters, verdict) in told {
            for waiter in waiters.into_iter().flatten() {
                if let Some(submission) = waiter.submission.upgrade() {
                    submission.answer([waiter.index], verdict);
                }
            }
        }
    }
}

/// The answers that one call of [`verify`](super::Verifier::verify) waits for. Owned by that call
/// alone: once it is gone, nobody waits.
#[derive(Debug)]
pub(super) struct Submission {
    deadline: Instant,
    answers: Mutex<Answers>,
    all_answered: Notify,
}

#[derive(Debug)]
struct Answers {
    verdicts: Vec<Option<Verdict>>,
    missing: usize,
}

impl Submission {
    /// `verdicts` has one place for each check; those that are `None` are to be answered.
    pub(super) fn new(verdicts: Vec<Option<Verdict>>, deadline: Instant) -> Self {
        let missing = verdicts.iter().filter(|verdict| verdict.is_none()).count();
        let answers = Mutex::new(Answers { verdicts, missing });
        Self { deadline, answers, all_answered: Notify::new() }
    }

    /// Waits until no answer is missing: one wake, whatever the number of checks. For one waiter.
    pub(super) async fn answered(&self) {
        self.all_answered.notified().await;
    }

    /// The answers there are, each once.
    pub(super) fn take_verdicts(&self) -> Vec<Option<Verdict>> {
        std::mem::take(&mut self.lock().verdicts)
    }

    fn answer(&self, indices: impl IntoIterator<Item = usize>, verdict: Verdict) {
        let mut answers = self.lock();
        for index in indices {
            // Out of range: the answers were taken at the deadline, and this one comes late.
            if let Some(place @ None) = answers.verdicts.get_mut(index) {
                *place = Some(verdict);
                answers.missing -= 1;
            }
        }
        if answers.missing == 0 {
            self.all_answered.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
