//! The catalog over the demonstration plugin, which is written in C and says whatever its secret
//! `mode` makes it say.

mod catalog;
mod decode;
mod key_types;
mod key_versions;
mod lister;
mod refused;
mod rotation;
mod stuck;
mod whose;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hallmark_core::attestor::{KeyId, KeyMaterial, PublicKey, SignatureAlgorithm};
use hallmark_plugin_api::host::worker;
use sha2::{Digest, Sha256};

use super::{Catalog, PluginConfig, PluginError, Rotation};

/// The documentation's key, as the demonstration plugin holds it, and its id.
const DOC_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXnpuYEfvLl1kj4fjxViFRwY1a+zC
5qzlf9LJIK+rnjq42tiKGyyXMbnZKJiYPPdMDGyltnkrABnztg2jJ48aYQ==
-----END PUBLIC KEY-----
";
const DOC_ID: &str = "ni:///sha-256;EwVxs8fNUAHq9FI2AMfh8WNIXVBuuTMeGtPH72U-I70";

/// A catalog of one instance named `demo`.
struct World {
    catalog: Arc<Catalog>,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::in_mode("")
    }

    fn in_mode(mode: &str) -> Self {
        Self::rotating(mode, Rotation::default())
    }

    fn rotating(mode: &str, rotation: Rotation) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mode"), mode).unwrap();
        let catalog = load(&[PluginConfig { rotation, ..demo_config(dir.path()) }]).unwrap();
        Self { catalog: Arc::new(catalog), dir }
    }

    fn set_mode(&self, mode: &str) {
        std::fs::write(self.dir.path().join("mode"), mode).unwrap();
    }
}

/// The entry point of a worker process of these tests: this program, told to run this test.
#[test]
fn plugin_worker() {
    let Err(not_a_worker) = worker::main();
    assert_eq!(not_a_worker.to_string(), "there is no host");
}

/// Loads these plugins and none that lies beside the program.
pub(crate) fn load(configs: &[PluginConfig]) -> Result<Catalog, PluginError> {
    let nowhere: [&Path; 0] = [];
    Catalog::load_from(configs, &nowhere, Duration::from_secs(60))
}

fn demo_config(dir: &Path) -> PluginConfig {
    let path = demo().clone();
    let sum = Sha256::digest(std::fs::read(&path).unwrap());
    PluginConfig {
        path: Some(path),
        pins: vec![sum.into()],
        secrets: BTreeMap::from([("mode".to_owned(), dir.join("mode"))]),
        ..PluginConfig::bundled("demo", serde_json::json!({}))
    }
}

/// The plugin, compiled once for all tests of this process.
fn demo() -> &'static PathBuf {
    static DEMO: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let path = compiled(dir.path(), "demo_plugin.c", &[]);
        (dir, path)
    };
    &DEMO.get_or_init(build).1
}

/// A plugin of `plugin-api/tests/c-plugin`, with more arguments for the compiler.
fn compiled(dir: &Path, source: &str, more: &[&str]) -> PathBuf {
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api");
    let path = dir.join("plugin.so");
    let status = Command::new("cc")
        .args(["-std=c11", "-D_GNU_SOURCE", "-fPIC", "-shared", "-fvisibility=hidden", "-I"])
        .arg(api.join("include"))
        .arg("-o")
        .arg(&path)
        .arg(api.join("tests/c-plugin").join(source))
        .args(more)
        .status();
    assert!(status.unwrap().success());
    Command::new("chmod").arg("755").arg(&path).status().unwrap();
    path
}

fn pkix(pem: &str, algorithm: SignatureAlgorithm) -> PublicKey {
    let material =
        KeyMaterial::Pkix { public_key_pem: pem.to_owned(), signature_algorithm: algorithm };
    PublicKey { comment: String::new(), id: None, material }
}

fn reference(id: &str) -> PublicKey {
    let id = Some(KeyId::from(id));
    PublicKey { comment: String::new(), id, material: KeyMaterial::Reference }
}

/// The output of `openssl` for this input.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}
