//! The floors of the daemon: a module imports from its own floor and from those below.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Line, Source, none, sources};

/// Top floor first. `docs/ARCHITECTURE.md` has the same table.
const FLOORS: [&[&str]; 7] = [
    &["main", "cli"],
    &["app"],
    &["config"],
    &["http"],
    &["admit", "snapshot", "resources"],
    &["verifier", "evidence", "cache", "store", "plugin", "audit", "auth", "decision_json"],
    &[
        "bounded",
        "followed",
        "log",
        "metrics",
        "public_key",
        "regular_file",
        "secret_file",
        "timed",
        "tls",
        "toml_text",
        "workload",
    ],
];

/// The world, which the core knows nothing of. Addresses and writers are only values.
const WORLD: [&str; 13] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::io::std",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
    "std::os",
    "Mutex",
    "RwLock",
    "println!",
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// One module of the daemon that reaches another, and the line that does.
struct Import {
    from: String,
    to: String,
    at: String,
}

/// Every import between the modules of the daemon, `lib.rs` aside.
fn imports() -> Vec<Import> {
    let mut found = Vec::new();
    for source in sources() {
        let Some(inside) = source.path.strip_prefix("daemon/src/") else { continue };
        let from = inside.trim_end_matches(".rs").split('/').next().unwrap_or_default();
        if from == "lib" {
            continue;
        }
        found.extend(uses(&source).into_iter().map(|(line, to)| Import {
            from: from.to_owned(),
            at: source.at(line, &format!("`{from}` imports `{to}`")),
            to,
        }));
    }
    found
}

#[test]
fn imports_point_down() {
    let mut faults = Vec::new();
    for import in imports() {
        match (floor(&import.from), floor(&import.to)) {
            (Some(own), Some(theirs)) if theirs < own => {
                faults.push(format!("{} above it", import.at));
            }
            (Some(_), Some(_)) => {}
            (None, _) => faults.push(format!("{}: on which floor is it?", import.at)),
            (_, None) => faults.push(format!("{}: on which floor is that?", import.at)),
        }
    }
    none(&faults);
}

/// Two modules that need each other are one module, on whatever floor they stand.
#[test]
fn imports_make_no_circle() {
    let mut graph = BTreeMap::<_, BTreeSet<_>>::new();
    let imports = imports();
    for import in imports.iter().filter(|import| import.from != import.to) {
        graph.entry(import.from.as_str()).or_default().insert(import.to.as_str());
    }
    let in_circle =
        |import: &&Import| import.from != import.to && reaches(&graph, &import.to, &import.from);
    none(&imports.iter().filter(in_circle).map(|import| import.at.clone()).collect::<Vec<_>>());
}

fn reaches(graph: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        if module == to {
            return true;
        }
        if seen.insert(module) {
            open.extend(graph.get(module).into_iter().flatten());
        }
    }
    false
}

/// The modules that a file reaches through `crate::`, each with the line that names `crate`. Groups
/// may nest and be broken over lines.
fn uses(source: &Source) -> Vec<(&Line, String)> {
    let mut found = Vec::new();
    let lines: Vec<_> = source.own().collect();
    for (index, line) in lines.iter().enumerate() {
        for (at, path) in line.code.match_indices("crate::") {
            let before = |last: char| last.is_alphanumeric() || last == '_' || last == '$';
            if line.code[..at].ends_with(before) {
                continue;
            }
            let rest = lines[index + 1..].iter().map(|line| line.code.as_str());
            let rest = std::iter::once(&line.code[at + path.len()..]).chain(rest);
            found.extend(first_names(rest).into_iter().map(|name| (*line, name)));
        }
    }
    found
}

/// The first name of the path that begins here, or of each path of the group that begins here.
fn first_names<'a>(mut rest: impl Iterator<Item = &'a str>) -> Vec<String> {
    let first = rest.next().unwrap_or_default();
    let Some(group) = first.trim_start().strip_prefix('{') else {
        return vec![first_name(first).to_owned()];
    };
    let mut members = vec![String::new()];
    let mut depth = 1;
    for letter in std::iter::once(group).chain(rest).flat_map(|line| line.chars().chain([' '])) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => members.push(String::new()),
            _ if depth == 1 => members.last_mut().expect("one is open").push(letter),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    let names = members.iter().map(|member| first_name(member).to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn first_name(path: &str) -> &str {
    let path = path.trim_start();
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    &path[..end]
}

#[test]
fn the_core_knows_nothing_of_the_world() {
    let mut faults = Vec::new();
    for source in sources() {
        if !source.path.starts_with("daemon/core/src/") {
            continue;
        }
        for line in source.own() {
            if let Some(what) = WORLD.iter().find(|what| line.code.contains(**what)) {
                faults.push(source.at(line, what));
            }
        }
    }
    none(&faults);
}

/// Wire types are read and written where the wire is.
#[test]
fn core_types_are_not_serialisable() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("daemon/core/src/")) {
        for line in source.own().filter(|line| line.code.contains("derive(")) {
            if ["Serialize", "Deserialize"].iter().any(|name| line.code.contains(name)) {
                faults.push(source.at(line, line.text.trim()));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_import_is_seen() {
    let seen = |text| {
        let source = Source::of("daemon/src/a.rs".to_owned(), text);
        let names: Vec<_> = uses(&source).into_iter().map(|(_, name)| name).collect();
        names.join(" ")
    };
    assert_eq!(seen("use crate::store::{Store, Write};"), "store");
    assert_eq!(seen("use crate::{app, log};"), "app log");
    assert_eq!(
        seen("use crate::{\n    app::{Parts, x::{Y}},\n    log, // crate::no\n};\nuse b;"),
        "app log"
    );
    assert_eq!(seen("fn f(x: crate::http::Api) -> crate::admit::Gate {"), "http admit");
    assert_eq!(seen("use hallmark_core::crates::x; $crate::y::z"), "");
}

#[test]
fn every_circle_is_seen() {
    let graph = BTreeMap::from([
        ("a", BTreeSet::from(["b"])),
        ("b", BTreeSet::from(["c"])),
        ("c", BTreeSet::from(["b", "d"])),
    ]);
    assert!(reaches(&graph, "c", "b") && reaches(&graph, "b", "c"));
    assert!(!reaches(&graph, "b", "a") && !reaches(&graph, "d", "c"));
}
