//! The needs of a request: most images are decided by the policy alone, the others need
//! attestations.

use std::cell::OnceCell;
use std::sync::Arc;

use super::Request;
use crate::decision::{Exceeded, ImageDecision, Reason};
use crate::image::{Digest, ImageError, ImageReference};
use crate::limits::Limits;
use crate::names::AttestorName;
use crate::policy::pattern::AllowlistPattern;
use crate::policy::select::select;
use crate::policy::{
    AdmissionRule, EnforcementMode, EvaluationMode, GlobalPolicyEvaluationMode, Policies,
    ProjectPolicy, RuleMatch, WithoutPolicy,
};

/// The open part of a request's evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The rule that governs the request; `None` where it was refused before one was chosen.
    pub rule: Option<RuleMatch>,
    /// The enforcement mode of `rule`.
    pub enforcement: Option<EnforcementMode>,
    /// Who must have attested the digest of each [`ImagePlan::NeedsAttestation`]: all of them.
    pub required: Vec<AttestorName>,
    /// One for each image, in the order of the request; one that denies where it names none.
    pub images: Vec<ImagePlan>,
}

impl Plan {
    /// The digests to evaluate, in the order in which [`super::decide::decide`] takes their
    /// evaluations.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.images.iter().filter_map(|image| match image {
            ImagePlan::NeedsAttestation { digest, .. } => Some(*digest),
            ImagePlan::Decided(_) => None,
        })
    }

    /// Every image denied, before any rule was chosen.
    fn refused(request: &Request, reason: &Reason) -> Self {
        let refusal = |image: &str| ImagePlan::Decided(without_rule(image, None, reason.clone()));
        let images = match request.images.as_slice() {
            [] => vec![refusal("")],
            images => images.iter().map(|image| refusal(image)).collect(),
        };
        Self { rule: None, enforcement: None, required: Vec::new(), images }
    }
}

/// The open part of one image's evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum ImagePlan {
    /// Nothing.
    Decided(ImageDecision),
    /// Open: is this digest attested?
    NeedsAttestation {
        /// The image.
        image: ImageReference,
        /// The digest it names.
        digest: Digest,
    },
}

/// Decides what the policy alone decides.
pub fn plan(request: &Request, policies: &Policies<'_>, limits: &Limits) -> Plan {
    let count = request.images.len();
    if count == 0 || count > limits.images_max {
        let exceeded = Exceeded::Images { named: count, max: limits.images_max };
        return Plan::refused(request, &Reason::LimitExceeded(exceeded));
    }
    let governing = match Governing::of(request, policies) {
        Ok(governing) => governing,
        Err(reason) => return Plan::refused(request, &reason),
    };
    let images = request.images.iter().map(|image| governing.image(image, limits)).collect();
    let required = governing.admission.attestors().to_vec();
    let enforcement = Some(governing.admission.enforcement);
    Plan { rule: Some(governing.rule), enforcement, required, images }
}

/// The rule of a project without a policy under [`WithoutPolicy::Allow`].
static NO_POLICY: AdmissionRule = AdmissionRule {
    evaluation: EvaluationMode::AlwaysAllow,
    enforcement: EnforcementMode::EnforcedBlockAndAuditLog,
};

/// All that governs the images of one request, in the order in which it is asked.
struct Governing<'a> {
    /// Empty where the system policy is not asked.
    system: &'a [AllowlistPattern],
    allowlist: &'a [AllowlistPattern],
    rule: RuleMatch,
    admission: &'a AdmissionRule,
    /// The attestors of the rule, for all images that name no digest.
    asked: OnceCell<Arc<[AttestorName]>>,
}

