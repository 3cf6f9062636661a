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
pub use live::LiveFiles;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hallmark_core::attestor::Attestor;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::image::Digest;
use hallmark_core::names::{
    AttestorName, NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::{Attestation, Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::policy::Policy;

use super::evidence::Room;
use super::query::matches;
use super::{
    Cursor, EvidencePage, EvidenceQuery, OccurrenceQuery, ProjectResources, Store, StoreError,
    Write,
};
use crate::auth::iam::{IamPolicy, IamResource};
use crate::store::Told;
use crate::store::Watch;
use crate::store::WatchError;

/// The content of one directory's files when they were read; never changes.
#[derive(Clone, Debug, Default)]
pub struct FilesStore {
    policies: BTreeMap<ProjectId, Policy>,
    attestors: BTreeMap<AttestorName, Attestor>,
    notes: BTreeMap<NoteName, Note>,
    occurrences: BTreeMap<OccurrenceName, Occurrence>,
    platform_policies: BTreeMap<PlatformPolicyName, PlatformPolicy>,
    iam: BTreeMap<IamResource, IamPolicy>,
    /// The attestations of a digest under a note, in the order of their names.
    evidence: HashMap<(NoteName, Digest), Vec<OccurrenceName>>,
    /// Those of a digest, whatever their note, in the same order.
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

    fn page(&self, room: &mut Room, query: &EvidenceQuery) -> Result<EvidencePage, StoreError> {
        let EvidenceQuery { lookup, from, .. } = query;
        let names = match lookup {
            Lookup::UnderNote(note, digest) => self.evidence.get(&(note.clone(), *digest)),
            Lookup::InProject(_, digest) => self.by_digest.get(digest),
        };
        let names = names.map_or(&[][..], Vec::as_slice);
        let after = name_at(from)?;
        let first = names.partition_point(|name| after.as_ref().is_some_and(|at| name <= at));
        let found = names[first..].iter().map(|name| {
            let asked = match lookup {
                Lookup::UnderNote(..) => true,
                Lookup::InProject(project, _) => name.project() == project,
            };
            let occurrence = self.occurrences.get(name).filter(|_| asked);
            // A note that does not exist vouches for nothing.
            let vouched = occurrence.filter(|one| self.notes.contains_key(&one.note));
            Ok((cursor(name), vouched.and_then(attestation)))
        });
        room.page(from, found)
    }

    /// Files the attestations by note and digest, each list in the order of names.
    fn index_evidence(&mut self) {
        for occurrence in self.occurrences.values() {
            let Some(digest) = occurrence.digest.filter(|_| occurrence.attestation.is_some())
            else {
                continue;
            };
            let (note, name) = (occurrence.note.clone(), occurrence.name.clone());
            self.by_digest.entry(digest).or_default().push(name.clone());
            self.evidence.entry((note, digest)).or_default().push(name);
        }
    }
}

/// A cursor holds the name of the last occurrence that was read.
fn cursor(name: &OccurrenceName) -> Cursor {
    Cursor(name.to_string().into())
}

fn name_at(cursor: &Cursor) -> Result<Option<OccurrenceName>, StoreError> {
    if cursor.0.is_empty() {
        return Ok(None);
    }
    let name = str::from_utf8(&cursor.0).ok().and_then(|name| name.parse().ok());
    let foreign = || StoreError::Unavailable("a cursor of another store".to_owned());
    name.map(Some).ok_or_else(foreign)
}

fn attestation(occurrence: &Occurrence) -> Option<Attestation> {
    let body = occurrence.attestation.as_ref()?;
    Some(Attestation {
        occurrence: occurrence.name.clone(),
        payload: body.payload.clone(),
        signatures: body.signatures.clone(),
        first_signature: 0,
    })
}

impl Store for FilesStore {
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError> {
        let mut projects: BTreeSet<_> = self.policies.keys().collect();
        projects.extend(self.attestors.keys().map(AttestorName::project));
        projects.extend(self.notes.keys().map(NoteName::project));
        projects.extend(self.occurrences.keys().map(OccurrenceName::project));
        projects.extend(self.platform_policies.keys().map(PlatformPolicyName::project));
        let with_resources = |name: &ProjectId| Ok((name.clone(), self.project(name)?));
        projects.into_iter().map(with_resources).collect()
    }

    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError> {
        let policy = self.policies.get(project).cloned();
        let attestors =
            self.attestors.values().filter(|attestor| attestor.name.project() == project);
        let attestors: Vec<_> = attestors.cloned().collect();
        let of_platforms =
            self.platform_policies.values().filter(|policy| policy.name.project() == project);
        let platform_policies: Vec<_> = of_platforms.cloned().collect();
        let known = policy.is_some()
            || !attestors.is_empty()
            || self.notes.keys().any(|name| name.project() == project)
            || self.occurrences.keys().any(|name| name.project() == project)
            || !platform_policies.is_empty();
        Ok(ProjectResources { policy, attestors, platform_policies, known })
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

    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError> {
        let mut room = Room::default();
        wanted.iter().map(|query| self.page(&mut room, query)).collect()
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

    fn apply(&self, _write: Write) -> Result<Option<String>, StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn read_only(&self) -> bool {
        true
    }

    /// Watches nothing: files that were read once do not change.
    fn watch(self: Arc<Self>, _: Box<dyn Told>) -> Result<Option<Box<dyn Watch>>, WatchError> {
        Ok(None)
    }
}
