//! The content of a store, as plain lists that are searched from end to end: the meaning of each
//! read, with no index to be wrong.

use hallmark_core::attestor::Attestor;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::occurrence::{Attestation, Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::policy::Policy;
use hallmark_core::resource::Resource;
use hallmark_core::resource::ResourceName;

use crate::auth::iam::{IamPolicy, IamResource};
use crate::store::Change;
use crate::store::Told;
use crate::store::Watch;
use crate::store::WatchError;
use crate::store::query::matches;
use crate::store::samples::unproven;
use crate::store::{
    EvidencePage, EvidenceQuery, OccurrenceQuery, ProjectResources, Store, StoreError, Write,
};
use std::sync::Arc;

/// Resources, each list in the order of names.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Model {
    policies: Vec<(ProjectId, Policy)>,
    attestors: Vec<Attestor>,
    notes: Vec<Note>,
    occurrences: Vec<Occurrence>,
    platform_policies: Vec<PlatformPolicy>,
    iam: Vec<(IamResource, IamPolicy)>,
}

impl Model {
    /// The outcome of writes, all of which are legal.
    pub(super) fn of(writes: &[Write]) -> Self {
        let mut model = Self::default();
        writes.iter().cloned().for_each(|write| model.write(write));
        model.policies.sort_by(|one, other| one.0.cmp(&other.0));
        model.attestors.sort_by(|one, other| one.name.cmp(&other.name));
        model.notes.sort_by(|one, other| one.name.cmp(&other.name));
        model.occurrences.sort_by(|one, other| one.name.cmp(&other.name));
        model.platform_policies.sort_by(|one, other| one.name.cmp(&other.name));
        model
    }

    /// Writes that create all that is held.
    pub(in crate::store) fn creates(&self) -> Vec<Write> {
        let mut creates = Vec::new();
        let policies = self.policies.iter().cloned();
        creates.extend(
            policies.map(|(project, policy)| Write::replace(Resource::Policy(project, policy))),
        );
        creates.extend(self.attestors.iter().cloned().map(Write::create));
        creates.extend(self.notes.iter().cloned().map(Write::create));
        creates.push(unproven(self.occurrences.clone()));
        creates.extend(self.platform_policies.iter().cloned().map(Write::create));
        let iam = self.iam.iter().cloned();
        creates.extend(iam.map(|(resource, policy)| Write::put_iam_policy(resource, policy)));
        creates
    }

    fn write(&mut self, write: Write) {
        match write.change {
            Change::Create(new) => new.into_iter().for_each(|(one, _)| self.put(one)),
            Change::Replace(resource) => self.put(resource),
            Change::Delete(name) => {
                self.remove(&name);
                self.iam.retain(|(held, _)| ResourceName::from(held.clone()) != name);
            }
            Change::PutIamPolicy(resource, policy) => {
                self.iam.retain(|(held, _)| *held != resource);
                self.iam.push((resource, policy));
            }
        }
    }

    fn put(&mut self, resource: Resource) {
        self.remove(&resource.name());
        match resource {
            Resource::Policy(project, policy) => self.policies.push((project, policy)),
            Resource::Attestor(attestor) => self.attestors.push(attestor),
            Resource::Note(note) => self.notes.push(note),
            Resource::Occurrence(occurrence) => self.occurrences.push(occurrence),
            Resource::PlatformPolicy(policy) => self.platform_policies.push(policy),
        }
    }

    fn remove(&mut self, name: &ResourceName) {
        match name {
            ResourceName::Policy(project) => self.policies.retain(|(held, _)| held != project),
            ResourceName::Attestor(name) => self.attestors.retain(|held| held.name != *name),
            ResourceName::Note(name) => self.notes.retain(|held| held.name != *name),
            ResourceName::Occurrence(name) => self.occurrences.retain(|held| held.name != *name),
            ResourceName::PlatformPolicy(name) => {
                self.platform_policies.retain(|held| held.name != *name);
            }
        }
    }

    fn projects(&self) -> Vec<ProjectId> {
        let mut projects: Vec<_> = self.policies.iter().map(|(project, _)| project).collect();
        projects.extend(self.attestors.iter().map(|one| one.name.project()));
        projects.extend(self.notes.iter().map(|one| one.name.project()));
        projects.extend(self.occurrences.iter().map(|one| one.name.project()));
        projects.extend(self.platform_policies.iter().map(|one| one.name.project()));
        projects.sort();
        projects.dedup();
        projects.into_iter().cloned().collect()
    }

