//! The policy of a project.

use std::collections::BTreeSet;
use std::sync::Arc;

use hallmark_core::names::{AttestorName, ProjectId};
use hallmark_core::policy::{Policy, SpecificRules, SystemPolicy};
use hallmark_core::resource::Resource;

use super::error::ResourceError;
use super::{Inner, Resources, Written, etag};
use crate::store::{Given, Write};

impl Resources {
    /// The policy of a project, or the one that it is decided as if none was written.
    pub async fn policy(&self, project: ProjectId) -> Result<Policy, ResourceError> {
        self.blocking(move |inner| {
            let without = inner.snapshots.current().without_policy;
            Ok(inner.store.project(&project)?.policy.unwrap_or_else(|| without.policy()))
        })
        .await
    }

    /// Replaces the policy of a project, whole. An etag in `policy` must be the current one.
    pub async fn put_policy(
        &self,
        project: ProjectId,
        policy: Policy,
    ) -> Result<Written<Policy>, ResourceError> {
        self.writing(project.clone(), move |inner| inner.put_policy(&project, policy)).await
    }

    /// The policy that is asked before a project's own.
    pub fn system_policy(&self) -> Arc<SystemPolicy> {
        Arc::clone(&self.0.snapshots.current().system)
    }
}

impl Inner {
    fn put_policy(
        &self,
        project: &ProjectId,
        mut policy: Policy,
    ) -> Result<Written<Policy>, ResourceError> {
        self.writable()?;
        self.check_attestors(&policy)?;
        let expected_etag = etag::expected(&policy.etag);
        policy.update_time = etag::now();
        policy.etag = etag::fresh(&format!("projects/{project}/policy"), &policy.update_time);
        let written = Resource::Policy(project.clone(), policy.clone());
        let names = required(&policy).into_iter().flat_map(|(_, attestors)| attestors);
        let named: BTreeSet<_> = names.cloned().collect();
        let exist = named.into_iter().map(|name| Given::Exists(name.into()));
        let write = Write::replace(written).given(exist).given_etag(expected_etag);
        let etag_before = self.store.apply(write)?;
        self.publish(project)?;
        Ok(Written { resource: policy, etag_before })
    }

    /// Checks that every attestor named exists; the error has the path of the one that does not.
    /// The snapshot knows: no write of an attestor is acknowledged before it is in there. One that
    /// is deleted meanwhile is noticed by the write.
    fn check_attestors(&self, policy: &Policy) -> Result<(), ResourceError> {
        let snapshot = self.snapshots.current();
        for (rule, attestors) in required(policy) {
            for (i, name) in attestors.iter().enumerate() {
                if snapshot.attestor(name).is_none() {
                    return Err(ResourceError::invalid(
                        format!("{rule}.requireAttestationsBy[{i}]"),
                        format!("{name} does not exist: create the attestor first"),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The attestors that each rule names, by the path of the rule.
fn required(policy: &Policy) -> Vec<(String, &[AttestorName])> {
    let (map, rules) = match &policy.specific_rules {
        SpecificRules::None => ("", None),
        SpecificRules::Cluster(rules) => ("clusterAdmissionRules", Some(rules)),
        SpecificRules::KubernetesNamespace(rules) => {
            ("kubernetesNamespaceAdmissionRules", Some(rules))
        }
        SpecificRules::KubernetesServiceAccount(rules) => {
            ("kubernetesServiceAccountAdmissionRules", Some(rules))
        }
        SpecificRules::IstioServiceIdentity(rules) => {
            ("istioServiceIdentityAdmissionRules", Some(rules))
        }
    };
    let specific = rules.into_iter().flatten().map(|(key, rule)| (format!("{map}[{key:?}]"), rule));
    std::iter::once(("defaultAdmissionRule".to_owned(), &policy.default_admission_rule))
        .chain(specific)
        .map(|(path, rule)| (path, rule.attestors()))
        .collect()
}
