//! The plugin contract, kept with the other modules.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hallmark_plugin_api::{
    Algorithm, Call, Caps, Error, ErrorKind, Failure, Host, Info, Item, Key, KeyFlags, LogLevel,
    Material, Plugin, Snapshot, agreeing,
};

use crate::algorithm;
use crate::config::{self, Config};
use crate::material::{self, FoundKey};
use crate::sign::{SignError, SigningKey};
use crate::source::{self, KeySet, SourceReason};

/// Where its log lines come from.
const LOG_TARGET: &str = "hallmark_plugin_pkix";

/// Seconds after which a file that gave no key is looked at again: one that was read while it was
/// written has its key back by then.
const AGAIN_SECS: u32 = 10;

/// One configured instance.
#[derive(Debug)]
pub(crate) struct Pkix {
    host: Host,
    sources: Vec<String>,
    refresh_secs: u32,
    signing_keys: Vec<SigningKey>,
    last: Mutex<Option<Reading>>,
}

/// The last good reading of the sources.
#[derive(Clone, Debug)]
struct Reading {
    set: Arc<KeySet>,
    /// From 1, one more with each change of the keys.
    generation: u64,
}

impl Plugin for Pkix {
    const INFO: Info = Info {
        name: "pkix",
        version: env!("CARGO_PKG_VERSION"),
        vendor: "Hallmark",
        caps: Caps::KEYS.with(Caps::SIGN).with(Caps::BLOCKING),
        algorithms: Algorithm::DECLARABLE,
        schemes: &["file"],
        forms: &["pkix"],
        config_schema: config::SCHEMA,
        max_concurrency: 0,
        max_batch: 0,
    };

    type Snapshot = Arc<KeySet>;

    fn create(host: Host, config: &str) -> Result<Self, Error> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text);
        let config = Config::parse(config.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let signing_keys = config.signing_keys.iter().map(SigningKey::load);
        let signing_keys: Vec<_> =
            signing_keys.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
        let Config { sources, refresh_secs, .. } = config;
        Ok(Self { host, sources, refresh_secs, signing_keys, last: Mutex::new(None) })
    }

    fn health(&self, _call: &Call<'_>) -> Result<(), Error> {
        self.read().map(|_| ())
    }

    fn snapshot(&self, _call: &Call<'_>) -> Result<Snapshot<Arc<KeySet>>, Error> {
        let Reading { set, generation } = self.read()?;
        let soon = if set.unusable.is_empty() { self.refresh_secs } else { AGAIN_SECS };
        let ttl_seconds = self.refresh_secs.min(soon);
        Ok(Snapshot { keys: set, generation, ttl_seconds })
    }

    /// The signing keys, by which handles count from 1, then the keys of the sources, then what
    /// gives no key.
    fn keys(&self, snapshot: &Arc<KeySet>) -> Result<Vec<Key>, Error> {
        let signing = self.signing_keys.iter().map(|key| Key {
            flags: KeyFlags::SIGN,
            ..Key::host_verified(
                0,
                key.id.as_str(),
                key.public.spki_der.as_slice(),
                key.public.algorithms.as_slice(),
            )
        });
        let mut named: HashMap<&str, usize> = HashMap::new();
        for key in &snapshot.keys {
            *named.entry(&key.id).or_default() += 1;
        }
        let sourced = snapshot.keys.iter().map(|key| {
            let record = record(&key.id, &key.found);
            // Keys of one set may have one `kid`: the old and the new key of a rotation.
            let shares = named.get(key.id.as_str()).is_some_and(|count| *count > 1);
            let shared = if shares { KeyFlags::SHARES_ID } else { KeyFlags::from_bits(0) };
            Key { flags: record.flags | shared, ..record }
        });
        let unusable = snapshot.unusable.iter();
        let unusable = unusable.map(|one| Key::unusable(0, one.id.as_str(), one.why.as_str()));
        let handled = signing.chain(sourced).chain(unusable).zip(1..);
        Ok(handled.map(|(key, handle)| Key { handle, ..key }).collect())
    }

    fn resolve(&self, _call: &Call<'_>, material: &Material<'_>) -> Result<Vec<Key>, Error> {
        let malformed = |text: String| Error::new(ErrorKind::Malformed, text);
        let mut found =
            material::read_inline(material.data).map_err(|error| malformed(error.to_string()))?;
        if let Some(declared) = material.algorithm {
            if !found.key.algorithms.contains(&declared) {
                let (declared, can) = (declared.name(), algorithm::names(&found.key.algorithms));
                let text = format!(
                    "the key cannot do {declared}, which is declared beside it: it can do {can}"
                );
                return Err(malformed(text));
            }
            found.key.algorithms = vec![declared];
        }
        Ok(vec![record(&found.key.default_id(), &found)])
    }

    fn sign(
        &self,
        snapshot: &Arc<KeySet>,
        item: &Item<'_>,
        _call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let key = self.signing_key(snapshot, item.key_handle)?;
        key.sign(item.algorithm, item.message).map_err(refusal)
    }

    fn sign_digest(
        &self,
        snapshot: &Arc<KeySet>,
        item: &Item<'_>,
        _call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let key = self.signing_key(snapshot, item.key_handle)?;
        key.sign_digest(item.algorithm, item.message).map_err(refusal)
    }
}

