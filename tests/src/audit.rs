//! The audit log of a daemon, as it lies on the disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::daemon::hallmark_offline;

/// Its files, oldest first.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("lists");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
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

/// A small file system, unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs(pub PathBuf);

impl Tmpfs {
    /// Mounts one of this size, such as `1m`, in a new directory. `None`: this user may not.
    pub fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).expect("creates");
        let mut mount = Command::new("mount");
        let size = format!("size={size}");
        let mount = mount.args(["-t", "tmpfs", "-o", &size, "hallmark-tests"]).arg(at);
        let output = mount.output().ok()?;
        output.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

/// `hallmark audit verify --format json`.
pub fn verify(dir: &Path, args: &[&str]) -> Output {
    let dir = dir.to_string_lossy();
    hallmark_offline(&[&["audit", "verify", &dir, "--format", "json"], args].concat())
}

/// The report on a log that is whole.
pub fn verified(dir: &Path, args: &[&str]) -> Value {
    let output = verify(dir, args);
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["whole"], true);
    report
}

/// The error of a log that is not.
pub fn broken(dir: &Path, args: &[&str]) -> String {
    let output = verify(dir, args);
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{report}");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["whole"], false);
    report["error"].as_str().expect("an error").to_owned()
}
