use std::sync::atomic::Ordering;

use hallmark_core::limits::Limits;
use hallmark_core::occurrence::Occurrence;

use super::fixture::*;
use crate::resources::{OCCURRENCES_PER_BATCH_MAX, PageRequest, ResourceError};

async fn with_note() -> World {
    let world = world();
    world.resources.create_note(note("n", "ATTESTATION")).await.unwrap();
    world
}

#[tokio::test]
async fn a_note_is_created_once_and_read_back_whole() {
    let world = world();
    let created = world.resources.create_note(note("n", "ATTESTATION")).await.unwrap();
    assert_eq!(text(&created.json, "shortDescription"), "s");
    assert!(!text(&created.json, "createTime").is_empty());
    assert_eq!(world.resources.note(created.name.clone()).await.unwrap(), created);
    let taken = world.resources.create_note(note("n", "ATTESTATION")).await;
    assert_eq!(taken, Err(ResourceError::AlreadyExists("projects/p/notes/n".into())));
    let missing = world.resources.note(note("m", "BUILD").name).await;
    assert_eq!(missing, Err(ResourceError::NotFound("projects/p/notes/m".into())));
}

#[tokio::test]
async fn notes_are_listed_in_pages() {
    let world = world();
    for id in ["c", "a", "b"] {
        world.resources.create_note(note(id, "ATTESTATION")).await.unwrap();
    }
    let (mut ids, mut request) =
        (String::new(), PageRequest { size: Some(2), ..Default::default() });
    for size in [2, 1] {
        let page = world.resources.notes(project("p"), &request).await.unwrap();
        assert_eq!(page.items.len(), size);
        ids.extend(page.items.iter().map(|note| note.name.id()));
        request.token = page.next_page_token;
    }
    assert_eq!((ids.as_str(), request.token.as_str()), ("abc", ""));
}

#[tokio::test]
async fn an_occurrence_is_named_by_the_service_and_kept_whole() {
    let world = with_note().await;
    let created =
        world.resources.create_occurrence(project("q"), attestation(1, "s")).await.unwrap();
    assert_eq!(created.name.project(), &project("q"));
    assert_eq!(created.name.id().len(), "c5f03cc3-3829-44cc-ae38-2b2b3967ba61".len());
    assert_eq!(text(&created.json, "name"), created.name.to_string());
    assert_eq!(text(&created.json, "remediation"), "kept");
    assert!(!text(&created.json, "createTime").is_empty());
    assert_eq!(world.resources.occurrence(created.name.clone()).await.unwrap(), created);
}

#[tokio::test]
async fn the_same_attestation_exists_once() {
    let world = with_note().await;
    let first = world.resources.create_occurrence(project("p"), attestation(1, "s")).await.unwrap();
    let mut again = attestation(1, "s");
    again.resource_uri = again.resource_uri.replace("https://", "");
    let error = world.resources.create_occurrence(project("p"), again).await.unwrap_err();
    assert_eq!(error.to_string(), format!("occurrence ID \"{}\" already exists", first.name.id()));
    assert!(matches!(error, ResourceError::AlreadyExists(_)));
    for other in [attestation(2, "s"), attestation(1, "t")] {
        world.resources.create_occurrence(project("p"), other).await.unwrap();
    }
}

#[tokio::test]
async fn other_kinds_may_repeat() {
    let world = world();
    world.resources.create_note(note("n", "BUILD")).await.unwrap();
    let mut build = attestation(1, "s");
    (build.kind, build.attestation) = ("BUILD".to_owned(), None);
    let first = world.resources.create_occurrence(project("p"), build.clone()).await.unwrap();
    let second = world.resources.create_occurrence(project("p"), build).await.unwrap();
    assert_ne!(first.name, second.name);
}

