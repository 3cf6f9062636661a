use std::sync::Arc;
use std::sync::atomic::Ordering;

use hallmark_core::attestor::TrustedAttestor;
use hallmark_core::occurrence::Note;
use hallmark_core::policy::{Policy, ProjectPolicy, SystemPolicy};

use super::fixture::*;
use crate::resources::ResourceError;
use crate::store::{Store, Write};

#[tokio::test]
async fn every_acknowledged_write_is_in_force_under_a_new_generation() {
    let world = world();
    let generation = || world.snapshots.current().generation;
    let name = attestor("a", vec![]).name;
    assert_eq!(generation(), 0);
    world.resources.create_attestor(attestor("a", vec![pkix("one", None)])).await.unwrap();
    assert_eq!(generation(), 1);
    world.resources.put_policy(project("p"), requiring(&["projects/p/attestors/a"])).await.unwrap();
    assert_eq!(generation(), 2);
    world.resources.update_attestor(attestor("a", vec![])).await.unwrap();
    assert_eq!(generation(), 3);
    assert_eq!(world.snapshots.current().attestor(&name).unwrap().keys, Ok(vec![]));
    world.resources.delete_attestor(name.clone()).await.unwrap();
    assert_eq!(generation(), 4);
    assert!(world.snapshots.current().attestor(&name).is_none());
}

#[tokio::test]
async fn a_refused_write_changes_nothing() {
    let world = world();
    let policy = world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    let before = world.snapshots.current();
    world.resources.put_policy(project("p"), policy.resource).await.unwrap_err();
    world.resources.delete_attestor(attestor("a", vec![]).name).await.unwrap_err();
    assert!(Arc::ptr_eq(&before, &world.snapshots.current()));
}

#[tokio::test]
async fn a_project_is_known_by_its_first_resource_and_forgotten_with_its_last() {
    let world = world();
    let is_known = |id: &str| {
        let (snapshot, project) = (world.snapshots.current(), project(id));
        !matches!(snapshot.policies(&project).policy, ProjectPolicy::UnknownProject)
    };
    assert!(!is_known("p"));
    world.resources.create_note(note("n", "ATTESTATION")).await.unwrap();
    assert!(is_known("p") && !is_known("q"));
    let created =
        world.resources.create_occurrence(project("q"), attestation(1, "s")).await.unwrap();
    assert!(is_known("q"));
    world.resources.delete_occurrence(created.name).await.unwrap();
    assert!(!is_known("q"));
}

#[tokio::test]
async fn a_project_that_cannot_be_read_after_its_write_is_withdrawn() {
    let world = world();
    world.resources.create_attestor(attestor("a", vec![pkix("one", None)])).await.unwrap();
    world.store.fail_reads.store(true, Ordering::Relaxed);
    let error = world.resources.delete_attestor(attestor("a", vec![]).name).await.unwrap_err();
    assert!(
        matches!(&error, ResourceError::Unavailable(text) if text.contains("not in force")),
        "{error}"
    );
    let (snapshot, p) = (world.snapshots.current(), project("p"));
    assert!(matches!(snapshot.policies(&p).policy, ProjectPolicy::UnknownProject));
    world.store.fail_reads.store(false, Ordering::Relaxed);
    let again = world.resources.delete_attestor(attestor("a", vec![]).name).await;
    assert!(matches!(again, Err(ResourceError::NotFound(_))), "{again:?}");
    assert!(!world.snapshots.current().projects.contains_key(&p), "it holds nothing any more");
    world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    assert!(matches!(world.snapshots.current().policies(&p).policy, ProjectPolicy::Written(_)));
}

#[tokio::test]
async fn a_refused_write_brings_a_withdrawn_project_back() {
    let world = world();
    let first = world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    world.store.fail_reads.store(true, Ordering::Relaxed);
    let mut changed = first.resource.clone();
    changed.description = "committed, not acknowledged".to_owned();
    world.resources.put_policy(project("p"), changed.clone()).await.unwrap_err();
    assert!(world.snapshots.current().projects.is_empty());
    world.store.fail_reads.store(false, Ordering::Relaxed);
    let retried = world.resources.put_policy(project("p"), changed.clone()).await;
    assert!(matches!(retried, Err(ResourceError::EtagMismatch { .. })), "{retried:?}");
    let snapshot = world.snapshots.current();
    let in_force = snapshot.projects[&project("p")].policy.as_ref().unwrap();
    assert_eq!(in_force.description, changed.description);
}

