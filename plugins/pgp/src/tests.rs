//! Packets put together by hand and keys of the library: what GnuPG does not make. What it makes is
//! tested from outside, against a daemon.

use std::fs;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use hallmark_plugin_api::{Algorithm, Decoded, Host, Item, Key, KeyFlags, Material, Plugin};
use hallmark_plugin_api::{Call, ErrorKind, Failure, Signed};
use pgp::composed::{
    ArmorOptions, KeyType, MessageBuilder, SecretKeyParamsBuilder, SignedSecretKey,
};
use pgp::composed::{SignedPublicKey, SubkeyParamsBuilder};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Subpacket, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, KeyVersion, Password};
use tempfile::TempDir;

use crate::certificate::{self, CertificateError, SELF_SIGNATURES_MAX, SUBKEYS_MAX};
use crate::config::{Config, ConfigError, KEYRINGS_MAX, SIGNING_KEYS_MAX};
use crate::material::{self, BYTES_MAX, MaterialError};
use crate::message::{self, BLOB_BYTES_MAX, MessageError, SIGNATURES_MAX};
use crate::packet::{self, PACKETS_MAX, PacketError};
use crate::plugin::Pgp;

const PAYLOAD: &[u8] = b"{\"critical\":{}}\n";

/// A packet with a length of five octets.
fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&[0xc0 | tag, 0xff][..], &length, body].concat()
}

const SIGNATURE: u8 = 2;
const ONE_PASS: u8 = 4;
const COMPRESSED: u8 = 8;
const LITERAL: u8 = 11;

fn literal(data: &[u8]) -> Vec<u8> {
    packet(LITERAL, &[b"b\0\0\0\0\0", data].concat())
}

fn refusal(packets: &[Vec<u8>]) -> MessageError {
    message::decode(&packets.concat(), PAYLOAD).unwrap_err()
}

fn secret(version: KeyVersion, kind: KeyType) -> SignedSecretKey {
    let mut params = SecretKeyParamsBuilder::default();
    params.version(version).key_type(kind).can_certify(true).can_sign(true);
    params.primary_user_id("release <release@example.com>".to_owned());
    params.build().unwrap().generate(rand::thread_rng()).unwrap()
}

fn binary(key: &SignedSecretKey) -> Vec<u8> {
    key.to_public_key().to_bytes().unwrap()
}

fn signed(key: &SignedSecretKey) -> Vec<u8> {
    let mut builder = MessageBuilder::from_bytes("", PAYLOAD);
    builder.sign(&key.primary_key, Password::empty(), HashAlgorithm::Sha512);
    builder.to_vec(rand::thread_rng()).unwrap()
}

fn decoded(blob: &[u8]) -> Signed {
    match message::decode(blob, PAYLOAD).unwrap().pop() {
        Some(Decoded::Signed(signed)) => signed,
        other => panic!("{other:?}"),
    }
}

fn verifies(spki_der: &[u8], signed: &Signed) -> bool {
    let key = UnparsedPublicKey::new(&ED25519, &spki_der[12..]);
    key.verify(&signed.message, &signed.signature).is_ok()
}

#[test]
fn version_6_and_both_forms_of_ed25519_give_what_a_library_verifies() {
    let kinds = [
        (KeyVersion::V4, KeyType::Ed25519Legacy),
        (KeyVersion::V4, KeyType::Ed25519),
        (KeyVersion::V6, KeyType::Ed25519),
    ];
    for (version, kind) in kinds {
        let key = secret(version, kind);
        let certificate = material::read_inline(&binary(&key)).unwrap();
        let digits = if version == KeyVersion::V6 { 64 } else { 40 };
        assert_eq!(certificate.id.len(), digits);
        assert_eq!(certificate.id, crate::key::hex(key.fingerprint().as_bytes()));
        let [signer] = certificate.signing_keys.as_slice() else { panic!("{certificate:?}") };
        let mut found = decoded(&signed(&key));
        assert_eq!((found.algorithm, &found.key_id), (Algorithm::Ed25519, &certificate.id));
        assert_eq!(*found.payload, *PAYLOAD);
        assert!(verifies(&signer.key.spki_der, &found));
        found.signature[7] ^= 1;
        assert!(!verifies(&signer.key.spki_der, &found));
    }
}

