//! One write: what it does, and what must hold when it is done.

use hallmark_core::names::NoteName;
use hallmark_core::occurrence::Occurrence;
use hallmark_core::resource::{Resource, ResourceName};
use serde_json::{Map, Value};

use super::Proof;
use crate::auth::iam::{IamPolicy, IamResource};

/// One write, carried out whole or not at all.
#[derive(Clone, Debug)]
pub struct Write {
    /// The change that it makes.
    pub change: Change,
    /// The conditions that must hold when it is done. Checked in the transaction that does it, so
    /// that it holds however many daemons write.
    pub given: Vec<Given>,
}

/// The change that a write makes.
#[derive(Clone, Debug)]
pub enum Change {
    /// Creates all or none, each with what was verified of it. Fails with
    /// [`StoreError::AlreadyExists`](super::StoreError::AlreadyExists) if a name is taken, and with
    /// [`StoreError::Exhausted`](super::StoreError::Exhausted) if more would be filed for a digest
    /// under a note or in a project than [`hallmark_core::limits::Limits`] allow. An attestation with
    /// a proof that no other one there brought is not counted and always accepted, so that nothing
    /// that anybody files keeps out what a trusted key has signed.
    Create(Vec<(Resource, Vec<Proof>)>),
    /// Replaces a resource, whole. Fails with [`StoreError::NotFound`](super::StoreError::NotFound)
    /// if it does not exist, but for the policy of a project, and with
    /// [`StoreError::Exhausted`](super::StoreError::Exhausted) if an occurrence grows beyond the limits.
    Replace(Resource),
    /// Deletes a resource and the IAM policy stored with it. The occurrences of a note stay, and
    /// are evidence of nothing as long as there is no note of its name. Fails with
    /// [`StoreError::NotFound`](super::StoreError::NotFound) if it does not exist.
    Delete(ResourceName),
    /// Replaces the IAM policy of a resource, which need not exist.
    PutIamPolicy(IamResource, IamPolicy),
}

/// A condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// The resource that is replaced or deleted is in the state that has this version: its etag; of
    /// notes and occurrences, which have none, [`version`]. Of an IAM policy that was never
    /// written: empty. Otherwise [`StoreError::EtagMismatch`](super::StoreError::EtagMismatch).
    Version(String),
    /// The resource exists. Otherwise [`StoreError::NotFound`](super::StoreError::NotFound).
    Exists(ResourceName),
    /// The note exists and is of this kind, or of none. Otherwise
    /// [`StoreError::NotFound`](super::StoreError::NotFound) or
    /// [`StoreError::OtherKind`](super::StoreError::OtherKind).
    NoteOfKind(NoteName, String),
    /// The attestor that is replaced has this note. Otherwise
    /// [`StoreError::OtherNote`](super::StoreError::OtherNote).
    HasNote(NoteName),
    /// The project holds fewer of the kind that is created, for that platform, than so many.
    /// Otherwise [`StoreError::TooMany`](super::StoreError::TooMany).
    FewerThan(usize),
}

impl Write {
    /// Creates one resource.
    pub fn create(resource: impl Into<Resource>) -> Self {
        Self::create_all([resource])
    }

    /// Creates all of these resources, or none.
    pub fn create_all(resources: impl IntoIterator<Item = impl Into<Resource>>) -> Self {
        let unproven = resources.into_iter().map(|one| (one.into(), Vec::new()));
        Self::of(Change::Create(unproven.collect()))
    }

    /// Creates all of these occurrences, each with what was verified of it, or none.
    pub fn file(occurrences: impl IntoIterator<Item = (Occurrence, Vec<Proof>)>) -> Self {
        let proven = occurrences.into_iter().map(|(one, proofs)| (one.into(), proofs));
        Self::of(Change::Create(proven.collect()))
    }

    /// Replaces a resource.
    pub fn replace(resource: impl Into<Resource>) -> Self {
        Self::of(Change::Replace(resource.into()))
    }

    /// Deletes a resource.
    pub fn delete(name: impl Into<ResourceName>) -> Self {
        Self::of(Change::Delete(name.into()))
    }

    /// Replaces the IAM policy of a resource.
    pub fn put_iam_policy(resource: IamResource, policy: IamPolicy) -> Self {
        Self::of(Change::PutIamPolicy(resource, policy))
    }

    /// The same under these conditions, too.
    #[must_use]
    pub fn given(mut self, more: impl IntoIterator<Item = Given>) -> Self {
        self.given.extend(more);
        self
    }

    /// The same if the etag is this; `None` asks for nothing.
    #[must_use]
    pub fn given_etag(self, expected: Option<String>) -> Self {
        self.given(expected.map(Given::Version))
    }

    fn of(change: Change) -> Self {
        Self { change, given: Vec::new() }
    }
}

/// The mark that tells one state of a note or an occurrence from another: when it was last updated.
pub fn version(json: &Map<String, Value>) -> &str {
    let time = json.get("updateTime").or_else(|| json.get("createTime"));
    time.and_then(Value::as_str).unwrap_or_default()
}
