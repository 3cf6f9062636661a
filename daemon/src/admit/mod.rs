//! The one path: plan → gather → pair → verify → decide → record.

mod conformance;
mod evaluate;
pub mod metrics;
mod prove;
mod shared;
mod validate;
mod work;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;
use hallmark_core::evaluate::decide::{Unrecorded, decide, unrecorded};
use hallmark_core::evaluate::plan::plan;
use hallmark_core::limits::Limits;
use hallmark_core::platform::evaluate::checked::CheckEvaluation;
use hallmark_core::time::UnixTime;
use hallmark_core::verdict::{Check, Unavailable, Verdict};

use self::metrics::DecisionMetrics;
use crate::audit::log::Body;
use crate::audit::record::Review;
use crate::audit::{Account, Audit, AuditError, record};
use crate::cache::{EvaluationCache, EvidenceEpochs};
use crate::decision_json;
use crate::evidence::EvidenceSource;
use crate::plugin::{Catalog, Decoders, KeyHolders};
use crate::snapshot::Snapshots;
use crate::verifier::Verifier;

pub use conformance::{ConformanceError, conformance};
pub use validate::{Validation, validate};

/// Part of a request's time that is kept back to record and to answer: a denial for lack of time
/// has to be recorded in time, too.
const KEPT_BACK: u32 = 10;

/// Checks that one request has in the queue of the verifier at a time, so that no request fills it.
const CHECKS_AT_ONCE_MAX: usize = 4_096;

/// Everything that deciding needs. One per daemon.
#[derive(Debug)]
pub struct Gate {
    /// Policies and attestors in force.
    pub snapshots: Arc<Snapshots>,
    /// Where attestations are read.
    pub evidence: EvidenceSource,
    /// Tells a cached evaluation from one that new evidence has overtaken.
    pub epochs: Arc<EvidenceEpochs>,
    /// Evaluations worked out before, or at this moment by another request.
    pub evaluations: EvaluationCache,
    /// The same of the checks of platform policies, apart, so that neither crowds out the other.
    pub conformance: EvaluationCache<CheckEvaluation>,
    /// Takes signatures apart that come in an envelope.
    pub decoders: Decoders,
    /// Asks the plugins that verify themselves.
    pub holders: KeyHolders,
    /// Does the arithmetic.
    pub verifier: Verifier,
    /// Is told of keys that nobody knows.
    pub catalog: Arc<Catalog>,
    /// Where every decision is recorded.
    pub audit: Audit,
    /// Counts and times.
    pub metrics: DecisionMetrics,
    /// The limits on the cost of one decision.
    pub limits: Limits,
}

impl Gate {
    /// Answers every check, in order, by `deadline`: here, or by the plugin that holds the key.
    async fn verify(&self, mut checks: Vec<Check>, deadline: Instant) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(checks.len());
        while !checks.is_empty() {
            let rest = checks.split_off(checks.len().min(CHECKS_AT_ONCE_MAX));
            verdicts.extend(self.verify_together(checks, deadline).await);
            checks = rest;
        }
        verdicts
    }

    async fn verify_together(&self, checks: Vec<Check>, deadline: Instant) -> Vec<Verdict> {
        let held: Vec<_> = checks.iter().map(|check| check.key.holder.is_some()).collect();
        if !held.contains(&true) {
            return self.verifier.verify(checks, deadline).await;
        }
        let (theirs, ours) = checks.into_iter().partition(|check| check.key.holder.is_some());
        let (theirs, ours) = tokio::join!(
            self.holders.verify(theirs, deadline),
            self.verifier.verify(ours, deadline)
        );
        let (mut theirs, mut ours) = (theirs.into_iter(), ours.into_iter());
        let next = |held| if held { theirs.next() } else { ours.next() };
        let lost = Verdict::Unavailable(Unavailable::Panicked);
        held.into_iter().map(next).map(|verdict| verdict.unwrap_or(lost)).collect()
    }
}

/// Where requests come from, for the audit record and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The dialect that asks, a bounded word such as `decisions` or `admission_review`.
    pub api: &'static str,
    /// Who asks, where that is known.
    pub principal: Option<String>,
    /// The review that a Kubernetes API server is asked for, where one asks.
    pub review: Option<Review>,
}

impl Origin {
    fn asked(&self) -> record::Asked<'_> {
        record::Asked {
            api: self.api,
            principal: self.principal.as_deref(),
            review: self.review.as_ref(),
        }
    }
}

/// A decision as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The decision.
    pub decision: Decision,
    /// The decision as JSON, the same bytes as in the audit log. See [`decision_json`].
    pub json: Bytes,
}

