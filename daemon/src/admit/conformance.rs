//! Pods held against a platform policy: plan → gather → pair → verify → conclude, a portion of the
//! evidence at a time.

use std::collections::HashSet;
use std::time::Instant;

use hallmark_core::occurrence::Evidence;
use hallmark_core::platform::TrustedGkePolicy;
use hallmark_core::platform::evaluate::Pod;
use hallmark_core::platform::evaluate::pair::{Pairing, conclude, join, pair};
use hallmark_core::platform::evaluate::plan::{Plan, plan};
use hallmark_core::platform::result::{Conformance, PodResult};
use hallmark_core::time::UnixTime;

use super::Gate;
use crate::store::{EvidenceQuery, Lookup};

/// Whether each pod conforms to the policy, all with one read of the store and one batch of
/// checks as a rule, and with more where one portion of the evidence does not show it. What cannot
/// be determined before `deadline` does not conform and says so.
pub async fn conformance(
    gate: &Gate,
    policy: &TrustedGkePolicy,
    pods: Vec<Pod>,
    deadline: Instant,
) -> Vec<PodResult> {
    let now = UnixTime(jiff::Timestamp::now().as_second());
    let plans: Vec<_> = pods.into_iter().map(|pod| plan(policy, pod, &gate.limits)).collect();
    let lookups = plans.iter().flat_map(Plan::lookups);
    let lookups: Vec<_> =
        lookups.map(|(project, digest)| Lookup::InProject(project, digest)).collect();
    let places = 0..lookups.len();
    let queries = lookups.into_iter().map(EvidenceQuery::of).collect();
    let mut gathering = gate.evidence.gather(queries);
    let mut found: Option<Vec<PodResult>> = None;
    loop {
        let more: HashSet<_> = places.clone().filter(|&place| gathering.has_more(place)).collect();
        let found_all = |found: &Vec<PodResult>| {
            more.is_empty() || found.iter().all(|pod| pod.verdict() == Conformance::Conformant)
        };
        match found.take() {
            Some(found) if found_all(&found) => return found,
            earlier => {
                // Authenticators have PKIX keys only, whose signatures come raw.
                let evidence = gathering.next(&more, &HashSet::new(), deadline).await;
                let later = round(gate, plans.clone(), &evidence, now, deadline).await;
                found = Some(match earlier {
                    Some(earlier) => earlier
                        .into_iter()
                        .zip(later)
                        .map(|(one, other)| join(one, other))
                        .collect(),
                    None => later,
                });
            }
        }
    }
}

async fn round(
    gate: &Gate,
    plans: Vec<Plan<'_>>,
    evidence: &[Evidence],
    now: UnixTime,
    deadline: Instant,
) -> Vec<PodResult> {
    let mut rest = evidence;
    let pairings: Vec<_> = plans
        .into_iter()
        .map(|plan| {
            let (own, others) = rest.split_at(plan.lookups().len().min(rest.len()));
            rest = others;
            pair(plan, own, now, &gate.limits)
        })
        .collect();
    let checks: Vec<_> = pairings.iter().flat_map(Pairing::checks).cloned().collect();
    let verdicts = gate.verify(checks, deadline).await;
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
