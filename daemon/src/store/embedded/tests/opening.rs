use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use hallmark_core::evaluate::question::Lookup;

use super::super::tables::{FORMAT_BEFORE, META, RESERVED, project_place};
use super::*;
use crate::store::Proof;
use crate::store::samples::{attestation, digest, note, uri};

fn error_of(dir: &Path) -> String {
    EmbeddedStore::open(dir, metrics()).unwrap_err().to_string()
}

#[test]
fn files_are_their_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new").join("data");
    let _store = open(&dir);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_second_daemon_is_told_that_the_directory_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let error = error_of(dir.path());
    assert!(error.contains("in use by another daemon"), "{error}");
    drop(first);
    drop(open(dir.path()));
}

#[test]
fn another_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let file = dir.path().join("hallmark.redb");
    let database = redb::Database::open(&file).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", 7).unwrap();
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let error = error_of(dir.path());
        assert!(error.contains("its format is 7 and this daemon reads format 2"), "{error}");
    }
}

/// Makes the database one of the format before: without entries of projects, and, as it was at first,
/// without a reserve.
fn take_back_a_format(dir: &Path, with_reserve: bool) {
    let database = redb::Database::open(dir.join("hallmark.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert("format", FORMAT_BEFORE).unwrap();
    let tag = project_place(&"p".parse().unwrap(), &digest(1))[32];
    let of_project = |key: &[u8], _: &[u8]| key[32] == tag;
    transaction.open_table(EVIDENCE).unwrap().retain(|key, value| !of_project(key, value)).unwrap();
    if !with_reserve {
        transaction.delete_table(RESERVED).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_database_of_the_format_before_is_taken_up_whole() {
    const NOTE: &str = "projects/p/notes/beside";
    for with_reserve in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        for write in conformance::resources() {
            store.apply(write).unwrap();
        }
        store.apply(Write::create(note(NOTE))).unwrap();
        let proven = attestation("projects/p/occurrences/z", NOTE, &uri(7));
        let other = attestation("projects/p/occurrences/a", NOTE, &uri(7));
        let proof = Proof { key: [1; 32], message: [1; 32] };
        let both = vec![(other, vec![]), (proven, vec![proof])];
        store.apply(Write::file(both)).unwrap();
        let in_project = EvidenceQuery::of(Lookup::InProject("p".parse().unwrap(), digest(7)));
        let before = all_pages(&store, in_project.clone());
        drop(store);
        take_back_a_format(dir.path(), with_reserve);
        for _ in 0..2 {
            let store = open(dir.path());
            assert_consistent(&store);
            let mut after = all_pages(&store, in_project.clone());
            if !with_reserve {
                after.reverse();
            }
            assert_eq!(after, before, "what is proven comes first");
        }
    }
}

#[test]
fn a_file_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hallmark.redb");
    fs::write(&file, "not a database, and longer than any header would be".repeat(200)).unwrap();
    let before = fs::read(&file).unwrap();
    let error = error_of(dir.path());
    assert!(error.contains("hallmark.redb"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = error_of(&file.join("data"));
    assert!(error.contains("--data-dir") && error.contains("file/data"), "{error}");
}