    /// The attestations of a digest whose note exists.
    fn attestations(
        &self,
        digest: &Digest,
        is_wanted: impl Fn(&Occurrence) -> bool,
    ) -> Vec<Attestation> {
        let found = self.occurrences.iter().filter(|one| one.digest == Some(*digest));
        let found = found.filter(|one| self.notes.iter().any(|note| note.name == one.note));
        let found = found.filter(|one| is_wanted(one)).filter_map(|one| {
            let body = one.attestation.clone()?;
            let (payload, signatures) = (body.payload, body.signatures);
            Some(Attestation {
                occurrence: one.name.clone(),
                payload,
                signatures,
                first_signature: 0,
            })
        });
        found.collect()
    }
}

/// Those after `after`, at most `limit`.
fn page<'a, R: Clone + 'a, N: Ord + 'a>(
    sorted: impl Iterator<Item = &'a R>,
    name: impl Fn(&R) -> &N,
    after: Option<&N>,
    limit: usize,
) -> Vec<R> {
    sorted.filter(|one| after.is_none_or(|after| name(one) > after)).take(limit).cloned().collect()
}

impl Store for Model {
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError> {
        let with_resources = |name: ProjectId| Ok((name.clone(), self.project(&name)?));
        self.projects().into_iter().map(with_resources).collect()
    }
    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError> {
        let policy = self.policies.iter().find(|(held, _)| held == project);
        let attestors = self.attestors.iter().filter(|one| one.name.project() == project);
        let policies = self.platform_policies.iter().filter(|one| one.name.project() == project);
        Ok(ProjectResources {
            policy: policy.map(|(_, policy)| policy.clone()),
            attestors: attestors.cloned().collect(),
            platform_policies: policies.cloned().collect(),
            known: self.projects().contains(project),
        })
    }

    fn note(&self, name: &NoteName) -> Result<Option<Note>, StoreError> {
        Ok(self.notes.iter().find(|note| note.name == *name).cloned())
    }

    fn notes(
        &self,
        project: &ProjectId,
        after: Option<&NoteName>,
        limit: usize,
    ) -> Result<Vec<Note>, StoreError> {
        let found = self.notes.iter().filter(|note| note.name.project() == project);
        Ok(page(found, |note| &note.name, after, limit))
    }

    fn occurrence(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, StoreError> {
        Ok(self.occurrences.iter().find(|one| one.name == *name).cloned())
    }

    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, StoreError> {
        let found = self.occurrences.iter().filter(|one| matches(query, one));
        Ok(page(found, |one| &one.name, after, limit))
    }

    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError> {
        let of = |EvidenceQuery { lookup, .. }: &EvidenceQuery| {
            let attestations = match lookup {
                Lookup::UnderNote(note, digest) => {
                    self.attestations(digest, |one| one.note == *note)
                }
                Lookup::InProject(project, digest) => {
                    self.attestations(digest, |one| one.name.project() == project)
                }
            };
            EvidencePage { attestations, next: None }
        };
        Ok(wanted.iter().map(of).collect())
    }

    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        Ok(self.platform_policies.iter().find(|policy| policy.name == *name).cloned())
    }

    fn platform_policies(
        &self,
        project: &ProjectId,
        platform: Platform,
        after: Option<&PlatformPolicyName>,
        limit: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError> {
        let found = self.platform_policies.iter().filter(|policy| {
            (policy.name.project(), policy.name.platform()) == (project, platform)
        });
        Ok(page(found, |policy| &policy.name, after, limit))
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<Option<IamPolicy>, StoreError> {
        let found = self.iam.iter().find(|(held, _)| held == resource);
        Ok(found.map(|(_, policy)| policy.clone()))
    }

    fn apply(&self, _write: Write) -> Result<Option<String>, StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn read_only(&self) -> bool {
        true
    }

    fn watch(self: Arc<Self>, _: Box<dyn Told>) -> Result<Option<Box<dyn Watch>>, WatchError> {
        Ok(None)
    }
}
