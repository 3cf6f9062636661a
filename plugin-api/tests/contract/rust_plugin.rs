//! A plugin written with the SDK, in a crate that forbids unsafe code, driven through the loader.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::fixture::{NOW, Recorder, at, instance, pin};
use hallmark_plugin_api::host::{CallError, Circumstances, Instance, PluginImage};
use hallmark_plugin_api::{Algorithm, Decoded, ErrorKind, Failure, Item, Material, Refusal};

/// `examples/toy_plugin.rs`, which cargo builds beside the tests.
fn toy() -> PathBuf {
    let executable = std::env::current_exe().unwrap();
    let path = executable.ancestors().nth(2).unwrap().join("examples/libtoy_plugin.so");
    assert!(path.exists(), "build it: cargo build -p hallmark-plugin-api --examples");
    path
}

fn item<'a>(message: &'a [u8], signature: &'a [u8]) -> Item<'a> {
    Item { key_handle: 1, algorithm: Some(Algorithm::Ed25519), key: &[], message, signature }
}

#[test]
fn keys_verdicts_and_signatures_cross_the_boundary() {
    let (instance, recorder) = instance(&toy(), r#"{"mask":1}"#);
    assert_eq!(recorder.log_text(), "Info toy: made");
    let snapshot = instance.snapshot(&at()).unwrap();
    assert_eq!((snapshot.generation, snapshot.keys.len()), (7, 1));
    let key = &snapshot.keys[0];
    assert_eq!((key.id.as_str(), key.other_ids[0].as_str()), ("toy:one", "toy:uno"));
    assert_eq!((key.not_before, key.not_after), (None, Some(2_000_000_000)));

    let signed = instance.sign_batch(&snapshot, &[item(b"abc", b"")], &at()).unwrap();
    let signature = signed[0].as_deref().unwrap();
    assert_eq!(signature, b"`cb");
    let items = [item(b"abc", signature), item(b"abd", signature)];
    let answers = instance.verify_batch(Some(&snapshot), &items, &at()).unwrap();
    assert_eq!(answers, [Ok(()), Err(Failure::BadSignature)]);

    let decoded = instance.decode_batch(None, &[item(b"text", b"TOYsig")], &at()).unwrap();
    let [Decoded::Signed(signed)] = &decoded[0].as_ref().unwrap()[..] else {
        panic!("{decoded:?}")
    };
    assert_eq!((&*signed.message, &*signed.signature), (&b"texttrailer"[..], &b"sig"[..]));
    let refused = instance.decode_batch(None, &[item(b"text", b"WEAK")], &at()).unwrap();
    let key_id = "toy:one".to_owned();
    let text = "a weak hash".to_owned();
    let refusal = Refusal { failure: Failure::AlgRejected, key_id, text };
    assert_eq!(refused, [Ok(vec![Decoded::Refused(refusal)])]);
}

#[test]
fn a_panic_fails_one_item_and_is_logged_with_its_place() {
    let (instance, recorder) = instance(&toy(), r#"{"mask":0}"#);
    let snapshot = instance.snapshot(&at()).unwrap();
    let items = [item(b"a", b"a"), item(b"panic", b"panic"), item(b"b", b"b")];
    let answers = instance.verify_batch(Some(&snapshot), &items, &at()).unwrap();
    assert_eq!(answers, [Ok(()), Err(Failure::Backend), Ok(())]);
    let log = recorder.log_text();
    assert!(log.contains("Error panic: the plugin panicked: hostile item, at "), "{log}");
    assert!(log.contains("examples/toy_plugin.rs:"), "{log}");
}

#[test]
fn a_panic_outside_a_batch_fails_the_call() {
    let (instance, recorder) = instance(&toy(), r#"{"mask":0}"#);
    let material = |data| Material { form: "toy", data, algorithm: Some(Algorithm::Ed25519) };
    let error = instance.resolve_keys(&material(b"panic"), &at()).unwrap_err();
    let CallError::Panicked(text) = error else { panic!("{error:?}") };
    assert!(text.starts_with("the plugin panicked: asked to, at "), "{text}");
    assert!(recorder.log_text().contains("asked to"));
    // And the next call is none the wiser.
    let keys = instance.resolve_keys(&material(b"key"), &at()).unwrap();
    assert_eq!(keys[0].spki_der, b"key");
    assert_eq!(keys[0].id, "");
}

#[test]
fn errors_keep_their_kind_and_words() {
    let image = Arc::new(PluginImage::load(&toy(), &pin(&toy())).unwrap());
    let refused =
        |config: &str| match Instance::create(&image, config, Arc::new(Recorder::default()))
            .unwrap_err()
        {
            CallError::Refused { kind, text } => (kind, text),
            other => panic!("{other:?}"),
        };
    let config = ErrorKind::Config;
    assert_eq!(refused("no"), (config, "the configuration is not JSON".to_owned()));
    assert_eq!(refused("{}"), (config, "set `mask` to a number below 256".to_owned()));
    let missing = r#"{"secret":"absent"}"#;
    assert_eq!(refused(missing), (config, "no secret is named `absent`".to_owned()));
}

#[test]
fn secrets_and_pushes_reach_the_daemon() {
    let image = Arc::new(PluginImage::load(&toy(), &pin(&toy())).unwrap());
    let recorder = Arc::new(Recorder::default());
    recorder.set_secret("mask", b"\x01rest");
    let config = r#"{"secret":"mask"}"#;
    let instance = Instance::create(&image, config, Arc::clone(&recorder) as _).unwrap();
    assert_eq!(instance.snapshot(&at()).unwrap().keys[0].spki_der, [1]);
    assert_eq!(recorder.pushes(), 0);
    instance.health(&at()).unwrap();
    assert_eq!(recorder.pushes(), 1);
}

#[test]
fn a_cancelled_batch_answers_no_item() {
    let (instance, _) = instance(&toy(), r#"{"mask":0}"#);
    let cancel = AtomicU32::new(1);
    let cancelled = Circumstances { cancel: Some(&cancel), ..Circumstances::at(NOW) };
    let answers = instance.verify_batch(None, &[item(b"a", b"a"); 2], &cancelled).unwrap();
    assert_eq!(answers, [Err(Failure::Cancelled); 2]);
}

#[test]
fn the_manifest_can_be_read_without_running_the_file() {
    let bytes = std::fs::read(toy()).unwrap();
    let manifest = concat!(
        r#"{"hallmark_plugin":"toy","version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","vendor":"Hallmark","abi":"1.0"}"#,
        "\n"
    );
    assert!(bytes.windows(manifest.len()).any(|window| window == manifest.as_bytes()));
}
