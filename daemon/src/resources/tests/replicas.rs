//! Several daemons that write to one store, as far as one process can have them: each has resources
//! and snapshots of its own, so that nothing but the store keeps their writes apart.

use std::sync::Arc;

use hallmark_core::limits::Limits;
use hallmark_core::names::{AttestorName, NoteName};
use hallmark_core::occurrence::parse::occurrence_from_json;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::fixture::*;
use crate::auth::iam::{IamPolicy, IamResource};
use crate::cache::EvidenceEpochs;
use crate::resources::{Patch, ResourceError, Resources};
use crate::snapshot::Snapshots;
use crate::store::Store;

const REPLICAS: usize = 4;

fn replicas() -> (World, Vec<Resources>) {
    let world = world();
    let replica = |_| {
        let (snapshots, epochs) = (Arc::new(Snapshots::default()), Arc::new(EvidenceEpochs::new()));
        let (store, keys) = (world.store.clone(), world.keys.clone());
        Resources::new(store, keys, snapshots, epochs, Arc::new(TestProofs))
    };
    let replicas = (0..REPLICAS).map(replica).collect();
    (world, replicas)
}

/// One change after the other by each, all at once.
async fn all_at_once<F: Future<Output = ()> + Send + 'static>(
    replicas: &[Resources],
    change: impl Fn(Resources, usize) -> F,
) {
    let mut changes = JoinSet::new();
    for (number, replica) in replicas.iter().enumerate() {
        changes.spawn(change(replica.clone(), number));
    }
    while let Some(ended) = changes.join_next().await {
        ended.expect("no panic");
    }
}

/// A member of notes that one replica alone changes.
fn member(number: usize, change: usize) -> (&'static str, Value) {
    let text = format!("{number} {change}");
    match number {
        0 => ("shortDescription", json!(text)),
        1 => ("longDescription", json!(text)),
        2 => ("relatedUrl", json!([{"url": text}])),
        _ => ("relatedNoteNames", json!([format!("projects/p/notes/{change}")])),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_change_of_a_note_or_an_occurrence_is_lost() {
    const CHANGES: usize = 12;
    let (world, replicas) = replicas();
    let made = world.resources.create_note(note("n", "ATTESTATION")).await.unwrap();
    let filed = json!({
        "noteName": made.name.to_string(),
        "resourceUri": format!("https://r.example/app@{}", digest(1)),
        "attestation": {
            "serializedPayload": "cGF5bG9hZA==",
            "signatures": [{"publicKeyId": "ni:///k", "signature": "c2lnbmF0dXJl"}],
        },
    });
    let name = "projects/p/occurrences/any".parse().unwrap();
    let filed = occurrence_from_json(&filed.to_string(), Some(&name), &Limits::DEFAULT).unwrap();
    let filed = world.resources.create_occurrence(project("p"), filed).await.unwrap();
    let (of_note, of_occurrence) = (made.name.clone(), filed.name.clone());
    all_at_once(&replicas, |replica, number| {
        let (of_note, of_occurrence) = (of_note.clone(), of_occurrence.clone());
        async move {
            for change in 0..CHANGES {
                let patch = |member: &str, value| {
                    let fields = Map::from_iter([(member.to_owned(), value)]);
                    Patch { fields, mask: String::new() }
                };
                let (member, value) = member(number, change);
                replica.patch_note(of_note.clone(), patch(member, value)).await.unwrap();
                let remediation = patch("remediation", json!(format!("{number} {change}")));
                replica.patch_occurrence(of_occurrence.clone(), remediation).await.unwrap();
            }
        }
    })
    .await;
    let held = world.resources.note(made.name).await.unwrap();
    for number in 0..REPLICAS {
        let (member, value) = member(number, CHANGES - 1);
        assert_eq!(held.json[member], value, "{held:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_holds_no_more_attestors_than_it_may() {
    let (world, replicas) = replicas();
    all_at_once(&replicas, |replica, number| async move {
        for id in 0..60 {
            match replica.create_attestor(attestor(&format!("a{number}-{id}"), vec![])).await {
                Ok(_) | Err(ResourceError::LimitExceeded { limit: 200, .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(world.store.project(&project("p")).unwrap().attestors.len(), 200);
}

/// A resource that a write names is there when it is done: no policy names an attestor that was
/// deleted, no IAM policy is one of a note that is gone. The other order, a deletion after the
/// write, is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_write_names_is_there_when_it_is_done() {
    let (world, replicas) = replicas();
    let [first, second, ..] = replicas.as_slice() else { panic!("replicas") };
    let name: AttestorName = "projects/p/attestors/a".parse().unwrap();
    let of_note: NoteName = "projects/p/notes/n".parse().unwrap();
    first.create_attestor(attestor("a", vec![])).await.unwrap();
    first.create_note(note("n", "ATTESTATION")).await.unwrap();
    // The other has not heard of it, and does not hear of its end.
    second.create_attestor(attestor("b", vec![])).await.unwrap();
    first.delete_attestor(name.clone()).await.unwrap();
    first.delete_note(of_note.clone()).await.unwrap();
    let requiring = second.put_policy(project("p"), requiring(&["projects/p/attestors/a"])).await;
    assert_eq!(requiring.unwrap_err(), ResourceError::NotFound(name.to_string()));
    let iam = second.set_iam_policy(IamResource::Note(of_note.clone()), IamPolicy::default()).await;
    assert_eq!(iam.unwrap_err(), ResourceError::NotFound(of_note.to_string()));
    assert!(world.store.project(&project("p")).unwrap().policy.is_none());
}

#[tokio::test]
async fn the_etag_in_a_record_is_the_one_that_was_replaced() {
    let (_world, replicas) = replicas();
    let [first, second, ..] = replicas.as_slice() else { panic!("replicas") };
    let created = first.create_attestor(attestor("a", vec![])).await.unwrap();
    let updated = second.update_attestor(attestor("a", vec![])).await.unwrap();
    assert_eq!(updated.etag_before, Some(created.etag));
    let deleted = first.delete_attestor(created.name).await.unwrap();
    assert_eq!(deleted, Some(updated.resource.etag));
}
