//! Platform policies: checks that the images of a pod must pass.
//!
//! [`parse`] reads the documents of Google's service, [`render`] writes them. [`allow_pattern`] and
//! [`trusted_directory`] are the two grammars of image patterns there. [`evaluate`] answers for one
//! pod; [`result`] is that answer. Every kind of check is read, checked for validity and kept; those
//! that need more than attestations, time and names conform to nothing.

pub mod allow_pattern;
pub mod evaluate;
pub mod parse;
pub mod render;
pub mod result;
pub mod trusted_directory;

use std::sync::Arc;

use crate::attestor::{PublicKey, VerificationKey};
use crate::names::{NoteName, PlatformPolicyName, ProjectId};
use crate::policy::EnforcementMode;
use crate::policy::pattern::AllowlistPattern;
use allow_pattern::AllowPattern;
use trusted_directory::TrustedDirectory;

/// A policy for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformPolicy {
    /// `projects/P/platforms/PL/policies/I`; immutable. Its platform is that of `rules`.
    pub name: PlatformPolicyName,
    /// Free text.
    pub description: String,
    /// The rules that it asks for.
    pub rules: PlatformRules,
    /// Changes with every write; quoted, opaque; empty where never written.
    pub etag: String,
    /// RFC 3339, set by the daemon; empty where never written.
    pub update_time: String,
}

impl PlatformPolicy {
    /// Every key with an algorithm that the policy holds, each with its dotted path: a write
    /// resolves each and fills in the ids that are missing.
    pub fn public_keys_mut(&mut self) -> Vec<(String, &mut PublicKey)> {
        match &mut self.rules {
            PlatformRules::Gke(policy) => policy
                .check_sets
                .iter_mut()
                .enumerate()
                .flat_map(|(i, set)| {
                    let path = move |j| format!("gkePolicy.checkSets[{i}].checks[{j}]");
                    set.checks.iter_mut().enumerate().map(move |(j, check)| (path(j), check))
                })
                .flat_map(|(path, check)| keys_of_check(&path, check))
                .collect(),
            PlatformRules::CloudRun(policy) => match &mut policy.rule.evaluation {
                InlineEvaluation::RequireAttestation(attestors) => attestors
                    .iter_mut()
                    .enumerate()
                    .flat_map(|(i, attestor)| {
                        let path = format!("cloudRunPolicy.rule.requiredAttestors[{i}].publicKeys");
                        numbered(path, &mut attestor.public_keys)
                    })
                    .collect(),
                InlineEvaluation::AlwaysAllow | InlineEvaluation::AlwaysDeny => Vec::new(),
            },
        }
    }
}

fn keys_of_check<'a>(path: &str, check: &'a mut PolicyCheck) -> Vec<(String, &'a mut PublicKey)> {
    let CheckKind::SimpleSigningAttestation(check) = &mut check.kind else { return Vec::new() };
    let authenticators = check.authenticators.iter_mut().enumerate();
    let keys = authenticators.flat_map(|(i, authenticator)| {
        let path = format!(
            "{path}.simpleSigningAttestationCheck.attestationAuthenticators[{i}].\
             pkixPublicKeySet.pkixPublicKeys"
        );
        numbered(path, &mut authenticator.public_keys)
    });
    keys.collect()
}

fn numbered(
    path: String,
    keys: &mut [PublicKey],
) -> impl Iterator<Item = (String, &mut PublicKey)> {
    keys.iter_mut().enumerate().map(move |(i, key)| (format!("{path}[{i}]"), key))
}

/// The part of a platform policy that only its platform has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlatformRules {
    /// `gkePolicy`.
    Gke(GkePolicy),
    /// `cloudRunPolicy`.
    CloudRun(InlineCloudRunPolicy),
}

/// Checks for the pods of Kubernetes clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GkePolicy {
    /// Images exempt from all of it, tags included.
    pub image_allowlist: Vec<AllowPattern>,
    /// The first whose scope matches a pod is the one that is evaluated. Where there are any, the
    /// last matches every pod; without any, every image conforms.
    pub check_sets: Vec<CheckSet>,
}

