//! The answer of an evaluation: for every pod, image, check set and check, in the shape of
//! Google's `EvaluateGkePolicyResponse`.

use serde_json::{Map, Value, json};

use super::Scope;
use super::render::scope;
use crate::attributes::{Namespace, ServiceAccount};
use crate::decision::{AttestorReason, OtherOutcomes, Trial};
use crate::evaluate::message::SHOWN_CHARS_MAX;
use crate::excerpt::Excerpt;
use crate::names::ProjectId;

/// An answer about conformance. The worse is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Conformance {
    /// It conforms.
    Conformant,
    /// Could not be determined.
    Error,
    /// It does not.
    NonConformant,
}

impl Conformance {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Conformant, Self::Error, Self::NonConformant];

    /// The enum name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conformant => "CONFORMANT",
            Self::Error => "ERROR",
            Self::NonConformant => "NON_CONFORMANT",
        }
    }

    /// AND over `parts`: the worst of them. Of nothing, nothing was determined.
    fn all(parts: impl Iterator<Item = Self>) -> Self {
        parts.max().unwrap_or(Self::Error)
    }
}

/// The answer for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodResult {
    /// Its name; empty where it has none.
    pub pod_name: Box<str>,
    /// Its namespace, where it has one.
    pub namespace: Option<Namespace>,
    /// Its service account, where it has one.
    pub service_account: Option<ServiceAccount>,
    /// One for each image, in the order of the pod.
    pub images: Vec<ImageResult>,
}

impl PodResult {
    /// AND over its images. A pod without images was not evaluated.
    pub fn verdict(&self) -> Conformance {
        Conformance::all(self.images.iter().map(ImageResult::verdict))
    }
}

/// The answer for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageResult {
    /// Exactly as the pod names it.
    pub image: Box<str>,
    /// The result of its evaluation.
    pub outcome: ImageOutcome,
}

/// The result of the evaluation of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageOutcome {
    /// Does not conform, whatever the policy says: it is no image reference, or one of more than
    /// the limits allow.
    Refused {
        /// Why.
        cause: String,
    },
    /// Conforms by a pattern of the policy.
    Exempt {
        /// The pattern.
        pattern: String,
    },
    /// Conforms: the policy has no check sets.
    NoCheckSets,
    /// The check set of the pod decided.
    CheckSet(CheckSetResult),
}

impl ImageResult {
    /// Says if the image conforms.
    pub fn verdict(&self) -> Conformance {
        match &self.outcome {
            ImageOutcome::Refused { .. } => Conformance::NonConformant,
            ImageOutcome::Exempt { .. } | ImageOutcome::NoCheckSets => Conformance::Conformant,
            ImageOutcome::CheckSet(set) => set.verdict(),
        }
    }

    /// Why, for a person; `None` where a check set was evaluated.
    pub fn explanation(&self) -> Option<String> {
        match &self.outcome {
            ImageOutcome::Refused { cause } => Some(cause.clone()),
            ImageOutcome::Exempt { pattern } => Some(exempt("policy", pattern)),
            ImageOutcome::NoCheckSets => {
                Some("The policy has no check sets, so every image conforms".to_owned())
            }
            ImageOutcome::CheckSet(_) => None,
        }
    }
}

/// The answer of the pod's check set for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSetResult {
    /// Its place in the policy, from 0.
    pub index: usize,
    /// As in the policy.
    pub display_name: String,
    /// As in the policy.
    pub scope: Scope,
    /// The result of its evaluation.
    pub outcome: CheckSetOutcome,
}

/// The result of the evaluation of one check set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckSetOutcome {
    /// The image conforms by a pattern of the check set.
    Exempt {
        /// The pattern.
        pattern: String,
    },
    /// The image conforms: there are no checks.
    NoChecks,
    /// One for each check, in the order of the policy; never empty.
    Checks(Vec<CheckResult>),
}

impl CheckSetResult {
    /// AND over its checks.
    pub fn verdict(&self) -> Conformance {
        match &self.outcome {
            CheckSetOutcome::Exempt { .. } | CheckSetOutcome::NoChecks => Conformance::Conformant,
            CheckSetOutcome::Checks(checks) => {
                Conformance::all(checks.iter().map(CheckResult::verdict))
            }
        }
    }

    /// Why, for a person; `None` where checks were evaluated.
    pub fn explanation(&self) -> Option<String> {
        match &self.outcome {
            CheckSetOutcome::Exempt { pattern } => Some(exempt("check set", pattern)),
            CheckSetOutcome::NoChecks => {
                Some("The check set has no checks, so every image conforms".to_owned())
            }
            CheckSetOutcome::Checks(_) => None,
        }
    }
}

/// The answer of one check for one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// Its place in the check set, from 0.
    pub index: usize,
    /// As in the policy.
    pub display_name: String,
    /// [`super::CheckKind::type_name`].
    pub check_type: &'static str,
    /// The result of its evaluation.
    pub outcome: CheckOutcome,
}

/// The result of the evaluation of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The image conforms by a pattern of the check.
    Exempt {
        /// The pattern.
        pattern: String,
    },
    /// The check has an answer.
    Evaluated {
        /// The answer.
        verdict: Conformance,
        /// Why, for a person.
        cause: String,
        /// Every signature that was tried; empty where the check is not about attestations.
        authenticators: Vec<AuthenticatorResult>,
    },
}