#[tokio::test]
async fn the_note_must_exist_and_be_of_the_kind() {
    let world = world();
    let missing = world.resources.create_occurrence(project("p"), attestation(1, "s")).await;
    assert_eq!(missing, Err(ResourceError::NotFound("projects/p/notes/n".into())));
    world.resources.create_note(note("n", "BUILD")).await.unwrap();
    let error =
        world.resources.create_occurrence(project("p"), attestation(1, "s")).await.unwrap_err();
    let problem = "projects/p/notes/n is of kind BUILD, the occurrence is of kind ATTESTATION";
    assert_eq!(error, ResourceError::invalid("noteName", problem));
    let batch = vec![attestation(1, "s")];
    let error = world.resources.create_occurrences(project("p"), batch).await.unwrap_err();
    assert_eq!(error, ResourceError::invalid("occurrences[0].noteName", problem));
}

#[tokio::test]
async fn a_batch_is_created_whole_or_not_at_all() {
    let world = with_note().await;
    world.resources.create_occurrence(project("p"), attestation(2, "s")).await.unwrap();
    let taken = vec![attestation(1, "s"), attestation(2, "s")];
    let twice = vec![attestation(1, "s"), attestation(1, "s")];
    let mut noteless = vec![attestation(1, "s"), attestation(3, "s")];
    noteless[1].note = "projects/p/notes/missing".parse().unwrap();
    for batch in [taken, twice, noteless] {
        world.resources.create_occurrences(project("p"), batch).await.unwrap_err();
        let all =
            world.resources.occurrences(project("p"), "", &PageRequest::default()).await.unwrap();
        assert_eq!(all.items.len(), 1);
    }
    let batch = vec![attestation(1, "s"), attestation(3, "s")];
    let created = world.resources.create_occurrences(project("p"), batch).await.unwrap();
    assert_eq!(
        created.iter().map(|one| one.digest).collect::<Vec<_>>(),
        [Some(digest(1)), Some(digest(3))]
    );
}

#[tokio::test]
async fn a_batch_holds_one_to_the_limit() {
    let world = with_note().await;
    let batch =
        |count: usize| (0..count).map(|i| attestation(1, &format!("s{i}"))).collect::<Vec<_>>();
    let empty = world.resources.create_occurrences(project("p"), batch(0)).await;
    assert_eq!(empty, Err(ResourceError::invalid("occurrences", "must be 1 to 1000, not 0")));
    let beyond = world
        .resources
        .create_occurrences(project("p"), batch(OCCURRENCES_PER_BATCH_MAX + 1))
        .await;
    assert_eq!(beyond, Err(ResourceError::invalid("occurrences", "must be 1 to 1000, not 1001")));
    let full =
        world.resources.create_occurrences(project("p"), batch(OCCURRENCES_PER_BATCH_MAX)).await;
    assert_eq!(full.unwrap().len(), OCCURRENCES_PER_BATCH_MAX);
}

#[tokio::test]
async fn creating_and_deleting_bumps_the_evidence_of_the_digest() {
    let world = with_note().await;
    let before = world.epochs.of(&digest(1));
    let created =
        world.resources.create_occurrence(project("p"), attestation(1, "s")).await.unwrap();
    let between = world.epochs.of(&digest(1));
    assert_ne!(between, before);
    world.resources.delete_occurrence(created.name).await.unwrap();
    assert_ne!(world.epochs.of(&digest(1)), between);
}

#[tokio::test]
async fn a_deleted_occurrence_is_gone_and_can_be_created_anew() {
    let world = with_note().await;
    let created =
        world.resources.create_occurrence(project("p"), attestation(1, "s")).await.unwrap();
    world.resources.delete_occurrence(created.name.clone()).await.unwrap();
    let gone = Err(ResourceError::NotFound(created.name.to_string()));
    assert_eq!(world.resources.delete_occurrence(created.name.clone()).await, gone);
    assert!(matches!(
        world.resources.occurrence(created.name).await,
        Err(ResourceError::NotFound(_))
    ));
    world.resources.create_occurrence(project("p"), attestation(1, "s")).await.unwrap();
}