#[test]
fn every_flipped_bit_of_a_certificate_changes_what_it_says_or_nothing_that_counts() {
    let key = secret(KeyVersion::V4, KeyType::Ed25519Legacy);
    let bytes = binary(&key);
    let good = material::read_inline(&bytes).unwrap();
    for bit in (0..bytes.len() * 8).step_by(3) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = material::read_inline(&flipped) {
            // Never another key under the same name, never a longer life.
            if other.id == good.id {
                let (own, others) = (&good.signing_keys[0], &other.signing_keys[0]);
                assert_eq!((&own.key, own.until), (&others.key, others.until), "bit {bit}");
            }
        }
    }
}

#[test]
fn a_subkey_that_did_not_consent_does_not_sign() {
    let subkey = |consents: bool| {
        let mut params = SecretKeyParamsBuilder::default();
        params.key_type(KeyType::Ed25519Legacy).can_certify(true).can_sign(false);
        params.primary_user_id("release".to_owned());
        let mut subkey = SubkeyParamsBuilder::default();
        subkey.key_type(KeyType::Ed25519Legacy).can_sign(true);
        params.subkey(subkey.build().unwrap());
        let key = params.build().unwrap().generate(rand::thread_rng()).unwrap();
        let mut public: SignedPublicKey = key.to_public_key();
        if !consents {
            let rebind = |embedded: Option<pgp::packet::Signature>| {
                let binding = &public.public_subkeys[0].signatures[0];
                let mut config = binding.config().unwrap().clone();
                let embeds =
                    |it: &Subpacket| matches!(it.data, SubpacketData::EmbeddedSignature(_));
                config.hashed_subpackets.retain(|it| !embeds(it));
                config.unhashed_subpackets.retain(|it| !embeds(it));
                assert!(embedded.is_none());
                let primary = &key.primary_key;
                let subkey = &public.public_subkeys[0].key;
                config
                    .sign_subkey_binding(primary, primary.public_key(), &Password::empty(), subkey)
                    .unwrap()
            };
            public.public_subkeys[0].signatures = vec![rebind(None)];
        }
        material::read_inline(&public.to_bytes().unwrap())
    };
    assert_eq!(subkey(true).unwrap().signing_keys.len(), 1);
    let error = subkey(false).unwrap_err().to_string();
    assert!(error.contains("no valid signature of its own (0x19)"), "{error}");
}

#[test]
fn messages_of_another_grammar_are_refused() {
    let signature = packet(SIGNATURE, b"x");
    let one_pass = packet(ONE_PASS, b"x");
    let grammar = |packets: &[Vec<u8>]| match refusal(packets) {
        MessageError::Grammar(text) => text,
        other => panic!("{other:?}"),
    };
    assert!(grammar(&[literal(PAYLOAD)]).contains("no signature"));
    assert!(grammar(&[one_pass.clone(), signature.clone()]).contains("no literal"));
    assert!(grammar(&[literal(b"p"), signature.clone()]).contains("0 signatures announced"));
    assert!(grammar(&[one_pass.clone(), literal(b""), signature.clone()]).contains("is empty"));
    let twice = [one_pass.clone(), literal(b"p"), literal(b"q"), signature.clone()];
    assert!(grammar(&twice).contains("where none belongs"));
    let encrypted = packet(18, b"x");
    assert!(grammar(&[encrypted]).contains("where none belongs"));

    let inner = packet(COMPRESSED, &[&[0][..], &signature].concat());
    let nested = packet(COMPRESSED, &[&[0][..], &inner].concat());
    assert_eq!(refusal(&[nested]), MessageError::Nested);
    let unknown = packet(COMPRESSED, b"\x09zzz");
    assert!(matches!(refusal(&[unknown]), MessageError::Compression));
    assert_eq!(refusal(&[]), MessageError::Packets(PacketError::Empty));
    let cut = &packet(SIGNATURE, &[0; 100])[..50];
    assert!(matches!(refusal(&[cut.to_vec()]), MessageError::Packets(PacketError::Framing)));
    let headless = [0xc2, 0xff, 0].to_vec();
    assert_eq!(refusal(&[headless]), MessageError::Packets(PacketError::Cut));
}