fn refusal(error: SignError) -> Failure {
    match error {
        SignError::Algorithm => Failure::AlgUnsupported,
        SignError::Digest => Failure::Malformed,
        SignError::Failed => Failure::Backend,
    }
}

impl Pkix {
    fn signing_key(&self, snapshot: &Arc<KeySet>, handle: u64) -> Result<&SigningKey, Failure> {
        let position = usize::try_from(handle).ok().and_then(|n| n.checked_sub(1));
        let position = position.ok_or(Failure::KeyUnknown)?;
        self.signing_keys.get(position).ok_or_else(|| {
            let known = position < self.signing_keys.len() + snapshot.keys.len();
            if known { Failure::KeyUsage } else { Failure::KeyUnknown }
        })
    }

    /// Reads the sources, one call at a time so that an older reading never replaces a newer one.
    /// An error leaves the last good reading as it was.
    fn read(&self) -> Result<Reading, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that went bad since then may be in the middle of being written.
        let known = last.as_ref().map(|reading| reading.set.unusable.as_slice());
        let doubtful =
            |set: &KeySet| set.unusable.iter().any(|one| !known.unwrap_or_default().contains(one));
        let set = agreeing(|| source::read(&self.sources), doubtful).map_err(|error| {
            let kind = match error.reason {
                SourceReason::Io(_) => ErrorKind::Unavailable,
                _ => ErrorKind::Malformed,
            };
            Error::new(kind, error.to_string())
        })?;
        if let Some(reading) = last.as_ref().filter(|reading| *reading.set == set) {
            return Ok(reading.clone());
        }
        for note in &set.notes {
            self.host.log(LogLevel::Info, LOG_TARGET, note);
        }
        let generation = last.as_ref().map_or(1, |reading| reading.generation + 1);
        let reading = Reading { set: Arc::new(set), generation };
        *last = Some(reading.clone());
        Ok(reading)
    }
}