impl GkePolicy {
    /// The keys of every authenticator, as written.
    pub fn public_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let checks = self.check_sets.iter().flat_map(|set| &set.checks);
        let authenticators = checks.flat_map(|check| match &check.kind {
            CheckKind::SimpleSigningAttestation(check) => check.authenticators.as_slice(),
            _ => &[],
        });
        authenticators.flat_map(|authenticator| &authenticator.public_keys)
    }
}

/// Checks for the pods of one scope; all of them must conform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSet {
    /// Free text.
    pub display_name: String,
    /// Which pods it is for.
    pub scope: Scope,
    /// Images exempt from all of its checks.
    pub image_allowlist: Vec<AllowPattern>,
    /// Without any, every image conforms.
    pub checks: Vec<PolicyCheck>,
}

/// Which pods a check set is for, the most specific kind first: the order in which check sets stand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// `NAMESPACE:SERVICE_ACCOUNT`.
    KubernetesServiceAccount(String),
    /// One namespace.
    KubernetesNamespace(String),
    /// Every pod.
    Default,
}

/// One check of a check set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyCheck {
    /// Free text.
    pub display_name: String,
    /// Images exempt from this check.
    pub image_allowlist: Vec<AllowPattern>,
    /// The condition that it asks for.
    pub kind: CheckKind,
}

/// The condition that a check asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// Nothing conforms.
    AlwaysDeny,
    /// `imageFreshnessCheck.maxUploadAgeDays`, at least 1. Not evaluated.
    ImageFreshness(u32),
    /// `sigstoreSignatureCheck.sigstoreAuthorities`, never empty. Not evaluated.
    SigstoreSignature(Vec<SigstoreAuthority>),
    /// The image is attested by one of several authenticators.
    SimpleSigningAttestation(SimpleSigningAttestationCheck),
    /// `slsaCheck.rules`, never empty. Not evaluated.
    Slsa(Vec<VerificationRule>),
    /// The image resides in one of these; never empty.
    TrustedDirectory(Vec<TrustedDirectory>),
    /// The image has no vulnerability beyond these bounds. Not evaluated.
    Vulnerability(VulnerabilityCheck),
}

impl CheckKind {
    /// The name that Google's logs and answers give it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::AlwaysDeny => "AlwaysDeny",
            Self::ImageFreshness(_) => "ImageFreshnessCheck",
            Self::SigstoreSignature(_) => "SigstoreSignatureCheck",
            Self::SimpleSigningAttestation(_) => "SimpleSigningAttestationCheck",
            Self::Slsa(_) => "SlsaCheck",
            Self::TrustedDirectory(_) => "TrustedDirectoryCheck",
            Self::Vulnerability(_) => "VulnerabilityCheck",
        }
    }
}

/// One attestation in any of `projects`, by any key of any authenticator, is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimpleSigningAttestationCheck {
    /// Where attestations are looked for, whatever their note; each once. Empty: nothing is found.
    pub projects: Vec<ProjectId>,
    /// Never empty.
    pub authenticators: Vec<AttestationAuthenticator>,
}

/// A set of keys of which any may have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationAuthenticator {
    /// Free text.
    pub display_name: String,
    /// Each of PKIX form, without a comment; never empty.
    pub public_keys: Vec<PublicKey>,
}

/// A set of keys of which any may have made a cosign signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigstoreAuthority {
    /// Free text.
    pub display_name: String,
    /// `publicKeySet.publicKeys[].publicKeyPem`; never empty.
    pub public_key_pems: Vec<String>,
}