#[test]
fn blobs_are_limited_in_size_packets_and_signatures() {
    let large = vec![0; BLOB_BYTES_MAX + 1];
    assert_eq!(refusal(&[large]), MessageError::TooLarge(BLOB_BYTES_MAX + 1));
    let signatures = |count| vec![packet(SIGNATURE, b"x"); count];
    let found = message::decode(&signatures(SIGNATURES_MAX).concat(), PAYLOAD).unwrap();
    assert_eq!(found.len(), SIGNATURES_MAX);
    assert_eq!(refusal(&signatures(SIGNATURES_MAX + 1)), MessageError::TooManySignatures);
    let marker = packet(10, b"PGP");
    let markers = marker.repeat(PACKETS_MAX);
    assert_eq!(packet::read(&markers).unwrap().len(), PACKETS_MAX);
    let one_more = [markers, marker].concat();
    assert_eq!(packet::read(&one_more), Err(PacketError::TooMany));
}

#[test]
fn certificates_are_limited_in_size_subkeys_and_self_signatures() {
    let bytes = binary(&secret(KeyVersion::V4, KeyType::Ed25519Legacy));
    let packets = packet::read(&bytes).unwrap();
    let read = |extra: usize, count: usize| {
        let mut packets = packets.clone();
        let mut one = packets[extra].clone();
        if extra == 0 {
            one.header = pgp::packet::PacketHeader::new_fixed(pgp::types::Tag::PublicSubkey, 0);
        }
        packets.extend(vec![one; count]);
        certificate::read_all(&packets).remove(0)
    };
    read(0, SUBKEYS_MAX).unwrap();
    assert_eq!(read(0, SUBKEYS_MAX + 1), Err(CertificateError::TooManySubkeys));
    read(packets.len() - 1, SELF_SIGNATURES_MAX - 1).unwrap();
    let one_more = read(packets.len() - 1, SELF_SIGNATURES_MAX);
    assert_eq!(one_more, Err(CertificateError::TooManySignatures));

    let padded = [vec![b' '; BYTES_MAX], bytes].concat();
    assert_eq!(material::read_inline(&padded), Err(MaterialError::TooLarge));
    assert_eq!(material::read_inline(b" \n"), Err(MaterialError::Empty));
}

#[test]
fn inline_material_is_one_public_certificate() {
    let key = secret(KeyVersion::V4, KeyType::Ed25519Legacy);
    let armored = key.to_public_key().to_armored_string(ArmorOptions::default()).unwrap();
    material::read_inline(armored.as_bytes()).unwrap();
    let twice = armored.repeat(2);
    assert_eq!(material::read_inline(twice.as_bytes()), Err(MaterialError::NotOne(2)));
    for around in [
        format!("Our key:\n\n{armored}and more"),
        armored.replace('\n', " \n"),
        armored.replacen("-----\n\n", "-----\n", 1),
        armored.replace('\n', "\r\n"),
        format!("\u{feff}{armored}"),
    ] {
        material::read_inline(around.as_bytes()).unwrap();
    }
    let lost =
        material::read_inline(armored.replace('\n', " ").as_bytes()).unwrap_err().to_string();
    assert!(lost.contains("line breaks are lost"), "{lost}");
    let private = key.to_armored_string(ArmorOptions::default()).unwrap();
    let error = material::read_inline(private.as_bytes()).unwrap_err();
    assert_eq!(error, MaterialError::Certificate(CertificateError::Private));
    let lost = material::read_inline(private.replace('\n', "").as_bytes()).unwrap_err();
    assert_eq!(lost, MaterialError::Certificate(CertificateError::Private));
    let private = key.to_bytes().unwrap();
    let error = material::read_inline(&private).unwrap_err();
    assert_eq!(error, MaterialError::Certificate(CertificateError::Private));
}

