//! Files of `deploy/`, and the programs that read them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

pub(crate) use super::kustomize::kustomized;

/// The components that may be laid over the base.
pub(crate) const COMPONENTS: [&str; 4] =
    ["state-claims", "data-dir", "cert-manager", "service-monitor"];

/// A path under `deploy/`.
pub(crate) fn deploy(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root");
    root.join("deploy").join(path)
}

/// A file under `deploy/`.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(deploy(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML text; empty ones are passed over.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let found: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    found.into_iter().filter(|document| !document.is_null()).collect()
}

/// Runs a program that `tests/tools.sh` sees to.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; run tests/tools.sh"))
}

/// As [`run`]; what it printed, where all is well.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The base with these components over it.
pub(crate) fn base(components: &[&str]) -> Vec<Value> {
    let dir = tempfile::tempdir().expect("a folder");
    kustomized(&overlay(dir.path(), components))
}

/// Writes an overlay of the base with these components to `dir`.
pub(crate) fn overlay(dir: &Path, components: &[&str]) -> PathBuf {
    // Kustomize takes paths from the folder only, and no symbolic links on the way.
    let dir = dir.canonicalize().expect("exists");
    let up = "../".repeat(dir.components().count() - 1);
    let from = |path: &str| {
        let path = deploy("kubernetes").join(path).canonicalize().expect("exists");
        format!("{up}{}", path.strip_prefix("/").expect("absolute").display())
    };
    let components = components.iter().map(|name| from(&format!("components/{name}")));
    let kustomization =
        json!({"resources": [from("base")], "components": components.collect::<Vec<_>>()});
    std::fs::write(dir.join("kustomization.yaml"), kustomization.to_string()).expect("writes");
    dir
}

/// The document of this kind and name.
pub(crate) fn find<'a>(documents: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The one that runs the daemon.
pub(crate) fn workload(documents: &[Value]) -> &Value {
    let kinds = ["Deployment", "StatefulSet"];
    let found = documents.iter().find(|one| kinds.iter().any(|kind| one["kind"] == *kind));
    found.expect("a workload")
}

/// The members of a list.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
