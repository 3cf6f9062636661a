//! The OpenPGP plugin, as the file that the daemon loads: certificates and signature blobs.

use std::sync::{Arc, OnceLock};

use hallmark::public_key;
use hallmark_plugin_api::host::{CallError, Circumstances, Instance, Pin, PluginImage, Services};
use hallmark_plugin_api::{Decoded, Failure, Item, LogLevel, Material};
use hallmark_tests::daemon::binary;
use sha2::{Digest, Sha256};

use super::Read;

/// What the signatures of the corpus are over.
const PAYLOAD: &[u8] = b"{\"critical\":{\"image\":{}}}\n";
const NOW: Circumstances<'static> =
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

fn plugin() -> &'static Instance {
    static PLUGIN: OnceLock<Arc<Instance>> = OnceLock::new();
    PLUGIN.get_or_init(|| {
        let path = binary("libhallmark_plugin_pgp.so");
        let sha256 = Sha256::digest(std::fs::read(&path).expect("readable")).into();
        let image = PluginImage::load(&path, &Pin::Sha256(vec![sha256])).expect("a plugin");
        Instance::create(&Arc::new(image), "{}", Arc::new(Nobody)).expect("an instance")
    })
}

/// What it reads are keys that the daemon can use, and it never panics.
pub(crate) fn openpgp_certificate(input: &[u8]) -> Read {
    let material = Material { form: "pgp", data: input, algorithm: None };
    match plugin().resolve_keys(&material, &NOW) {
        Ok(keys) => {
            for key in keys {
                public_key::read(&key.spki_der).expect("a key");
                assert!(!key.algorithms.is_empty() && !key.fingerprint.is_empty());
            }
            Ok(())
        }
        Err(CallError::Refused { text, .. }) => Err(text),
        Err(broken) => panic!("{broken}"),
    }
}

/// What it finds names its key, and it never panics: not even for one item.
pub(crate) fn openpgp_signature(input: &[u8]) -> Read {
    let item =
        Item { key_handle: 0, algorithm: None, key: &[], message: PAYLOAD, signature: input };
    let found = plugin().decode_batch(None, &[item], &NOW).expect("the call runs").remove(0);
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
