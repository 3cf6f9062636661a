use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::tables::META;
use super::*;

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
        assert!(error.contains("its format is 7 and this daemon reads format 1"), "{error}");
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
