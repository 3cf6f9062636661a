//! Tests of what is filed for one digest under a note and in a project, up to the limits and beyond
//! them.

use std::collections::{BTreeMap, HashMap, HashSet};

use hallmark_core::evaluate::question::Lookup;
use hallmark_core::limits::Limits;

use super::*;
use crate::store::Proof;
use crate::store::samples::{attestation, digest, note, unproven, uri};

const NOTE: &str = "projects/p/notes/n";
const OTHER_NOTE: &str = "projects/p/notes/o";
const LIMITS: Limits = Limits::DEFAULT;

fn store_with_notes(dir: &Path) -> EmbeddedStore {
    let store = open(dir);
    store.apply(Write::create_all([NOTE, OTHER_NOTE].map(note).to_vec())).unwrap();
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

fn create(store: &EmbeddedStore, one: Occurrence) -> Result<Option<String>, StoreError> {
    store.apply(unproven(vec![one]))
}

fn prove(store: &EmbeddedStore, id: &str, proofs: &[Proof]) -> Result<Option<String>, StoreError> {
    store.apply(Write::file(vec![(signed(id, NOTE, 1), proofs.to_vec())]))
}

fn exhausted(what: &'static str, limit: usize) -> Result<Option<String>, StoreError> {
    let of = Lookup::UnderNote(NOTE.parse().unwrap(), digest(1));
    Err(StoreError::Exhausted { what, limit, of })
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
    store
        .apply(Write::delete("projects/p/occurrences/b".parse::<OccurrenceName>().unwrap()))
        .unwrap();
    create(&store, signed("c", NOTE, 1)).unwrap();
    assert_consistent(&store);
}

#[test]
fn attestations_and_bytes_have_limits_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    let each = |count| (0..count).map(|n| signed(&format!("n{n}"), NOTE, 0)).collect();
    let beyond = exhausted("attestations", LIMITS.occurrences_max);
    let write = |count| store.apply(unproven(each(count)));
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
    assert_eq!(store.apply(Write::file(twice.to_vec())), beyond, "within a batch, too");
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
        store.apply(Write::file((from..from + count).map(one)))
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
    store.apply(Write::replace(signed("a", NOTE, 1))).unwrap();
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(prove(&store, "b", &[proof(1, 1)]), beyond);
    store
        .apply(Write::delete("projects/p/occurrences/a".parse::<OccurrenceName>().unwrap()))
        .unwrap();
    prove(&store, "b", &[proof(1, 1)]).unwrap();
}

#[test]
fn a_change_does_not_grow_beyond_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    fill(&store);
    let smaller = signed("junk", NOTE, LIMITS.signatures_max - 1);
    store.apply(Write::replace(smaller)).unwrap();
    let larger = signed("junk", NOTE, LIMITS.signatures_max + 1);
    let beyond = exhausted("signatures", LIMITS.signatures_max);
    assert_eq!(store.apply(Write::replace(larger)), beyond);
    store.apply(Write::replace(signed("junk", NOTE, LIMITS.signatures_max))).unwrap();
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
    store.apply(Write::replace(smaller)).unwrap();
    store
        .apply(Write::delete("projects/p/occurrences/old".parse::<OccurrenceName>().unwrap()))
        .unwrap();
    create(&store, signed("b", NOTE, 1)).unwrap();
    assert_consistent(&store);
}

