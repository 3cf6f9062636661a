//! Plugins of other minors: compiled against a header with less in it, and against one with more.

use std::path::Path;

use crate::fixture::{assert_conformant, compile_with, root, run, suite};

/// Compiles the honest plugin against the header with these words replaced, and runs the suite.
fn conforms(edits: &[(&str, &str)], more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let include = dir.path().join("include");
    std::fs::create_dir(&include).unwrap();
    std::fs::write(include.join("hallmark_plugin.h"), edited(edits)).unwrap();
    let source = dir.path().join("honest.c");
    let broken = root().join("tests/broken");
    std::fs::copy(broken.join("honest.h"), dir.path().join("honest.h")).unwrap();
    std::fs::copy(broken.join("nothing.c"), &source).unwrap();
    let file = compile_with(&include, &source, dir.path(), more);
    let findings = run(&suite(&file, "{}", &[]));
    let told = ["growth.host", "growth.strides", "memory.results", "truth.own-signatures"];
    assert_conformant(&findings, &told);
    assert_loads(&file);
}

fn edited(edits: &[(&str, &str)]) -> String {
    let mut header = std::fs::read_to_string(root().join("include/hallmark_plugin.h")).unwrap();
    for (from, to) in edits {
        assert!(header.contains(from), "the header has no `{from}`");
        header = header.replace(from, to);
    }
    header
}

/// And the daemon's loader takes it too, with all its functions.
fn assert_loads(file: &Path) {
    use hallmark_plugin_api::host::{Pin, PluginImage};

    let sha256 = hallmark_plugin_api::conformance::sum(file).unwrap();
    let image = PluginImage::load(file, &Pin::Sha256(vec![sha256])).unwrap();
    assert_eq!(image.info().name, "broken");
}

#[test]
fn a_plugin_of_an_older_minor_works() {
    let end = "} hallmark_plugin;";
    let without = "  const void *(*extension)(const char *name);\n";
    let header = edited(&[]);
    let before = header.find(without).unwrap();
    assert!(header[before..].contains(end), "`extension` is the last field of the table");
    conforms(&[(without, "")], &["-DNO_EXTENSION"]);
}

/// Every struct that can grow has grown, on the plugin's side only.
#[test]
fn a_plugin_of_a_newer_minor_works() {
    let structs = [
        "hallmark_host",
        "hallmark_error",
        "hallmark_call",
        "hallmark_key",
        "hallmark_material",
        "hallmark_item",
        "hallmark_result",
        "hallmark_batch",
        "hallmark_decoded",
        "hallmark_plugin",
    ];
    let ends =
        structs.map(|name| (format!("}} {name};"), format!("  uint64_t later[4];\n}} {name};")));
    let mut edits: Vec<(&str, &str)> =
        ends.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    edits.push(("#define HALLMARK_ABI_MINOR 0", "#define HALLMARK_ABI_MINOR 9"));
    // The manifest says what the table says.
    let manifest = "-DMANIFEST=HALLMARK_MANIFEST(\"{\\\"hallmark_plugin\\\":\\\"broken\\\",\
                    \\\"version\\\":\\\"1\\\",\\\"vendor\\\":\\\"Nobody\\\",\\\"abi\\\":\\\"1.9\\\"}\\n\")";
    // It has a capability that this host never heard of.
    let caps = "-DCAPS=(1ull<<63|HALLMARK_CAP_KEYS|HALLMARK_CAP_VERIFY|HALLMARK_CAP_SIGN)";
    conforms(&edits, &[manifest, caps]);
}
