//! A plugin written in C, driven through the loader: the ABI is not Rust's alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::fixture::{NOW, Recorder, at, compile_demo, instance, instance_in_worker, pin};
use hallmark_plugin_api::host::{
    CallError, Circumstances, Instance, PluginImage, WorkerFault, limits,
};
use hallmark_plugin_api::{Algorithm, Caps, Decoded, ErrorKind, Failure, Item, KeyFlags, Material};
use sha2::{Digest, Sha256};

/// The plugin in this process, and in one of its own: nobody should see a difference.
fn demos() -> [(Arc<Instance>, Arc<Recorder>, tempfile::TempDir); 2] {
    [instance, instance_in_worker].map(|make| {
        let dir = tempfile::tempdir().unwrap();
        let (instance, recorder) = make(&compile_demo(dir.path(), &[]), "{}");
        (instance, recorder, dir)
    })
}

fn item<'a>(message: &'a [u8], signature: &'a [u8]) -> Item<'a> {
    Item { key_handle: 1, algorithm: Some(Algorithm::Ed25519), key: &[], message, signature }
}

fn toy_signature(message: &[u8]) -> Vec<u8> {
    message.iter().map(|byte| byte ^ 0x21).collect()
}

#[test]
fn the_table_says_what_the_plugin_is() {
    for (instance, recorder, _dir) in demos() {
        let info = instance.image().info();
        assert_eq!((info.name.as_str(), info.version.as_str()), ("demo", "1.0"));
        assert_eq!(info.schemes, ["demo"]);
        assert_eq!(info.forms, ["pkix", "demo"]);
        assert_eq!(info.algorithms, [Algorithm::Ed25519, Algorithm::EcdsaP256Sha256]);
        assert!(info.caps.contains(Caps::KEYS.with(Caps::SIGN)));
        assert_eq!(recorder.log_text(), "Info demo: made in C");
    }
}

#[test]
fn a_configuration_is_refused_with_the_plugins_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = compile_demo(dir.path(), &[]);
    let image = Arc::new(PluginImage::load(&path, &pin(&path)).unwrap());
    let error = Instance::create(&image, "[]", Arc::new(Recorder::default())).unwrap_err();
    let text = "the configuration is no object".to_owned();
    assert_eq!(error, CallError::Refused { kind: ErrorKind::Config, text });
}

#[test]
fn a_snapshot_holds_its_keys_and_ends_with_its_last_user() {
    for (instance, recorder, _dir) in demos() {
        let snapshot = instance.snapshot(&at()).unwrap();
        assert_eq!((snapshot.generation, snapshot.ttl), (1, Some(Duration::from_secs(60))));
        let [one, p256] = snapshot.keys.as_slice() else { panic!("two keys") };

        assert_eq!((one.id.as_str(), one.handle), ("demo:one", 1));
        assert_eq!(one.other_ids, ["demo:uno"]);
        assert_eq!(one.algorithms, [Algorithm::Ed25519], "an unknown algorithm is ignored");
        assert_eq!(one.flags, KeyFlags::VERIFY | KeyFlags::SIGN);
        assert_eq!((one.not_before, one.not_after, one.revoked_at), (None, None, None));

        assert_eq!(p256.id, "demo:keys/p256");
        assert!(p256.flags.contains(KeyFlags::HOST_VERIFY));
        assert_eq!(p256.spki_sha256, <[u8; 32]>::from(Sha256::digest(&p256.spki_der)));
        assert_eq!((p256.not_before, p256.not_after), (Some(1000), Some(4_000_000_000)));

        drop(instance);
        assert!(!recorder.log_text().contains("ended"), "the snapshot holds the instance");
        drop(snapshot);
        // The last log lines of the plugin, while it ends, are still heard, and it saw its
        // snapshots closed.
        assert!(recorder.log_text().ends_with("ended in C"), "{}", recorder.log_text());
    }
}

