//! The built plugin as the daemon has it: a file, loaded and called across the boundary.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use hallmark_plugin_api::host::{
    CallError, Circumstances, Instance, KeySnapshot, Pin, PluginImage, Services,
};
use hallmark_plugin_api::{
    Algorithm, Caps, ErrorKind, Failure, Item, KeyFlags, LogLevel, Material,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const NOW: Circumstances<'static> =
    Circumstances { now: 1_800_000_000, deadline: None, cancel: None };

/// A host that hears nothing.
struct Deaf;

impl Services for Deaf {
    fn log(&self, _level: LogLevel, _target: &str, _text: &str) {}
    fn log_level(&self) -> LogLevel {
        LogLevel::Debug
    }
    fn keys_changed(&self) {}
    fn secret(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }
    fn unix_now(&self) -> i64 {
        NOW.now
    }
}

/// The plugin, loaded once. Cargo puts it beside the test.
fn image() -> &'static Arc<PluginImage> {
    static IMAGE: OnceLock<Arc<PluginImage>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let path = test.parent().unwrap().join("libhallmark_plugin_pkix.so");
        let sha256: [u8; 32] = Sha256::digest(fs::read(&path).unwrap()).into();
        Arc::new(PluginImage::load(&path, &Pin::Sha256(vec![sha256])).unwrap())
    })
}

