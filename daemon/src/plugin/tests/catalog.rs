//! Which keys the catalog answers with, when, and whose fault it is where it has none.

use std::time::{Duration, Instant};

use hallmark_core::attestor::{KeyMaterial, Validity};
use hallmark_core::time::UnixTime;
use hallmark_plugin_api::host::{Circumstances, Services};

use super::super::{KeyError, SignError};
use super::*;

fn ids(catalog: &Catalog, id: &str) -> Result<Vec<String>, KeyError> {
    let resolved = catalog.resolve(&reference(id))?;
    Ok(resolved.keys.iter().map(|key| key.ids[0].to_string()).collect())
}

#[test]
fn a_key_without_an_id_goes_by_the_hash_of_its_spki() {
    let world = World::new();
    let key = pkix(DOC_PEM, SignatureAlgorithm::EcdsaP256Sha256);
    let resolved = world.catalog.resolve(&key).unwrap();
    assert_eq!(resolved.default_id.as_str(), DOC_ID);
    assert_eq!(resolved.keys.len(), 1);
    assert_eq!(resolved.keys[0].ids, [KeyId::from(DOC_ID)]);
    let fingerprint: [u8; 32] = Sha256::digest(resolved.keys[0].spki.der()).into();
    assert_eq!(resolved.keys[0].fingerprint, fingerprint);

    let named = PublicKey { id: Some(KeyId::from("acme:release")), ..key };
    let resolved = world.catalog.resolve(&named).unwrap();
    assert_eq!(resolved.default_id.as_str(), DOC_ID);
    assert_eq!(resolved.keys[0].ids, [KeyId::from("acme:release")]);
}

#[test]
fn material_that_is_no_key_is_the_writers_fault() {
    let world = World::new();
    for pem in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        let error = world.catalog.resolve(&pkix(pem, SignatureAlgorithm::EcdsaP256Sha256));
        assert!(matches!(error, Err(KeyError::Material(_))), "{pem:?}: {error:?}");
    }
}

#[test]
fn a_form_that_no_plugin_reads_is_not() {
    let world = World::new();
    let material = KeyMaterial::Pgp { ascii_armored: "-----BEGIN PGP".to_owned() };
    let key = PublicKey { comment: String::new(), id: None, material };
    let expected = "no plugin is installed that reads `pgp` keys".to_owned();
    assert_eq!(world.catalog.resolve(&key), Err(KeyError::Unavailable(expected)));
}

#[test]
fn a_reference_names_a_key_or_a_whole_source() {
    let world = World::new();
    let resolved = world.catalog.resolve(&reference("demo:keys/p256")).unwrap();
    assert_eq!(resolved.default_id.as_str(), "demo:keys/p256");
    assert_eq!(resolved.keys.len(), 1);
    let expected = Validity {
        not_before: Some(UnixTime(1000)),
        not_after: Some(UnixTime(4_000_000_000)),
        revoked_at: None,
        ..Validity::default()
    };
    assert_eq!(resolved.keys[0].validity, expected);

    assert_eq!(ids(&world.catalog, "demo:keys").unwrap(), ["demo:keys/p256"]);
    assert_eq!(ids(&world.catalog, "demo:keys/").unwrap(), ["demo:keys/p256"]);
    assert_eq!(ids(&world.catalog, "DEMO:keys").ok(), None, "ids are compared byte by byte");
    let material = |text: &str| Err(KeyError::Material(text.to_owned()));
    assert_eq!(ids(&world.catalog, "demo:key"), material("no plugin has a key `demo:key`"));
    // The plugin verifies this one itself; the host cannot.
    assert_eq!(ids(&world.catalog, "demo:one"), material("no plugin has a key `demo:one`"));
    let expected = "no plugin has keys with the scheme `pkcs11`";
    assert_eq!(ids(&world.catalog, "pkcs11:token=x"), material(expected));
    let expected = "`release` is no URI, so it names no key of a plugin";
    assert_eq!(ids(&world.catalog, "release"), material(expected));
}

#[test]
fn a_source_that_fails_keeps_its_last_good_keys() {
    let world = World::new();
    world.set_mode("more");
    assert!(world.catalog.refresh());
    let both = ["demo:keys/p256", "demo:keys/other"];
    assert_eq!(ids(&world.catalog, "demo:keys").unwrap(), both);
    assert!(!world.catalog.refresh(), "the same keys");

    for bad in ["fail", "flood", "small"] {
        world.set_mode(bad);
        assert!(!world.catalog.refresh());
        assert_eq!(ids(&world.catalog, "demo:keys").unwrap(), both, "{bad}");
    }
    let status = &world.catalog.instances()[0];
    assert_eq!((status.generation, status.keys, status.snapshot_errors), (Some(2), 3, 3));
    assert!(status.last_error.as_deref().unwrap().contains("a key has a wrong size"));

    world.set_mode("");
    assert!(world.catalog.refresh());
    assert_eq!(ids(&world.catalog, "demo:keys").unwrap(), ["demo:keys/p256"]);
    assert_eq!(world.catalog.instances()[0].last_error, None);
}

