//! The immutable picture of all policies and trusted attestors that a request is decided under.
//! A request holds one from its first byte to its audit record.

use std::collections::HashMap;
use std::sync::Arc;

use hallmark_core::attestor::TrustedAttestor;
use hallmark_core::names::{AttestorName, ProjectId};
use hallmark_core::policy::{Policies, Policy, ProjectPolicy, SystemPolicy};

/// Everything a decision depends on, evidence aside.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows by one with every change of policy, attestor or key; part of every decision's key.
    pub generation: u64,
    /// Per project.
    pub projects: HashMap<ProjectId, Arc<ProjectSnapshot>>,
    /// Asked first where a policy says so.
    pub system: Arc<SystemPolicy>,
}

/// One project in a snapshot.
#[derive(Debug, Default)]
pub struct ProjectSnapshot {
    /// The policy, where one was written.
    pub policy: Option<Policy>,
    /// Its attestors with their keys resolved.
    pub attestors: HashMap<AttestorName, Arc<TrustedAttestor>>,
}

impl Snapshot {
    /// The policies that a request of `project` is decided under.
    pub fn policies<'a>(&'a self, project: &'a ProjectId) -> Policies<'a> {
        let policy = match self.projects.get(project).map(|known| known.policy.as_ref()) {
            Some(Some(policy)) => ProjectPolicy::Written(policy),
            Some(None) => ProjectPolicy::Absent,
            None => ProjectPolicy::UnknownProject,
        };
        Policies { project, policy, system: &self.system }
    }

    /// An attestor of any project.
    pub fn attestor(&self, name: &AttestorName) -> Option<&Arc<TrustedAttestor>> {
        self.projects.get(name.project())?.attestors.get(name)
    }
}