#[tokio::test]
async fn a_key_that_cannot_be_had_takes_nothing_from_the_others_and_is_missed() {
    let world = world();
    let mixed = attestor("a", vec![pkix("one", None), reference("acmekms://k")]);
    let bare = attestor("b", vec![reference("acmekms://k")]);
    for written in [&mixed, &bare] {
        world.store.apply(Write::create(written.clone())).unwrap();
    }
    world.snapshots.rebuild_all(&*world.store, &*world.keys, Arc::default()).unwrap();
    let trusted = |name| TrustedAttestor::clone(world.snapshots.current().attestor(name).unwrap());
    assert_eq!(trusted(&mixed.name).keys.unwrap().len(), 1);
    let missing = trusted(&mixed.name).missing.unwrap();
    assert_eq!(missing, "publicKeys[1]: no key acmekms://k");
    assert_eq!(trusted(&bare.name).keys, Err("publicKeys[0]: no key acmekms://k".to_owned()));

    world.keys.references.lock().unwrap().insert("acmekms://k".into(), "now it is");
    assert_eq!(world.snapshots.keys_changed(&*world.keys), 2);
    assert_eq!(trusted(&mixed.name).keys.unwrap().len(), 2);
    assert_eq!(trusted(&mixed.name).missing, None);
    assert_eq!(trusted(&bare.name).keys.unwrap().len(), 1);
}

#[tokio::test]
async fn a_changed_reference_is_in_force_and_an_unchanged_one_costs_nothing() {
    let world = world();
    world.keys.references.lock().unwrap().insert("acmekms://k".into(), "first");
    let name = attestor("r", vec![]).name;
    world.resources.create_attestor(attestor("r", vec![reference("acmekms://k")])).await.unwrap();
    world.resources.create_attestor(attestor("i", vec![pkix("inline", None)])).await.unwrap();
    let before = world.snapshots.current();
    assert_eq!(world.snapshots.keys_changed(&*world.keys), before.generation);
    assert!(Arc::ptr_eq(&before, &world.snapshots.current()));

    world.keys.references.lock().unwrap().insert("acmekms://k".into(), "second");
    assert_eq!(world.snapshots.keys_changed(&*world.keys), before.generation + 1);
    let keys = world.snapshots.current().attestor(&name).unwrap().keys.clone().unwrap();
    assert_eq!(keys[0].spki.der(), b"second");

    world.keys.references.lock().unwrap().clear();
    world.snapshots.keys_changed(&*world.keys);
    world.snapshots.current().attestor(&name).unwrap().keys.as_ref().unwrap_err();
}

/// The identity that cached evaluations are found by changes exactly when their attestor does.
#[tokio::test]
async fn an_attestor_keeps_its_identity_through_every_write_that_does_not_concern_it() {
    let world = world();
    let snapshots = &world.snapshots;
    let identity = |id: &str| snapshots.current().identity(&attestor(id, vec![]).name);
    assert_eq!(identity("a"), None);
    world.keys.references.lock().unwrap().insert("acmekms://k".into(), "first");
    world.resources.create_note(note("n", "ATTESTATION")).await.unwrap();
    let a = world.resources.create_attestor(attestor("a", vec![pkix("one", None)])).await.unwrap();
    let first = identity("a");
    assert!(first.is_some());

    world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    world.resources.put_policy(project("q"), Policy::google_default()).await.unwrap();
    world.resources.create_note(note("other", "ATTESTATION")).await.unwrap();
    world.resources.create_note(note("third", "ATTESTATION")).await.unwrap();
    let mut held = attestor("b", vec![reference("acmekms://k")]);
    held.note = "projects/p/notes/other".parse().unwrap();
    world.resources.create_attestor(held).await.unwrap();
    let mut described = a;
    described.description = "of the same keys".to_owned();
    world.resources.update_attestor(described).await.unwrap();
    world.resources.delete_note("projects/p/notes/third".parse().unwrap()).await.unwrap();
    world.keys.references.lock().unwrap().insert("acmekms://k".into(), "second");
    let before = identity("b");
    snapshots.keys_changed(&*world.keys);
    assert_ne!(identity("b"), before);
    snapshots.rebuild_all(&*world.store, &*world.keys, Arc::default()).unwrap();
    assert_eq!(identity("a"), first);
}

