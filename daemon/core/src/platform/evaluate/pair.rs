//! From attestations to the answer: which key has to have made which signature, and what the
//! verdicts come to.

use std::collections::BTreeMap;

use super::message;
use super::plan::{CheckPlan, CheckSetPlan, ImagePlan, Plan, Question};
use crate::decision::AttestorReason;
use crate::envelope::Envelopes;
use crate::evaluate::decide::{Answers, answers, tried};
use crate::evaluate::explain::{Summary, joined};
use crate::evaluate::pair::{PairedTrials, Pairs};
use crate::image::Digest;
use crate::limits::Limits;
use crate::names::ProjectId;
use crate::occurrence::{Evidence, EvidenceError};
use crate::platform::result::{
    AuthenticatorResult, CheckOutcome, CheckResult, CheckSetOutcome, CheckSetResult, Conformance,
    ImageOutcome, ImageResult, PodResult,
};
use crate::platform::{AuthenticatorKeys, CheckSet, PolicyCheck};
use crate::time::UnixTime;
use crate::verdict::{Check, Verdict};

/// A pod's evidence, up to the arithmetic.
#[derive(Clone, Debug)]
pub struct Pairing<'p> {
    plan: Plan<'p>,
    /// In the order in which their trials await verdicts.
    questions: BTreeMap<Question, Vec<PairedAuthenticator<'p>>>,
    pairs: Pairs,
}

impl Pairing<'_> {
    /// The signatures to verify; [`conclude`] wants one verdict for each, in this order.
    pub fn checks(&self) -> &[Check] {
        &self.pairs.checks
    }
}

/// One authenticator and the attestations of one project, up to the arithmetic.
#[derive(Clone, Debug)]
struct PairedAuthenticator<'p> {
    index: usize,
    display_name: &'p str,
    project: &'p ProjectId,
    trials: PairedTrials,
}

/// Selects for each signature the keys that it names, by exact equality of ids.
///
/// `evidence` is that of [`Plan::lookups`], in that order. With more or less of it none is
/// believed.
pub fn pair<'p>(
    plan: Plan<'p>,
    evidence: &[Evidence],
    now: UnixTime,
    limits: &Limits,
) -> Pairing<'p> {
    let lookups = plan.lookups();
    let evidence = if evidence.len() == lookups.len() { evidence } else { &[] };
    let gathered: BTreeMap<_, _> = lookups.iter().zip(evidence).collect();
    let missing = Err(EvidenceError::Unavailable("it was not asked".to_owned()));
    // Authenticators have PKIX keys only, whose signatures come raw.
    let envelopes = Envelopes::default();
    let mut pairs = Pairs::default();
    let mut questions = BTreeMap::new();
    for &question in &plan.questions {
        let (check, digest) = question;
        let mut authenticators = Vec::new();
        for (index, display_name, keys, project) in sources(&plan, check) {
            let evidence = gathered.get(&(project.clone(), digest)).copied().unwrap_or(&missing);
            let trials = pairs.trials(keys, (evidence, &envelopes), now, limits);
            authenticators.push(PairedAuthenticator { index, display_name, project, trials });
        }
        questions.insert(question, authenticators);
    }
    Pairing { plan, questions, pairs }
}

/// What may answer a check: each authenticator, by its place and name, with its keys, and each
/// project.
fn sources<'p>(
    plan: &Plan<'p>,
    check: usize,
) -> impl Iterator<Item = (usize, &'p str, &'p AuthenticatorKeys, &'p ProjectId)> {
    plan.attestation_check(check).into_iter().flat_map(|(check, keys)| {
        let authenticators = check.authenticators.iter().zip(keys).enumerate();
        authenticators.flat_map(|(index, (authenticator, keys))| {
            let name = authenticator.display_name.as_str();
            check.projects.iter().map(move |project| (index, name, keys, project))
        })
    })
}

