//! The embedded store on real files: conformance, writes, opening, failing disks, crashes.

mod changes;
mod crash;
mod failing_disk;
mod opening;
mod quota;
mod writes;

use std::path::Path;

use prometheus::Registry;
use redb::{ReadableTable as _, ReadableTableMetadata as _};

use super::tables::{BY_NOTE, EVIDENCE, OCCURRENCES};
use super::*;
use crate::store::conformance;
use crate::store::tests::states;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::image::Digest;

fn metrics() -> StoreMetrics {
    StoreMetrics::register(&Registry::new()).unwrap()
}

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(dir, metrics()).unwrap()
}

/// Every occurrence reads whole, and the indexes hold its entries and no others.
fn assert_consistent(store: &EmbeddedStore) {
    let names = store
        .shared
        .read(|view| {
            let table = view.open_table(OCCURRENCES)?;
            let mut names = Vec::new();
            for entry in table.iter()? {
                names.push(tables::occurrence_name(entry?.0.value())?);
            }
            assert_eq!(view.open_table(BY_NOTE)?.len()?, names.len() as u64);
            Ok(names)
        })
        .unwrap();
    let mut indexed = 0;
    for name in names {
        let whole = store.occurrence(&name).unwrap().unwrap();
        let prepared = write::PreparedOccurrence::from(whole);
        indexed += prepared.assert_filed(&store.shared);
    }
    let entries = store.shared.read(|view| Ok(view.open_table(EVIDENCE)?.len()?)).unwrap();
    assert_eq!(entries, indexed, "an index entry belongs to no occurrence");
}

impl write::PreparedOccurrence {
    /// The number of entries of the evidence table that are its own; all must be there.
    fn assert_filed(&self, shared: &Shared) -> u64 {
        let write::Keys { note, evidence, filed, listing, .. } = &self.keys;
        let record = self.evidence.clone().unwrap_or_default();
        let entries = [true, false].map(|proven| self.entry(proven));
        let filed = shared.read(|view| {
            let (by_note, by_digest) = (view.open_table(BY_NOTE)?, view.open_table(EVIDENCE)?);
            assert!(by_note.get(note.as_slice())?.is_some(), "{self:?}");
            for (key, record) in [(evidence, record), (listing, Vec::new())] {
                let Some(key) = key else { continue };
                let found = by_digest.get(key.as_slice())?.map(|found| found.value().to_vec());
                assert_eq!(found, Some(record), "{self:?}");
            }
            if let Some(key) = filed {
                let found = by_digest.get(key.as_slice())?.map(|found| found.value().to_vec());
                assert!(found.is_some() && entries.contains(&found), "{self:?}");
            }
            let keys = [evidence, filed, listing];
            Ok(keys.into_iter().flatten().count() as u64)
        });
        filed.unwrap()
    }
}

/// The occurrences with attestations of a digest under a note, on all pages.
fn evidence(store: &EmbeddedStore, note: &str, digest: Digest) -> Vec<OccurrenceName> {
    let lookup = Lookup::UnderNote(note.parse().unwrap(), digest);
    all_pages(store, EvidenceQuery::of(lookup))
}

/// The occurrences that a query finds, in its order, on all pages.
fn all_pages(store: &EmbeddedStore, mut query: EvidenceQuery) -> Vec<OccurrenceName> {
    let mut names = Vec::new();
    loop {
        let page = store.evidence(std::slice::from_ref(&query)).unwrap().pop().unwrap();
        names.extend(page.attestations.into_iter().map(|one| one.occurrence));
        match page.next {
            Some(next) => query.from = next,
            None => return names,
        }
    }
}

/// Files occurrences as a daemon did that knew no limits.
fn file_without_limits(store: &EmbeddedStore, occurrences: Vec<Occurrence>) {
    let written = store.shared.with(|database| {
        let transaction = database.begin_write()?;
        let mut tables = tables::Tables::open(&transaction)?;
        for one in occurrences {
            write::insert_occurrence(&mut tables, &write::PreparedOccurrence::from(one), false)?;
        }
        drop(tables);
        Ok(transaction.commit()?)
    });
    written.unwrap();
}

#[test]
fn more_than_the_limits_is_read_if_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for write in conformance::resources() {
        store.apply(write).unwrap();
    }
    file_without_limits(&store, conformance::many());
    conformance::check_many(&store);
    assert_consistent(&store);
}

#[test]
fn the_embedded_store_answers_as_the_model_does() {
    for state in states() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for write in &state.writes {
            store.apply(write.clone()).unwrap_or_else(|error| panic!("{}: {error}", state.name));
        }
        state.check(&store);
    }
}

#[test]
fn the_embedded_store_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for write in conformance::resources() {
        store.apply(write).unwrap();
    }
    conformance::check(&store);
    assert!(!store.read_only());
    assert_consistent(&store);
    drop(store);
    let again = open(dir.path());
    conformance::check(&again);
    assert_consistent(&again);
}