#[tokio::test]
async fn an_attestor_has_another_identity_once_its_keys_or_its_note_change() {
    let world = world();
    let name = attestor("a", vec![]).name;
    let mut given = vec![None];
    let is_new = |given: &mut Vec<Option<u64>>, after: &str| {
        let identity = world.snapshots.current().identity(&name);
        assert!(!given.contains(&identity), "the same after {after}");
        given.push(identity);
    };
    let mut written = attestor("a", vec![pkix("one", None)]);
    written.note = "projects/q/notes/n".parse().unwrap();
    world.resources.create_attestor(written.clone()).await.unwrap();
    is_new(&mut given, "its first writing");
    let foreign = Note { name: written.note.clone(), ..note("n", "ATTESTATION") };
    world.resources.create_note(foreign.clone()).await.unwrap();
    is_new(&mut given, "its note came, in another project");
    world.resources.delete_note(foreign.name.clone()).await.unwrap();
    is_new(&mut given, "its note went");
    world.resources.create_notes(project("q"), vec![foreign]).await.unwrap();
    is_new(&mut given, "its note came back in a batch");
    written.public_keys = vec![pkix("two", None)];
    world.resources.update_attestor(written.clone()).await.unwrap();
    is_new(&mut given, "another key");
    world.resources.delete_attestor(name.clone()).await.unwrap();
    assert_eq!(world.snapshots.current().identity(&name), None);
    world.resources.create_attestor(written.clone()).await.unwrap();
    is_new(&mut given, "its deletion and return");
    world.store.fail_reads.store(true, Ordering::Relaxed);
    world.resources.delete_attestor(name.clone()).await.unwrap_err();
    assert_eq!(world.snapshots.current().identity(&name), None, "withdrawn");
    world.store.fail_reads.store(false, Ordering::Relaxed);
    world.resources.create_attestor(written).await.unwrap();
    is_new(&mut given, "its project was withdrawn");
}

#[tokio::test]
async fn inline_keys_are_resolved_once() {
    let world = world();
    world.resources.create_attestor(attestor("a", vec![pkix("one", None)])).await.unwrap();
    let trusted =
        Arc::clone(world.snapshots.current().attestor(&attestor("a", vec![]).name).unwrap());
    let asked = *world.keys.asked.lock().unwrap();
    world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    world.snapshots.rebuild_all(&*world.store, &*world.keys, Arc::default()).unwrap();
    assert_eq!(*world.keys.asked.lock().unwrap(), asked);
    let again = Arc::clone(world.snapshots.current().attestor(&trusted.name).unwrap());
    assert!(Arc::ptr_eq(&trusted, &again));
}

#[tokio::test]
async fn a_reload_that_fails_leaves_the_last_good_snapshot() {
    let world = world();
    world.resources.put_policy(project("p"), Policy::google_default()).await.unwrap();
    let before = world.snapshots.current();
    world.store.fail_reads.store(true, Ordering::Relaxed);
    let system = Arc::new(SystemPolicy::default());
    world.snapshots.rebuild_all(&*world.store, &*world.keys, system.clone()).unwrap_err();
    assert!(Arc::ptr_eq(&before, &world.snapshots.current()));
    world.store.fail_reads.store(false, Ordering::Relaxed);
    world.snapshots.rebuild_all(&*world.store, &*world.keys, system.clone()).unwrap();
    assert!(Arc::ptr_eq(&world.resources.system_policy(), &system));
    assert_eq!(world.snapshots.current().generation, before.generation + 1);
}

/// Readers hammer while one writer alternates; a reader that starts after an acknowledgement must
/// see that write or a later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_sees_what_was_before_an_acknowledged_write() {
    let world = world();
    let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (snapshots, acknowledged) = (world.snapshots.clone(), acknowledged.clone());
            tokio::task::spawn_blocking(move || {
                loop {
                    let at_least = acknowledged.load(Ordering::SeqCst);
                    let snapshot = snapshots.current();
                    let seen = snapshot.projects.get(&project("p")).and_then(|p| p.policy.clone());
                    let seen: u64 = seen.map_or(0, |policy| policy.description.parse().unwrap());
                    assert!(seen >= at_least, "{seen} after {at_least} was acknowledged");
                    if at_least == 200 {
                        return;
                    }
                }
            })
        })
        .collect();
    let other = world.resources.clone();
    let noise = tokio::spawn(async move {
        for i in 0..50 {
            other.create_attestor(attestor(&format!("a{i}"), vec![])).await.unwrap();
        }
    });
    for i in 1..=200_u64 {
        let mut policy = Policy::google_default();
        policy.description = i.to_string();
        world.resources.put_policy(project("p"), policy).await.unwrap();
        acknowledged.store(i, Ordering::SeqCst);
    }
    noise.await.unwrap();
    for reader in readers {
        reader.await.unwrap();
    }
}
