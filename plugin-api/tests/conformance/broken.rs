//! Plugins that break the contract, one rule each, and the check that is made for it.
//!
//! Every one is `tests/broken/honest.h`, which passes, with one hook in it.

use std::path::Path;
use std::time::Duration;

use hallmark_plugin_api::conformance::{Finding, Outcome};

use crate::fixture::{assert_conformant, compile, root, run, suite};

/// File in `tests/broken`, the check that must fail, and a word of what it tells the vendor.
const BROKEN: [(&str, &str, &str); 51] = [
    ("aborts", "faults.configuration", "SIGABRT"),
    ("answers_by_place", "items.order", "its own item only"),
    ("any_extension", "load.extension", "answer NULL"),
    ("blames_itself", "faults.secret", "say which"),
    ("blames_neighbours", "items.neighbours", "between two hostile items"),
    ("changes_directory", "life.process", "working directory"),
    ("changes_environment", "life.process", "environment"),
    ("changes_umask", "life.process", "umask"),
    ("claims_nothing", "load.table", "without a `decode_batch` function"),
    ("counts_for_nothing", "keys.generations", "keep the generation"),
    ("crashes", "items.verdicts", "SIGSEGV"),
    ("denies_itself", "truth.own-signatures", "BAD_SIGNATURE"),
    ("exits", "items.verdicts", "exit code 3"),
    ("exports_more", "file.exports", "another_symbol"),
    ("foreign_scheme", "keys.listed", "scheme `other`"),
    ("forgets_items", "items.verdicts", "without a verdict"),
    ("guesses_at_flags", "growth.unknown-bits", "no version knows"),
    ("hangs", "load.health", "did not return"),
    ("ignores_cancel", "cancel.prompt", "cancel flag"),
    ("keeps_pointer", "memory.inputs", "SIGSEGV"),
    ("knows_its_process", "modes.worker", "in a process of its own"),
    ("leaks", "life.leaks", "bytes behind"),
    ("leaks_descriptors", "life.leaks", "file descriptors"),
    ("leaves_thread", "life.threads", "join them"),
    ("lies", "truth.no-false-valid", "never signed"),
    ("needs_a_byte", "batch.bytes", "SIGSEGV"),
    ("needs_an_item", "batch.empty", "SIGSEGV"),
    ("no_manifest", "file.manifest", "HALLMARK_MANIFEST"),
    ("one_snapshot", "keys.rotation", "snapshots come and go"),
    ("other_manifest", "load.table", "manifest says"),
    ("prints", "life.streams", "hello from the plugin"),
    ("pushes_unclaimed", "load.health", "HALLMARK_CAP_PUSH"),
    ("races", "threads.many", "other threads"),
    ("reads_later_fields", "growth.strides", "later minor"),
    ("refuses_later_hosts", "growth.host", "later minor"),
    ("refuses_silently", "faults.configuration", "without saying why"),
    ("says_done", "items.verdicts", "means nothing here"),
    ("says_true", "items.verdicts", "unknown verdict 1"),
    ("signs_digests_as_messages", "truth.prehashed", "no signature"),
    ("signs_with_another", "truth.host-verifies", "no signature"),
    ("small_buffer", "batch.largest", "SIGABRT"),
    ("small_key", "keys.listed", "wrong size"),
    ("static_tls", "file.tls", "DF_STATIC_TLS"),
    ("steps_by_sizeof", "growth.strides", "HALLMARK_RESULT"),
    ("takes_any_config", "faults.configuration", "JSON object"),
    ("takes_any_material", "keys.material", "hold none"),
    ("takes_signals", "life.process", "signal handlers"),
    ("wants_environment", "modes.worker", "there is no PATH"),
    ("writes_before", "memory.results", "first result"),
    ("writes_beyond", "memory.results", "SIGSEGV"),
    ("writes_inputs", "memory.inputs", "SIGSEGV"),
];

fn findings(name: &str, more: &[&str], only: &[&str]) -> Vec<Finding> {
    let dir = tempfile::tempdir().unwrap();
    let source = root().join("tests/broken").join(name).with_extension("c");
    let file = compile(&source, dir.path(), more);
    let mut suite = suite(&file, "{}", only);
    let pin = dir.path().join("pin");
    std::fs::write(&pin, "1234").unwrap();
    suite.subject.secrets.insert("pin".to_owned(), pin);
    if name == "hangs" {
        suite.deadline = Duration::from_secs(1);
    }
    run(&suite)
}