impl<'a> Governing<'a> {
    /// The reason of the denial if nothing governs the project.
    fn of(request: &Request, policies: &Policies<'a>) -> Result<Self, Reason> {
        let system = policies.system.admission_whitelist_patterns.as_slice();
        let policy = match policies.policy {
            ProjectPolicy::Written(policy) => policy,
            ProjectPolicy::Absent(WithoutPolicy::Deny) => {
                return Err(Reason::PolicyNotWritten { project: policies.project.clone() });
            }
            ProjectPolicy::Absent(WithoutPolicy::Allow) => {
                let rule = RuleMatch::Default;
                let (admission, asked) = (&NO_POLICY, OnceCell::new());
                return Ok(Self { system, allowlist: &[], rule, admission, asked });
            }
            ProjectPolicy::UnknownProject => {
                return Err(Reason::ProjectUnknown { project: policies.project.clone() });
            }
        };
        let system = match policy.global_policy_evaluation_mode {
            GlobalPolicyEvaluationMode::Enable => system,
            GlobalPolicyEvaluationMode::Disable | GlobalPolicyEvaluationMode::Unspecified => &[],
        };
        let (rule, admission) = select(policy, request);
        let (allowlist, asked) = (policy.admission_whitelist_patterns.as_slice(), OnceCell::new());
        Ok(Self { system, allowlist, rule, admission, asked })
    }

    fn image(&self, image: &str, limits: &Limits) -> ImagePlan {
        if image.len() > limits.image_bytes_max {
            let exceeded = Exceeded::ImageBytes { bytes: image.len(), max: limits.image_bytes_max };
            let reason = Reason::LimitExceeded(exceeded);
            return ImagePlan::Decided(without_rule(image, None, reason));
        }
        // No runtime pulls what is not a reference, and patterns are matched against those only.
        let reference = match ImageReference::parse(image) {
            Ok(reference) => Some(reference),
            Err(ImageError::Digest(_)) => None,
            Err(ImageError::Malformed(_)) => {
                return ImagePlan::Decided(without_rule(image, None, Reason::ImageMalformed));
            }
        };
        if let Some(reason) = self.allowlisted(image) {
            let digest = reference.and_then(|reference| reference.digest());
            return ImagePlan::Decided(without_rule(image, digest, reason));
        }
        self.by_rule(image, reference)
    }

    fn allowlisted(&self, image: &str) -> Option<Reason> {
        let matching = |patterns: &[AllowlistPattern]| {
            let pattern = patterns.iter().find(|pattern| pattern.matches(image))?;
            Some(pattern.as_str().to_owned())
        };
        if let Some(pattern) = matching(self.system) {
            return Some(Reason::SystemPolicyAllowlisted { pattern });
        }
        let pattern = matching(self.allowlist)?;
        Some(Reason::Allowlisted { pattern })
    }

    fn by_rule(&self, image: &str, reference: Option<ImageReference>) -> ImagePlan {
        let digest = reference.as_ref().and_then(ImageReference::digest);
        let reason = match (&self.admission.evaluation, reference.zip(digest)) {
            (EvaluationMode::AlwaysAllow, _) => Reason::AlwaysAllow,
            (EvaluationMode::AlwaysDeny, _) => Reason::AlwaysDeny,
            (EvaluationMode::RequireAttestation(attestors), None) => {
                let attestors = self.asked.get_or_init(|| attestors.as_slice().into());
                Reason::DigestRequired { attestors: Arc::clone(attestors) }
            }
            (EvaluationMode::RequireAttestation(_), Some((image, digest))) => {
                return ImagePlan::NeedsAttestation { image, digest };
            }
        };
        ImagePlan::Decided(ImageDecision {
            rule: Some(self.rule.clone()),
            enforcement: Some(self.admission.enforcement),
            ..without_rule(image, digest, reason)
        })
    }
}

fn without_rule(image: &str, digest: Option<Digest>, reason: Reason) -> ImageDecision {
    ImageDecision {
        image: image.into(),
        digest,
        allowed: reason.allows(),
        rule: None,
        enforcement: None,
        reason,
        attestors: [].into(),
        attestors_left_out: 0,
        cached: false,
    }
}