fn instance(config: &str) -> Result<Pgp, hallmark_plugin_api::Error> {
    Pgp::create(Host::detached(), config)
}

fn keys(plugin: &Pgp) -> Vec<Key> {
    let snapshot = plugin.snapshot(&Call::at(0)).unwrap();
    plugin.keys(&snapshot.keys).unwrap()
}

#[test]
fn a_keyring_lists_its_keys_by_uri_fingerprint_and_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ring.gpg");
    let (one, two) =
        (secret(KeyVersion::V4, KeyType::Ed25519Legacy), secret(KeyVersion::V6, KeyType::Ed25519));
    fs::write(&path, [binary(&one), binary(&two)].concat()).unwrap();
    let plugin = instance(&format!(r#"{{"keyrings":[{{"path":"{}"}}]}}"#, path.display())).unwrap();
    let listed = keys(&plugin);
    let [first, second] = listed.as_slice() else { panic!("{listed:?}") };
    let fingerprint = crate::key::hex(one.fingerprint().as_bytes());
    assert_eq!(first.id, format!("openpgp://{}#{fingerprint}", path.display()));
    assert_eq!(first.other_ids, [format!("openpgp4fpr:{fingerprint}"), fingerprint]);
    assert!(first.flags.contains(KeyFlags::HOST_VERIFY) && second.handle != first.handle);
    assert!(!first.flags.contains(KeyFlags::OUTLIVES_EXPIRY));

    fs::remove_file(&path).unwrap();
    assert_eq!(plugin.snapshot(&Call::at(0)).unwrap_err().kind, ErrorKind::Unavailable);
}

#[test]
fn a_bad_keyring_or_certificate_costs_itself_and_is_named() {
    let directory = TempDir::new().unwrap();
    let (good, bad) = (directory.path().join("good.gpg"), directory.path().join("bad.gpg"));
    let config = format!(
        r#"{{"keyrings":[{{"path":"{}"}},{{"path":"{}"}}]}}"#,
        bad.display(),
        good.display()
    );
    let (one, two) =
        (secret(KeyVersion::V4, KeyType::Ed25519Legacy), secret(KeyVersion::V6, KeyType::Ed25519));
    fs::write(&good, binary(&one)).unwrap();
    let private = two.to_bytes().unwrap();
    // The public key alone, in a packet of fewer than 192 bytes.
    let alone = binary(&two);
    let unsigned = [binary(&one), alone[..2 + usize::from(alone[1])].to_vec()].concat();
    let plugin = instance(&config).unwrap();
    for (bytes, whole) in [
        (&b"half a fi"[..], true),
        (b"", true),
        (&binary(&two)[..40], true),
        (&private, true),
        (&unsigned, false),
    ] {
        fs::write(&bad, bytes).unwrap();
        let taken = plugin.snapshot(&Call::at(0)).unwrap();
        assert_eq!(taken.ttl_seconds, 10);
        let listed = plugin.keys(&taken.keys).unwrap();
        assert_eq!(listed.len(), if whole { 2 } else { 3 }, "{listed:?}");
        let [.., good, unusable] = listed.as_slice() else { panic!("{listed:?}") };
        assert!(good.id.contains("good.gpg") && good.flags.contains(KeyFlags::VERIFY), "{good:?}");
        assert_eq!(unusable.flags, KeyFlags::UNUSABLE);
        assert_eq!(unusable.id, format!("openpgp://{}", bad.display()));
        assert_eq!(unusable.attrs_json.contains("certificate 2: "), !whole, "{unusable:?}");
    }
    fs::write(&bad, binary(&two)).unwrap();
    let taken = plugin.snapshot(&Call::at(0)).unwrap();
    assert_eq!((taken.ttl_seconds, plugin.keys(&taken.keys).unwrap().len()), (60, 2));
}

#[test]
fn options_become_flags_of_the_keys() {
    let key = binary(&secret(KeyVersion::V4, KeyType::Ed25519Legacy));
    let flags = |config: &str| {
        let material = Material { form: "pgp", data: &key, algorithm: None };
        instance(config).unwrap().resolve(&Call::at(0), &material).unwrap()[0].flags
    };
    let strict = flags("{}");
    assert_eq!(strict, KeyFlags::VERIFY | KeyFlags::HOST_VERIFY | KeyFlags::SHARES_ID);
    let expired = flags(r#"{"expired_key":"accept_if_signed_before"}"#);
    assert_eq!(expired, strict | KeyFlags::OUTLIVES_EXPIRY);
    let revoked = flags(r#"{"soft_revoked_key":"accept_if_signed_before"}"#);
    assert_eq!(revoked, strict | KeyFlags::OUTLIVES_REVOCATION);
}

#[test]
fn a_secret_key_in_a_file_signs_what_the_plugin_reads() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("secret.asc");
    let key = secret(KeyVersion::V4, KeyType::Ed25519Legacy);
    fs::write(&path, key.to_armored_string(ArmorOptions::default()).unwrap()).unwrap();
    let config = format!(r#"{{"signing_keys":[{{"path":"{}","id":"release"}}]}}"#, path.display());
    let plugin = instance(&config).unwrap();
    let snapshot = plugin.snapshot(&Call::at(0)).unwrap().keys;
    let listed = plugin.keys(&snapshot).unwrap();
    let [signing] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(
        (signing.flags, signing.other_ids.as_slice()),
        (KeyFlags::SIGN, &["release".to_owned()][..])
    );
    let now = i64::from(key.created_at().as_secs()) + 60;
    let sign = |key_handle, now| {
        let item = Item { key_handle, algorithm: None, key: &[], message: PAYLOAD, signature: &[] };
        plugin.sign(&snapshot, &item, &Call::at(now))
    };
    let found = decoded(&sign(signing.handle, now).unwrap());
    assert_eq!((&found.key_id, found.signed_at), (&signing.id, Some(now)));
    assert!(verifies(&signing.spki_der, &found));
    assert_eq!(sign(signing.handle, now - 3_600), Err(Failure::KeyExpired), "not made yet");
    assert_eq!(sign(signing.handle + 1, now), Err(Failure::KeyUnknown));

    fs::write(&path, "nothing").unwrap();
    assert_eq!(instance(&config).unwrap_err().kind, ErrorKind::Config);
    let locked = config.replace("\"id\"", "\"passphrase\":\"none\",\"id\"");
    let unnamed = instance(&locked).unwrap_err().text;
    assert!(unnamed.contains("names no secret") && !unnamed.contains("none"), "{unnamed}");
}

#[test]
fn a_configuration_is_held_to_its_schema() {
    let parse = |json: &str| Config::parse(json.as_bytes());
    assert_eq!(parse("").unwrap(), parse("{}").unwrap());
    assert!(matches!(parse(r#"{"keyring":[]}"#), Err(ConfigError::Json(_))));
    assert!(matches!(parse(r#"{"expired_key":"accept"}"#), Err(ConfigError::Json(_))));
    assert_eq!(parse(r#"{"refresh_secs":0}"#), Err(ConfigError::Refresh(0)));
    assert_eq!(parse(r#"{"keyrings":[{"path":"a"}]}"#), Err(ConfigError::Path("a".to_owned())));
    let twice = r#"{"keyrings":[{"path":"/a"},{"path":"/a"}]}"#;
    assert_eq!(parse(twice), Err(ConfigError::Twice("/a".to_owned())));
    let many = |list, count| {
        let entries: Vec<_> = (0..count).map(|n| format!(r#"{{"path":"/{n}"}}"#)).collect();
        parse(&format!(r#"{{"{list}":[{}]}}"#, entries.join(",")))
    };
    for (list, max) in [("keyrings", KEYRINGS_MAX), ("signing_keys", SIGNING_KEYS_MAX)] {
        many(list, max).unwrap();
        let given = max + 1;
        assert_eq!(many(list, given), Err(ConfigError::TooMany { list, given, max }));
    }
}
