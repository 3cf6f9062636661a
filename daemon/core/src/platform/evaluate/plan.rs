//! The needs of a pod: names answer most checks, the others need attestations.

use std::collections::BTreeSet;

use super::checked::Checked;
use super::{Pod, message};
use crate::image::{Digest, ImageReference};
use crate::limits::Limits;
use crate::platform::allow_pattern::AllowPattern;
use crate::platform::result::{CheckOutcome, CheckSetOutcome, Conformance, ImageOutcome};
use crate::platform::trusted_directory::TrustedDirectory;
use crate::platform::{CheckKind, CheckSet, PolicyCheck, Scope, TrustedGkePolicy};

/// The open part of a pod's evaluation.
#[derive(Clone, Debug)]
pub struct Plan<'p> {
    policy: &'p TrustedGkePolicy,
    pub(super) pod: Pod,
    /// The check set of the pod and its place in the policy.
    check_set: Option<(usize, &'p CheckSet)>,
    /// One for each image of the pod.
    pub(super) images: Vec<ImagePlan<'p>>,
    /// Which check must know of which digest whether it is attested: each once, however many
    /// images have the digest.
    asked: BTreeSet<Asked>,
}

/// A check of the check set, by its place, and a digest.
pub(super) type Asked = (usize, Digest);

/// The open part of one image's evaluation.
#[derive(Clone, Debug)]
pub(super) enum ImagePlan<'p> {
    /// Nothing, and no check set has a part in it.
    Decided(ImageOutcome),
    /// The answer of the pod's check set.
    CheckSet { index: usize, set: &'p CheckSet, plan: CheckSetPlan },
}

/// The open part of one image's evaluation under the check set.
#[derive(Clone, Debug)]
pub(super) enum CheckSetPlan {
    /// Nothing.
    Decided(CheckSetOutcome),
    /// One for each check; never empty.
    Checks(Vec<CheckPlan>),
}

/// The open part of one check's evaluation.
#[derive(Clone, Debug)]
pub(super) enum CheckPlan {
    /// Nothing.
    Decided(CheckOutcome),
    /// The answer to a question.
    Attestation(Asked),
}

impl<'p> Plan<'p> {
    /// The questions that evidence has to answer; [`super::decide::decide`] wants the evaluation of
    /// each, in this order.
    pub fn questions(&self) -> Vec<Checked<'p>> {
        let question = |&(check, digest): &Asked| {
            let (check_set, set) = self.check_set?;
            let CheckKind::SimpleSigningAttestation(written) = &set.checks.get(check)?.kind else {
                return None;
            };
            let keys = self.policy.keys.get(check_set)?.get(check)?;
            Some(Checked { check_set, check, digest, written, keys })
        };
        self.asked.iter().filter_map(question).collect()
    }
}

/// Chooses the check set, and answers what needs no attestations.
pub fn plan<'p>(policy: &'p TrustedGkePolicy, pod: Pod, limits: &Limits) -> Plan<'p> {
    let written = policy.policy();
    let sets = written.check_sets.iter().enumerate();
    let check_set = sets.into_iter().find(|(_, set)| matches(&set.scope, &pod));
    let mut asked = BTreeSet::new();
    let count = pod.images.len();
    let too_many = (count > limits.images_max)
        .then(|| format!("The pod names {count} images, more than {}", limits.images_max));
    let mut image_plan = |image: &str| {
        let image = match too_many.clone().map_or_else(|| reference(image, limits), Err) {
            Ok(image) => image,
            Err(cause) => return ImagePlan::Decided(ImageOutcome::Refused { cause }),
        };
        if let Some(pattern) = exempting(&written.image_allowlist, &image) {
            return ImagePlan::Decided(ImageOutcome::Exempt { pattern });
        }
        match check_set {
            Some((index, set)) => {
                let plan = under_check_set(set, &image, &mut asked);
                ImagePlan::CheckSet { index, set, plan }
            }
            None if written.check_sets.is_empty() => ImagePlan::Decided(ImageOutcome::NoCheckSets),
            None => ImagePlan::Decided(ImageOutcome::Refused {
                cause: message::NO_CHECK_SET.to_owned(),
            }),
        }
    };
    let images = pod.images.iter().map(|image| image_plan(image)).collect();
    Plan { policy, pod, check_set, images, asked }
}

fn matches(scope: &Scope, pod: &Pod) -> bool {
    let namespace = pod.namespace.as_deref();
    match scope {
        Scope::KubernetesServiceAccount(account) => {
            account.split_once(':') == namespace.zip(pod.service_account.as_deref())
        }
        Scope::KubernetesNamespace(name) => namespace == Some(name),
        Scope::Default => true,
    }
}

/// No runtime pulls what is not a reference, and patterns are matched against those only.
fn reference(image: &str, limits: &Limits) -> Result<ImageReference, String> {
    if image.len() > limits.image_bytes_max {
        let (bytes, max) = (image.len(), limits.image_bytes_max);
        return Err(format!("The image reference has {bytes} bytes, more than {max}"));
    }
    ImageReference::parse(image).map_err(|error| message::malformed(&error))
}

fn exempting(allowlist: &[AllowPattern], image: &ImageReference) -> Option<String> {
    let pattern = allowlist.iter().find(|pattern| pattern.matches(image))?;
    Some(pattern.as_str().to_owned())
}

fn under_check_set(
    set: &CheckSet,
    image: &ImageReference,
    asked: &mut BTreeSet<Asked>,
) -> CheckSetPlan {
    if let Some(pattern) = exempting(&set.image_allowlist, image) {
        return CheckSetPlan::Decided(CheckSetOutcome::Exempt { pattern });
    }
    if set.checks.is_empty() {
        return CheckSetPlan::Decided(CheckSetOutcome::NoChecks);
    }
    let checks = set.checks.iter().enumerate().map(|(index, check)| {
        let plan = check_plan(index, check, image);
        if let CheckPlan::Attestation(question) = plan {
            asked.insert(question);
        }
        plan
    });
    CheckSetPlan::Checks(checks.collect())
}

fn check_plan(index: usize, check: &PolicyCheck, image: &ImageReference) -> CheckPlan {
    if let Some(pattern) = exempting(&check.image_allowlist, image) {
        return CheckPlan::Decided(CheckOutcome::Exempt { pattern });
    }
    let (verdict, cause) = match &check.kind {
        CheckKind::SimpleSigningAttestation(_) => match image.digest() {
            Some(digest) => return CheckPlan::Attestation((index, digest)),
            None => (Conformance::NonConformant, message::DIGEST_REQUIRED.to_owned()),
        },
        CheckKind::TrustedDirectory(directories) => trusted_directory(directories, image),
        CheckKind::AlwaysDeny => (Conformance::NonConformant, message::ALWAYS_DENY.to_owned()),
        CheckKind::ImageFreshness(_)
        | CheckKind::SigstoreSignature(_)
        | CheckKind::Slsa(_)
        | CheckKind::Vulnerability(_) => {
            (Conformance::NonConformant, message::NOT_EVALUATED.to_owned())
        }
    };
    CheckPlan::Decided(CheckOutcome::Evaluated { verdict, cause, authenticators: Vec::new() })
}

fn trusted_directory(
    directories: &[TrustedDirectory],
    image: &ImageReference,
) -> (Conformance, String) {
    match directories.iter().find(|directory| directory.holds(image)) {
        Some(directory) => {
            (Conformance::Conformant, format!("Image is in trusted directory {directory}"))
        }
        None => (Conformance::NonConformant, message::NOT_IN_TRUSTED_DIRECTORY.to_owned()),
    }
}
