//! Pods held against a platform policy: plan → gather → pair → verify → conclude.

use std::time::Instant;

use hallmark_core::platform::TrustedGkePolicy;
use hallmark_core::platform::evaluate::Pod;
use hallmark_core::platform::evaluate::pair::{Pairing, conclude, pair};
use hallmark_core::platform::evaluate::plan::{Plan, plan};
use hallmark_core::platform::result::PodResult;
use hallmark_core::time::UnixTime;

use super::Gate;

/// Whether each pod conforms to the policy, all with one read of the store and one batch of
/// checks. What cannot be determined before `deadline` does not conform and says so.
pub async fn conformance(
    gate: &Gate,
    policy: &TrustedGkePolicy,
    pods: Vec<Pod>,
    deadline: Instant,
) -> Vec<PodResult> {
    let now = UnixTime(jiff::Timestamp::now().as_second());
    let plans: Vec<_> = pods.into_iter().map(|pod| plan(policy, pod, &gate.limits)).collect();
    let lookups = plans.iter().flat_map(Plan::lookups).collect();
    let evidence = gate.evidence.gather_in_projects(lookups, deadline).await;
    let mut rest = evidence.as_slice();
    let pairings: Vec<_> = plans
        .into_iter()
        .map(|plan| {
            let (own, others) = rest.split_at(plan.lookups().len().min(rest.len()));
            rest = others;
            pair(plan, own, now, &gate.limits)
        })
        .collect();
    let checks: Vec<_> = pairings.iter().flat_map(Pairing::checks).cloned().collect();
    let verdicts = match checks.is_empty() {
        true => Vec::new(),
        false => gate.verify(checks, deadline).await,
    };
    let mut rest = verdicts.as_slice();
    pairings
        .into_iter()
        .map(|pairing| {
            let (own, others) = rest.split_at(pairing.checks().len().min(rest.len()));
            rest = others;
            conclude(pairing, own)
        })
        .collect()
}
