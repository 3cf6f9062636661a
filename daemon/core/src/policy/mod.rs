//! The policy of a project: which admission rule governs a request, and what it asks for.
//!
//! [`parse`] reads the documents of Google's service, [`render`] writes them, [`pattern`] matches
//! allowlist patterns, [`select`] chooses the one rule. `system` holds the system policy that
//! comes with the daemon.

pub mod parse;
pub mod pattern;
pub mod render;
pub mod select;
mod system;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::names::{AttestorName, ProjectId};
use pattern::AllowlistPattern;

/// A project's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Free text.
    pub description: String,
    /// Says if the system policy is asked first.
    pub global_policy_evaluation_mode: GlobalPolicyEvaluationMode,
    /// Images that are always allowed, tags included.
    pub admission_whitelist_patterns: Vec<AllowlistPattern>,
    /// The rule where no specific one matches.
    pub default_admission_rule: AdmissionRule,
    /// The specific rules. A policy has rules of at most one kind.
    pub specific_rules: SpecificRules,
    /// Changes with every write; quoted, opaque; empty where never written.
    pub etag: String,
    /// RFC 3339, set by the daemon; empty where never written.
    pub update_time: String,
}

/// Description of [`Policy::not_written`].
const NOT_WRITTEN: &str = "No policy was written for this project, so every image is denied. Write \
    one with `hallmark policy import FILE`, or as policy.yaml in the project's directory under \
    --config-dir.";

impl Policy {
    /// The answer of Google's service for a project that never had a policy: everything is allowed,
    /// the system policy is asked.
    pub fn google_default() -> Self {
        Self {
            description: String::new(),
            global_policy_evaluation_mode: GlobalPolicyEvaluationMode::Enable,
            admission_whitelist_patterns: Vec::new(),
            default_admission_rule: AdmissionRule {
                evaluation: EvaluationMode::AlwaysAllow,
                enforcement: EnforcementMode::EnforcedBlockAndAuditLog,
            },
            specific_rules: SpecificRules::None,
            etag: String::new(),
            update_time: String::new(),
        }
    }

    /// The policy that a project without one is decided as: everything is denied, the system policy
    /// is not asked. Its description says why, and how to write one.
    pub fn not_written() -> Self {
        Self {
            description: NOT_WRITTEN.to_owned(),
            global_policy_evaluation_mode: GlobalPolicyEvaluationMode::Disable,
            default_admission_rule: AdmissionRule {
                evaluation: EvaluationMode::AlwaysDeny,
                enforcement: EnforcementMode::EnforcedBlockAndAuditLog,
            },
            ..Self::google_default()
        }
    }
}

/// The outcome for a project that holds resources but no policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutPolicy {
    /// Every image is denied until a policy is written.
    #[default]
    Deny,
    /// Every image is allowed, as by Google's service.
    Allow,
}

impl WithoutPolicy {
    /// The policy that says the same, as `GetPolicy` answers it.
    pub fn policy(self) -> Policy {
        match self {
            Self::Deny => Policy::not_written(),
            Self::Allow => Policy::google_default(),
        }
    }
}

/// `globalPolicyEvaluationMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GlobalPolicyEvaluationMode {
    /// Not said: as `Disable`.
    #[default]
    Unspecified,
    /// The system policy is asked before this one.
    Enable,
    /// The system policy is not asked.
    Disable,
}

/// The demand of a rule, and the effect of a denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdmissionRule {
    /// The rule's demand.
    pub evaluation: EvaluationMode,
    /// The effect of a denial.
    pub enforcement: EnforcementMode,
}

impl AdmissionRule {
    /// The attestors that it asks for.
    pub fn attestors(&self) -> &[AttestorName] {
        match &self.evaluation {
            EvaluationMode::RequireAttestation(attestors) => attestors,
            EvaluationMode::AlwaysAllow | EvaluationMode::AlwaysDeny => &[],
        }
    }
}

