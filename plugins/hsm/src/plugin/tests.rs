//! The plugin with real tokens of SoftHSM.

use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags};
use hallmark_plugin_api::Algorithm;

use super::*;
use crate::fixture::{MODULE, SoftToken};

const NOW: i64 = 1_800_000_000;
const MESSAGE: &[u8] = b"the payload of an attestation";
const PIN: &str = r#""pin":{"environment":"TEST_PIN"}"#;

fn with(options: &str) -> Hsm {
    let config = format!(r#"{{"module":"{MODULE}",{options}}}"#);
    Hsm::create(Host::detached(), &config).expect(&config)
}

fn with_keys(uris: &[&str]) -> Hsm {
    let keys: Vec<_> = uris.iter().map(|uri| format!(r#"{{"uri":"{uri}"}}"#)).collect();
    with(&format!(r#"{PIN},"keys":[{}]"#, keys.join(",")))
}

fn taken(plugin: &Hsm) -> (Arc<KeySet>, Vec<Key>) {
    let snapshot = plugin.snapshot(&Call::at(NOW)).expect("a snapshot").keys;
    let keys = plugin.keys(&snapshot).expect("keys");
    (snapshot, keys)
}

fn item<'a>(key: &Key, algorithm: Algorithm, message: &'a [u8], signature: &'a [u8]) -> Item<'a> {
    Item { key_handle: key.handle, algorithm: Some(algorithm), key: &[], message, signature }
}

/// The key of that configured name that may be used so.
fn named<'a>(keys: &'a [Key], name: &str, flags: KeyFlags) -> Option<&'a Key> {
    let is = |key: &&Key| key.id == name || key.other_ids.iter().any(|id| id == name);
    // Both halves of a pair may go by one id, and say so then.
    let used_so = |key: &&Key| key.flags == flags || key.flags == flags | KeyFlags::SHARES_ID;
    keys.iter().filter(used_so).find(is)
}

#[test]
fn every_algorithm_signs_and_openssl_verifies() {
    let keys = [("EC:P-256", "a", "01"), ("EC:P-384", "a", "02"), ("EC:P-521", "a", "03")];
    let more = [("RSA:2048", "r", "04"), ("RSA:3072", "r", "05"), ("RSA:4096", "r", "06")];
    let test = "plugin::tests::every_algorithm_signs_and_openssl_verifies";
    SoftToken::in_child(test, &[keys, more].concat(), |token| {
        let uri = |id: &str| format!("pkcs11:token=t;id=%{id}");
        let uris: Vec<_> = ["01", "02", "03", "04", "05", "06"].map(uri).into();
        let plugin = with_keys(&uris.iter().map(String::as_str).collect::<Vec<_>>());
        let (snapshot, listed) = taken(&plugin);
        assert_eq!(listed.len(), 12);
        let mut tried = 0;
        for (uri, (_, label, id)) in uris.iter().zip(keys.iter().chain(&more)) {
            let host = named(&listed, uri, KeyFlags::VERIFY | KeyFlags::HOST_VERIFY).expect(uri);
            let signing = named(&listed, uri, KeyFlags::SIGN).expect(uri);
            assert_eq!(host.spki_der, token.public_der(label, id));
            for &algorithm in &signing.algorithms {
                let made = item(signing, algorithm, MESSAGE, &[]);
                let mut signature = plugin.sign(&snapshot, &made, &Call::at(NOW)).expect("signs");
                let by_openssl = |signature: &[u8]| {
                    token.openssl_verifies((label, id), algorithm, MESSAGE, signature)
                };
                assert!(by_openssl(&signature), "{algorithm:?}");
                let by_token = |signature: &[u8]| {
                    let asked = item(host, algorithm, MESSAGE, signature);
                    plugin.verify(Some(&snapshot), &asked, &Call::at(NOW))
                };
                assert_eq!(by_token(&signature), Ok(()), "{algorithm:?}");
                *signature.last_mut().expect("not empty") ^= 1;
                assert!(!by_openssl(&signature));
                assert_eq!(by_token(&signature), Err(Failure::BadSignature), "{algorithm:?}");
                assert_eq!(by_token(&signature[1..]), Err(Failure::BadSignature));
                tried += 1;
            }
        }
        assert_eq!(tried, SUPPORTED.len());
    });
}

#[test]
fn digests_are_signed_and_their_length_is_checked() {
    let test = "plugin::tests::digests_are_signed_and_their_length_is_checked";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |token| {
        use aws_lc_rs::digest;
        let plugin = with_keys(&["pkcs11:token=t;object=k"]);
        let (snapshot, keys) = taken(&plugin);
        let key = named(&keys, "pkcs11:token=t;object=k", KeyFlags::SIGN).unwrap();
        let p256 = Algorithm::EcdsaP256Sha256;
        let sign = |algorithm, digest: &[u8]| {
            let item = item(key, algorithm, digest, &[]);
            plugin.sign_digest(&snapshot, &item, &Call::at(NOW))
        };
        let digest = digest::digest(&digest::SHA256, MESSAGE);
        let signature = sign(p256, digest.as_ref()).unwrap();
        assert!(token.openssl_verifies(("k", "01"), p256, MESSAGE, &signature));
        assert_eq!(sign(p256, &digest.as_ref()[1..]), Err(Failure::Malformed));
        let other = Algorithm::EcdsaP384Sha384;
        assert_eq!(sign(other, digest.as_ref()), Err(Failure::AlgUnsupported));
        let verifying = named(&keys, &key.id, KeyFlags::VERIFY | KeyFlags::HOST_VERIFY).unwrap();
        let wrong_use = item(verifying, p256, MESSAGE, &[]);
        let refused = plugin.sign(&snapshot, &wrong_use, &Call::at(NOW));
        assert_eq!(refused, Err(Failure::KeyUsage));
        for handle in [0, 3, u64::MAX] {
            let item = Item { key_handle: handle, ..wrong_use };
            let refused = plugin.sign(&snapshot, &item, &Call::at(NOW));
            assert_eq!(refused, Err(Failure::KeyUnknown));
        }
    });
}

/// As when a key is replaced: both verify while both are there, and which one signs is said.
#[test]
fn a_name_of_two_keys_verifies_with_both_and_signs_with_neither() {
    let test = "plugin::tests::a_name_of_two_keys_verifies_with_both_and_signs_with_neither";
    let keys = [("EC:P-256", "release", "01"), ("EC:P-256", "release", "02")];
    SoftToken::in_child(test, &keys, |_| {
        let uri = "pkcs11:token=t;object=release";
        let (_, keys) = taken(&with_keys(&[uri]));
        let host = KeyFlags::VERIFY | KeyFlags::HOST_VERIFY;
        let of_name =
            |key: &&Key| key.flags == host | KeyFlags::SHARES_ID && key.other_ids == [uri];
        assert_eq!(keys.iter().filter(of_name).count(), 2);
        assert_eq!(named(&keys, uri, KeyFlags::SIGN), None);
        let signing: Vec<_> = keys.iter().filter(|key| key.flags == KeyFlags::SIGN).collect();
        assert_eq!(signing.len(), 2);
        assert!(signing[0].id.ends_with(";object=release;id=%01"), "{}", signing[0].id);
        let (_, exact) = taken(&with_keys(&["pkcs11:token=t;object=release;id=%02"]));
        assert_eq!(exact[0].spki_der, signing[1].spki_der);
    });
}

#[test]
fn options_of_a_key_restrict_it() {
    let test = "plugin::tests::options_of_a_key_restrict_it";
    SoftToken::in_child(test, &[("RSA:2048", "k", "01")], |token| {
        let uri = "pkcs11:token=t;object=k";
        let key = |more: &str| taken(&with(&format!(r#"{PIN},"keys":[{{"uri":"{uri}"{more}}}]"#)));
        let (_, keys) = key(r#","algorithm":"RSA_SIGN_PKCS1_2048_SHA256""#);
        assert_eq!(keys[1].algorithms, [Algorithm::RsaPkcs1_2048Sha256]);
        let (set, keys) = key(r#","algorithm":"RSA_SIGN_PKCS1_4096_SHA256""#);
        let [unusable] = keys.as_slice() else { panic!("{keys:?}") };
        assert_eq!((unusable.flags, unusable.id.as_str()), (KeyFlags::UNUSABLE, uri));
        assert!(unusable.attrs_json.contains("RSA_SIGN_PKCS1_4096_SHA256"), "{unusable:?}");
        assert_eq!(set.notes, [""; 0]);

        use sha2::Digest;
        let sum = sha2::Sha256::digest(token.public_der("k", "01"));
        let pinned = |sum: &[u8]| {
            let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
            let (_, keys) = key(&format!(r#","spki_sha256":["{hex}"]"#));
            keys.iter().filter(|key| key.flags != KeyFlags::UNUSABLE).count()
        };
        assert_eq!((pinned(&sum), pinned(&[0; 32])), (2, 0));

        let (_, keys) =
            taken(&with(&format!(r#"{PIN},"verify":"token","keys":[{{"uri":"{uri}"}}]"#)));
        assert_eq!(keys[0].flags, KeyFlags::VERIFY | KeyFlags::SHARES_ID);
        let snapshot = with(&format!(r#""refresh_secs":7,"keys":[{{"uri":"{uri}"}}]"#));
        assert_eq!(snapshot.snapshot(&Call::at(NOW)).unwrap().ttl_seconds, 7);
        // Without a PIN the public half is there and the private one is not seen.
        let (_, keys) = taken(&snapshot);
        assert_eq!(keys.len(), 1);
    });
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let test = "plugin::tests::a_wrong_pin_is_tried_once";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |_| {
        // Any other variable: what is in it is no PIN of the token.
        let options = r#""pin":{"environment":"HALLMARK_TEST_TOKEN"}"#;
        let plugin = with(&format!(r#"{options},"keys":[{{"uri":"pkcs11:token=t;object=k"}}]"#));
        let refused = || plugin.snapshot(&Call::at(NOW)).unwrap_err();
        let (first, second) = (refused(), refused());
        assert_eq!((first.kind, second.kind), (ErrorKind::Auth, ErrorKind::Auth));
        assert!(first.text.contains("refuses the PIN"), "{first}");
        assert!(second.text.contains("refused this PIN before"), "{second}");
        let wrong = std::env::var("HALLMARK_TEST_TOKEN").unwrap();
        assert!(!format!("{first}{second}{plugin:?}").contains(&wrong));
    });
}

#[test]
fn a_token_that_is_not_there_is_named() {
    let test = "plugin::tests::a_token_that_is_not_there_is_named";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |_| {
        let error = |uri| with_keys(&[uri]).snapshot(&Call::at(NOW)).unwrap_err();
        let absent = error("pkcs11:token=u;object=k");
        assert_eq!(absent.kind, ErrorKind::Unavailable);
        assert!(absent.text.contains("none of that name"), "{absent}");
        error("pkcs11:token=t;serial=0;object=k");
        let (set, keys) = taken(&with_keys(&["pkcs11:token=t;object=other"]));
        assert!(keys.is_empty() && set.notes.len() == 1, "{set:?}");
    });
}

/// Sessions that the token closed under us, as devices do with idle ones.
#[test]
fn lost_sessions_and_a_lost_login_come_back() {
    let test = "plugin::tests::lost_sessions_and_a_lost_login_come_back";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |_| {
        let plugin = with_keys(&["pkcs11:token=t;object=k"]);
        let (snapshot, keys) = taken(&plugin);
        let p256 = Algorithm::EcdsaP256Sha256;
        let sign = || plugin.sign(&snapshot, &item(&keys[1], p256, MESSAGE, &[]), &Call::at(NOW));
        sign().unwrap();
        let library = crate::module::load(MODULE).unwrap();
        let slot = library.get_slots_with_initialized_token().unwrap()[0];
        let other = library.open_ro_session(slot).unwrap();
        other.logout().unwrap();
        sign().unwrap();
        // Ends every session there is; the plugin's are handles of nothing now.
        library.clone().finalize().unwrap();
        library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
        sign().unwrap();
    });
}

/// More callers than sessions wait for each other; one whose time is up is told so.
#[test]
fn sessions_are_bounded() {
    let test = "plugin::tests::sessions_are_bounded";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |_| {
        let uri = "pkcs11:token=t;object=k";
        let plugin = with(&format!(r#"{PIN},"sessions":1,"keys":[{{"uri":"{uri}"}}]"#));
        let (snapshot, keys) = taken(&plugin);
        let p256 = Algorithm::EcdsaP256Sha256;
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let asked = item(&keys[1], p256, MESSAGE, &[]);
                        plugin.sign(&snapshot, &asked, &Call::at(NOW)).unwrap();
                    }
                });
            }
        });
        let (token, _) = plugin.token.as_ref().unwrap();
        let held = token.with(Deadline::of(&Call::at(NOW)), |_, _| {
            let mut late = Call::at(NOW);
            late.deadline_mono_ns = Some(1);
            let busy = token.with(Deadline::of(&late), |_, _| Ok(()));
            assert!(matches!(busy, Err(TokenError::Busy(1))), "{busy:?}");
            Ok(())
        });
        held.unwrap();
        assert_eq!(token.idle_sessions(), 1);
    });
}

#[test]
fn a_token_that_went_away_signs_again_when_it_is_back() {
    let test = "plugin::tests::a_token_that_went_away_signs_again_when_it_is_back";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |token| {
        let plugin = with_keys(&["pkcs11:token=t;object=k"]);
        let (snapshot, keys) = taken(&plugin);
        let p256 = Algorithm::EcdsaP256Sha256;
        let sign = || plugin.sign(&snapshot, &item(&keys[1], p256, MESSAGE, &[]), &Call::at(NOW));
        sign().unwrap();
        token.plug(false);
        assert_eq!(sign(), Err(Failure::Backend));
        let away = plugin.snapshot(&Call::at(NOW)).unwrap_err();
        assert_eq!(away.kind, ErrorKind::Unavailable);
        assert!(away.text.contains("none of that name"), "{away}");
        token.plug(true);
        let until = Instant::now() + Duration::from_secs(10);
        while sign().is_err() {
            assert!(Instant::now() < until, "{:?}", plugin.snapshot(&Call::at(NOW)).err());
            std::thread::yield_now();
        }
        let again = plugin.snapshot(&Call::at(NOW)).unwrap();
        assert_eq!((again.generation, again.keys), (1, snapshot));
    });
}

/// Without a signature that fails first.
#[test]
fn a_token_that_went_away_is_missed_by_the_next_look() {
    let test = "plugin::tests::a_token_that_went_away_is_missed_by_the_next_look";
    SoftToken::in_child(test, &[("EC:P-256", "k", "01")], |token| {
        let plugin = with_keys(&["pkcs11:token=t;object=k"]);
        taken(&plugin);
        token.plug(false);
        let away = plugin.snapshot(&Call::at(NOW)).unwrap_err();
        assert_eq!(away.kind, ErrorKind::Unavailable);
    });
}
