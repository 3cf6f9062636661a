//! plan → pair → decide.
//!
//! [`plan::plan`] decides what the policy alone decides and names the digests that need
//! attestations. [`portion::portions`] cuts what is stored of one into steps of a bounded price.
//! [`pair::pair`] finds the signatures to verify in one of them. [`decide::conclude`] joins those
//! with their verdicts to an evaluation of the digest, [`decide::join`] the evaluations of all
//! portions, [`decide::decide`] those to the decision. [`explain`] bounds what it says.

pub mod attested;
mod dated;
pub mod decide;
pub mod explain;
pub(crate) mod message;
pub mod pair;
pub mod plan;
pub mod portion;
pub mod question;
#[cfg(test)]
mod tests;

use crate::attributes::{ClusterName, MeshIdentity, Namespace, ServiceAccount};
use crate::names::ProjectId;

/// The question that is asked: may these images run here?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose policy decides.
    pub project: ProjectId,
    /// The cluster it is for.
    pub cluster: Option<ClusterName>,
    /// The namespace of the pod.
    pub namespace: Option<Namespace>,
    /// The service account of the pod.
    pub service_account: Option<ServiceAccount>,
    /// The mesh identity of the workload.
    pub istio_identity: Option<MeshIdentity>,
    /// One to [`crate::limits::Limits::images_max`], exactly as the workload names them.
    pub images: Vec<Box<str>>,
    /// True if enforcement is lifted for this request. Recorded, whatever the outcome.
    pub break_glass: bool,
}