#[test]
fn a_project_takes_no_more_than_some_notes_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    let notes: Vec<_> =
        (0..=LIMITS.notes_in_project_max).map(|n| format!("projects/q/notes/{n}")).collect();
    store.apply(Write::create_all(notes.iter().map(|name| note(name)))).unwrap();
    let (last, full) = notes.split_last().unwrap();
    for (number, note) in full.iter().enumerate() {
        create(&store, signed(&format!("junk{number}"), note, LIMITS.signatures_max)).unwrap();
    }
    let of = Lookup::InProject("p".parse().unwrap(), digest(1));
    let limit = LIMITS.notes_in_project_max * LIMITS.signatures_max;
    let beyond = Err(StoreError::Exhausted { what: "signatures", limit, of });
    assert_eq!(create(&store, signed("a", last, 1)), beyond);
    let mut grown = signed("junk0", &notes[0], 1);
    store.apply(Write::replace(grown.clone())).unwrap();
    create(&store, signed("b", last, LIMITS.signatures_max - 1)).unwrap();
    grown.attestation = signed("junk0", &notes[0], 2).attestation;
    assert_eq!(store.apply(Write::replace(grown)), beyond);

    let proven = vec![(signed("c", last, 1), vec![proof(1, 1)])];
    store.apply(Write::file(proven)).unwrap();
    let mut elsewhere = signed("d", last, 1);
    elsewhere.name = "projects/q/occurrences/d".parse().unwrap();
    create(&store, elsewhere).unwrap();
    assert_consistent(&store);
}

/// In the order of names the junk is on both sides of it.
#[test]
fn what_a_key_was_seen_to_sign_comes_first_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store_with_notes(dir.path());
    let junk = |range: std::ops::Range<usize>| {
        let junk = range.map(|n| signed(&format!("n{n:04}"), NOTE, 2));
        store.apply(unproven(junk.collect())).unwrap();
    };
    junk(0..250);
    prove(&store, "n0250", &[proof(1, 1), proof(1, 2), proof(2, 1)]).unwrap();
    prove(&store, "n0251", &[proof(3, 1)]).unwrap();
    junk(252..501);
    let under = Lookup::UnderNote(NOTE.parse().unwrap(), digest(1));
    let within = Lookup::InProject("p".parse().unwrap(), digest(1));
    let name = |id: &str| format!("projects/p/occurrences/{id}").parse::<OccurrenceName>().unwrap();
    for (lookup, keys, first, alone) in [
        (&under, vec![1, 2], ["n0250", "n0000"], Some(1)),
        (&under, vec![3], ["n0251", "n0000"], Some(1)),
        (&under, vec![4], ["n0000", "n0001"], None),
        (&under, vec![3, 1], ["n0250", "n0251"], Some(2)),
        (&within, vec![], ["n0250", "n0251"], Some(2)),
    ] {
        let keys = keys.into_iter().map(|key| [key; 32]).collect();
        let query = EvidenceQuery { keys, ..EvidenceQuery::of(lookup.clone()) };
        let first_page =
            store.evidence(std::slice::from_ref(&query)).unwrap().remove(0).attestations;
        assert_eq!(first_page.len(), alone.unwrap_or(501), "{lookup}: junk is not read with it");
        let found = all_pages(&store, query);
        assert_eq!(found[..2], first.iter().map(|id| name(id)).collect::<Vec<_>>(), "{lookup}");
        let unique: HashSet<_> = found.iter().collect();
        assert_eq!((found.len(), unique.len()), (501, 501), "{lookup}");
    }
}

