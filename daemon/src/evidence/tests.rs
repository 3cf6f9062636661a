//! Gathering from stores that are slow, dead or lying: in time, and said so.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::occurrence::{Attestation, EvidenceError, Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;

use super::{EvidenceSource, READS_MAX};
use crate::store::iam::{IamPolicy, IamResource};
use crate::store::{OccurrenceQuery, ProjectResources, Store, StoreError, Write};

/// A store that answers evidence as told, and nothing else.
#[derive(Debug)]
struct Told {
    answer: Result<usize, StoreError>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Store for Told {
    fn projects(&self) -> Result<Vec<ProjectId>, StoreError> {
        Ok(Vec::new())
    }
    fn project(&self, _: &ProjectId) -> Result<ProjectResources, StoreError> {
        Ok(ProjectResources::default())
    }
    fn note(&self, _: &NoteName) -> Result<Option<Note>, StoreError> {
        Ok(None)
    }
    fn notes(
        &self,
        _: &ProjectId,
        _: Option<&NoteName>,
        _: usize,
    ) -> Result<Vec<Note>, StoreError> {
        Ok(Vec::new())
    }
    fn occurrence(&self, _: &OccurrenceName) -> Result<Option<Occurrence>, StoreError> {
        Ok(None)
    }
    fn occurrences(
        &self,
        _: &OccurrenceQuery,
        _: Option<&OccurrenceName>,
        _: usize,
    ) -> Result<Vec<Occurrence>, StoreError> {
        Ok(Vec::new())
    }
    fn evidence(
        &self,
        wanted: &[(NoteName, Digest)],
        _: usize,
    ) -> Result<Vec<Vec<Attestation>>, StoreError> {
        let (open, opened) = &*self.gate;
        drop(opened.wait_while(open.lock().expect("lock"), |open| !*open).expect("lock"));
        let attestation = Attestation {
            occurrence: "projects/p/occurrences/o".parse().expect("a name"),
            payload: bytes::Bytes::new(),
            signatures: Vec::new(),
        };
        let count = self.answer.clone()?;
        Ok(wanted.iter().map(|_| vec![attestation.clone(); count]).collect())
    }
    fn evidence_in_projects(
        &self,
        wanted: &[(ProjectId, Digest)],
        limit: usize,
    ) -> Result<Vec<Vec<Attestation>>, StoreError> {
        let note = || "projects/p/notes/n".parse().expect("a name");
        let wanted: Vec<_> = wanted.iter().map(|(_, digest)| (note(), *digest)).collect();
        self.evidence(&wanted, limit)
    }
    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        Err(StoreError::NotFound(name.to_string()))
    }
    fn platform_policies(
        &self,
        _: &ProjectId,
        _: Platform,
        _: Option<&PlatformPolicyName>,
        _: usize,
    ) -> Result<Vec<PlatformPolicy>, StoreError> {
        Ok(Vec::new())
    }
    fn iam_policy(&self, _: &IamResource) -> Result<Option<IamPolicy>, StoreError> {
        Ok(None)
    }
    fn apply(&self, _: Write) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }
    fn read_only(&self) -> bool {
        true
    }
}

fn source(
    answer: Result<usize, StoreError>,
    open: bool,
) -> (EvidenceSource, Arc<(Mutex<bool>, Condvar)>) {
    let gate = Arc::new((Mutex::new(open), Condvar::new()));
    let store = Told { answer, gate: Arc::clone(&gate) };
    (EvidenceSource::new(Arc::new(store), 3), gate)
}

fn wanted() -> Vec<(NoteName, Digest)> {
    vec![("projects/p/notes/n".parse().expect("a name"), Digest([1; 32]))]
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn what_is_there_is_gathered_up_to_the_limit() {
    let found = source(Ok(3), true).0.gather(wanted(), later()).await;
    assert_eq!(found[0].as_ref().map(Vec::len), Ok(3));
    let found = source(Ok(4), true).0.gather(wanted(), later()).await;
    assert_eq!(found, [Err(EvidenceError::TooMany(3))]);
}

#[tokio::test]
async fn a_dead_store_is_said_to_be_unavailable() {
    let dead = StoreError::Unavailable("disk on fire".to_owned());
    let found = source(Err(dead), true).0.gather(wanted(), later()).await;
    let [Err(EvidenceError::Unavailable(why))] = found.as_slice() else { panic!("{found:?}") };
    assert!(why.contains("disk on fire"), "{why}");
}

#[tokio::test]
async fn a_stuck_store_costs_the_deadline_and_a_bounded_number_of_threads() {
    let (source, gate) = source(Ok(1), false);
    let soon = Instant::now() + Duration::from_millis(50);
    let stuck = (0..2 * READS_MAX).map(|_| source.gather(wanted(), soon));
    for found in futures_join(stuck).await {
        assert_eq!(found, [Err(EvidenceError::Deadline)]);
    }
    assert_eq!(source.reads.available_permits(), 0);
    *gate.0.lock().expect("lock") = true;
    gate.1.notify_all();
    let found = source.gather(wanted(), later()).await;
    assert_eq!(found[0].as_ref().map(Vec::len), Ok(1));
}

/// Polls all at once.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).map(Some).collect();
    let mut outputs: Vec<_> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if let Some(running) = future
                && let std::task::Poll::Ready(done) = running.as_mut().poll(context)
            {
                *output = Some(done);
                *future = None;
            }
        }
        match outputs.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