/// A public key as the host takes it, without a handle.
fn record(id: &str, found: &FoundKey) -> Key {
    let validity = found.validity;
    Key {
        not_before: validity.map(|validity| validity.not_before),
        not_after: validity.map(|validity| validity.not_after),
        ..Key::host_verified(0, id, found.key.spki_der.as_slice(), found.key.algorithms.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{Kind, certificate_der, private_pem, public_der, public_pem, written};

    const NOW: i64 = 1_800_000_000;

    fn instance(config: &str) -> Result<Pkix, Error> {
        Pkix::create(Host::detached(), config)
    }

    fn of_directory(directory: &TempDir) -> Pkix {
        let path = directory.path().display();
        instance(&format!(r#"{{"sources":[{{"path":"{path}"}}],"refresh_secs":7}}"#)).unwrap()
    }

    fn snapshot(plugin: &Pkix) -> Result<Snapshot<Arc<KeySet>>, Error> {
        plugin.snapshot(&Call::at(NOW))
    }

    fn resolve(data: &[u8], algorithm: Option<Algorithm>) -> Result<Vec<Key>, Error> {
        let material = Material { form: "pkix", data, algorithm };
        instance("{}").unwrap().resolve(&Call::at(NOW), &material)
    }

    #[test]
    fn the_generation_follows_the_content() {
        let directory = TempDir::new().unwrap();
        written(&directory, "a.pem", public_pem(Kind::P256).as_bytes());
        let plugin = of_directory(&directory);
        let first = snapshot(&plugin).unwrap();
        assert_eq!((first.generation, first.ttl_seconds, first.keys.keys.len()), (1, 7, 1));
        assert_eq!(snapshot(&plugin).unwrap().generation, 1);
        written(&directory, "a.pem", public_pem(Kind::P384).as_bytes());
        assert_eq!(snapshot(&plugin).unwrap().generation, 2);
        assert_eq!(first.keys.keys[0].found.key.spki_der, public_der(Kind::P256));
    }

    #[test]
    fn a_bad_file_costs_its_own_key_and_is_looked_at_again_soon() {
        let directory = TempDir::new().unwrap();
        written(&directory, "a.pem", public_pem(Kind::P256).as_bytes());
        let path = directory.path().display();
        let plugin = instance(&format!(r#"{{"sources":[{{"path":"{path}"}}]}}"#)).unwrap();
        snapshot(&plugin).unwrap();
        let bad = written(&directory, "b.pem", b"half a fi");
        let taken = snapshot(&plugin).unwrap();
        assert_eq!((taken.generation, taken.ttl_seconds), (2, AGAIN_SECS));
        assert_eq!(plugin.health(&Call::at(NOW)), Ok(()));
        let listed = plugin.keys(&taken.keys).unwrap();
        let [good, unusable] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!(good.spki_der, public_der(Kind::P256));
        assert_eq!(unusable.flags, KeyFlags::UNUSABLE);
        assert_eq!(unusable.id, format!("file://{}", bad.display()));
        assert!(unusable.attrs_json.contains("neither PEM"), "{unusable:?}");
        fs::remove_file(bad).unwrap();
        assert_eq!(snapshot(&plugin).unwrap().ttl_seconds, 60);
        fs::remove_dir_all(directory.path()).unwrap();
        assert_eq!(snapshot(&plugin).unwrap_err().kind, ErrorKind::Unavailable);
    }

    /// A reader in the middle of a write finds less than half a file.
    #[test]
    fn a_file_that_is_written_in_place_keeps_its_key() {
        let directory = TempDir::new().unwrap();
        let pem = public_pem(Kind::P256);
        let path = written(&directory, "a.pem", pem.as_bytes());
        let plugin = of_directory(&directory);
        snapshot(&plugin).unwrap();
        fs::write(&path, &pem[..40]).unwrap();
        let taken = std::thread::scope(|scope| {
            let taking = scope.spawn(|| snapshot(&plugin).unwrap());
            // Not before the first look.
            while plugin.last.try_lock().is_ok() && !taking.is_finished() {
                std::thread::yield_now();
            }
            fs::write(&path, &pem).unwrap();
            taking.join().unwrap()
        });
        assert_eq!((taken.keys.keys.len(), taken.keys.unusable.len()), (1, 0));
        assert_eq!(taken.generation, 1);
    }

    #[test]
    fn keys_of_sources_verify_and_signing_keys_sign() {
        let directory = TempDir::new().unwrap();
        let public = written(&directory, "a.pem", public_pem(Kind::P256).as_bytes());
        let private = written(&directory, "s.pem", private_pem(Kind::P384).as_bytes());
        let plugin = instance(&format!(
            r#"{{"sources":[{{"path":"{}"}}],"signing_keys":[{{"path":"{}"}}]}}"#,
            public.display(),
            private.display()
        ));
        let plugin = plugin.unwrap();
        let keys = snapshot(&plugin).unwrap().keys;
        let listed = plugin.keys(&keys).unwrap();
        let [signing, verifying] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!(signing.flags, KeyFlags::SIGN);
        assert_eq!(signing.id, format!("file://{}", private.display()));
        assert_eq!(signing.spki_der, public_der(Kind::P384));
        assert_eq!(verifying.flags, KeyFlags::VERIFY | KeyFlags::HOST_VERIFY);
        assert_eq!(verifying.id, format!("file://{}", public.display()));

        let sign = |key_handle, algorithm| {
            let item = Item { key_handle, algorithm, key: &[], message: b"m", signature: &[] };
            plugin.sign(&keys, &item, &Call::at(NOW))
        };
        sign(signing.handle, Some(Algorithm::EcdsaP384Sha384)).unwrap();
        let other = sign(signing.handle, Some(Algorithm::Ed25519));
        assert_eq!(other, Err(Failure::AlgUnsupported));
        assert_eq!(sign(verifying.handle, None), Err(Failure::KeyUsage));
        assert_eq!(sign(0, None), Err(Failure::KeyUnknown));
        assert_eq!(sign(3, None), Err(Failure::KeyUnknown));
        assert_eq!(sign(u64::MAX, None), Err(Failure::KeyUnknown));
    }

    #[test]
    fn inline_material_becomes_one_key() {
        let pem = public_pem(Kind::Rsa4096);
        let [key] = resolve(pem.as_bytes(), None).unwrap().try_into().unwrap();
        assert!(key.id.starts_with("ni:///sha-256;"), "{}", key.id);
        assert_eq!(key.algorithms, Kind::Rsa4096.algorithms());
        assert_eq!((key.not_before, key.not_after), (None, None));

        let declared = Some(Algorithm::RsaPss4096Sha512);
        let [restricted] = resolve(pem.as_bytes(), declared).unwrap().try_into().unwrap();
        assert_eq!(restricted.algorithms, [Algorithm::RsaPss4096Sha512]);
        assert_eq!(restricted.id, key.id);

        let certificate = certificate_der(Kind::P256, &[]);
        let [dated] = resolve(&certificate, None).unwrap().try_into().unwrap();
        assert!(dated.not_before < dated.not_after && dated.not_before.is_some());
    }

    #[test]
    fn material_that_is_not_what_it_claims_to_be_is_malformed() {
        let pem = public_pem(Kind::P256);
        let contradiction = resolve(pem.as_bytes(), Some(Algorithm::EcdsaP384Sha384)).unwrap_err();
        assert_eq!(contradiction.kind, ErrorKind::Malformed);
        assert!(contradiction.text.contains("ECDSA_P384_SHA384"), "{contradiction}");
        let two = pem.repeat(2);
        for data in [&b""[..], b"x", two.as_bytes(), private_pem(Kind::P256).as_bytes()] {
            assert_eq!(resolve(data, None).unwrap_err().kind, ErrorKind::Malformed);
        }
    }

    #[test]
    fn a_wrong_configuration_is_refused_at_once() {
        let public = TempDir::new().unwrap();
        let public = written(&public, "p.pem", public_pem(Kind::P256).as_bytes());
        let not_private = format!(r#"{{"signing_keys":[{{"path":"{}"}}]}}"#, public.display());
        for config in ["[", r#"{"sources":[{"path":"relative"}]}"#, &not_private] {
            assert_eq!(instance(config).unwrap_err().kind, ErrorKind::Config, "{config}");
        }
    }
}
