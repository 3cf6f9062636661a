//! The webhooks of Kubernetes API servers and of Gatekeeper.

pub(super) mod admission_review;
pub(super) mod external_data;
pub(super) mod image_review;

mod webhook;

use serde::Deserialize;

/// Answers to Kubernetes API servers beside the verdicts on pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// Objects that pods are made from.
    pub workloads: Workloads,
    /// Objects whose images nobody knows how to find.
    pub unknown_kinds: UnknownKinds,
}

/// The answer for a workload whose pods would be denied: a Deployment, a CronJob, a PodTemplate, ….
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workloads {
    /// It is allowed with a warning; its pods are denied when they come.
    #[default]
    Warn,
    /// It is denied as its pods would be.
    Deny,
    /// It is allowed unseen.
    Ignore,
}

/// The answer for an object of a kind that is neither a pod nor a known workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownKinds {
    /// It is denied: a pod might hide in it.
    #[default]
    Deny,
    /// It is allowed unseen.
    Allow,
}
