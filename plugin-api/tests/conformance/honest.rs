//! Plugins that keep the contract pass, each by the compiler of its language.

use hallmark_plugin_api::conformance::{Blob, Suite};

use crate::fixture::{assert_conformant, compile, example, readable, root, run, suite};

/// Checks that have something to check in a plugin with keys that verifies and signs.
const OF_A_SIGNER: [&str; 12] = [
    "file.exports",
    "file.manifest",
    "growth.strides",
    "items.neighbours",
    "items.order",
    "memory.inputs",
    "memory.results",
    "threads.many",
    "keys.rotation",
    "life.leaks",
    "truth.no-false-valid",
    "truth.own-signatures",
];

#[test]
fn the_template_in_c_passes() {
    let dir = tempfile::tempdir().unwrap();
    let source = root().join("../plugins/template-c/acme_plugin.c");
    let file = compile(&source, dir.path(), &["-lcrypto"]);
    let seed = dir.path().join("seed");
    std::fs::write(&seed, [7; 32]).unwrap();
    // The arithmetic of these tests is a toy: what a real one says is seen end to end.
    let mut suite = suite(&file, r#"{"key_id": "acme:release"}"#, &[]);
    suite.subject.secrets.insert("seed".to_owned(), seed);
    let findings = run(&suite);
    let (host, findings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.id == "truth.host-verifies");
    assert_eq!(host.len(), 1);
    assert_conformant(&findings, &OF_A_SIGNER);
    assert_conformant(&findings, &["cancel.prompt", "faults.secret", "faults.configuration"]);
}

/// Its signature is as long as its message and its key is any byte, so what is asked of those is
/// not asked of it.
#[test]
fn a_plugin_of_the_sdk_passes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("toy.so");
    std::fs::copy(example("libtoy_plugin.so"), &file).unwrap();
    readable(&file);
    let groups =
        ["file", "load", "growth", "items", "memory", "threads", "keys.r", "life", "faults"];
    let findings = run(&suite(&file, r#"{"mask": 33}"#, &groups));
    assert_conformant(&findings, &OF_A_SIGNER[..10]);
    let honest = run(&suite(&file, r#"{"mask": 33}"#, &["truth.own", "truth.host"]));
    assert_conformant(&honest, &["truth.own-signatures", "truth.host-verifies"]);
}

/// A blob of the vendor's own is taken apart, and one that is given is read before anything runs.
#[test]
fn a_given_blob_is_among_the_items() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("toy.so");
    std::fs::copy(example("libtoy_plugin.so"), &file).unwrap();
    readable(&file);
    let blob = dir.path().join("blob");
    std::fs::write(&blob, b"TOYsignature").unwrap();
    let payload = dir.path().join("payload");
    std::fs::write(&payload, b"payload").unwrap();
    let mut suite = suite(&file, r#"{"mask": 33}"#, &["items", "growth.strides"]);
    let decoded = |suite: &Suite| {
        let findings = run(suite);
        assert_conformant(&findings, &["items.order", "items.verdicts", "growth.strides"]);
        findings.iter().find(|finding| finding.id == "items.verdicts").unwrap().text.clone()
    };
    let without = decoded(&suite);
    suite.subject.blobs.push(Blob { file: blob, payload: Some(payload) });
    assert_ne!(decoded(&suite), without, "one blob, and one that is turned over");
    suite.subject.blobs[0].file = dir.path().join("absent");
    let findings = run(&suite);
    assert!(findings[0].text.contains("absent"), "{findings:?}");
}