/// `evaluationMode` together with `requireAttestationsBy`, which belongs to one mode only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluationMode {
    /// Everything is allowed.
    AlwaysAllow,
    /// Every one of these attestors must have attested the digest. Never empty.
    RequireAttestation(Vec<AttestorName>),
    /// Everything is denied.
    AlwaysDeny,
}

/// `enforcementMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnforcementMode {
    /// A denial blocks and is recorded.
    EnforcedBlockAndAuditLog,
    /// A denial is recorded only.
    DryrunAuditLogOnly,
}

/// The one rule map of a policy that is not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SpecificRules {
    /// No specific rules.
    #[default]
    None,
    /// By `LOCATION.CLUSTER`.
    Cluster(BTreeMap<String, AdmissionRule>),
    /// By namespace.
    KubernetesNamespace(BTreeMap<String, AdmissionRule>),
    /// By `NAMESPACE:SERVICE_ACCOUNT`.
    KubernetesServiceAccount(BTreeMap<String, AdmissionRule>),
    /// By `DOMAIN/ns/NAMESPACE/sa/SERVICE_ACCOUNT`, stored without `spiffe://`.
    IstioServiceIdentity(BTreeMap<String, AdmissionRule>),
}

impl Policy {
    /// Every admission rule, the default one first.
    pub fn rules(&self) -> impl Iterator<Item = &AdmissionRule> {
        let specific = match &self.specific_rules {
            SpecificRules::None => None,
            SpecificRules::Cluster(rules)
            | SpecificRules::KubernetesNamespace(rules)
            | SpecificRules::KubernetesServiceAccount(rules)
            | SpecificRules::IstioServiceIdentity(rules) => Some(rules),
        };
        std::iter::once(&self.default_admission_rule)
            .chain(specific.into_iter().flat_map(BTreeMap::values))
    }
}

/// Which rule governs a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleMatch {
    /// No specific rule matched.
    Default,
    /// The rule of this cluster.
    Cluster(String),
    /// The rule of this namespace.
    KubernetesNamespace(String),
    /// The rule of this `NAMESPACE:SERVICE_ACCOUNT`.
    KubernetesServiceAccount(String),
    /// The rule of this mesh identity.
    IstioServiceIdentity(String),
}

impl RuleMatch {
    /// The kind as a bounded word, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Cluster(_) => "cluster",
            Self::KubernetesNamespace(_) => "namespace",
            Self::KubernetesServiceAccount(_) => "service_account",
            Self::IstioServiceIdentity(_) => "istio_identity",
        }
    }
}

impl fmt::Display for RuleMatch {
    /// The wording of Google's denials: `default admission rule`, `cluster admission rule for L.C`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default admission rule"),
            Self::Cluster(key) => write!(f, "cluster admission rule for {key}"),
            Self::KubernetesNamespace(key) => write!(f, "namespace admission rule for {key}"),
            Self::KubernetesServiceAccount(key) => {
                write!(f, "service account admission rule for {key}")
            }
            Self::IstioServiceIdentity(key) => {
                write!(f, "istio service identity admission rule for {key}")
            }
        }
    }
}

/// The policy that is asked before a project's own where that says
/// `globalPolicyEvaluationMode: ENABLE`: patterns of images that every cluster needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemPolicy {
    /// A match allows.
    pub admission_whitelist_patterns: Vec<AllowlistPattern>,
}

/// The policies that a request is decided under.
#[derive(Clone, Copy, Debug)]
pub struct Policies<'a> {
    /// The project of the request.
    pub project: &'a ProjectId,
    /// The policy of that project, as far as it is known.
    pub policy: ProjectPolicy<'a>,
    /// The system policy.
    pub system: &'a SystemPolicy,
}

/// A project's policy, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum ProjectPolicy<'a> {
    /// The policy as written.
    Written(&'a Policy),
    /// The project holds resources but no policy.
    Absent(WithoutPolicy),
    /// The project holds nothing at all, so its name is likely wrong: denied.
    UnknownProject,
}
