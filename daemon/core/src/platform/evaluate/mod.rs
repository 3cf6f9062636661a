//! plan → questions → decide, for one pod under one policy.
//!
//! [`plan::plan`] chooses the check set and answers what names alone answer; its
//! [`plan::Plan::questions`] are those that need attestations. [`checked`] answers them as
//! [`crate::evaluate`] does its own, and [`decide::decide`] joins the answers to that for the pod.

pub mod checked;
pub mod decide;
mod message;
pub mod plan;

use crate::attributes::{Namespace, ServiceAccount};

/// The pod that is asked about, whatever platform or document it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// For the answer only; empty where it has none.
    pub name: Box<str>,
    /// Kubernetes namespace. Without one, no check set of a namespace or service account matches.
    pub namespace: Option<Namespace>,
    /// Kubernetes service account, without its namespace.
    pub service_account: Option<ServiceAccount>,
    /// One to [`crate::limits::Limits::images_max`], exactly as the pod names them.
    pub images: Vec<Box<str>>,
}
