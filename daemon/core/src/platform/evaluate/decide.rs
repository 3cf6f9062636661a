//! From the answers of the checks to the answer for the pod.

use std::collections::HashMap;
use std::sync::Arc;

use super::checked::CheckEvaluation;
use super::message;
use super::plan::{Asked, CheckPlan, CheckSetPlan, ImagePlan, Plan};
use crate::decision::AttestorReason;
use crate::platform::result::{
    AuthenticatorResult, CheckOutcome, CheckResult, CheckSetOutcome, CheckSetResult, Conformance,
    ImageOutcome, ImageResult, PodResult,
};
use crate::platform::{CheckSet, PolicyCheck};

/// Answers for a pod.
///
/// `evaluations` are those of [`Plan::questions`], in that order. A check whose evaluation is
/// missing, or is one of another digest or of other authenticators, is attested by nobody.
pub fn decide(plan: Plan<'_>, evaluations: Vec<Arc<CheckEvaluation>>) -> PodResult {
    let questions = plan.questions();
    let both = questions.iter().zip(evaluations).filter(|(question, known)| {
        let asked = question.sources().map(|(index, _, _, project)| (index, project));
        let answered = known.authenticators.iter().map(|it| (it.index, &it.project));
        known.digest == question.digest && answered.eq(asked)
    });
    let answered: HashMap<Asked, CheckOutcome> = both
        .map(|(question, known)| {
            let outcome = attestation_outcome(known.authenticators.to_vec());
            ((question.check, question.digest), outcome)
        })
        .collect();
    let outcome = |image| match image {
        ImagePlan::Decided(outcome) => outcome,
        ImagePlan::CheckSet { index, set, plan } => ImageOutcome::CheckSet(CheckSetResult {
            index,
            display_name: set.display_name.clone(),
            scope: set.scope.clone(),
            outcome: match plan {
                CheckSetPlan::Decided(outcome) => outcome,
                CheckSetPlan::Checks(plans) => {
                    CheckSetOutcome::Checks(check_results(set, plans, &answered))
                }
            },
        }),
    };
    let outcomes = plan.images.into_iter().map(outcome);
    let images = plan.pod.images.into_iter().zip(outcomes);
    PodResult {
        pod_name: plan.pod.name,
        namespace: plan.pod.namespace,
        service_account: plan.pod.service_account,
        images: images.map(|(image, outcome)| ImageResult { image, outcome }).collect(),
    }
}

fn check_results(
    set: &CheckSet,
    plans: Vec<CheckPlan>,
    answered: &HashMap<Asked, CheckOutcome>,
) -> Vec<CheckResult> {
    let result = |(index, (check, plan)): (usize, (&PolicyCheck, CheckPlan))| CheckResult {
        index,
        display_name: check.display_name.clone(),
        check_type: check.kind.type_name(),
        outcome: match plan {
            CheckPlan::Decided(outcome) => outcome,
            CheckPlan::Attestation(asked) => {
                answered.get(&asked).cloned().unwrap_or_else(|| attestation_outcome(Vec::new()))
            }
        },
    };
    set.checks.iter().zip(plans).enumerate().map(result).collect()
}

/// OR over authenticators and projects. What could not be determined might have verified, so it
/// outweighs what did not.
fn attestation_outcome(authenticators: Vec<AuthenticatorResult>) -> CheckOutcome {
    let mut results = authenticators.iter();
    let verified = results.clone().find(|result| result.reason == AttestorReason::Verified);
    let (verdict, cause) = match verified {
        Some(verified) => (Conformance::Conformant, message::attested(verified)),
        None if results.any(|result| result.reason.is_undetermined()) => {
            (Conformance::Error, message::undetermined(&authenticators))
        }
        None => (Conformance::NonConformant, message::not_attested(&authenticators)),
    };
    CheckOutcome::Evaluated { verdict, cause, authenticators }
}