/// The judgement of one authenticator on the attestations in one project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorResult {
    /// Its place in the check, from 0.
    pub index: usize,
    /// As in the policy.
    pub display_name: String,
    /// Where the attestations are.
    pub project: ProjectId,
    /// Says if one of them is valid and by a key of the authenticator, and why not.
    pub reason: AttestorReason,
    /// The first signatures of its attestations, with the best of all among them, in stored order;
    /// at most [`crate::evaluate::explain::TRIALS_SHOWN_MAX`].
    pub trials: Vec<Trial>,
    /// The outcomes of the others.
    pub others: OtherOutcomes,
}

impl CheckResult {
    /// Says if the image conforms to the check.
    pub fn verdict(&self) -> Conformance {
        match &self.outcome {
            CheckOutcome::Exempt { .. } => Conformance::Conformant,
            CheckOutcome::Evaluated { verdict, .. } => *verdict,
        }
    }

    /// Why, for a person, in the form of Google's logs.
    pub fn explanation(&self) -> String {
        let mut text = format!("{} at index {}", self.check_type, self.index);
        if !self.display_name.is_empty() {
            text.push_str(&format!(
                " with display name \"{}\"",
                Excerpt::<SHOWN_CHARS_MAX>(&self.display_name)
            ));
        }
        match &self.outcome {
            CheckOutcome::Exempt { pattern } => {
                format!("{text} was not evaluated. {}", exempt("check", pattern))
            }
            CheckOutcome::Evaluated { verdict, cause, .. } => {
                // Google's texts spell this one verdict otherwise than its enum does.
                let verdict = match verdict {
                    Conformance::NonConformant => "NOT_CONFORMANT",
                    other => other.as_str(),
                };
                format!("{text} has verdict {verdict}. {cause}")
            }
        }
    }
}

fn exempt(from: &str, pattern: &str) -> String {
    format!("Image is exempt from the {from}. Matches pattern {pattern}")
}

/// `EvaluateGkePolicyResponse`: AND over the pods. Without pods nothing was evaluated.
pub fn response_to_json(pods: &[PodResult]) -> Value {
    let verdict = Conformance::all(pods.iter().map(PodResult::verdict));
    let results: Vec<_> = pods.iter().map(pod_to_json).collect();
    json!({"verdict": verdict.as_str(), "results": results})
}

/// `EvaluateGkePolicyResponse.PodResult`.
pub fn pod_to_json(pod: &PodResult) -> Value {
    let mut object = Map::new();
    for (name, text) in [
        ("podName", Some(&*pod.pod_name)),
        ("kubernetesNamespace", pod.namespace.as_deref()),
        ("kubernetesServiceAccount", pod.service_account.as_deref()),
    ] {
        set_text(&mut object, name, text.map(str::to_owned));
    }
    set_text(&mut object, "verdict", Some(pod.verdict().as_str().to_owned()));
    let images: Vec<_> = pod.images.iter().map(image_to_json).collect();
    object.insert("imageResults".to_owned(), images.into());
    object.into()
}

fn image_to_json(image: &ImageResult) -> Value {
    let mut object = Map::new();
    set_text(&mut object, "imageUri", Some(image.image.to_string()));
    set_text(&mut object, "verdict", Some(image.verdict().as_str().to_owned()));
    set_text(&mut object, "explanation", image.explanation());
    match &image.outcome {
        ImageOutcome::Refused { .. } | ImageOutcome::NoCheckSets => {}
        ImageOutcome::Exempt { pattern } => set_allowlist(&mut object, pattern),
        ImageOutcome::CheckSet(set) => {
            object.insert("checkSetResult".to_owned(), check_set_to_json(set));
        }
    }
    object.into()
}

fn check_set_to_json(set: &CheckSetResult) -> Value {
    let mut object = Map::new();
    set_text(&mut object, "index", Some(set.index.to_string()));
    set_text(&mut object, "displayName", Some(set.display_name.clone()));
    object.extend(scope(&set.scope).map(|scope| ("scope".to_owned(), scope)));
    set_text(&mut object, "explanation", set.explanation());
    match &set.outcome {
        CheckSetOutcome::NoChecks => {}
        CheckSetOutcome::Exempt { pattern } => set_allowlist(&mut object, pattern),
        CheckSetOutcome::Checks(checks) => {
            let results: Vec<_> = checks.iter().map(check_to_json).collect();
            object.insert("checkResults".to_owned(), json!({"results": results}));
        }
    }
    object.into()
}

fn check_to_json(check: &CheckResult) -> Value {
    let mut object = Map::new();
    set_text(&mut object, "index", Some(check.index.to_string()));
    set_text(&mut object, "displayName", Some(check.display_name.clone()));
    set_text(&mut object, "type", Some(check.check_type.to_owned()));
    set_text(&mut object, "explanation", Some(check.explanation()));
    match &check.outcome {
        CheckOutcome::Exempt { pattern } => set_allowlist(&mut object, pattern),
        CheckOutcome::Evaluated { verdict, .. } => {
            object.insert("evaluationResult".to_owned(), json!({"verdict": verdict.as_str()}));
        }
    }
    object.into()
}

/// `index` is an int64, which JSON writes as a string; so all that is not nested is text.
fn set_text(object: &mut Map<String, Value>, name: &str, text: Option<String>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        object.insert(name.to_owned(), text.into());
    }
}

fn set_allowlist(object: &mut Map<String, Value>, pattern: &str) {
    object.insert("allowlistResult".to_owned(), json!({"matchedPattern": pattern}));
}
