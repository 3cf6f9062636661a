//! Gathering from stores that are slow, dead or lying: in time, and said so.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use hallmark_core::evaluate::question::Lookup;
use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId};
use hallmark_core::occurrence::{Note, Occurrence, Signature};
use hallmark_core::platform::PlatformPolicy;

use super::*;
use crate::auth::iam::{IamPolicy, IamResource};
use crate::store::Watch;
use crate::store::WatchError;
use crate::store::{Cursor, OccurrenceQuery, ProjectResources, StoreError, Write};

/// A store that answers evidence as told, and nothing else.
#[derive(Debug)]
struct Told {
    answer: Result<usize, StoreError>,
    gate: Arc<(Mutex<bool>, Condvar)>,
}

impl Store for Told {
    fn load_all(&self) -> Result<Vec<(ProjectId, ProjectResources)>, StoreError> {
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
    fn evidence(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, StoreError> {
        let (open, opened) = &*self.gate;
        drop(opened.wait_while(open.lock().expect("lock"), |open| !*open).expect("lock"));
        let attestation = Attestation {
            occurrence: "projects/p/occurrences/o".parse().expect("a name"),
            payload: bytes::Bytes::new(),
            signatures: vec![Signature { key_id: "k".into(), signature: bytes::Bytes::new() }],
            first_signature: 0,
        };
        // One page after the other, as many as the answer says, each of one attestation.
        let pages = self.answer.clone()?;
        let page = |query: &EvidenceQuery| {
            let read = query.from.number() + 1;
            let next = (read < pages).then(|| Cursor::of_number(read));
            EvidencePage { attestations: vec![attestation.clone()], next }
        };
        Ok(wanted.iter().map(page).collect())
    }
    fn platform_policy(
        &self,
        name: &PlatformPolicyName,
    ) -> Result<Option<PlatformPolicy>, StoreError> {
        Err(StoreError::NotFound(name.clone().into()))
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
    fn apply(&self, _: Write) -> Result<Option<String>, StoreError> {
        Err(StoreError::ReadOnly)
    }
    fn read_only(&self) -> bool {
        true
    }

    fn watch(
        self: Arc<Self>,
        _: Box<dyn crate::store::Told>,
    ) -> Result<Option<Box<dyn Watch>>, WatchError> {
        Ok(None)
    }
}

fn source(
    answer: Result<usize, StoreError>,
    open: bool,
) -> (EvidenceSource, Arc<(Mutex<bool>, Condvar)>) {
    let gate = Arc::new((Mutex::new(open), Condvar::new()));
    let store = Told { answer, gate: Arc::clone(&gate) };
    (EvidenceSource::new(Arc::new(store)), gate)
}

fn lookup(number: usize) -> Lookup {
    let byte = u8::try_from(number).expect("a byte");
    Lookup::UnderNote("projects/p/notes/n".parse().expect("a name"), Digest([byte; 32]))
}

fn lookups(count: usize) -> HashSet<Lookup> {
    (0..count).map(lookup).collect()
}

fn gather(source: &EvidenceSource, count: usize) -> Gathering<'_> {
    source.gather(lookups(count).into_iter().map(EvidenceQuery::of))
}

/// The next portion of every lookup.
async fn next(gathering: &mut Gathering<'_>, count: usize, deadline: Instant) -> Gathered {
    gathering.next(&lookups(count), &HashSet::new(), deadline).await
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn sizes(found: &Gathered, count: usize) -> Vec<Result<usize, &EvidenceError>> {
    (0..count).map(|number| found.of(&lookup(number)).as_ref().map(Vec::len)).collect()
}

#[tokio::test]
async fn page_after_page_is_gathered_of_what_is_wanted() {
    let source = source(Ok(3), true).0;
    let mut gathering = gather(&source, 2);
    let first = next(&mut gathering, 2, later()).await;
    assert_eq!(sizes(&first, 2), [Ok(1), Ok(1)]);
    first.of(&lookup(2)).as_ref().expect_err("nobody asked for it");
    for more in [true, false] {
        let only = gathering.next(&[lookup(1)].into(), &HashSet::new(), later()).await;
        assert_eq!(sizes(&only, 2), [Ok(0), Ok(1)]);
        let both = (gathering.has_more(&lookup(0)), gathering.has_more(&lookup(1)));
        assert_eq!(both, (true, more));
    }
    assert_eq!(sizes(&next(&mut gathering, 2, later()).await, 2), [Ok(1), Ok(0)]);
    assert!(!gathering.has_more(&lookup(2)), "there are two lookups");
}

#[tokio::test]
async fn all_portions_together_are_no_more_than_a_batch_takes() {
    let source = source(Ok(1), true).0;
    let pgp = KeyId::from("k");
    let enveloped = HashSet::from([&pgp]);
    let count = 3 * ENVELOPES_MAX + 1;
    let mut gathering = gather(&source, count);
    let all = lookups(count);
    let mut given: Vec<usize> = Vec::new();
    while all.iter().any(|lookup| gathering.has_more(lookup)) {
        let found = gathering.next(&all, &enveloped, later()).await;
        given.push(sizes(&found, count).into_iter().map(|size| size.unwrap_or(0)).sum());
    }
    assert_eq!(given, [ENVELOPES_MAX, ENVELOPES_MAX, ENVELOPES_MAX, 1]);
}

#[tokio::test]
async fn a_dead_store_is_said_to_be_unavailable() {
    let dead = StoreError::Unavailable("disk on fire".to_owned());
    let source = source(Err(dead), true).0;
    let mut gathering = gather(&source, 1);
    let found = next(&mut gathering, 1, later()).await;
    let Err(EvidenceError::Unavailable(why)) = found.of(&lookup(0)) else { panic!("{found:?}") };
    assert!(why.contains("disk on fire"), "{why}");
    assert!(!gathering.has_more(&lookup(0)));
}

#[tokio::test]
async fn a_stuck_store_costs_the_deadline_and_a_bounded_number_of_threads() {
    let (source, gate) = source(Ok(1), false);
    let soon = Instant::now() + Duration::from_millis(50);
    let mut stuck: Vec<_> = (0..2 * READS_MAX).map(|_| gather(&source, 1)).collect();
    let stuck = stuck.iter_mut().map(|gathering| next(gathering, 1, soon));
    for found in futures_join(stuck).await {
        assert_eq!(sizes(&found, 1), [Err(&EvidenceError::Deadline)]);
    }
    assert_eq!(source.reads.free(), 0);
    *gate.0.lock().expect("lock") = true;
    gate.1.notify_all();
    let found = next(&mut gather(&source, 1), 1, later()).await;
    assert_eq!(sizes(&found, 1), [Ok(1)]);
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
