//! The plugin contract, kept with the other modules.

use std::sync::{Arc, Mutex, PoisonError};

use hallmark_plugin_api::{
    Algorithm, Call, Caps, Decoded, Error, ErrorKind, Failure, Host, Info, Item, Key, KeyFlags,
    Material, Plugin, Refusal, Snapshot, agreeing,
};

use crate::certificate::{Certificate, Revocation, SigningKey};
use crate::config::{self, Config, OldSignatures};
use crate::key;
use crate::keyring::{self, KeySet, KeyringReason};
use crate::material;
use crate::message;
use crate::sign::{SecretKey, SignError};

/// Seconds after which a keyring that is wrong is looked at again: one that was read while it was
/// written has its keys back by then.
const AGAIN_SECS: u32 = 10;

/// The algorithms of the signatures that it takes apart.
const ALGORITHMS: [Algorithm; 19] = {
    use Algorithm::*;
    [
        RsaPkcs1_2048Sha256,
        RsaPkcs1_2048Sha384,
        RsaPkcs1_2048Sha512,
        RsaPkcs1_3072Sha256,
        RsaPkcs1_3072Sha384,
        RsaPkcs1_3072Sha512,
        RsaPkcs1_4096Sha256,
        RsaPkcs1_4096Sha384,
        RsaPkcs1_4096Sha512,
        EcdsaP256Sha256,
        EcdsaP256Sha384,
        EcdsaP256Sha512,
        EcdsaP384Sha256,
        EcdsaP384Sha384,
        EcdsaP384Sha512,
        EcdsaP521Sha256,
        EcdsaP521Sha384,
        EcdsaP521Sha512,
        Ed25519,
    ]
};

/// One configured instance.
#[derive(Debug)]
pub(crate) struct Pgp {
    config: Config,
    signing_keys: Vec<SecretKey>,
    last: Mutex<Option<Reading>>,
}

/// The last good reading of the keyrings.
#[derive(Clone, Debug)]
struct Reading {
    set: Arc<KeySet>,
    /// From 1, one more with each change of the keys.
    generation: u64,
}

impl Plugin for Pgp {
    const INFO: Info = Info {
        name: "pgp",
        version: env!("CARGO_PKG_VERSION"),
        vendor: "Hallmark",
        caps: Caps::KEYS.with(Caps::DECODE).with(Caps::SIGN).with(Caps::BLOCKING),
        algorithms: &ALGORITHMS,
        schemes: &["openpgp", "openpgp4fpr"],
        forms: &["pgp"],
        config_schema: config::SCHEMA,
        max_concurrency: 0,
        max_batch: 0,
    };

    type Snapshot = Arc<KeySet>;

    fn create(host: Host, config: &str) -> Result<Self, Error> {
        let wrong = |text: String| Error::new(ErrorKind::Config, text);
        let config = Config::parse(config.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let signing_keys = config.signing_keys.iter().map(|file| SecretKey::load(file, host));
        let signing_keys: Vec<_> =
            signing_keys.collect::<Result<_, _>>().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { config, signing_keys, last: Mutex::new(None) })
    }

    fn health(&self, _call: &Call<'_>) -> Result<(), Error> {
        self.read().map(|_| ())
    }

    fn snapshot(&self, _call: &Call<'_>) -> Result<Snapshot<Arc<KeySet>>, Error> {
        let Reading { set, generation } = self.read()?;
        let refresh_secs = self.config.refresh_secs;
        let soon = if set.unusable.is_empty() { refresh_secs } else { AGAIN_SECS };
        Ok(Snapshot { keys: set, generation, ttl_seconds: refresh_secs.min(soon) })
    }

    /// The signing keys, by which handles count from 1, then the keys of the keyrings, then what
    /// gives no key.
    fn keys(&self, snapshot: &Arc<KeySet>) -> Result<Vec<Key>, Error> {
        let signing = self.signing_keys.iter().filter_map(|key| {
            let public = self.records(&key.certificate).pop()?;
            let other_ids = key.id.iter().cloned().collect();
            Some(Key { flags: KeyFlags::SIGN, other_ids, ..public })
        });
        let sourced = snapshot.certificates.iter().flat_map(|sourced| {
            let Certificate { id, .. } = &sourced.certificate;
            let uri = format!("{}#{id}", sourced.keyring);
            let named = [format!("openpgp4fpr:{id}"), id.clone()];
            self.records(&sourced.certificate).into_iter().map(move |key| {
                let other_ids = named.iter().cloned().chain(key.other_ids).collect();
                Key { id: uri.clone(), other_ids, ..key }
            })
        });
        let unusable = snapshot.unusable.iter();
        let unusable = unusable.map(|one| Key::unusable(0, one.id.as_str(), one.why.as_str()));
        let handled = signing.chain(sourced).chain(unusable).zip(1..);
        Ok(handled.map(|(key, handle)| Key { handle, ..key }).collect())
    }

