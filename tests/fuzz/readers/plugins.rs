//! The bundled plugins, as the files that the daemon loads: keys in every form, and signatures in
//! envelopes.

use std::sync::{Arc, OnceLock};

use hallmark::public_key;
use hallmark_plugin_api::host::{
    CallError, Circumstances, Instance, KeyRecord, Pin, PluginImage, Services,
};
use hallmark_plugin_api::{Decoded, Failure, Item, LogLevel, Material};
use hallmark_tests::daemon::binary;
use sha2::{Digest, Sha256};

use super::Read;

/// The payload that the signatures of the corpus are over.
const PAYLOAD: &[u8] = b"{\"critical\":{\"image\":{}}}\n";
pub(crate) const NOW: Circumstances<'static> =
    Circumstances { now: 1_795_000_000, deadline: None, cancel: None };

struct Nobody;

impl Services for Nobody {
    fn log(&self, _level: LogLevel, _target: &str, _text: &str) {}
    fn log_level(&self) -> LogLevel {
        LogLevel::Error
    }
    fn keys_changed(&self) {}
    fn secret(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }
    fn unix_now(&self) -> i64 {
        NOW.now
    }
}

/// A plugin, as `make test` built it.
pub(crate) fn image(plugin: &str) -> Arc<PluginImage> {
    let path = binary(&format!("libhallmark_plugin_{plugin}.so"));
    let sha256 = Sha256::digest(std::fs::read(&path).expect("readable")).into();
    Arc::new(PluginImage::load(&path, &Pin::Sha256(vec![sha256])).expect("a plugin"))
}

fn instance(plugin: &str) -> Arc<Instance> {
    Instance::create(&image(plugin), "{}", Arc::new(Nobody)).expect("an instance")
}

fn pgp() -> &'static Instance {
    static PLUGIN: OnceLock<Arc<Instance>> = OnceLock::new();
    PLUGIN.get_or_init(|| instance("pgp"))
}

fn pkix() -> &'static Instance {
    static PLUGIN: OnceLock<Arc<Instance>> = OnceLock::new();
    PLUGIN.get_or_init(|| instance("pkix"))
}

/// Certificates of OpenPGP, armored or not, as in attestors and in keyrings.
pub(super) fn openpgp_certificate(input: &[u8]) -> Read {
    let keys = keys(pgp(), "pgp", input)?;
    assert!(keys.iter().all(|key| !key.fingerprint.is_empty()), "{keys:?}");
    Ok(())
}

/// A key of PKIX: PEM, DER or X.509. Files of several and key sets are read, too, and then refused:
/// they are for files only.
pub(super) fn pkix_key(input: &[u8]) -> Read {
    keys(pkix(), "pkix", input).map(drop)
}

/// The keys that it reads are keys that the daemon can use, and it never panics.
fn keys(plugin: &Instance, form: &str, input: &[u8]) -> Result<Vec<KeyRecord>, String> {
    let material = Material { form, data: input, algorithm: None };
    let keys = match plugin.resolve_keys(&material, &NOW) {
        Err(CallError::Refused { text, .. }) => return Err(text),
        keys => keys.expect("a plugin that keeps its contract"),
    };
    for key in &keys {
        public_key::read(&key.spki_der).expect("a key");
        assert!(!key.algorithms.is_empty(), "{key:?}");
    }
    Ok(keys)
}

/// Every signature that it finds names its key, and it never panics: not even for one item.
pub(super) fn openpgp_signature(input: &[u8]) -> Read {
    let item =
        Item { key_handle: 0, algorithm: None, key: &[], message: PAYLOAD, signature: input };
    let found = pgp().decode_batch(None, &[item], &NOW).expect("the call runs").remove(0);
    assert_ne!(found, Err(Failure::Backend));
    let found = found.map_err(|failure| format!("{failure:?}"))?;
    let signed = found.iter().filter(|one| match one {
        Decoded::Signed(signed) => {
            assert!(!signed.key_id.is_empty() && !signed.signature.is_empty());
            true
        }
        Decoded::Refused(refusal) => {
            assert!(!refusal.text.is_empty());
            false
        }
    });
    if signed.count() > 0 { Ok(()) } else { Err("refused".to_owned()) }
}
