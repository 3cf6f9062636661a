//! Files that the loader refuses, and with which words.

use std::path::Path;
use std::process::Command;

use crate::fixture::{compile_demo, pin, set_mode};
use hallmark_plugin_api::host::{LoadReason, Pin, PluginImage, limits};

fn refusal(path: &Path, pin: &Pin) -> LoadReason {
    PluginImage::load(path, pin).expect_err("a refusal").reason
}

/// Compiles a variant and asserts the refusal's message.
fn refused(definitions: &[&str], expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), definitions);
    let error = PluginImage::load(&path, &pin(&path)).expect_err(expected);
    assert_eq!(error.to_string(), format!("plugin {}: {expected}", path.display()));
}

#[test]
fn a_table_that_is_not_of_this_abi_is_refused() {
    refused(&["DEMO_MAGIC=0x12345678"], "its table has magic 0x12345678; it is no plugin table");
    refused(&["DEMO_MAJOR=2"], "speaks ABI 2; this host speaks 1");
    refused(&["DEMO_HOST_MINOR=9"], "needs a host of ABI 1.9; this host is 1.0");
    refused(&["DEMO_STRUCT_SIZE=16"], "its table has 16 bytes; the required part has 160");
    refused(&["DEMO_REFUSES"], "refuses this host (ABI 1.0)");
    refused(&["DEMO_ENTRY=something_else"], "exports no `hallmark_plugin_entry_v1`");
    refused(&["DEMO_NAME=\"Bad Name\""], "its table has a wrong name");
    let worker = "DEMO_CAPS=HALLMARK_CAP_NEEDS_WORKER";
    refused(&[worker], "must run in a process of its own");
}

#[test]
fn a_claim_without_its_function_is_refused() {
    let missing = "DEMO_VERIFY=(1?NULL:verify_batch)";
    refused(&[missing], "claims verify without a `verify_batch` function");
    // A table that ends before the function is one without it.
    let short = "DEMO_STRUCT_SIZE=offsetof(hallmark_plugin,sign_batch)";
    refused(&[short], "claims sign without a `sign_batch` function");
}

#[test]
fn tables_of_other_minors_are_read_as_far_as_both_know() {
    for definition in ["DEMO_GROWN", "DEMO_STRUCT_SIZE=offsetof(hallmark_plugin,extension)"] {
        let dir = tempfile::tempdir().unwrap();
        let path = compile_demo(dir.path(), &[definition]);
        let image = PluginImage::load(&path, &pin(&path)).unwrap();
        assert_eq!(image.info().name, "demo", "{definition}");
    }
}

#[test]
fn only_the_pinned_bytes_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), &[]);
    let right = pin(&path);
    let image = PluginImage::load(&path, &right).unwrap();
    assert_eq!(right, Pin::Sha256(vec![image.sha256()]));

    let wrong = refusal(&path, &Pin::Sha256(vec![[0; 32], [1; 32]])).to_string();
    assert!(wrong.starts_with("has sha256 "), "{wrong}");
    assert!(wrong.ends_with("which is not pinned; pin it if you trust this file"), "{wrong}");
    assert!(matches!(refusal(&path, &Pin::Sha256(vec![])), LoadReason::Pin(_)));

    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(refusal(&path, &right), LoadReason::Pin(_)));
}

#[test]
fn a_replaced_file_is_loaded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), &[]);
    assert_eq!(PluginImage::load(&path, &pin(&path)).unwrap().info().name, "demo");
    let path = compile_demo(dir.path(), &["DEMO_NAME=\"other\""]);
    assert_eq!(PluginImage::load(&path, &pin(&path)).unwrap().info().name, "other");
}

#[test]
fn a_file_that_others_could_have_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), &[]);
    let right = pin(&path);
    for mode in [0o775, 0o757] {
        set_mode(&path, mode);
        let text = refusal(&path, &right).to_string();
        let expected = format!(
            "is writable by its group or by everyone (mode {mode:04o}); run `chmod go-w` on it"
        );
        assert_eq!(text, expected);
    }
    set_mode(&path, 0o755);

    let link = dir.path().join("link.so");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(refusal(&link, &right), LoadReason::Symlink));
    PluginImage::load(&path, &right).unwrap();

    // Only root can give a file away.
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        assert!(matches!(refusal(&path, &right), LoadReason::Owner { owner: 12_345, .. }));
    }
}

#[test]
fn what_is_no_plugin_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let any = Pin::Sha256(vec![[0; 32]]);
    assert!(matches!(refusal(dir.path(), &any), LoadReason::NotAFile));
    assert!(matches!(refusal(&dir.path().join("absent"), &any), LoadReason::Io(_)));

    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg("-m600").arg(&pipe).status().unwrap().success());
    assert!(matches!(refusal(&pipe, &any), LoadReason::NotAFile));

    let text = dir.path().join("text.so");
    std::fs::write(&text, "not an object file").unwrap();
    set_mode(&text, 0o644);
    assert!(matches!(refusal(&text, &pin(&text)), LoadReason::Link(_)));

    let large = std::fs::File::create(&text).unwrap();
    large.set_len(limits::FILE_BYTES + 1).unwrap();
    assert!(matches!(refusal(&text, &any), LoadReason::TooLarge));
}

#[test]
fn only_the_installation_needs_no_hash() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = compile_demo(dir.path(), &[]);
    assert!(matches!(refusal(&elsewhere, &Pin::BesideExecutable), LoadReason::NotBundled));

    let executable = std::env::current_exe().unwrap();
    let home = executable.parent().unwrap();
    let inside = tempfile::Builder::new().suffix(".so").tempfile_in(home).unwrap();
    std::fs::copy(&elsewhere, inside.path()).unwrap();
    set_mode(inside.path(), 0o755);
    PluginImage::load(inside.path(), &Pin::BesideExecutable).unwrap();

    // One directory further down is somewhere else.
    let below = tempfile::tempdir_in(home).unwrap();
    let path = compile_demo(below.path(), &[]);
    assert!(matches!(refusal(&path, &Pin::BesideExecutable), LoadReason::NotBundled));

    // Except for this one.
    let bundle = home.join("../lib/hallmark/plugins");
    std::fs::create_dir_all(&bundle).unwrap();
    let bundled = tempfile::Builder::new().suffix(".so").tempfile_in(&bundle).unwrap();
    std::fs::copy(&elsewhere, bundled.path()).unwrap();
    set_mode(bundled.path(), 0o755);
    set_mode(&bundle, 0o777);
    let refused = refusal(bundled.path(), &Pin::BesideExecutable);
    set_mode(&bundle, 0o755);
    assert!(matches!(refused, LoadReason::NotBundled), "anyone can write the directory");
    PluginImage::load(bundled.path(), &Pin::BesideExecutable).unwrap();
}