#[test]
fn the_plugin_that_the_others_break_is_honest() {
    let findings = findings("nothing", &[], &[]);
    assert_conformant(&findings, &["threads.many", "keys.rotation", "life.leaks", "keys.material"]);
    let skipped = findings.iter().filter(|finding| finding.outcome == Outcome::NotApplicable);
    assert_eq!(skipped.map(|it| it.id.as_str()).collect::<Vec<_>>(), ["faults.secret"]);
}

#[test]
fn each_broken_plugin_fails_the_check_that_is_made_for_it() {
    let wrong: Vec<_> = BROKEN.iter().filter_map(|broken| wrong(broken, &[])).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn wrong((name, check, says): &(&str, &str, &str), more: &[&str]) -> Option<String> {
    let findings = findings(name, more, &[check]);
    let told = |it: &Finding| it.outcome == Outcome::Fail && it.text.contains(says);
    (!findings.iter().any(told)).then(|| format!("{name}: {findings:?}"))
}

/// Faults of a file that result from the way it was linked.
#[test]
fn a_file_that_is_linked_wrongly_fails_without_being_run() {
    let stack = ("nothing", "file.hardening", "-z,noexecstack");
    assert_eq!(wrong(&stack, &["-Wl,-z,execstack"]), None);
    let beside = ("nothing", "file.dependencies", "$ORIGIN");
    assert_eq!(wrong(&beside, &["-Wl,-rpath,$ORIGIN"]), None);
}

/// No such file can be linked here, so one is made of another.
#[test]
fn a_file_for_a_newer_c_library_is_told_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = compile(&root().join("tests/broken/nothing.c"), dir.path(), &[]);
    let mut bytes = std::fs::read(&file).unwrap();
    let versions = b"GLIBC_2.";
    let places: Vec<_> = bytes.windows(versions.len()).enumerate().collect();
    let places = places.into_iter().filter(|(_, window)| window == versions);
    let places: Vec<_> = places.map(|(at, _)| at + "GLIBC_".len()).collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at] = b'9';
    }
    std::fs::write(&file, bytes).unwrap();
    let findings = run(&suite(&file, "{}", &["file.glibc"]));
    assert_eq!(findings[0].outcome, Outcome::Fail);
    assert!(findings[0].text.contains("needs glibc 9."), "{findings:?}");
}

/// Every file that breaks `honest.h` is in the table, and every check is failed by some file.
#[test]
fn no_broken_plugin_and_no_check_is_forgotten() {
    let files = std::fs::read_dir(root().join("tests/broken")).unwrap();
    let names = files.map(|entry| entry.unwrap().path()).filter(|path| breaks_honesty(path));
    let mut names: Vec<_> =
        names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    let known = BROKEN.iter().map(|(name, ..)| (*name).to_owned());
    let mut known: Vec<_> = known.chain(["nothing".to_owned()]).collect();
    known.sort();
    assert_eq!(names, known);

    let linked = ["file.hardening", "file.dependencies", "file.glibc"];
    let unbroken: Vec<_> = hallmark_plugin_api::conformance::CHECKS
        .iter()
        .map(|check| check.id)
        .filter(|id| !linked.contains(id) && !BROKEN.iter().any(|(_, check, _)| check == id))
        .collect();
    assert_eq!(unbroken, Vec::<&str>::new());
}

#[test]
fn every_check_is_in_the_documents() {
    let document = std::fs::read_to_string(root().join("../docs/plugins.md")).unwrap();
    for check in &hallmark_plugin_api::conformance::CHECKS {
        let row = format!("| `{}` | {} |\n", check.id, check.rule);
        assert!(document.contains(&row), "docs/plugins.md has no line {row}");
    }
}

fn breaks_honesty(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "c")
        && std::fs::read_to_string(path).unwrap().contains("#include \"honest.h\"")
}

/// A variable that a worker must see is named, as in the configuration of the daemon.
#[test]
fn a_variable_that_is_named_is_seen_by_a_worker() {
    let dir = tempfile::tempdir().unwrap();
    let source = root().join("tests/broken/wants_environment.c");
    let mut suite = suite(&compile(&source, dir.path(), &[]), "{}", &["modes"]);
    suite.subject.environment = vec!["PATH".to_owned()];
    assert_conformant(&run(&suite), &["modes.worker"]);
}
