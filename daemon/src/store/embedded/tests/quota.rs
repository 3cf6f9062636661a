//! What is filed for one note and digest, up to the limits and beyond them.

use hallmark_core::limits::Limits;

use super::*;
use crate::store::Proof;
use crate::store::samples::{attestation, digest, note, uri};

const NOTE: &str = "projects/p/notes/n";
const OTHER_NOTE: &str = "projects/p/notes/o";
const LIMITS: Limits = Limits::DEFAULT;

fn store_with_notes(dir: &Path) -> EmbeddedStore {
    let store = open(dir);
    store.apply(Write::CreateNotes([NOTE, OTHER_NOTE].map(note).to_vec())).unwrap();
    store
}

/// An attestation with so many signatures.
fn signed(id: &str, note: &str, signatures: usize) -> Occurrence {
    let mut one = attestation(&format!("projects/p/occurrences/{id}"), note, &uri(1));
    let body = one.attestation.as_mut().unwrap();
    let signature = body.signatures[0].clone();
    body.signatures = vec![signature; signatures];
    one
}

fn proof(key: u8, message: usize) -> Proof {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&message.to_be_bytes());
    Proof { key: [key; 32], message: hash }
}

fn create(store: &EmbeddedStore, one: Occurrence) -> Result<(), StoreError> {
    store.apply(Write::CreateOccurrences(vec![one]))
}

fn prove(store: &EmbeddedStore, id: &str, proofs: &[Proof]) -> Result<(), StoreError> {
    store.apply(Write::CreateProven(vec![(signed(id, NOTE, 1), proofs.to_vec())]))
}

fn exhausted(what: &'static str, limit: usize) -> Result<(), StoreError> {
    let (note, digest) = (NOTE.parse().unwrap(), digest(1));
    Err(StoreError::Exhausted { what, limit, note, digest })
}

/// Fills the general limits of [`NOTE`] and the first digest.
fn fill(store: &EmbeddedStore) {
    create(store, signed("junk", NOTE, LIMITS.signatures_max)).unwrap();
}

#[test]
fn a_write_beyond_a_limit_is_refused_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    create(&store, signed("a", NOTE, LIMITS.signatures_max - 1)).unwrap();
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(create(&store, signed("b", NOTE, 2)), beyond);
    create(&store, signed("b", NOTE, 1)).unwrap();
    assert_eq!(create(&store, signed("c", NOTE, 1)), beyond);
    create(&store, signed("d", OTHER_NOTE, 1)).unwrap();
    let of_other_digest = attestation("projects/p/occurrences/e", NOTE, &uri(2));
    create(&store, of_other_digest).unwrap();
    store.apply(Write::DeleteOccurrence("projects/p/occurrences/b".parse().unwrap())).unwrap();
    create(&store, signed("c", NOTE, 1)).unwrap();
    assert_consistent(&store);
}

#[test]
fn attestations_and_bytes_have_limits_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    let each = |count| (0..count).map(|n| signed(&format!("n{n}"), NOTE, 0)).collect();
    let beyond = exhausted("attestations", LIMITS.occurrences_max);
    let write = |count| store.apply(Write::CreateOccurrences(each(count)));
    assert_eq!(write(LIMITS.occurrences_max + 1), beyond, "a batch is refused whole");
    assert_eq!(evidence(&store, NOTE, digest(1)), []);
    write(LIMITS.occurrences_max).unwrap();

    let mut large = signed("large", OTHER_NOTE, 1);
    let body = large.attestation.as_mut().unwrap();
    body.signatures[0].signature = vec![7; LIMITS.evidence_bytes_max].into();
    let refused = create(&store, large).unwrap_err().to_string();
    assert!(refused.starts_with("bytes of attestations of sha256:0101"), "{refused}");
}

#[test]
fn what_a_trusted_key_has_newly_signed_is_filed_whatever_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    fill(&store);
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(prove(&store, "a", &[]), beyond);
    prove(&store, "a", &[proof(1, 1)]).unwrap();
    assert_eq!(prove(&store, "variant", &[proof(1, 1)]), beyond, "a proof counts once");
    prove(&store, "b", &[proof(1, 2)]).unwrap();
    prove(&store, "c", &[proof(1, 1), proof(2, 1)]).unwrap();
    let twice = ["d", "e"].map(|id| (signed(id, NOTE, 1), vec![proof(3, 1)]));
    assert_eq!(store.apply(Write::CreateProven(twice.to_vec())), beyond, "within a batch, too");
    assert_eq!(evidence(&store, NOTE, digest(1)).len(), 4);
    assert_consistent(&store);
}

#[test]
fn no_key_takes_the_places_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    fill(&store);
    let many = |from: usize, count| {
        let one = |n| (signed(&format!("n{n}"), NOTE, 1), vec![proof(1, n)]);
        store.apply(Write::CreateProven((from..from + count).map(one).collect()))
    };
    many(0, LIMITS.reserved_per_key_max).unwrap();
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(many(LIMITS.reserved_per_key_max, 1), beyond);
    prove(&store, "other", &[proof(2, 1)]).unwrap();
}

#[test]
fn a_deleted_attestation_gives_its_place_back_and_a_changed_one_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    fill(&store);
    prove(&store, "a", &[proof(1, 1)]).unwrap();
    store.apply(Write::UpdateOccurrence(signed("a", NOTE, 1))).unwrap();
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(prove(&store, "b", &[proof(1, 1)]), beyond);
    store.apply(Write::DeleteOccurrence("projects/p/occurrences/a".parse().unwrap())).unwrap();
    prove(&store, "b", &[proof(1, 1)]).unwrap();
}

#[test]
fn a_change_does_not_grow_beyond_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    fill(&store);
    let smaller = signed("junk", NOTE, LIMITS.signatures_max - 1);
    store.apply(Write::UpdateOccurrence(smaller)).unwrap();
    let larger = signed("junk", NOTE, LIMITS.signatures_max + 1);
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(store.apply(Write::UpdateOccurrence(larger)), beyond);
    store.apply(Write::UpdateOccurrence(signed("junk", NOTE, LIMITS.signatures_max))).unwrap();
    assert_consistent(&store);
}

#[test]
fn a_database_from_before_the_limits_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    file_without_limits(&store, vec![signed("old", NOTE, 3 * LIMITS.signatures_max)]);
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(create(&store, signed("a", NOTE, 1)), beyond);
    prove(&store, "a", &[proof(1, 1)]).unwrap();
    let smaller = signed("old", NOTE, 2 * LIMITS.signatures_max);
    store.apply(Write::UpdateOccurrence(smaller)).unwrap();
    store.apply(Write::DeleteOccurrence("projects/p/occurrences/old".parse().unwrap())).unwrap();
    create(&store, signed("b", NOTE, 1)).unwrap();
    assert_consistent(&store);
}
