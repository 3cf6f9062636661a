//! The store of `--data-dir`: one redb file, `hallmark.redb`, and room kept back beside it.
//!
//! [`tables`] says what lies where. Reads ([`read`]) run on their caller's thread, each in one
//! consistent view; writes ([`mod@write`]) are encoded on their caller's thread and carried out by
//! one thread ([`committer`]) that makes many of them durable with one fsync. Records are binary
//! where decisions read them ([`occurrence`], [`evidence`]) and JSON elsewhere ([`super::record`]).
//! [`quota`] limits what is filed for one digest under a note and in a project. [`disk`] keeps a
//! full disk from redb, [`database`] opens redb again after it failed, and [`migrate`] takes up
//! databases of the format before.

mod committer;
mod database;
mod disk;
mod evidence;
mod fault;
mod fields;
mod given;
mod migrate;
mod occurrence;
mod quota;
mod read;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;

use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::occurrence::{Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use redb::ReadTransaction;

use self::committer::Committer;
use self::database::Shared;
use self::disk::{Directory, Disk};
use self::fault::Fault;
use self::write::Prepared;
use super::{
    EvidencePage, EvidenceQuery, OccurrenceQuery, ProjectResources, Store, StoreError, Write,
};
use crate::auth::iam::{IamPolicy, IamResource};
use crate::store::Told;
use crate::store::Watch;
use crate::store::WatchError;
use crate::store::metrics::{StoreMetrics, StoreOperation};

/// Policies, attestors, notes and occurrences in a directory of this daemon's own.
///
/// Dropping it waits for the writes that are queued and frees the directory for another daemon.
#[derive(Debug)]
pub struct EmbeddedStore {
    // Before `shared`: the thread ends first.
    committer: Committer,
    shared: Arc<Shared>,
    metrics: StoreMetrics,
}

impl EmbeddedStore {
    /// Opens the store of `dir`, which comes to be, readable by its owner only, where it is
    /// missing. Fails where another daemon has it open, where another program wrote it, or where
    /// the disk does.
    pub fn open(dir: &Path, metrics: StoreMetrics) -> Result<Self, StoreError> {
        let directory = Directory::create(dir).map_err(|error| {
            StoreError::Unavailable(format!("--data-dir {}: {error}", dir.display()))
        })?;
        Self::open_on(dir, Arc::new(directory), metrics)
    }

    fn open_on(dir: &Path, disk: Arc<dyn Disk>, metrics: StoreMetrics) -> Result<Self, StoreError> {
        let shared = Shared::open(&dir.join("hallmark.redb"), disk)?;
        let shared = Arc::new(shared);
        let committer = Committer::start(Arc::clone(&shared), metrics.clone())
            .map_err(|error| StoreError::Unavailable(format!("no thread for writes: {error}")))?;
        Ok(Self { committer, shared, metrics })
    }

    fn read<T>(
        &self,
        operation: StoreOperation,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.metrics.observe(operation, StoreError::failure, || Ok(self.shared.read(work)?))
    }
}

impl Store for EmbeddedStore {
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError> {
        self.read(StoreOperation::Projects, read::load_all)
    }

    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError> {
        self.read(StoreOperation::Project, |view| read::project(view, project))
    }

    fn note(&self, name: &NoteName) -> Result<Option<Note>, StoreError> {
        self.read(StoreOperation::Note, |view| read::note(view, name))
    }

    fn notes(
        &self,
        project: &ProjectId,
        after: Option<&NoteName>,
        limit: usize,
    ) -> Result<Vec<Note>, StoreError> {
        self.read(StoreOperation::Notes, |view| read::notes(view, project, after, limit))
    }

    fn occurrence(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, StoreError> {
        self.read(StoreOperation::Occurrence, |view| read::Occurrences::open(view)?.get(name))
    }

    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, StoreError> {
        self.read(StoreOperation::Occurrences, |view| {
            read::Occurrences::open(view)?.list(view, query, after, limit)
        })
    }

    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError> {
        self.read(StoreOperation::Evidence, |view| read::evidence(view, wanted))
    }

    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        self.read(StoreOperation::PlatformPolicy, |view| read::platform_policy(view, name))
    }

    fn platform_policies(
        &self,
        project: &ProjectId,
        platform: Platform,
        after: Option<&PlatformPolicyName>,
        limit: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError> {
        self.read(StoreOperation::PlatformPolicies, |view| {
            read::platform_policies(view, project, platform, after, limit)
        })
    }

    fn iam_policy(&self, resource: &IamResource) -> Result<Option<IamPolicy>, StoreError> {
        self.read(StoreOperation::IamPolicy, |view| read::iam_policy(view, resource))
    }

    fn apply(&self, write: Write) -> Result<Option<String>, StoreError> {
        self.metrics.observe(StoreOperation::Apply, StoreError::failure, || {
            self.committer.apply(Prepared::from(write))
        })
    }

    fn read_only(&self) -> bool {
        false
    }

    /// One daemon owns the database.
    fn watch(self: Arc<Self>, _: Box<dyn Told>) -> Result<Option<Box<dyn Watch>>, WatchError> {
        Ok(None)
    }
}
