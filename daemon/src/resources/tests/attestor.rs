use std::sync::atomic::Ordering;

use hallmark_core::attestor::KeyId;

use super::fixture::*;
use crate::resources::{PageRequest, ResourceError};

#[tokio::test]
async fn keys_get_their_ids_when_they_are_written() {
    let world = world();
    let keys = vec![pkix("one", None), pkix("two", Some("//kms/2")), pgp("abcd", Some("mine"))];
    let created = world.resources.create_attestor(attestor("a", keys)).await.unwrap();
    let ids: Vec<_> = created.public_keys.iter().map(|key| key.id.clone().unwrap()).collect();
    assert_eq!(ids, ["ni:///one", "//kms/2", "ABCD"].map(KeyId::from));
    let name = created.name.clone();
    assert_eq!(world.resources.attestor(name.clone()).await.unwrap(), created);
    let trusted = world.snapshots.current().attestor(&name).unwrap().keys.clone().unwrap();
    assert_eq!(trusted.len(), 3);
}

#[tokio::test]
async fn an_id_is_given_once() {
    let keys = vec![pkix("one", None), pkix("two", Some("ni:///one"))];
    let error = world().resources.create_attestor(attestor("a", keys)).await.unwrap_err();
    let problem = "Public key with ID [ni:///one] already present on attestor [a]";
    assert_eq!(error, ResourceError::invalid("userOwnedGrafeasNote.publicKeys[1].id", problem));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_by_its_path() {
    let cases = [
        (pkix("broken", None), "pkixPublicKey"),
        (pgp("broken", None), "asciiArmoredPgpPublicKey"),
    ];
    for (key, member) in cases {
        let keys = vec![pkix("one", None), pkix("two", None), key];
        let error = world().resources.create_attestor(attestor("a", keys)).await.unwrap_err();
        let path = format!("userOwnedGrafeasNote.publicKeys[2].{member}");
        assert_eq!(error, ResourceError::invalid(path, "not a P-256 key"));
    }
}

#[tokio::test]
async fn nothing_is_written_while_the_key_source_is_down() {
    let world = world();
    world.keys.down.store(true, Ordering::Relaxed);
    let error =
        world.resources.create_attestor(attestor("a", vec![pkix("one", None)])).await.unwrap_err();
    assert!(matches!(error, ResourceError::Unavailable(_)), "{error}");
    let name = attestor("a", vec![]).name;
    assert_eq!(
        world.resources.attestor(name).await,
        Err(ResourceError::NotFound("projects/p/attestors/a".into()))
    );
}

#[tokio::test]
async fn a_taken_name_and_a_missing_one_are_told_apart() {
    let world = world();
    let missing = world.resources.update_attestor(attestor("a", vec![])).await;
    assert_eq!(missing, Err(ResourceError::NotFound("projects/p/attestors/a".into())));
    world.resources.create_attestor(attestor("a", vec![])).await.unwrap();
    let taken = world.resources.create_attestor(attestor("a", vec![])).await;
    assert_eq!(taken, Err(ResourceError::AlreadyExists("projects/p/attestors/a".into())));
    world.resources.delete_attestor(attestor("a", vec![]).name).await.unwrap();
    let gone = world.resources.delete_attestor(attestor("a", vec![]).name).await;
    assert_eq!(gone, Err(ResourceError::NotFound("projects/p/attestors/a".into())));
}

#[tokio::test]
async fn the_note_of_an_attestor_never_changes() {
    let world = world();
    let mut moved = world.resources.create_attestor(attestor("a", vec![])).await.unwrap();
    moved.note = "projects/p/notes/other".parse().unwrap();
    let error = world.resources.update_attestor(moved).await.unwrap_err().to_string();
    assert!(error.starts_with("userOwnedGrafeasNote.noteReference: cannot be changed"), "{error}");
}

#[tokio::test]
async fn a_stale_etag_is_refused() {
    let world = world();
    let first = world.resources.create_attestor(attestor("a", vec![])).await.unwrap();
    let second = world.resources.update_attestor(first.clone()).await.unwrap();
    assert_ne!(first.etag, second.etag);
    let error = world.resources.update_attestor(first).await.unwrap_err();
    assert!(matches!(error, ResourceError::EtagMismatch { .. }), "{error}");
}

#[tokio::test]
async fn a_project_holds_no_more_attestors_than_the_quota() {
    let world = world();
    for i in 0..200 {
        world.resources.create_attestor(attestor(&format!("a{i}"), vec![])).await.unwrap();
    }
    let error = world.resources.create_attestor(attestor("one-more", vec![])).await.unwrap_err();
    assert!(matches!(error, ResourceError::LimitExceeded { limit: 200, .. }), "{error}");
    let taken = world.resources.create_attestor(attestor("a0", vec![])).await.unwrap_err();
    assert!(matches!(taken, ResourceError::AlreadyExists(_)), "{taken}");
}

#[tokio::test]
async fn pages_show_every_attestor_once_and_in_order() {
    let world = world();
    for id in ["c", "a", "e", "b", "d"] {
        world.resources.create_attestor(attestor(id, vec![])).await.unwrap();
    }
    let (mut ids, mut request) = (Vec::new(), PageRequest { size: Some(2), token: String::new() });
    for size in [2, 2, 1] {
        let page = world.resources.attestors(project("p"), request.clone()).await.unwrap();
        assert_eq!(page.items.len(), size);
        ids.extend(page.items.iter().map(|attestor| attestor.name.id().to_owned()));
        request.token = page.next_page_token;
    }
    assert_eq!((ids.concat().as_str(), request.token.as_str()), ("abcde", ""));
}

#[tokio::test]
async fn a_page_token_of_another_project_is_refused() {
    let world = world();
    for id in ["a", "b"] {
        world.resources.create_attestor(attestor(id, vec![])).await.unwrap();
    }
    let request = PageRequest { size: Some(1), token: String::new() };
    let token = world.resources.attestors(project("p"), request).await.unwrap().next_page_token;
    let error = world
        .resources
        .attestors(project("q"), PageRequest { size: None, token })
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("pageToken: belongs to another listing"), "{error}");
}

#[tokio::test]
async fn a_read_only_store_refuses_every_write() {
    let world = world();
    world.store.frozen.store(true, Ordering::Relaxed);
    let created = world.resources.create_attestor(attestor("a", vec![])).await.unwrap_err();
    let updated = world.resources.update_attestor(attestor("a", vec![])).await.unwrap_err();
    let deleted = world.resources.delete_attestor(attestor("a", vec![]).name).await.unwrap_err();
    for error in [created, updated, deleted] {
        assert!(matches!(error, ResourceError::ReadOnly(_)), "{error}");
    }
}