#[tokio::test]
async fn a_listing_is_paged_by_project_and_by_note() {
    let world = with_note().await;
    let batch = (0..25).map(|i| attestation(i, "s")).collect();
    world.resources.create_occurrences(project("p"), batch).await.unwrap();
    world.resources.create_occurrence(project("q"), attestation(1, "s")).await.unwrap();
    let first =
        world.resources.occurrences(project("p"), "", &PageRequest::default()).await.unwrap();
    assert_eq!(first.items.len(), 20);
    let next = PageRequest { size: None, token: first.next_page_token };
    let second = world.resources.occurrences(project("p"), "", &next).await.unwrap();
    assert_eq!((second.items.len(), second.next_page_token.as_str()), (5, ""));
    let refused =
        world.resources.occurrences(project("p"), "kind=\"BUILD\"", &next).await.unwrap_err();
    assert!(refused.to_string().starts_with("pageToken: belongs to another listing"), "{refused}");
    let all = PageRequest { size: Some(100), token: String::new() };
    let of_note = world.resources.occurrences_of_note(note("n", "").name, "", &all).await.unwrap();
    assert_eq!(of_note.items.len(), 26);
}

#[tokio::test]
async fn a_listing_of_an_unknown_note_or_with_an_unknown_filter_is_refused() {
    let world = with_note().await;
    let page = PageRequest::default();
    let missing = world.resources.occurrences_of_note(note("m", "").name, "", &page).await;
    assert_eq!(missing, Err(ResourceError::NotFound("projects/p/notes/m".into())));
    let error =
        world.resources.occurrences(project("p"), "a OR b", &page).await.unwrap_err().to_string();
    assert!(error.starts_with("filter: unexpected `OR` at character 2; supported are"), "{error}");
}

#[tokio::test]
async fn a_read_only_store_refuses_every_write() {
    let world = with_note().await;
    let created =
        world.resources.create_occurrence(project("p"), attestation(1, "s")).await.unwrap();
    world.store.frozen.store(true, Ordering::Relaxed);
    let noted = world.resources.create_note(note("m", "ATTESTATION")).await.unwrap_err();
    let again =
        world.resources.create_occurrence(project("p"), attestation(2, "s")).await.unwrap_err();
    let deleted = world.resources.delete_occurrence(created.name).await.unwrap_err();
    for error in [noted, again, deleted] {
        assert!(matches!(error, ResourceError::ReadOnly(_)), "{error}");
    }
}

/// An attestation that takes all that anybody may file for its digest.
fn junk() -> Occurrence {
    let mut junk = attestation(1, "s");
    let body = junk.attestation.as_mut().unwrap();
    body.signatures = vec![body.signatures[0].clone(); Limits::DEFAULT.signatures_max];
    junk
}

fn signed_by(key: &str, payload: &str) -> Occurrence {
    let mut one = attestation(1, "s");
    let body = one.attestation.as_mut().unwrap();
    body.signatures[0].key_id = key.into();
    body.payload = payload.to_owned().into();
    one
}

#[tokio::test]
async fn a_write_beyond_a_limit_is_refused_unless_a_trusted_key_signed_it() {
    let world = with_note().await;
    let create = |one| world.resources.create_occurrence(project("p"), one);
    create(junk()).await.unwrap();
    let error = create(signed_by("bad", "a")).await.unwrap_err();
    let ResourceError::LimitExceeded { what, limit: 1_000 } = &error else { panic!("{error}") };
    assert!(what.starts_with("signatures of sha256:0101"), "{what}");
    create(signed_by("good", "a")).await.unwrap();
    let again = create(signed_by("good", "a")).await;
    assert!(matches!(again, Err(ResourceError::AlreadyExists(_))), "{again:?}");
    create(signed_by("good", "b")).await.unwrap();

    let mut variant = signed_by("good", "b");
    variant.resource_uri = variant.resource_uri.replace("nginx", "nginx:tag");
    let refused = create(variant).await;
    assert!(matches!(refused, Err(ResourceError::LimitExceeded { .. })), "{refused:?}");
    let batch = vec![signed_by("good", "c"), signed_by("bad", "c")];
    let refused = world.resources.create_occurrences(project("p"), batch).await;
    assert!(matches!(refused, Err(ResourceError::LimitExceeded { .. })), "{refused:?}");
}
