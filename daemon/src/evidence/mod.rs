//! Gathering the attestations that a decision needs: the only IO on the one path.
//!
//! Everything that a batch of requests needs is read with one call to the store, on a blocking
//! thread. A store that does not answer costs its callers their deadline and a bounded number of
//! threads, never the runtime.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, ProjectId};
use hallmark_core::occurrence::{Attestation, Evidence, EvidenceError};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::store::{Store, StoreError};

/// Reads at the store at once. A read is CPU and page cache as a rule; more than this many wait
/// for a disk that is slow or gone, and more threads would not make it faster.
const READS_MAX: usize = 64;

/// What a read of the store answers.
type Found = Result<Vec<Vec<Attestation>>, StoreError>;

/// The store, from the side of those who gather.
#[derive(Debug)]
pub struct EvidenceSource {
    store: Arc<dyn Store>,
    reads: Arc<Semaphore>,
    occurrences_max: usize,
}

impl EvidenceSource {
    /// Gathers from `store`, at most `occurrences_max` occurrences for each note and digest.
    pub fn new(store: Arc<dyn Store>, occurrences_max: usize) -> Self {
        Self { store, reads: Arc::new(Semaphore::new(READS_MAX)), occurrences_max }
    }

    /// The evidence of each (note, digest), in the order asked, by `deadline`.
    ///
    /// # Cancel safety
    /// A read that has begun goes on without its caller, on its own thread.
    pub async fn gather(
        &self,
        wanted: Vec<(NoteName, Digest)>,
        deadline: Instant,
    ) -> Vec<Evidence> {
        let count = wanted.len();
        self.each(count, deadline, move |store, limit| store.evidence(&wanted, limit)).await
    }

    /// As [`EvidenceSource::gather`], of attestations that live in a project, whatever their note.
    ///
    /// # Cancel safety
    /// As there.
    pub async fn gather_in_projects(
        &self,
        wanted: Vec<(ProjectId, Digest)>,
        deadline: Instant,
    ) -> Vec<Evidence> {
        let count = wanted.len();
        let read = move |store: &dyn Store, limit| store.evidence_in_projects(&wanted, limit);
        self.each(count, deadline, read).await
    }

    /// What `read` finds, which are `count` lists.
    async fn each(
        &self,
        count: usize,
        deadline: Instant,
        read: impl FnOnce(&dyn Store, usize) -> Found + Send + 'static,
    ) -> Vec<Evidence> {
        if count == 0 {
            return Vec::new();
        }
        let read = timeout_at(deadline.into(), self.read(read)).await;
        let found = read.unwrap_or(Err(EvidenceError::Deadline));
        match found {
            Ok(found) if found.len() == count => found,
            Ok(_) => vec![Err(unavailable("it answered another question")); count],
            Err(error) => vec![Err(error); count],
        }
    }

    async fn read(
        &self,
        read: impl FnOnce(&dyn Store, usize) -> Found + Send + 'static,
    ) -> Result<Vec<Evidence>, EvidenceError> {
        let reads = Arc::clone(&self.reads);
        let permit = reads.acquire_owned().await.map_err(|_| unavailable("it is closed"))?;
        let (store, limit) = (Arc::clone(&self.store), self.occurrences_max);
        let found = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the caller: a caller that gave up does not free a place.
            let _permit = permit;
            read(&*store, limit)
        });
        let found = found.await.map_err(|_| unavailable("its read panicked"))?;
        let found = found.map_err(|error: StoreError| unavailable(&error.to_string()))?;
        let bounded = |attestations: Vec<_>| match attestations.len() {
            len if len > limit => Err(EvidenceError::TooMany(limit)),
            _ => Ok(attestations),
        };
        Ok(found.into_iter().map(bounded).collect())
    }
}

fn unavailable(why: &str) -> EvidenceError {
    EvidenceError::Unavailable(why.to_owned())
}
