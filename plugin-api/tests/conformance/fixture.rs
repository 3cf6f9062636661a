//! A plugin, built here, and the kit that runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use hallmark_plugin_api::conformance::{Effort, Finding, Outcome, Subject, Suite, sum};

/// The folder of this package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The build of a file of `examples/`, which cargo makes beside the tests.
pub(crate) fn example(file: &str) -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let path = executable.ancestors().nth(2).unwrap().join("examples").join(file);
    assert!(path.exists(), "build it: cargo build -p hallmark-plugin-api --examples");
    path
}

/// Compiles a C plugin the way that `docs/plugins.md` says.
pub(crate) fn compile(source: &Path, dir: &Path, more: &[&str]) -> PathBuf {
    compile_with(&root().join("include"), source, dir, more)
}

/// As [`compile`], with the header in another folder.
pub(crate) fn compile_with(include: &Path, source: &Path, dir: &Path, more: &[&str]) -> PathBuf {
    let out = dir.join("plugin.so");
    let output = Command::new("cc")
        .args([
            "-std=c11",
            "-D_GNU_SOURCE",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fPIC",
            "-fvisibility=hidden",
        ])
        .args(["-shared", "-Wl,-z,defs", "-Wl,-z,noexecstack", "-Wl,--exclude-libs,ALL"])
        .arg("-I")
        .arg(include)
        .arg("-o")
        .arg(&out)
        .arg(source)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    readable(&out);
    out
}

/// As a plugin file has to be: others may not write it.
pub(crate) fn readable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// A suite with less effort than a vendor's.
pub(crate) fn suite(file: &Path, config: &str, only: &[&str]) -> Suite {
    let subject = Subject {
        file: file.to_owned(),
        sha256: sum(file).unwrap(),
        config: config.to_owned(),
        secrets: BTreeMap::new(),
        blobs: Vec::new(),
        environment: Vec::new(),
    };
    let effort = Effort { threads: 16, calls: 10, cycles: 100 };
    let only = only.iter().map(|id| (*id).to_owned()).collect();
    Suite { subject, effort, deadline: Duration::from_secs(60), only }
}

/// Runs a suite in children of the tests' own.
pub(crate) fn run(suite: &Suite) -> Vec<Finding> {
    let child = example("conformance_child");
    suite.run(&|| Command::new(&child), |_| {}).unwrap()
}

/// Asserts that nothing failed, and that these were checked at all.
pub(crate) fn assert_conformant(findings: &[Finding], applicable: &[&str]) {
    let failed: Vec<_> =
        findings.iter().filter(|finding| finding.outcome == Outcome::Fail).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for id in applicable {
        let finding = findings.iter().find(|finding| finding.id == *id);
        assert_eq!(finding.map(|it| it.outcome), Some(Outcome::Pass), "{id}: {finding:?}");
    }
}