/// Concludes from one verdict for each of [`Pairing::checks`].
///
/// The signature comes first: no payload is read before it is verified. With more or fewer
/// verdicts than checks none is believed.
pub fn conclude(pairing: Pairing<'_>, verdicts: &[Verdict]) -> PodResult {
    let Pairing { plan, questions, pairs } = pairing;
    let mut answers = answers(&pairs.checks, verdicts);
    let answered: BTreeMap<_, _> = questions
        .into_iter()
        .map(|(question, paired)| (question, attested(paired, question.1, &mut answers)))
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

/// The answer after two portions of evidence, from those after each, of the same plan.
pub fn join(earlier: PodResult, later: PodResult) -> PodResult {
    let images = earlier.images.into_iter().zip(later.images);
    let join = |(earlier, later): (ImageResult, ImageResult)| ImageResult {
        image: earlier.image,
        outcome: match (earlier.outcome, later.outcome) {
            (ImageOutcome::CheckSet(earlier), ImageOutcome::CheckSet(later)) => {
                ImageOutcome::CheckSet(join_check_sets(earlier, later))
            }
            (earlier, _) => earlier,
        },
    };
    PodResult { images: images.map(join).collect(), ..earlier }
}

fn join_check_sets(earlier: CheckSetResult, later: CheckSetResult) -> CheckSetResult {
    let outcome = match (earlier.outcome, later.outcome) {
        (CheckSetOutcome::Checks(earlier), CheckSetOutcome::Checks(later)) => {
            let both = earlier.into_iter().zip(later);
            CheckSetOutcome::Checks(both.map(|(one, other)| join_checks(one, other)).collect())
        }
        (earlier, _) => earlier,
    };
    CheckSetResult { outcome, ..earlier }
}

fn join_checks(earlier: CheckResult, later: CheckResult) -> CheckResult {
    let outcome = match (earlier.outcome, later.outcome) {
        (
            CheckOutcome::Evaluated { authenticators: earlier, .. },
            CheckOutcome::Evaluated { authenticators: later, .. },
        ) if !earlier.is_empty() => {
            let both = earlier.into_iter().zip(later);
            attestation_outcome(both.map(|(one, other)| join_authenticators(one, other)).collect())
        }
        (earlier, _) => earlier,
    };
    CheckResult { outcome, ..earlier }
}

fn join_authenticators(
    earlier: AuthenticatorResult,
    later: AuthenticatorResult,
) -> AuthenticatorResult {
    let summary = Summary { trials: earlier.trials, others: earlier.others };
    let Summary { trials, others } =
        summary.join(Summary { trials: later.trials, others: later.others });
    let reason = joined(earlier.reason, later.reason);
    AuthenticatorResult { reason, trials, others, ..earlier }
}

fn check_results(
    set: &CheckSet,
    plans: Vec<CheckPlan>,
    answered: &BTreeMap<Question, CheckOutcome>,
) -> Vec<CheckResult> {
    let result = |(index, (check, plan)): (usize, (&PolicyCheck, CheckPlan))| CheckResult {
        index,
        display_name: check.display_name.clone(),
        check_type: check.kind.type_name(),
        outcome: match plan {
            CheckPlan::Decided(outcome) => outcome,
            CheckPlan::Attestation(question) => {
                answered.get(&question).cloned().unwrap_or_else(|| attestation_outcome(Vec::new()))
            }
        },
    };
    set.checks.iter().zip(plans).enumerate().map(result).collect()
}

/// One check after its verdicts.
fn attested(
    paired: Vec<PairedAuthenticator<'_>>,
    digest: Digest,
    answers: &mut Answers<'_>,
) -> CheckOutcome {
    let conclude = |paired: PairedAuthenticator<'_>| {
        let (reason, Summary { trials, others }) = tried(paired.trials, digest, answers);
        AuthenticatorResult {
            index: paired.index,
            display_name: paired.display_name.to_owned(),
            project: paired.project.clone(),
            reason,
            trials,
            others,
        }
    };
    attestation_outcome(paired.into_iter().map(conclude).collect())
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