/// In a worker as in this process.
#[test]
fn a_key_that_breaks_the_contract_costs_itself_and_no_other() {
    for (instance, recorder, _dir) in demos() {
        for (mode, id, why) in [
            ("zero", "demo:one", "its handle is 0"),
            ("empty", "key 1", "it has no id"),
            ("control", "demo:\u{fffd}", "a key id holds control characters"),
            (
                "no-spki",
                "demo:one",
                "it is for the host to verify with and has no SubjectPublicKeyInfo",
            ),
            ("long-id", "xxxx", "a key id is too long"),
            ("algs", "demo:one", "it has too many algorithms"),
            ("unusable", "demo:one", "the file is damaged"),
        ] {
            recorder.set_secret("mode", mode.as_bytes());
            let keys = instance.snapshot(&at()).unwrap().keys;
            let [bad, good] = keys.as_slice() else { panic!("{mode}: {keys:?}") };
            assert_eq!(bad.unusable.as_deref(), Some(why), "{mode}");
            assert!(bad.id.starts_with(id) && bad.id.len() <= 256, "{mode}: {}", bad.id);
            assert_eq!((bad.flags.bits(), bad.spki_der.len()), (0, 0), "{mode}");
            assert_eq!((good.id.as_str(), &good.unusable), ("demo:keys/p256", &None), "{mode}");
        }
        recorder.set_secret("mode", b"twice");
        let keys = instance.snapshot(&at()).unwrap().keys;
        let twice = Some("another key has its handle".to_owned());
        assert!(keys.len() == 2 && keys.iter().all(|key| key.unusable == twice), "{keys:?}");
    }
}

#[test]
fn a_snapshot_that_cannot_be_read_is_refused_whole() {
    for (instance, recorder, _dir) in demos() {
        for (mode, expected) in
            [("small", "a key has a wrong size"), ("flood", "it has too many keys")]
        {
            recorder.set_secret("mode", mode.as_bytes());
            let error = instance.snapshot(&at()).unwrap_err();
            assert_eq!(error, CallError::Contract(expected.to_owned()), "{mode}");
        }
        recorder.set_secret("mode", b"fail");
        let text = "the token is gone".to_owned();
        let expected = CallError::Refused { kind: ErrorKind::Unavailable, text };
        assert_eq!(instance.snapshot(&at()).unwrap_err(), expected);
        recorder.set_secret("mode", b"");
        assert_eq!(instance.snapshot(&at()).unwrap().keys.len(), 2);
    }
}

#[test]
fn inline_material_becomes_keys() {
    for (instance, _, _dir) in demos() {
        let material = |data| Material { form: "demo", data, algorithm: Some(Algorithm::Ed25519) };
        let keys = instance.resolve_keys(&material(b"SPKI"), &at()).unwrap();
        assert_eq!(keys.len(), 1);
        assert_eq!((keys[0].spki_der.as_slice(), keys[0].handle), (&b"SPKI"[..], 0));
        assert_eq!(keys[0].algorithms, [Algorithm::Ed25519]);

        let error = instance.resolve_keys(&material(b""), &at()).unwrap_err();
        let text = "the key is empty".to_owned();
        assert_eq!(error, CallError::Refused { kind: ErrorKind::Malformed, text });

        let long = vec![0; limits::SPKI_BYTES + 1];
        let error = instance.resolve_keys(&material(&long), &at()).unwrap_err();
        assert_eq!(error, CallError::Contract("its SubjectPublicKeyInfo is too long".to_owned()));
    }
}

#[test]
fn only_a_written_valid_is_valid() {
    for (instance, _, _dir) in demos() {
        let snapshot = instance.snapshot(&at()).unwrap();
        let messages: [&[u8]; 5] = [b"hello", b"hallo", b"0 forgotten", b"1 true", b"D done"];
        let signatures = messages.map(toy_signature);
        let mut items: Vec<_> = messages
            .iter()
            .zip(&signatures)
            .map(|(message, signature)| item(message, signature))
            .collect();
        items[1].message = b"hello";
        let answers = instance.verify_batch(Some(&snapshot), &items, &at()).unwrap();
        let backend = Err(Failure::Backend);
        assert_eq!(answers, [Ok(()), Err(Failure::BadSignature), backend, backend, backend]);

        // A key that is in no snapshot travels with the item.
        let inline = Item { key_handle: 0, key: b"\x40", message: b"a", ..item(b"", b"!") };
        assert_eq!(instance.verify_batch(None, &[inline], &at()).unwrap(), [Ok(())]);
    }
}

