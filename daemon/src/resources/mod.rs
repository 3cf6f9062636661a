//! Validated create, read, update and delete of what a project holds: one file per kind.
//!
//! Every dialect reads and writes through [`Resources`]. A write goes check → commit → publish →
//! acknowledge: it is refused whole with the field at fault, or it is durable and in force when
//! its method returns ([`crate::snapshot`] says why). Wire formats stay in `http/`; who may do what
//! is asked before these methods are called.

mod attestor;
mod error;
mod etag;
pub mod filter;
mod iam;
mod note;
mod occurrence;
mod page;
mod patch;
mod platform;
mod policy;
mod written;

#[cfg(test)]
pub(crate) mod tests;

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::names::{NoteName, ProjectId};
use hallmark_core::occurrence::Occurrence;

pub use error::ResourceError;
pub use occurrence::OCCURRENCES_PER_BATCH_MAX;
pub use page::{Page, PageRequest};
pub use patch::Patch;
pub use written::Written;

use crate::bounded::Bounded;
use crate::cache::EvidenceEpochs;
use crate::snapshot::{ResolveKeys, Snapshots};
use crate::store::{Proof, Store};

/// Requests at the store at once, reads and writes. As many as decisions read at once.
const WORK_MAX: usize = 64;

/// The time that a caller waits for the store. A commit takes milliseconds; a disk that takes as
/// long as this is gone. Work that was begun is carried out to its end all the same.
const WORK_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of times that a change of some fields is tried: as many writers of one resource at
/// once are none that mean well.
const CHANGES_MAX: usize = 100;

/// Finds out what trusted keys have signed.
pub trait Prove: Debug + Send + Sync {
    /// The proofs that were verified of each occurrence, by keys that an attestor of its note
    /// trusts now.
    fn of<'a>(&'a self, occurrences: &'a [Occurrence]) -> BoxFuture<'a, Vec<Vec<Proof>>>;
}

/// A future of a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The resources of every project. A handle: cloning it is cheap.
#[derive(Clone, Debug)]
pub struct Resources(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    keys: Arc<dyn ResolveKeys>,
    snapshots: Arc<Snapshots>,
    epochs: Arc<EvidenceEpochs>,
    proofs: Arc<dyn Prove>,
    work: Bounded,
}

impl Resources {
    /// Resources that live in `store`. Their writes are published to `snapshots` and `epochs`.
    pub fn new(
        store: Arc<dyn Store>,
        keys: Arc<dyn ResolveKeys>,
        snapshots: Arc<Snapshots>,
        epochs: Arc<EvidenceEpochs>,
        proofs: Arc<dyn Prove>,
    ) -> Self {
        let work = Bounded::new(WORK_MAX);
        Self(Arc::new(Inner { store, keys, snapshots, epochs, proofs, work }))
    }

    /// Runs `work` on a blocking thread, to its end even where the caller goes away: a commit is
    /// always followed by its publication. A store that does not answer costs callers a bounded
    /// time and a bounded number of threads.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ResourceError> + Send + 'static,
    ) -> Result<T, ResourceError> {
        let inner = Arc::clone(&self.0);
        let deadline = Instant::now() + WORK_TIMEOUT;
        let done = self.0.work.run(deadline, move || work(&inner)).await;
        done.unwrap_or_else(|why| {
            Err(ResourceError::Unavailable(format!("the store did not answer: {why}")))
        })
    }

    /// As [`Resources::blocking`]. A project that was withdrawn because it could not be read is taken
    /// up again first, whether or not its write then succeeds.
    async fn writing<T: Send + 'static>(
        &self,
        project: ProjectId,
        work: impl FnOnce(&Inner) -> Result<T, ResourceError> + Send + 'static,
    ) -> Result<T, ResourceError> {
        self.blocking(move |inner| {
            if !inner.is_known(&project) {
                inner.snapshots.republish(&*inner.store, &*inner.keys, &project, &[])?;
            }
            work(inner)
        })
        .await
    }
}

impl Inner {
    /// Refuses early what the store would refuse late, before keys are resolved in vain.
    fn writable(&self) -> Result<(), ResourceError> {
        match self.store.read_only() {
            true => Err(crate::store::StoreError::ReadOnly.into()),
            false => Ok(()),
        }
    }

    /// A change of what is there, made once more if somebody else changed it meanwhile.
    fn repeated<T>(change: impl Fn() -> Result<T, ResourceError>) -> Result<T, ResourceError> {
        let mut changed = change();
        for _ in 1..CHANGES_MAX {
            if !matches!(changed, Err(ResourceError::EtagMismatch { .. })) {
                break;
            }
            changed = change();
        }
        changed
    }

    /// Puts in force what was committed to `project`.
    fn publish(&self, project: &ProjectId) -> Result<(), ResourceError> {
        self.publish_notes(project, &[])
    }

    /// The same if notes came or went: no evaluation that rests on them is answered again.
    fn publish_notes(&self, project: &ProjectId, notes: &[NoteName]) -> Result<(), ResourceError> {
        let published = self.snapshots.republish(&*self.store, &*self.keys, project, notes);
        published.map(drop).map_err(|error| {
            ResourceError::Unavailable(format!(
                "written but not in force, {project} is denied everything until it can be read: {error}"
            ))
        })
    }

    /// Lets decisions know of a project that they do not know, where it holds anything.
    fn publish_if_unknown(&self, project: &ProjectId) -> Result<(), ResourceError> {
        match self.is_known(project) {
            true => Ok(()),
            false => self.publish(project),
        }
    }

    fn is_known(&self, project: &ProjectId) -> bool {
        self.snapshots.current().projects.contains_key(project)
    }
}