/// The meaning of the limits, as counts over a plain list.
#[derive(Default)]
struct Filed {
    /// By name: note, signatures, and whether it was accepted as proven.
    all: BTreeMap<String, (&'static str, usize, bool)>,
    /// Who holds a proof under a note.
    held: HashMap<(&'static str, u8, usize), String>,
}

impl Filed {
    fn signatures(&self, is_counted: impl Fn(&str) -> bool) -> usize {
        let unproven = self.all.values().filter(|(note, _, proven)| !proven && is_counted(note));
        unproven.map(|(_, signatures, _)| signatures).sum()
    }

    /// Says if a new one is accepted, and then files it.
    fn create(
        &mut self,
        id: &str,
        note: &'static str,
        signatures: usize,
        proofs: &[(u8, usize)],
    ) -> bool {
        let new: Vec<_> = proofs
            .iter()
            .filter(|(key, message)| !self.held.contains_key(&(note, *key, *message)))
            .collect();
        let proven = !new.is_empty();
        let fits = self.signatures(|other| other == note) + signatures <= LIMITS.signatures_max
            && self.signatures(|_| true) + signatures
                <= LIMITS.notes_in_project_max * LIMITS.signatures_max;
        if !proven && !fits {
            return false;
        }
        for (key, message) in new {
            self.held.insert((note, *key, *message), id.to_owned());
        }
        self.all.insert(id.to_owned(), (note, signatures, proven));
        true
    }

    fn delete(&mut self, id: &str) {
        self.all.remove(id);
        self.held.retain(|_, holder| holder != id);
    }
}

const MANY_NOTES: [&str; 6] = [
    NOTE,
    OTHER_NOTE,
    "projects/q/notes/a",
    "projects/q/notes/b",
    "projects/q/notes/c",
    "projects/q/notes/d",
];

/// Junk and good evidence in any order: what is proven is always accepted, junk is refused exactly
/// at the limits, and all that was accepted is found once, the proven first.
#[test]
fn no_mix_of_junk_hides_or_keeps_out_what_is_good() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.apply(Write::create_all(MANY_NOTES.map(note).to_vec())).unwrap();
        let mut filed = Filed::default();
        let mut refused = 0;
        for number in 0..60 {
            let (id, note) =
                (format!("{:03}", random.usize(..60)), *random.choice(MANY_NOTES.iter()).unwrap());
            if filed.all.contains_key(&id) {
                filed.delete(&id);
                let name = format!("projects/p/occurrences/{id}");
                store.apply(Write::delete(name.parse::<OccurrenceName>().unwrap())).unwrap();
                continue;
            }
            let signatures = random.usize(1..=LIMITS.signatures_max);
            let proofs: Vec<_> = match number % 3 {
                0 => vec![(random.u8(1..=2), random.usize(..6)), (3, random.usize(..6))],
                _ => Vec::new(),
            };
            let accepted = filed.create(&id, note, signatures, &proofs);
            let proofs = proofs.into_iter().map(|(key, message)| proof(key, message)).collect();
            let write = vec![(signed(&id, note, signatures), proofs)];
            let answer = store.apply(Write::file(write));
            assert_eq!(answer.is_ok(), accepted, "{seed}/{number}: {answer:?}");
            refused += usize::from(!accepted);
        }
        assert!(refused > 5, "{seed}: the limits are met");
        assert_all_found(&store, &filed, seed);
        assert_consistent(&store);
    }
}

fn assert_all_found(store: &EmbeddedStore, filed: &Filed, seed: u64) {
    for note in MANY_NOTES {
        for key in 1..=3 {
            let lookup = Lookup::UnderNote(note.parse().unwrap(), digest(1));
            let query = EvidenceQuery { keys: vec![[key; 32]], ..EvidenceQuery::of(lookup) };
            let found: Vec<_> =
                all_pages(store, query).iter().map(|name| name.id().to_owned()).collect();
            let holders = filed.held.iter().filter(|((of, by, _), _)| (*of, *by) == (note, key));
            let first: HashSet<_> = holders.map(|(_, holder)| holder.clone()).collect();
            let at_front: HashSet<_> = found[..first.len()].iter().cloned().collect();
            assert_eq!(at_front, first, "{seed}: {note}");
            let mut found = found;
            found.sort();
            let of_note = filed.all.iter().filter(|(_, (of, ..))| *of == note);
            assert_eq!(found, of_note.map(|(id, _)| id.clone()).collect::<Vec<_>>(), "{seed}");
        }
    }
    let within = EvidenceQuery::of(Lookup::InProject("p".parse().unwrap(), digest(1)));
    let mut found: Vec<_> =
        all_pages(store, within).iter().map(|name| name.id().to_owned()).collect();
    let proven = found.iter().map(|id| filed.all[id].2);
    assert!(proven.is_sorted_by(|one, other| one >= other), "{seed}: the proven come first");
    found.sort();
    assert_eq!(found, filed.all.keys().cloned().collect::<Vec<_>>(), "{seed}");
}
