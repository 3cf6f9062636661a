//! Pods held against a platform policy: plan → questions → decide → record.

use std::time::Instant;

use hallmark_core::names::PlatformPolicyName;
use hallmark_core::platform::evaluate::Pod;
use hallmark_core::platform::evaluate::checked::Checked;
use hallmark_core::platform::evaluate::decide::decide;
use hallmark_core::platform::evaluate::plan::{Plan, plan};
use hallmark_core::platform::result::PodResult;
use hallmark_core::time::UnixTime;

use super::shared::{Keyed, Shared};
use super::work::Work;
use super::{Gate, Origin};
use crate::audit::{Account, AuditError, record};
use crate::cache::{EvaluationKey, EvaluationScope};
use crate::snapshot::KnownGkePolicy;

/// Why there is no answer for any pod.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConformanceError {
    /// The snapshot in force has no such policy for Kubernetes.
    #[error("no such policy is in force")]
    NotInForce,
    /// The answers could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] AuditError),
}

/// Finds out if each pod conforms to the policy of that name. Every answer is recorded before it is
/// returned. A pod that cannot be judged before `deadline` does not conform and says so.
///
/// # Errors
/// The policy is not in force, or the answers could not be recorded.
pub async fn conformance(
    gate: &Gate,
    origin: &Origin,
    name: &PlatformPolicyName,
    pods: Vec<Pod>,
    deadline: Instant,
) -> Result<Vec<PodResult>, ConformanceError> {
    gate.audit.may_record(origin.principal.as_deref(), pods.len())?;
    let snapshot = gate.snapshots.current();
    let policy = snapshot.gke_policy(name).ok_or(ConformanceError::NotInForce)?;
    let results = evaluate(gate, policy, pods, super::late(deadline)).await;
    let asked = origin.asked();
    let of = (name, snapshot.generation);
    let lines = results.iter().map(|result| record::conformance(asked, of, result));
    gate.audit.append(Account::Limited(asked.principal), lines.collect(), deadline).await?;
    results.iter().for_each(|result| gate.metrics.conformed(result.verdict()));
    Ok(results)
}

/// All pods with one read of the store and one batch of checks as a rule, and with more if one
/// portion of the evidence does not show that they conform.
async fn evaluate(
    gate: &Gate,
    policy: &KnownGkePolicy,
    pods: Vec<Pod>,
    deadline: Instant,
) -> Vec<PodResult> {
    let now = UnixTime(jiff::Timestamp::now().as_second());
    let plan = |pod| plan(&policy.trusted, pod, &gate.limits);
    let plans: Vec<_> = pods.into_iter().map(plan).collect();
    let questions: Vec<_> = plans.iter().map(|plan| asked(gate, policy, plan)).collect();
    let counts: Vec<_> = questions.iter().map(Vec::len).collect();
    let asked: Vec<_> = questions.into_iter().flatten().collect();
    let work = Work { gate, now, deadline };
    let answers = Shared { work, cache: &gate.conformance, asked: &asked }.answer().await;
    let mut answers = answers.into_iter().map(|(evaluation, _)| evaluation);
    let results = plans.into_iter().zip(counts);
    results.map(|(plan, count)| decide(plan, answers.by_ref().take(count).collect())).collect()
}

fn asked<'p>(gate: &Gate, policy: &KnownGkePolicy, plan: &Plan<'p>) -> Vec<Keyed<Checked<'p>>> {
    let keyed = |question: Checked<'p>| {
        let Checked { check_set, check, digest, .. } = question;
        let scope = EvaluationScope::of_check(policy.identity, check_set, check);
        let epoch = gate.epochs.of(&digest);
        Keyed { key: EvaluationKey { scope, digest, epoch }, question }
    };
    plan.questions().into_iter().map(keyed).collect()
}