#[test]
fn a_source_that_is_down_at_the_start_is_not_the_writers_fault() {
    let world = World::in_mode("fail");
    let expected = "plugin `demo`: the token is gone".to_owned();
    assert_eq!(ids(&world.catalog, "demo:keys/p256"), Err(KeyError::Unavailable(expected)));
    let error = world.catalog.sign("demo", "demo:one", b"payload").unwrap_err();
    assert!(matches!(error, SignError::Unavailable { .. }), "{error}");
    assert_eq!(world.catalog.instances()[0].snapshot_age, None);

    world.set_mode("");
    assert!(world.catalog.refresh());
    assert_eq!(ids(&world.catalog, "demo:keys/p256").unwrap(), ["demo:keys/p256"]);
}

#[test]
fn the_time_to_live_says_when_to_ask_again_and_a_failure_sooner() {
    let world = World::new();
    let due = || world.catalog.instances[0].next().unwrap();
    let in_a_minute = Instant::now() + Duration::from_secs(60);
    assert!(due() <= in_a_minute && due() > in_a_minute - Duration::from_secs(30));
    assert!(!world.catalog.instances[0].is_due(Instant::now()), "nothing is due");
    world.set_mode("fail");
    world.catalog.refresh();
    assert!(due() <= Instant::now() + Duration::from_secs(5));
}

#[test]
fn a_secret_is_limited_in_size() {
    let world = World::new();
    let services = Arc::clone(&world.catalog.instances[0].services);
    world.set_mode(&"x".repeat(65_536));
    assert_eq!(services.secret("mode").map(|secret| secret.len()), Some(65_536));
    world.set_mode(&"x".repeat(65_537));
    assert_eq!(services.secret("mode"), None);
    assert_eq!(services.secret("other"), None);
}

#[tokio::test]
async fn a_push_brings_new_keys_at_once() {
    let world = World::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let fresh = Arc::clone(&world.catalog).keep_fresh(move || tell.send(()).unwrap());
    let fresh = tokio::spawn(fresh);
    world.set_mode("more");
    // The demonstration plugin pushes when its health is asked for.
    world.catalog.instances[0].instance().unwrap().health(&Circumstances::at(1)).unwrap();
    // Its time to live is a minute: only the push can be this quick.
    tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
    assert_eq!(ids(&world.catalog, "demo:keys").unwrap().len(), 2);
    fresh.abort();
}

#[test]
fn a_payload_is_signed_by_the_named_key() {
    let world = World::new();
    let signed = world.catalog.sign("demo", "demo:one", b"payload").unwrap();
    assert_eq!(signed.algorithm, SignatureAlgorithm::Ed25519);
    assert_eq!(signed.signature, b"payload".map(|byte| byte ^ 0x21));
    let by_other_id = world.catalog.sign("demo", "demo:uno", b"payload").unwrap();
    assert_eq!(by_other_id, signed);

    let sign = |plugin, key, payload| world.catalog.sign(plugin, key, payload).unwrap_err();
    let unknown = SignError::UnknownPlugin("other".to_owned());
    assert_eq!(sign("other", "demo:one", b"payload"), unknown);
    let verifies_only = sign("demo", "demo:keys/p256", b"payload");
    assert!(matches!(verifies_only, SignError::UnknownKey { .. }), "{verifies_only}");
    let too_long = sign("demo", "demo:one", &[0; 5000]);
    assert!(matches!(too_long, SignError::Refused { .. }), "{too_long}");
    let forgotten = sign("demo", "demo:one", b"0");
    assert!(matches!(forgotten, SignError::Unavailable { .. }), "{forgotten}");
    assert_eq!(world.catalog.instances()[0].call_errors, 1);
}

#[test]
fn a_wrong_configuration_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = demo_config(dir.path());
    let refused = |configs: &[PluginConfig]| load(configs).unwrap_err().to_string();

    let twice = refused(&[config.clone(), config.clone()]);
    assert_eq!(twice, "two plugins are named `demo`: give each a name of its own");
    let bundled = refused(&[PluginConfig { path: None, ..config.clone() }]);
    assert_eq!(bundled, "no plugin `demo` comes with this daemon: set its `path` and `sha256`");
    let pin = refused(&[PluginConfig { pins: vec![[0; 32]], ..config.clone() }]);
    assert!(pin.contains("which is not pinned"), "{pin}");
    let unpinned = refused(&[PluginConfig { pins: Vec::new(), ..config.clone() }]);
    assert!(
        unpinned.contains("not part of the daemon's installation; pin its sha256"),
        "{unpinned}"
    );
    let own_words = refused(&[PluginConfig { config: serde_json::json!([]), ..config }]);
    assert_eq!(own_words, "plugin `demo`: the configuration is no object");
}

#[test]
fn bundled_plugins_are_found_by_their_file_names() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    for file in ["libhallmark_plugin_acme.so", "libhallmark_plugin_acme.d", "libother.so"] {
        std::fs::write(dir.path().join(file), "").unwrap();
    }
    let configs: [PluginConfig; 0] = [];
    let load = Catalog::load_from(&configs, &[absent.as_path(), dir.path()], Duration::ZERO);
    // It is found, and refused: it lies where anybody could have put it.
    let error = load.unwrap_err().to_string();
    assert!(error.contains("libhallmark_plugin_acme.so: is not part of the daemon's"), "{error}");
}
