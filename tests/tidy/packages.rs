//! Which package may depend on which.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use super::source::{files, name, none, root, sources};

/// The packages of ours that each package may depend on. A plugin is loaded, never linked.
const EDGES: [(&str, &[&str]); 12] = [
    ("hallmark", &["hallmark-core", "hallmark-json", "hallmark-lanes", "hallmark-plugin-api"]),
    ("hallmark-algorithm", &[]),
    ("hallmark-core", &["hallmark-algorithm"]),
    ("hallmark-lanes", &[]),
    ("hallmark-json", &[]),
    ("hallmark-plugin-api", &["hallmark-algorithm", "hallmark-json"]),
    ("hallmark-plugin-pkix", &["hallmark-plugin-api"]),
    ("hallmark-plugin-pgp", &["hallmark-plugin-api"]),
    ("hallmark-plugin-hsm", &["hallmark-plugin-api"]),
    ("hallmark-plugin-template", &["hallmark-plugin-api"]),
    ("hallmark-tests", &["hallmark", "hallmark-core", "hallmark-plugin-api"]),
    ("hallmark-benches", &["hallmark", "hallmark-core", "hallmark-tests"]),
];
/// All that the pure core is made of: no IO, no clock, no threads among them.
const CORE: [&str; 9] = [
    "base64",
    "bytes",
    "hallmark-algorithm",
    "serde",
    "serde-saphyr",
    "serde_json",
    "sha2",
    "strsim",
    "thiserror",
];

fn manifests() -> Vec<(String, Table)> {
    let manifests = files("toml").into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("reads");
        (name(&path), text.parse().expect("TOML"))
    };
    let manifests: Vec<(String, Table)> = manifests.map(read).collect();
    // A package with a workspace of its own is built by another tool, and shipped nowhere.
    let ours = |table: &Table| table.contains_key("package") && !table.contains_key("workspace");
    manifests.into_iter().filter(|(_, table)| ours(table)).collect()
}

fn package(table: &Table) -> &str {
    table["package"]["name"].as_str().expect("a name")
}

/// The names in a table of dependencies.
fn dependencies(table: &Table, section: &str) -> BTreeSet<String> {
    let section = table.get(section).and_then(toml::Value::as_table);
    section.map(|section| section.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn packages_depend_downwards_only() {
    let mut faults = Vec::new();
    for (path, table) in manifests() {
        let package = package(&table);
        let allowed = EDGES.iter().find(|(known, _)| *known == package).map(|(_, edges)| *edges);
        let Some(allowed) = allowed else {
            faults.push(format!("{path}: what may {package} depend on?"));
            continue;
        };
        let all = ["dependencies", "dev-dependencies", "build-dependencies"];
        for used in all.iter().flat_map(|section| dependencies(&table, section)) {
            let ours = used.starts_with("hallmark") && used != package;
            if ours && !allowed.contains(&used.as_str()) {
                faults.push(format!("{path}: {package} depends on {used}"));
            }
        }
    }
    none(&faults);
}

#[test]
fn the_core_is_made_of_what_is_pure() {
    let manifests = manifests();
    let (_, core) =
        manifests.iter().find(|(path, _)| path == "daemon/core/Cargo.toml").expect("the core");
    let known: BTreeSet<_> = CORE.iter().map(|name| (*name).to_owned()).collect();
    let used = dependencies(core, "dependencies");
    let foreign: Vec<_> = used.difference(&known).cloned().collect();
    none(&foreign);
}

/// Versions and features are said once, in the workspace.
#[test]
fn versions_are_those_of_the_workspace() {
    let mut faults = Vec::new();
    for (path, table) in manifests() {
        let section = table.get("dependencies").and_then(toml::Value::as_table);
        for (name, given) in section.into_iter().flatten() {
            let inherited = given.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            if !inherited {
                faults.push(format!("{path}: {name} has a version of its own"));
            }
        }
        let package = table["package"].as_table().expect("a package");
        for inherited in ["version", "edition", "rust-version", "license", "publish"] {
            if package.get(inherited).and_then(|value| value.get("workspace")).is_none() {
                faults.push(format!("{path}: {inherited} is not the workspace's"));
            }
        }
    }
    none(&faults);
}

/// Dependencies that no source line names, because something else does. Each with the reason.
const UNNAMED: [(&str, &str); 0] = [];

/// A dependency costs build time and trust; one that nothing names is dead.
#[test]
fn every_dependency_is_used() {
    let sources = sources();
    let mut faults = Vec::new();
    for (path, table) in manifests() {
        let folder = path.trim_end_matches("Cargo.toml");
        let nested = |file: &str| {
            ["core/", "lanes/"]
                .iter()
                .any(|inner| folder == "daemon/" && file[folder.len()..].starts_with(inner))
        };
        let own: Vec<_> = sources
            .iter()
            .filter(|one| one.path.starts_with(folder) && !nested(&one.path))
            .collect();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for dependency in dependencies(&table, section) {
                let name = dependency.replace('-', "_");
                let for_all = section == "dependencies";
                let named = own.iter().any(|source| {
                    source.lines.iter().any(|line| {
                        let counts = !for_all || !line.in_tests || folder == "tests/";
                        counts && has_path(&line.code, &name)
                    })
                });
                if !named && !UNNAMED.iter().any(|(known, _)| *known == dependency) {
                    faults.push(format!("{path}: [{section}] {dependency} is not used"));
                }
            }
        }
    }
    none(&faults);
}

/// True if the code names a path that begins with this crate.
fn has_path(code: &str, name: &str) -> bool {
    let inside = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(name).any(|(at, _)| {
        let after = &code[at + name.len()..];
        let ends = after.starts_with("::")
            || after.starts_with(';')
            || after.starts_with(" as ")
            || after.starts_with('!');
        ends && !code[..at].ends_with(inside)
    })
}

/// The workspace's table holds what its packages use, and no more.
#[test]
fn every_workspace_dependency_is_used() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).expect("reads");
    let workspace: Table = text.parse().expect("TOML");
    let table = workspace["workspace"]["dependencies"].as_table().expect("a table");
    let manifests = manifests();
    let used = |name: &String| {
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"];
        manifests.iter().any(|(_, table)| {
            sections.iter().any(|section| dependencies(table, section).contains(name))
        })
    };
    let dead: Vec<_> = table.keys().filter(|name| !used(name)).cloned().collect();
    none(&dead);
}

/// The versions of each package in a lock file.
fn locked(path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join(path)).expect("reads");
    let table: Table = text.parse().expect("TOML");
    let mut versions = BTreeMap::<_, BTreeSet<_>>::new();
    for package in table["package"].as_array().expect("a list") {
        let text = |member: &str| package[member].as_str().expect("a text").to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    versions
}

/// The fuzzer runs what is shipped: the same version of every library.
#[test]
fn the_fuzzer_is_built_with_the_versions_of_the_workspace() {
    const LOCK: &str = "tests/libfuzzer/Cargo.lock";
    let ours = locked("Cargo.lock");
    let strays = locked(LOCK).into_iter().filter_map(|(name, versions)| {
        let strays: Vec<_> = versions.difference(ours.get(&name)?).cloned().collect();
        (!strays.is_empty()).then(|| format!("{LOCK}: {name} {}", strays.join(", ")))
    });
    let mut faults: Vec<_> = strays.collect();
    if !faults.is_empty() {
        faults.push(format!(
            "copy Cargo.lock to {LOCK}, then `cargo metadata --manifest-path tests/libfuzzer/Cargo.toml`"
        ));
    }
    none(&faults);
}
