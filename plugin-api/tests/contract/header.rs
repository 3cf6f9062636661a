//! The committed header is the one that `abi.rs` describes, and C and C++ compilers agree with
//! Rust about its layout.

use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

use hallmark_plugin_api::abi;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_header_is_what_the_abi_says() {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_src(root().join("src/abi.rs"))
        .with_config(config)
        .generate()
        .unwrap()
        .write(&mut generated);
    let generated = String::from_utf8(generated).unwrap();

    let path = root().join("include/hallmark_plugin.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    assert!(
        committed == generated,
        "include/hallmark_plugin.h differs from src/abi.rs from line {}; \
         update it: UPDATE_HEADER=1 cargo test -p hallmark-plugin-api --test contract header",
        difference.unwrap_or_else(|| committed.lines().count()) + 1,
    );
}

#[test]
fn c99_agrees_about_the_layout() {
    compile("cc", "c", &["-std=c99"]);
}

#[test]
fn cpp17_agrees_about_the_layout() {
    compile("c++", "cpp", &["-std=c++17"]);
}

fn compile(compiler: &str, extension: &str, dialect: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let source: PathBuf = dir.path().join("layout").with_extension(extension);
    std::fs::write(&source, layout_source()).unwrap();
    let output = Command::new(compiler)
        .args(dialect)
        .args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-c", "-o"])
        .arg(dir.path().join("layout.o"))
        .arg("-I")
        .arg(root().join("include"))
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A source file that compiles only where every size and offset is Rust's.
fn layout_source() -> String {
    let mut source = String::from("#include \"hallmark_plugin.h\"\n");
    let mut row = |claim: String| {
        let number = source.lines().count();
        writeln!(source, "typedef char claim_{number}[({claim}) ? 1 : -1];").unwrap();
    };
    macro_rules! same {
        ($rust:ident $c:literal: $($field:ident)*) => {
            row(format!("sizeof({}) == {}", $c, size_of::<abi::$rust>()));
            $(row(format!(
                "offsetof({}, {}) == {}", $c, stringify!($field), offset_of!(abi::$rust, $field)
            ));)*
        };
    }
    same!(Bytes "hallmark_bytes": ptr len);
    same!(Error "hallmark_error": buf cap len);
    same!(Call "hallmark_call": now deadline_mono_ns cancel trace_id);
    same!(Key "hallmark_key": handle id other_ids spki_der fingerprint algs not_before attrs_json);
    same!(Material "hallmark_material": form data alg);
    same!(Decoded "hallmark_decoded": key_handle key_id alg refusal message signature payload expires_at);
    same!(Item "hallmark_item": key_handle alg flags key message signature);
    same!(ItemResult "hallmark_result": verdict detail);
    same!(Batch "hallmark_batch": n item_stride result_stride items results);
    same!(Host "hallmark_host": abi_major ctx log log_level keys_changed get_secret unix_now);
    same!(Plugin "hallmark_plugin": abi_major caps name algs schemes forms create destroy health
        snapshot_open snapshot_close resolve_keys decode_batch verify_batch sign_batch extension);
    row(format!("HALLMARK_VALID == {}u", abi::HALLMARK_VALID));
    row(format!("HALLMARK_ABI_MAGIC == {}u", abi::HALLMARK_ABI_MAGIC));
    row("HALLMARK_TIME_ABSENT < 0".to_owned());
    source
}

/// The table of algorithms and the header give each the same number.
#[test]
fn the_header_has_every_algorithm_by_its_number() {
    let header = std::fs::read_to_string(root().join("include/hallmark_plugin.h")).unwrap();
    let defined: Vec<(String, u32)> = header
        .lines()
        .filter_map(|line| line.strip_prefix("#define HALLMARK_ALG_")?.split_once(' '))
        // Verdicts, not algorithms.
        .filter(|(name, _)| !["UNSUPPORTED", "REJECTED"].contains(name))
        .map(|(name, number)| (name.to_owned(), number.parse().unwrap()))
        .collect();
    let known: Vec<_> = hallmark_plugin_api::Algorithm::all()
        .map(|one| (one.name().replace("RSA_SIGN_PKCS1", "RSA_PKCS1"), one.number()))
        .collect();
    assert_eq!(defined, known);
}