fn instance(config: &str) -> Result<Arc<Instance>, CallError> {
    Instance::create(image(), config, Arc::new(Deaf))
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A P-256 key pair in a directory: the paths of both halves.
fn pair(directory: &TempDir, name: &str) -> (PathBuf, PathBuf) {
    let private = directory.path().join(format!("{name}.key"));
    let public = directory.path().join(format!("{name}.pem"));
    let [key, out] = [&private, &public].map(|path| path.to_str().unwrap());
    let curve = "ec_paramgen_curve:P-256";
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", key]);
    openssl(&["pkey", "-in", key, "-pubout", "-out", out]);
    (private, public)
}

fn source(path: &Path) -> String {
    format!(r#"{{"sources":[{{"path":"{}"}}],"refresh_secs":9}}"#, path.display())
}

fn pkix(data: &[u8], algorithm: Option<Algorithm>) -> Material<'_> {
    Material { form: "pkix", data, algorithm }
}

#[test]
fn it_says_what_it_is() {
    let info = image().info();
    assert_eq!((info.name.as_str(), info.vendor.as_str()), ("pkix", "Hallmark"));
    assert!(info.caps.contains(Caps::KEYS.with(Caps::SIGN)));
    assert!(!info.caps.contains(Caps::VERIFY));
    assert_eq!(info.schemes, ["file"]);
    assert_eq!(info.forms, ["pkix"]);
    assert_eq!(info.algorithms, Algorithm::DECLARABLE);
    assert!(info.config_schema.contains("refresh_secs"));
}

#[test]
fn keys_of_a_directory_follow_its_files() {
    let directory = TempDir::new().unwrap();
    let (private, public) = pair(&directory, "a");
    fs::remove_file(private).unwrap();
    let plugin = instance(&source(directory.path())).unwrap();
    plugin.health(&NOW).unwrap();
    let first = plugin.snapshot(&NOW).unwrap();
    assert_eq!(first.ttl.map(|ttl| ttl.as_secs()), Some(9));
    let [key] = first.keys.as_slice() else { panic!("{:?}", first.keys) };
    assert_eq!(key.id, format!("file://{}", public.display()));
    assert!(key.flags.contains(KeyFlags::VERIFY | KeyFlags::HOST_VERIFY));
    assert!(!key.flags.contains(KeyFlags::SIGN));
    assert_eq!(key.algorithms, [Algorithm::EcdsaP256Sha256]);
    let path = public.to_str().unwrap();
    assert_eq!(key.spki_der, openssl(&["pkey", "-pubin", "-in", path, "-outform", "DER"]));

    let set = directory.path().join("b.json");
    fs::write(&set, r#"{"keys":[{"kty":"XYZ"}]}"#).unwrap();
    let second = plugin.snapshot(&NOW).unwrap();
    assert!(second.generation > first.generation);
    assert!(refused(&second).contains("its `kty`"), "{}", refused(&second));
    assert!(second.keys.iter().any(|other| other.id == key.id), "the others count");

    fs::write(&set, r#"{"keys":"#).unwrap();
    let third = plugin.snapshot(&NOW).unwrap();
    assert!(refused(&third).contains("JSON"), "{}", refused(&third));
    assert!(third.keys.iter().any(|other| other.id == key.id), "the others count");

    // No directory is another thing than no keys.
    fs::remove_dir_all(directory.path()).unwrap();
    let refused = plugin.snapshot(&NOW).unwrap_err();
    assert!(matches!(refused, CallError::Refused { .. }), "{refused}");
    assert_eq!(plugin.health(&NOW), Err(refused));
}

/// Why the one bad file of a snapshot gives no key.
fn refused(snapshot: &KeySnapshot) -> String {
    let mut bad = snapshot.keys.iter().filter_map(|key| key.unusable.as_deref());
    let why = bad.next().expect("a key that cannot be used");
    assert_eq!(bad.next(), None);
    why.to_owned()
}

#[test]
fn inline_material_resolves_to_its_key() {
    let directory = TempDir::new().unwrap();
    let (private, public) = pair(&directory, "a");
    let plugin = instance("{}").unwrap();
    let pem = fs::read(public).unwrap();
    let keys = plugin.resolve_keys(&pkix(&pem, Some(Algorithm::EcdsaP256Sha256)), &NOW).unwrap();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    assert_eq!(key.algorithms, [Algorithm::EcdsaP256Sha256]);
    assert!(key.id.starts_with("ni:///sha-256;"), "{}", key.id);

    let private = fs::read(private).unwrap();
    for material in [pkix(&pem, Some(Algorithm::Ed25519)), pkix(&private, None), pkix(b"", None)] {
        let refused = plugin.resolve_keys(&material, &NOW).unwrap_err();
        assert!(matches!(refused, CallError::Refused { kind: ErrorKind::Malformed, .. }));
    }
}

#[test]
fn a_signature_verifies_with_openssl() {
    let directory = TempDir::new().unwrap();
    let (private, public) = pair(&directory, "a");
    let path = private.display();
    let plugin = instance(&format!(r#"{{"signing_keys":[{{"path":"{path}"}}]}}"#)).unwrap();
    let snapshot = plugin.snapshot(&NOW).unwrap();
    let [key] = snapshot.keys.as_slice() else { panic!("{:?}", snapshot.keys) };
    assert_eq!(key.flags, KeyFlags::SIGN);
    assert_eq!(key.id, format!("file://{path}"));

    let message = b"the payload of an attestation";
    let item = |key_handle, algorithm| Item {
        key_handle,
        algorithm: Some(algorithm),
        key: &[],
        message,
        signature: &[],
    };
    let items = [
        item(key.handle, Algorithm::EcdsaP256Sha256),
        item(key.handle, Algorithm::EcdsaP384Sha384),
        item(key.handle + 1, Algorithm::EcdsaP256Sha256),
    ];
    let signed = plugin.sign_batch(&snapshot, &items, &NOW).unwrap();
    let [Ok(signature), Err(Failure::AlgUnsupported), Err(Failure::KeyUnknown)] = signed.as_slice()
    else {
        panic!("{signed:?}")
    };
    let digest: [u8; 32] = Sha256::digest(message).into();
    let digests =
        [Item { message: &digest, ..items[0] }, Item { message: &digest[1..], ..items[0] }];
    let signed = plugin.sign_digests(&snapshot, &digests, &NOW).unwrap();
    let [Ok(of_digest), Err(Failure::Malformed)] = signed.as_slice() else { panic!("{signed:?}") };
    let mut flipped = signature.clone();
    flipped[signature.len() - 1] ^= 1;
    let [text, good, bad] = ["message", "good", "bad"].map(|name| directory.path().join(name));
    fs::write(&text, message).unwrap();
    for (path, bytes, verifies) in
        [(&good, signature, true), (&good, of_digest, true), (&bad, &flipped, false)]
    {
        fs::write(path, bytes).unwrap();
        let mut verify = Command::new("openssl");
        verify.args(["dgst", "-sha256", "-verify"]).arg(&public);
        verify.arg("-signature").arg(path).arg(&text);
        assert_eq!(verify.output().unwrap().status.success(), verifies);
    }
}

#[test]
fn a_wrong_configuration_is_refused() {
    let directory = TempDir::new().unwrap();
    let (_private, public) = pair(&directory, "a");
    let signs_with =
        |path: &Path| format!(r#"{{"signing_keys":[{{"path":"{}"}}]}}"#, path.display());
    for config in ["[", r#"{"sorces":[]}"#, &signs_with(&public)] {
        let refused = instance(config).map(|_| ()).unwrap_err();
        assert!(matches!(refused, CallError::Refused { kind: ErrorKind::Config, .. }), "{refused}");
    }
}