#[test]
fn a_large_batch_is_cut_to_the_plugins_size_and_keeps_its_order() {
    for (instance, _, _dir) in demos() {
        assert_eq!(instance.image().info().max_batch, 8);
        let messages: Vec<[u8; 2]> = (0..100).map(|n| [b'm', n]).collect();
        let signatures: Vec<_> = messages.iter().map(|message| toy_signature(message)).collect();
        let mut items: Vec<_> = messages
            .iter()
            .zip(&signatures)
            .map(|(message, signature)| item(message, signature))
            .collect();
        items[77].signature = b"??";
        let answers = instance.verify_batch(None, &items, &at()).unwrap();
        assert_eq!(answers.len(), 100);
        let bad: Vec<_> =
            answers.iter().enumerate().filter(|(_, answer)| answer.is_err()).collect();
        assert_eq!(bad, [(77, &Err(Failure::BadSignature))]);
        assert_eq!(instance.verify_batch(None, &[], &at()).unwrap(), []);
    }
}

#[test]
fn no_more_calls_run_at_once_than_the_plugin_permits() {
    for (instance, _, _dir) in demos() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        // The plugin fails every call from the first time it sees three at once.
                        instance.verify_batch(None, &[item(b"x", b"y"); 8], &at()).unwrap();
                    }
                });
            }
        });
    }
}

#[test]
fn a_signature_is_taken_apart() {
    for (instance, _, _dir) in demos() {
        let items = [item(b"payload", b"SIGraw"), item(b"payload", b"raw")];
        let answers = instance.decode_batch(None, &items, &at()).unwrap();
        let [Decoded::Signed(signed)] = &answers[0].as_ref().unwrap()[..] else {
            panic!("{answers:?}")
        };
        assert_eq!((signed.key_id.as_str(), signed.key_handle), ("demo:one", 0));
        assert_eq!(signed.message, b"payload");
        assert_eq!(signed.signature, b"raw");
        assert_eq!((signed.signed_at, signed.expires_at), (Some(1_700_000_000), None));
        assert_eq!(answers[1], Err(Failure::Malformed));

        let items = [item(b"payload", b"SIG+"), item(b"payload", b"SIGraw")];
        let answers = instance.decode_batch(None, &items, &at()).unwrap();
        let [Decoded::Refused(refusal)] = &answers[0].as_ref().unwrap()[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(refusal.failure, Failure::Malformed);
        assert_eq!(refusal.text, format!("it comes to more than {} bytes", limits::BLOB_BYTES));
        let beside = answers[1].as_ref().unwrap();
        assert!(matches!(beside[..], [Decoded::Signed(_)]), "{beside:?}");

        let error = instance.decode_batch(None, &[item(b"", b"SIG*many")], &at()).unwrap_err();
        assert_eq!(error, CallError::Contract("a blob has too many signatures".to_owned()));
    }
}

#[test]
fn a_message_is_signed_with_the_named_key() {
    for (instance, _, _dir) in demos() {
        let snapshot = instance.snapshot(&at()).unwrap();
        let items = [
            item(b"message", b""),
            Item { key_handle: 2, ..item(b"message", b"") },
            item(b"0 says done and gives nothing", b""),
        ];
        let answers = instance.sign_batch(&snapshot, &items, &at()).unwrap();
        assert_eq!(answers[0].as_deref(), Ok(toy_signature(b"message").as_slice()));
        assert_eq!(answers[1], Err(Failure::KeyUnknown));
        assert_eq!(answers[2], Err(Failure::Backend));

        let [(other, _, _other_dir), _] = demos();
        let error = other.sign_batch(&snapshot, &items, &at()).unwrap_err();
        assert!(matches!(error, CallError::Unsupported(_)), "a snapshot of another instance");
    }
}

#[test]
fn the_plugin_is_told_the_time_and_can_push() {
    for (instance, recorder, _dir) in demos() {
        instance.health(&at()).unwrap();
        // From another process it arrives by another way than the answer.
        recorder.wait_for_push();
        assert_eq!(recorder.pushes(), 1);
        let late = Circumstances { deadline: Some(Instant::now()), ..Circumstances::at(NOW) };
        let late = instance.health(&late);
        assert!(matches!(late, Ok(()) | Err(CallError::Worker(WorkerFault::GaveUp))), "{late:?}");
        let error = instance.health(&Circumstances::at(0)).unwrap_err();
        let text = "the clock is not set".to_owned();
        assert_eq!(error, CallError::Refused { kind: ErrorKind::Unavailable, text });
    }
}