    fn resolve(&self, _call: &Call<'_>, material: &Material<'_>) -> Result<Vec<Key>, Error> {
        let certificate = material::read_inline(material.data)
            .map_err(|error| Error::new(ErrorKind::Malformed, error.to_string()))?;
        Ok(self.records(&certificate))
    }

    fn decode(
        &self,
        _snapshot: Option<&Arc<KeySet>>,
        item: &Item<'_>,
        _call: &Call<'_>,
    ) -> Result<Vec<Decoded>, Failure> {
        let refused = |error: message::MessageError| {
            let failure = Failure::from(&error);
            vec![Decoded::Refused(Refusal::new(failure, error.to_string()))]
        };
        Ok(message::decode(item.signature, item.message).unwrap_or_else(refused))
    }

    fn sign(
        &self,
        _snapshot: &Arc<KeySet>,
        item: &Item<'_>,
        call: &Call<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let position = usize::try_from(item.key_handle).ok().and_then(|n| n.checked_sub(1));
        let key = position.and_then(|position| self.signing_keys.get(position));
        key.ok_or(Failure::KeyUnknown)?.sign(item.message, call.now).map_err(|error| match error {
            SignError::NotValid => Failure::KeyExpired,
            SignError::Failed => Failure::Backend,
        })
    }
}

impl Pgp {
    /// The signing keys of a certificate as the host takes them: all go by its fingerprint, and
    /// each by its own.
    fn records(&self, certificate: &Certificate) -> Vec<Key> {
        let record = |signing: &SigningKey| {
            let own = key::hex(&signing.fingerprint);
            let other_ids = if own == certificate.id { Vec::new() } else { vec![own] };
            let attrs = serde_json::json!({ "userIds": certificate.user_ids });
            Key {
                other_ids,
                fingerprint: signing.fingerprint.clone(),
                flags: self.flags(signing),
                not_before: Some(signing.since),
                not_after: signing.until,
                revoked_at: signing.revocation.map(|revocation| match revocation {
                    Revocation::Soft(at) | Revocation::Hard(at) => at,
                }),
                attrs_json: attrs.to_string(),
                ..Key::host_verified(
                    0,
                    certificate.id.as_str(),
                    signing.key.spki_der.as_slice(),
                    signing.key.algorithms,
                )
            }
        };
        certificate.signing_keys.iter().map(record).collect()
    }

    fn flags(&self, signing: &SigningKey) -> KeyFlags {
        let lenient = OldSignatures::AcceptIfSignedBefore;
        // All keys of a certificate go by its fingerprint, which may be in several keyrings.
        let mut flags = KeyFlags::VERIFY | KeyFlags::HOST_VERIFY | KeyFlags::SHARES_ID;
        if matches!(signing.revocation, Some(Revocation::Hard(_))) {
            flags = flags | KeyFlags::HARD_REVOKED;
        }
        if self.config.expired_key == lenient {
            flags = flags | KeyFlags::OUTLIVES_EXPIRY;
        }
        if self.config.soft_revoked_key == lenient {
            flags = flags | KeyFlags::OUTLIVES_REVOCATION;
        }
        flags
    }

    /// Reads the keyrings, one call at a time so that an older reading never replaces a newer one.
    /// An error leaves the last good reading as it was.
    fn read(&self) -> Result<Reading, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A file that went bad since then may be in the middle of being written.
        let known = last.as_ref().map(|reading| reading.set.unusable.as_slice());
        let doubtful =
            |set: &KeySet| set.unusable.iter().any(|one| !known.unwrap_or_default().contains(one));
        let read = || keyring::read(&self.config.keyrings);
        let set = agreeing(read, doubtful).map_err(|error| {
            let kind = match error.reason {
                KeyringReason::Io(_) => ErrorKind::Unavailable,
                _ => ErrorKind::Malformed,
            };
            Error::new(kind, error.to_string())
        })?;
        if let Some(reading) = last.as_ref().filter(|reading| *reading.set == set) {
            return Ok(reading.clone());
        }
        let generation = last.as_ref().map_or(1, |reading| reading.generation + 1);
        let reading = Reading { set: Arc::new(set), generation };
        *last = Some(reading.clone());
        Ok(reading)
    }
}
