//! The audit log of a daemon, as it lies on the disk.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Its files, oldest first.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("lists");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Every record of the daemon that keeps its data under `dir`.
pub fn records(dir: &Path) -> Vec<Value> {
    let read = |file: PathBuf| std::fs::read_to_string(file).expect("text");
    let text: String = files(&dir.join("data/audit")).into_iter().map(read).collect();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The last record.
pub fn last_record(dir: &Path) -> Value {
    records(dir).pop().expect("a record")
}