impl Recorded {
    /// A decision that no record holds.
    pub(crate) fn without_record(decision: Decision) -> Self {
        Self { json: decision_json::to_bytes(&decision), decision }
    }
}

/// Decides requests, each on its own, and records every decision before it returns.
///
/// A batch is the base case: requests that arrive together share one read of the store, one batch
/// of verifications and one write of the audit log. Never fails: what cannot be determined,
/// gathered, verified or recorded before `deadline` is a denial that says so.
///
/// # Cancel safety
/// A caller that goes away leaves nothing half done: what others wait for is worked out by them.
pub async fn admit(
    gate: &Gate,
    origin: &Origin,
    requests: Vec<Request>,
    deadline: Instant,
) -> Vec<Recorded> {
    let started = Instant::now();
    let now = UnixTime(jiff::Timestamp::now().as_second());
    let snapshot = gate.snapshots.current();
    let plan =
        |request: &Request| plan(request, &snapshot.policies(&request.project), &gate.limits);
    let plans: Vec<_> = requests.iter().map(plan).collect();
    if let Err(error) = gate.audit.may_record(origin.principal.as_deref(), requests.len()) {
        let deny = |(request, plan): (&Request, _)| {
            let decision = decide(request, plan, Vec::new(), snapshot.generation);
            Recorded::without_record(unrecorded(decision, why_unrecorded(&error)))
        };
        let denied: Vec<_> = requests.iter().zip(plans).map(deny).collect();
        count(gate, origin, &denied, started.elapsed());
        return denied;
    }
    let work = work::Work { gate, now, deadline: late(deadline) };
    let mut evaluations = evaluate::Batch { work, snapshot: &snapshot }.run(&plans).await;
    let decide = |(request, plan): (&Request, _)| {
        decide(request, plan, evaluations.next_request(), snapshot.generation)
    };
    let decisions: Vec<_> = requests.iter().zip(plans).map(decide).collect();
    let decisions = record(gate, origin, &requests, decisions, deadline).await;
    count(gate, origin, &decisions, started.elapsed());
    decisions
}

fn count(gate: &Gate, origin: &Origin, decisions: &[Recorded], elapsed: Duration) {
    let advisory = origin.review.as_ref().is_some_and(|review| review.advisory);
    decisions.iter().for_each(|one| gate.metrics.decided(&one.decision, advisory, elapsed));
}

/// Writes the audit records, or takes the decisions back.
async fn record(
    gate: &Gate,
    origin: &Origin,
    requests: &[Request],
    decisions: Vec<Decision>,
    deadline: Instant,
) -> Vec<Recorded> {
    let asked = origin.asked();
    let (mut lines, mut recorded) = (Vec::new(), Vec::new());
    for (request, mut decision) in requests.iter().zip(decisions) {
        let mut record = record::decision(asked, request, &decision);
        if record.line.len() > Body::BYTES_MAX {
            let bytes = record.line.len();
            tracing::error!(bytes, "denied: the audit record of a decision is too long");
            decision = unrecorded(decision, Unrecorded::TooLong);
            record = record::decision(asked, request, &decision);
        }
        lines.push(record.line);
        recorded.push(Recorded { decision, json: record.decision });
    }
    let account = Account::Limited(asked.principal);
    match gate.audit.append(account, lines, deadline).await {
        Ok(()) => recorded,
        Err(error) => {
            // Of an outage and of a principal that asks too much the audit log tells, once.
            if matches!(error, AuditError::Deadline | AuditError::Closed | AuditError::TooLong(_)) {
                tracing::error!(%error, requests = requests.len(), "denied: not recorded");
            }
            let why = why_unrecorded(&error);
            let deny = |one: Recorded| Recorded::without_record(unrecorded(one.decision, why));
            recorded.into_iter().map(deny).collect()
        }
    }
}

fn why_unrecorded(error: &AuditError) -> Unrecorded {
    match error {
        AuditError::LimitExceeded { .. } => Unrecorded::LimitExceeded,
        AuditError::TooLong(_) => Unrecorded::TooLong,
        AuditError::Unwritable(_) | AuditError::Deadline | AuditError::Closed => {
            Unrecorded::Unavailable
        }
    }
}

/// The end of the time for working out an answer that is to be recorded by `deadline`.
fn late(deadline: Instant) -> Instant {
    deadline - deadline.saturating_duration_since(Instant::now()) / KEPT_BACK
}

/// Time since `started`, and the clock set back to zero.
fn lap(started: &mut Instant) -> Duration {
    let elapsed = started.elapsed();
    *started = Instant::now();
    elapsed
}
