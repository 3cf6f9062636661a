//! Where resources live: policies, attestors, notes, occurrences, and who may do what with them.
//!
//! One trait, two stores: `embedded` (redb, read and write) and `files` (a directory, read only).
//! Every method blocks on the disk: call them from a blocking thread. A write is durable when
//! [`Store::apply`] returns, and every read that starts afterwards sees it.

#[cfg(test)]
mod conformance;
pub mod embedded;
mod evidence;
pub mod files;
pub mod metrics;
mod query;
mod record;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::fmt::Debug;
use std::sync::Arc;

use hallmark_core::attestor::Attestor;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::names::{
    AttestorName, NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::{Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use hallmark_core::policy::Policy;
use hallmark_core::resource::ResourceName;

use self::metrics::StoreFailure;
use crate::auth::iam::{IamPolicy, IamResource};
pub use evidence::{Cursor, EvidencePage, EvidenceQuery, KeyFingerprint, Proof};
pub use watch::{NextState, Told, Watch, WatchError};
pub use write::{Change, Given, Write, version};

/// Reads and writes resources.
pub trait Store: Debug + Send + Sync {
    /// Every project that holds a resource, in the order of their names, from one consistent read.
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError>;

    /// The policy and the attestors of one project, from one consistent read.
    fn project(&self, project: &ProjectId) -> Result<ProjectResources, StoreError>;

    /// One note.
    fn note(&self, name: &NoteName) -> Result<Option<Note>, StoreError>;

    /// The notes of a project in the order of their names, after `after`, at most `limit`.
    fn notes(
        &self,
        project: &ProjectId,
        after: Option<&NoteName>,
        limit: usize,
    ) -> Result<Vec<Note>, StoreError>;

    /// One occurrence.
    fn occurrence(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, StoreError>;

    /// Occurrences in the order of their names, after `after`, at most `limit`.
    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, StoreError>;

    /// The next page of attestations of each lookup, in the order asked, all from one consistent
    /// read of a bounded size. Reading on from page to page finds every attestation that was there
    /// all the time, whatever lies beside it. A note that does not exist vouches for nothing.
    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError>;

    /// One platform policy.
    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError>;

    /// The policies of a project for a platform in the order of their names, after `after`, at
    /// most `limit`.
    fn platform_policies(
        &self,
        project: &ProjectId,
        platform: Platform,
        after: Option<&PlatformPolicyName>,
        limit: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError>;

    /// Who may do what with a resource, where that was ever written. The resource need not exist.
    fn iam_policy(&self, resource: &IamResource) -> Result<Option<IamPolicy>, StoreError>;

    /// Carries out one write, whole or not at all, and returns once it is durable. Answers the etag
    /// of what was replaced or deleted, if it had one.
    fn apply(&self, write: Write) -> Result<Option<String>, StoreError>;

    /// True if [`Store::apply`] is refused with [`StoreError::ReadOnly`].
    fn read_only(&self) -> bool;

    /// Follows what is changed other than by [`Store::apply`], until the answer is dropped. `told` is
    /// called, from a thread of its own, with each new state, and once with each fault that keeps
    /// one from being taken. `None`: nobody else changes anything.
    fn watch(self: Arc<Self>, told: Box<dyn Told>) -> Result<Option<Box<dyn Watch>>, WatchError>;
}

/// The resources that one project holds, occurrences aside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectResources {
    /// Its policy, where one was written.
    pub policy: Option<Policy>,
    /// Its attestors, by name.
    pub attestors: Vec<Attestor>,
    /// Its platform policies, by name.
    pub platform_policies: Vec<PlatformPolicy>,
    /// True if it holds anything at all: a policy, an attestor, a note, an occurrence or a platform
    /// policy.
    pub known: bool,
}

/// Which occurrences to list. Conditions are joined by AND; `None` asks for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccurrenceQuery {
    /// Where to look.
    pub scope: OccurrenceScope,
    /// `resourceUrl="…"`, with or without `https://` on either side.
    pub resource_uri: Option<String>,
    /// `has_suffix(resourceUrl, "…")`.
    pub resource_uri_suffix: Option<String>,
    /// `kind="…"`.
    pub kind: Option<String>,
    /// `noteId="…"`/`noteProjectId="…"` joined, or the note of a `notes/N/occurrences` listing.
    pub note: Option<NoteName>,
}

/// Where to look for occurrences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OccurrenceScope {
    /// The occurrences that live in a project.
    Project(ProjectId),
    /// The occurrences of a note, in whatever project they live.
    Note(NoteName),
}

/// Why the store did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The resource does not exist. The caller is at fault.
    #[error("{0} does not exist")]
    NotFound(ResourceName),
    /// The name is taken. The caller is at fault.
    #[error("{0} already exists")]
    AlreadyExists(ResourceName),
    /// The note is of another kind than the occurrence. The caller is at fault.
    #[error("{note} is of kind {kind}")]
    OtherKind {
        /// Which note.
        note: NoteName,
        /// Its kind.
        kind: String,
    },
    /// The attestor looks under another note, which cannot be changed. The caller is at fault.
    #[error("the note of {name} is {note}")]
    OtherNote {
        /// Which attestor.
        name: AttestorName,
        /// Its note.
        note: NoteName,
    },
    /// The project holds as many of a kind as it may. The caller is at fault.
    #[error("{place} holds {limit} {what}")]
    TooMany {
        /// Where, as `projects/p`.
        place: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The resource was changed since the caller read it.
    #[error("{name} was changed since it was read: its etag is {current}")]
    EtagMismatch {
        /// Which resource, or whose IAM policy.
        name: ResourceName,
        /// Its etag now.
        current: String,
    },
    /// As much is filed of a lookup as may be.
    #[error("{what} of {of}: the limit is {limit}")]
    Exhausted {
        /// The kind that there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// Of which image, and where.
        of: Lookup,
    },
    /// This store is fed from files; change those.
    #[error("resources are read from --config-dir: change the files there, not through the API")]
    ReadOnly,
    /// The disk, or what is on it, is at fault.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// The kind of failure that it is counted as.
    fn failure(&self) -> StoreFailure {
        match self {
            Self::NotFound(_) => StoreFailure::NotFound,
            Self::OtherKind { .. } | Self::OtherNote { .. } => StoreFailure::Refused,
            Self::AlreadyExists(_) => StoreFailure::AlreadyExists,
            Self::EtagMismatch { .. } => StoreFailure::EtagMismatch,
            Self::Exhausted { .. } | Self::TooMany { .. } => StoreFailure::Exhausted,
            Self::ReadOnly => StoreFailure::ReadOnly,
            Self::Unavailable(_) => StoreFailure::Unavailable,
        }
    }
}
