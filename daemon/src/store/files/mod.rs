//! The store of `--config-dir`: resources in files, read only.
//!
//! ```text
//! DIR/projects/P/policy.yaml            or policy.yml, policy.json
//! DIR/projects/P/attestors/A.yaml       a file holds one resource or a list of them
//! DIR/projects/P/notes/N.json           a resource without `name` has that of its file
//! DIR/projects/P/occurrences/….json
//! DIR/projects/P/platforms/gke/I.yaml   or cloudRun
//! DIR/projects/P/iam/policy.yaml        the IAM policies of all these, one a file
//! DIR/projects/P/iam/attestors/A.yaml
//! DIR/projects/P/iam/notes/N.yaml
//! ```
//!
//! [`tree`] reads all files whole, [`parse`] makes resources of them or says everything that is
//! wrong with them, [`live`] watches the directory and swaps in what reads without a fault. Names
//! that begin with a dot are passed over (a mounted ConfigMap has `..data`); any other file that
//! does not belong is refused, since a policy under a misspelled name would be no policy.

mod error;
mod live;
mod parse;
#[cfg(test)]
mod tests;
mod tree;

pub use error::{FileFault, FilesError};
pub use live::{FilesAsker, FilesWatch, LiveFiles};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use hallmark_core::attestor::Attestor;
use hallmark_core::image::Digest;
use hallmark_core::names::{
    AttestorName, NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::{Attestation, Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::policy::Policy;

use super::iam::{IamPolicy, IamResource};
use super::query::matches;
use super::{OccurrenceQuery, ProjectResources, Store, StoreError, Write};

/// What the files of one directory said when they were read; never changes.
#[derive(Clone, Debug, Default)]
pub struct FilesStore {
    policies: BTreeMap<ProjectId, Policy>,
    attestors: BTreeMap<AttestorName, Attestor>,
    notes: BTreeMap<NoteName, Note>,
    occurrences: BTreeMap<OccurrenceName, Occurrence>,
    platform_policies: BTreeMap<PlatformPolicyName, PlatformPolicy>,
    iam: BTreeMap<IamResource, IamPolicy>,
    evidence: HashMap<(NoteName, Digest), Vec<Attestation>>,
    /// The attestations of a digest, whatever their note, in the order of their names.
    by_digest: HashMap<Digest, Vec<OccurrenceName>>,
}

impl FilesStore {
    /// Reads all of `dir`, or says everything that is wrong with it.
    pub fn load(dir: &Path) -> Result<Self, FilesError> {
        parse::parse(&tree::Tree::read(dir)?)
    }

    /// As [`FilesStore::load`], with the file that each resource was read from, by its name.
    pub fn load_with_places(dir: &Path) -> Result<(Self, BTreeMap<String, PathBuf>), FilesError> {
        let mut places = BTreeMap::new();
        let store = parse::parse_placed(&tree::Tree::read(dir)?, &mut |name, path| {
            places.insert(name.to_string(), path.to_owned());
        })?;
        Ok((store, places))
    }

    /// The IAM policies of a project, in the order of what they are of.
    pub fn iam_policies(&self, project: &ProjectId) -> Vec<(IamResource, IamPolicy)> {
        let of_project = self.iam.iter().filter(|(resource, _)| resource.project() == project);
        of_project.map(|(resource, policy)| (resource.clone(), policy.clone())).collect()
    }

    /// Files the attestations by note and digest, each list in the order of names.
    fn index_evidence(&mut self) {
        for occurrence in self.occurrences.values() {
            let (Some(digest), Some(attestation)) = (occurrence.digest, attestation(occurrence))
            else {
                continue;
            };
            self.by_digest.entry(digest).or_default().push(occurrence.name.clone());
            self.evidence.entry((occurrence.note.clone(), digest)).or_default().push(attestation);
        }
    }
}

fn attestation(occurrence: &Occurrence) -> Option<Attestation> {
    let body = occurrence.attestation.as_ref()?;
    Some(Attestation {
        occurrence: occurrence.name.clone(),
        payload: body.payload.clone(),
        signatures: body.signatures.clone(),
    })
}

impl Store for FilesStore {
    fn projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        let mut projects: BTreeSet<_> = self.policies.keys().collect();
        projects.extend(self.attestors.keys().map(AttestorName::project));
        projects.extend(self.notes.keys().map(NoteName::project));
        projects.extend(self.occurrences.keys().map(OccurrenceName::project));
        projects.extend(self.platform_policies.keys().map(PlatformPolicyName::project));
        Ok(projects.into_iter().cloned().collect())
    }

    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError> {
        let policy = self.policies.get(project).cloned();
        let attestors =
            self.attestors.values().filter(|attestor| attestor.name.project() == project);
        let attestors: Vec<_> = attestors.cloned().collect();
        let known = policy.is_some()
            || !attestors.is_empty()
            || self.notes.keys().any(|name| name.project() == project)
            || self.occurrences.keys().any(|name| name.project() == project)
            || self.platform_policies.keys().any(|name| name.project() == project);
        Ok(ProjectResources { policy, attestors, known })
    }

    fn note(&self, name: &NoteName) -> Result<Option<Note>, StoreError> {
        Ok(self.notes.get(name).cloned())
    }

    fn notes(
        &self,
        project: &ProjectId,
        after: Option<&NoteName>,
        limit: usize,
    ) -> Result<Vec<Note>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.notes.range::<NoteName, _>((from, Bound::Unbounded));
        let found = found.map(|(_, note)| note).filter(|note| note.name.project() == project);
        Ok(found.take(limit).cloned().collect())
    }

    fn occurrence(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, StoreError> {
        Ok(self.occurrences.get(name).cloned())
    }

    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.occurrences.range::<OccurrenceName, _>((from, Bound::Unbounded));
        let found =
            found.map(|(_, occurrence)| occurrence).filter(|occurrence| matches(query, occurrence));
        Ok(found.take(limit).cloned().collect())
    }

    fn evidence(
        &self,
        wanted: &[(NoteName, Digest)],
        limit: usize,
    ) -> Result<Vec<Vec<Attestation>>, StoreError> {
        let one = |wanted: &(NoteName, Digest)| -> Vec<Attestation> {
            // A note that does not exist vouches for nothing.
            let exists = self.notes.contains_key(&wanted.0);
            let found = self.evidence.get(wanted).filter(|_| exists).into_iter().flatten();
            found.take(limit.saturating_add(1)).cloned().collect()
        };
        Ok(wanted.iter().map(one).collect())
    }

    fn evidence_in_projects(
        &self,
        wanted: &[(ProjectId, Digest)],
        limit: usize,
    ) -> Result<Vec<Vec<Attestation>>, StoreError> {
        let one = |(project, digest): &(ProjectId, Digest)| -> Vec<Attestation> {
            let of_digest = self.by_digest.get(digest).into_iter().flatten();
            let found = of_digest.filter(|name| name.project() == project);
            let found = found.filter_map(|name| self.occurrences.get(name));
            let found = found.filter(|occurrence| self.notes.contains_key(&occurrence.note));
            let found = found.filter_map(attestation);
            found.take(limit.saturating_add(1)).collect()
        };
        Ok(wanted.iter().map(one).collect())
    }

    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        Ok(self.platform_policies.get(name).cloned())
    }

    fn platform_policies(
        &self,
        project: &ProjectId,
        platform: Platform,
        after: Option<&PlatformPolicyName>,
        limit: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.platform_policies.range::<PlatformPolicyName, _>((from, Bound::Unbounded));
        let asked =
            |name: &PlatformPolicyName| (name.project(), name.platform()) == (project, platform);
        let found = found.filter(|(name, _)| asked(name)).map(|(_, policy)| policy);
        Ok(found.take(limit).cloned().collect())
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<Option<IamPolicy>, StoreError> {
        Ok(self.iam.get(resource).cloned())
    }

    fn apply(&self, _write: Write) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn read_only(&self) -> bool {
        true
    }
}