/// The demands on a provenance attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerificationRule {
    /// Who built the image.
    pub trusted_builder: TrustedBuilder,
    /// Where provenance is looked for; each once.
    pub attestation_projects: Vec<ProjectId>,
    /// True if the build must come from a configuration at the top of a trusted repository.
    pub config_based_build_required: bool,
    /// Repository URLs without scheme; `/*` and `/**` may end one.
    pub trusted_source_repo_patterns: Vec<String>,
    /// An expression in CEL on the provenance; empty where there is none.
    pub custom_constraints: String,
}

/// `trustedBuilder`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedBuilder {
    /// Cloud Build.
    GoogleCloudBuild,
}

/// The bounds on the severity of an image's vulnerabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VulnerabilityCheck {
    /// Of vulnerabilities with a fix.
    pub maximum_fixable_severity: MaximumSeverity,
    /// Of vulnerabilities without one.
    pub maximum_unfixable_severity: MaximumSeverity,
    /// Never counted; stronger than `blocked_cves`.
    pub allowed_cves: Vec<String>,
    /// Always counted.
    pub blocked_cves: Vec<String>,
    /// Where scans are looked for; each once.
    pub projects: Vec<ProjectId>,
}

/// `MaximumAllowedSeverity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaximumSeverity {
    /// No vulnerability at all.
    BlockAll,
    /// Up to minimal.
    Minimal,
    /// Up to low.
    Low,
    /// Up to medium.
    Medium,
    /// Up to high.
    High,
    /// Up to critical.
    Critical,
    /// Any, even of unknown severity.
    AllowAll,
}

/// A policy for Cloud Run with its attestors inline. Stored for clients that keep it here; no
/// pod is evaluated under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineCloudRunPolicy {
    /// Images that are always allowed.
    pub allowlist_patterns: Vec<AllowlistPattern>,
    /// The one rule.
    pub rule: EvaluationRule,
}

/// The demand of a Cloud Run policy, and the effect of a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvaluationRule {
    /// The rule's demand.
    pub evaluation: InlineEvaluation,
    /// The effect of a denial.
    pub enforcement: EnforcementMode,
}

/// `evaluationMode` together with `requiredAttestors`, which belongs to one mode only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InlineEvaluation {
    /// Everything is allowed.
    AlwaysAllow,
    /// Every one of these must have attested the digest. Never empty.
    RequireAttestation(Vec<InlineAttestor>),
    /// Everything is denied.
    AlwaysDeny,
}

/// An attestor that exists in its policy only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineAttestor {
    /// Unique in its policy.
    pub id: String,
    /// Free text.
    pub description: String,
    /// Where its attestations are found.
    pub attestation_note: NoteName,
    /// The keys it trusts. Empty: nothing it is asked about is ever attested.
    pub public_keys: Vec<PublicKey>,
}

/// The keys of an authenticator, or why they are unavailable.
pub type AuthenticatorKeys = Result<Vec<Arc<VerificationKey>>, String>;

/// A policy ready to evaluate with: every authenticator's keys are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedGkePolicy {
    policy: GkePolicy,
    /// By check set, check and authenticator; empty for checks that have none.
    keys: Vec<Vec<Vec<AuthenticatorKeys>>>,
}

impl TrustedGkePolicy {
    /// `policy` with the keys that `trust` finds for each of its authenticators.
    pub fn new(
        policy: GkePolicy,
        mut trust: impl FnMut(&AttestationAuthenticator) -> AuthenticatorKeys,
    ) -> Self {
        let mut of_check = |check: &PolicyCheck| match &check.kind {
            CheckKind::SimpleSigningAttestation(check) => {
                check.authenticators.iter().map(&mut trust).collect()
            }
            _ => Vec::new(),
        };
        let of_set = |set: &CheckSet| set.checks.iter().map(&mut of_check).collect();
        let keys = policy.check_sets.iter().map(of_set).collect();
        Self { policy, keys }
    }

    /// The policy as written.
    pub fn policy(&self) -> &GkePolicy {
        &self.policy
    }

    /// The keys of every authenticator.
    pub fn keys(&self) -> impl Iterator<Item = &AuthenticatorKeys> {
        self.keys.iter().flatten().flatten()
    }
}
