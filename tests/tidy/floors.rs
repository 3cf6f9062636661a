//! The floors of the daemon: a module imports from its own floor and from those below.

use super::source::{none, sources};

/// Top floor first. `docs/ARCHITECTURE.md` has the same table.
const FLOORS: [&[&str]; 6] = [
    &["main", "cli"],
    &["app", "reload"],
    &["http"],
    &["admit", "snapshot", "resources"],
    &["verifier", "evidence", "cache", "store", "plugin", "audit", "auth", "decision_json"],
    &[
        "bounded",
        "config",
        "followed",
        "log",
        "metrics",
        "public_key",
        "regular_file",
        "secret_file",
        "timed",
        "tls",
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

#[test]
fn imports_point_down() {
    let mut faults = Vec::new();
    for source in sources() {
        let Some(inside) = source.path.strip_prefix("daemon/src/") else { continue };
        let module = inside.trim_end_matches(".rs").split('/').next().unwrap_or_default();
        if module == "lib" {
            continue;
        }
        let Some(own) = floor(module) else {
            faults.push(format!("{}: on which floor is `{module}`?", source.path));
            continue;
        };
        for line in source.own() {
            for used in uses(&line.code) {
                match floor(used) {
                    None => faults.push(source.at(line, &format!("on which floor is `{used}`?"))),
                    Some(theirs) if theirs < own => {
                        faults.push(
                            source.at(line, &format!("`{module}` imports `{used}` above it")),
                        );
                    }
                    Some(_) => {}
                }
            }
        }
    }
    none(&faults);
}

/// The modules that a line reaches through `crate::`.
fn uses(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let whole = !code[..at]
            .ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '$');
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            _ if !whole => {}
            Some(group) => {
                let inside = group.split('}').next().unwrap_or_default();
                found.extend(inside.split(',').map(first_name).filter(|name| !name.is_empty()));
            }
            None => found.push(first_name(rest)),
        }
    }
    found
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
fn every_import_of_a_line_is_seen() {
    assert_eq!(uses("use crate::store::{Store, Write};"), ["store"]);
    assert_eq!(uses("use crate::{app, log};"), ["app", "log"]);
    assert_eq!(uses("fn f(x: crate::http::Doors) -> crate::admit::Gate {"), ["http", "admit"]);
    assert!(uses("use hallmark_core::crates::x; $crate::y::z").is_empty());
}
