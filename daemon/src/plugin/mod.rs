//! Plugins, the safe half: which are loaded, what keys they hold, and whether to believe them.
//!
//! A [`Catalog`] holds the configured instances, each with its last good key snapshot. It answers
//! what an attestor's key as written is to verify with ([`Catalog::resolve`], from memory and
//! without I/O), signs ([`Catalog::sign`], which may wait for a device), and takes new snapshots
//! where they are due ([`Catalog::refresh`]).
//!
//! No key reaches a decision that `convert` has not parsed and held against its declared
//! algorithm: a plugin is believed about which keys there are, not about what they are. A source
//! that fails keeps its last good keys for a while; their validity still ends by the clock.
//!
//! - `discover`: files, pins, instances; - `ownership`: whose a key id is; - `instance`: one
//!   instance and its snapshot; - `status`: what is shown of it;
//! - `decode`: signatures in envelopes; - `verify`: keys that only their plugin verifies with, both
//!   by `per_plugin`;
//! - `freshness`: when that is taken again, and how long an old one serves; - `material`: keys in
//!   an attestor's own text;
//! - `services`: what the daemon does for a plugin; - `sign`: signing; - `key_versions`: keys that
//!   sign under the names of Cloud KMS; - `metrics`: what is counted of all this, and of workers.

mod convert;
mod decode;
mod discover;
mod error;
mod freshness;
mod instance;
mod key_versions;
mod material;
pub mod metrics;
mod ownership;
mod per_plugin;
mod services;
mod sign;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod worker_metrics;

pub use convert::RefusedKey;
pub(crate) use convert::judge;
pub use decode::Decoders;
pub use discover::{Isolation, PluginConfig, WorkerLimits};
pub use error::{KeyError, PluginError, SignError};
pub use freshness::Rotation;
pub use key_versions::{KeyVersion, KeyVersions, ProtectionLevel, WhatToSign};
pub use sign::{PublicHalf, Signed};
pub use status::{InstanceStatus, Refreshes};
pub use verify::KeyHolders;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use hallmark_core::attestor::{KeyId, KeyMaterial, PublicKey, SignatureAlgorithm, VerificationKey};
use hallmark_plugin_api::Material;
use hallmark_plugin_api::host::KeyRecord;
use tokio::sync::Notify;

use self::instance::PluginInstance;
use self::ownership::{Claimant, Ownership};
use crate::bounded::{Bounded, Unfinished};

/// The keys that a key as written is to verify with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedKey {
    /// The id it goes by where the attestor gives none.
    pub default_id: KeyId,
    /// The keys, never none. Several where one id names a whole source, or where a key may be used
    /// with several algorithms.
    pub keys: Vec<VerificationKey>,
}

/// The time for which pushes of "keys changed" are collected before a snapshot is taken: a
/// directory that is rewritten changes many times in a row.
const PUSH_QUIET: Duration = Duration::from_millis(100);

/// The time that taking up changed keys is waited for before that is said, and tried again: twice
/// as long as a plugin that does not come back may hold it up.
const TAKE_UP_WAIT: Duration = Duration::from_secs(10);

/// The time that a refresh of all waits for its snapshots: as long as admission webhooks are waited
/// for. The keys of a source that takes longer are unavailable until it answers.
const REFRESH_WAIT: Duration = Duration::from_secs(10);
/// The time that the daemon waits for its plugins before it listens: as long as one call of a
/// worker may take unless told otherwise. A plugin that is not there by then is waited for beside
/// the decisions.
const START_WAIT: Duration = Duration::from_secs(5);
/// The time that a command waits: it needs its plugins, and the start of a worker may take ten
/// seconds.
const COMMAND_WAIT: Duration = Duration::from_secs(20);

/// The plugin instances of the daemon.
#[derive(Debug)]
pub struct Catalog {
    instances: Vec<Arc<PluginInstance>>,
    ownership: Arc<Ownership>,
    /// Wakes [`Catalog::keep_fresh`].
    pushed: Arc<Notify>,
}

impl Catalog {
    /// Loads the bundled plugins and the configured ones, makes their instances side by side and
    /// takes their first key snapshots, for a command that needs them. A plugin that is bundled and
    /// not configured gets an instance of its own name with an empty configuration. Blocks.
    ///
    /// # Errors
    /// A file is not trusted or no plugin, or an instance refuses its configuration. A key source
    /// that is merely down, or stuck, is no error: its keys are unavailable until it is back.
    pub fn load(configs: &[PluginConfig]) -> Result<Self, PluginError> {
        Self::load_from(configs, &discover::bundle_directories(), COMMAND_WAIT)
    }

    /// As [`Catalog::load`], for a daemon: waits a short while, and leaves what is not there by then
    /// to [`Catalog::keep_fresh`].
    ///
    /// # Errors
    /// As there.
    pub fn start(configs: &[PluginConfig]) -> Result<Self, PluginError> {
        Self::load_from(configs, &discover::bundle_directories(), START_WAIT)
    }

    fn load_from(
        configs: &[PluginConfig],
        bundles: &[impl AsRef<Path>],
        wait: Duration,
    ) -> Result<Self, PluginError> {
        let pushed = Arc::new(Notify::new());
        let found = discover::find(configs, bundles)?;
        let claimants = found.iter().map(|found| Claimant {
            plugin: &found.config.name,
            schemes: &found.image.info().schemes,
            ids: &found.config.ids,
        });
        let ownership = Arc::new(Ownership::new(claimants)?);
        let make = |found| Arc::new(PluginInstance::new(found, &ownership, &pushed));
        let instances = found.into_iter().map(make).collect();
        let catalog = Self { instances, ownership, pushed };
        catalog.refresh_within(wait);
        let refused = catalog.instances.iter().find_map(|instance| {
            Some(PluginError::Create {
                name: instance.name().to_owned(),
                error: instance.refusal()?,
            })
        });
        refused.map_or(Ok(catalog), Err)
    }

    /// Finds the keys that a key as written is to verify with. Does no I/O: inline material is
    /// parsed, references are answered from the last good snapshots.
    ///
    /// # Errors
    /// [`KeyError::Material`] where the attestor's writer has to act, [`KeyError::Unavailable`]
    /// where the key source has to.
    pub fn resolve(&self, key: &PublicKey) -> Result<ResolvedKey, KeyError> {
        match &key.material {
            KeyMaterial::Pkix { public_key_pem, signature_algorithm } => {
                self.resolve_pkix(key.id.as_ref(), public_key_pem, *signature_algorithm)
            }
            KeyMaterial::Pgp { ascii_armored } => self.resolve_pgp(ascii_armored),
            KeyMaterial::Reference => self.resolve_reference(key.id.as_ref()),
        }
    }

    /// True if a plugin that lists other keys may change what a key as written is to verify with:
    /// it names one, or goes by an id that is a plugin's.
    pub fn may_change(&self, key: &PublicKey) -> bool {
        let is_owned = |id: &KeyId| self.ownership.owner(id.as_str()).is_some();
        key.material == KeyMaterial::Reference || key.id.as_ref().is_some_and(is_owned)
    }

    /// Takes a new snapshot of every instance, due or not, and waits for them a while. Answers
    /// whether any keys are different now. Blocks.
    pub fn refresh(&self) -> bool {
        self.refresh_within(REFRESH_WAIT)
    }

    fn refresh_within(&self, wait: Duration) -> bool {
        let (under_way, ended) = mpsc::channel::<()>();
        self.instances.iter().for_each(|instance| instance.refresh(under_way.clone()));
        drop(under_way);
        // Nothing is ever sent: the channel closes when the last one has ended.
        if ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            for late in self.instances.iter().filter(|instance| instance.is_refreshing()) {
                let plugin = late.name();
                tracing::error!(plugin, "it does not answer: it is not waited for any longer");
            }
        }
        self.take_difference()
    }

    /// Takes new snapshots for ever, where the time to live of the last one ends, where a plugin
    /// pushed, where a key is unknown and where the last attempt failed some time ago, each on a
    /// thread of its own; withdraws keys that are too long out of date. Calls `changed` when keys
    /// are different, on a thread that may block, and again until that came to an end.
    pub async fn keep_fresh(self: Arc<Self>, changed: impl Fn() + Clone + Send + 'static) {
        let (work, mut differs) = (Bounded::new(1), false);
        loop {
            let again = differs.then(|| Instant::now() + PUSH_QUIET);
            match self.instances.iter().filter_map(|it| it.next()).chain(again).min() {
                None => self.pushed().await,
                Some(due) => tokio::select! {
                    () = self.pushed() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
            }
            self.refresh_due();
            self.attend(Instant::now());
            differs |= self.take_difference();
            if differs {
                let done = work.run(Instant::now() + TAKE_UP_WAIT, changed.clone()).await;
                differs = matches!(done, Err(Unfinished::Busy | Unfinished::Late));
                if let Err(error) = done {
                    tracing::error!(%error, "changed keys are not taken up yet");
                }
            }
        }
    }

    fn attend(&self, now: Instant) {
        self.instances.iter().for_each(|instance| instance.attend(now));
    }

    async fn pushed(&self) {
        self.pushed.notified().await;
        tokio::time::sleep(PUSH_QUIET).await;
    }

    fn refresh_due(&self) {
        let now = Instant::now();
        let due = self.instances.iter().filter(|instance| instance.is_due(now));
        due.for_each(|instance| instance.refresh(()));
    }

    /// Says that a signature names a key that nobody knows: its source may have it by now. Returns
    /// at once; the source is asked on another thread, and not more often than it is configured.
    pub fn unknown_key(&self, id: &KeyId) {
        let Some(scheme) = id.scheme().map(str::to_ascii_lowercase) else { return };
        let now = Instant::now();
        let claiming = self.instances.iter().filter(|instance| instance.claims(&scheme));
        let ask = claiming.fold(false, |any, instance| instance.unknown_key(id, now) | any);
        if ask {
            self.pushed.notify_one();
        }
    }

    fn take_difference(&self) -> bool {
        self.instances.iter().fold(false, |differs, instance| instance.take_difference() | differs)
    }

    /// Every instance, for metrics and for people.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        self.instances.iter().map(|instance| instance.status()).collect()
    }

    /// The faults of instances now, by name.
    pub fn errors(&self) -> BTreeMap<String, String> {
        let wrong = |status: InstanceStatus| Some((status.name.clone(), status.fault()?));
        self.instances().into_iter().filter_map(wrong).collect()
    }

    fn instance(&self, name: &str) -> Option<&PluginInstance> {
        self.instances.iter().map(Arc::as_ref).find(|instance| instance.name() == name)
    }

    fn resolve_pkix(
        &self,
        id: Option<&KeyId>,
        pem: &str,
        declared: SignatureAlgorithm,
    ) -> Result<ResolvedKey, KeyError> {
        let (records, reader) = self.read_material("pkix", pem, Some(declared))?;
        let [record] = records.as_slice() else {
            let text = format!("one public key is expected, this is {}", records.len());
            return Err(KeyError::Material(text));
        };
        let default_id = KeyId::of_spki(&record.spki_der);
        let ids = vec![id.unwrap_or(&default_id).clone()];
        // The key is the writer's, word for word, so what is wrong with it is too.
        let key = convert::verification_key(record, ids, declared, &reader.plugin)
            .map_err(|wrong| KeyError::Material(wrong.to_string()))?;
        self.check_id(id, &key.fingerprint)?;
        Ok(ResolvedKey { default_id, keys: vec![key] })
    }

    /// Holds the id that a key of text is given against the plugin whose it is: the keys that it
    /// lists by it, and no other, are what whoever reads the id takes it for.
    fn check_id(&self, id: Option<&KeyId>, fingerprint: &[u8; 32]) -> Result<(), KeyError> {
        let Some(id) = id else { return Ok(()) };
        let owner = self.ownership.owner(id.as_str()).and_then(|name| self.instance(name));
        let Some(owner) = owner else { return Ok(()) };
        let listed = owner.fingerprints(id);
        let Some(other) = listed.first().filter(|_| !listed.contains(fingerprint)) else {
            return Ok(());
        };
        let (own, other) = (convert::hex(fingerprint), convert::hex(other));
        Err(KeyError::Material(format!(
            "plugin `{}` lists another key by the id `{id}` (SHA-256 {other}, this is {own}): give \
             this key an id of its own, or leave its text out to trust that of the plugin",
            owner.name()
        )))
    }

    fn resolve_pgp(&self, armored: &str) -> Result<ResolvedKey, KeyError> {
        let (records, reader) = self.read_material("pgp", armored, None)?;
        let first = records.first().filter(|record| !record.id.is_empty());
        let default_id = first.map(|record| KeyId::from(record.id.as_str())).ok_or_else(|| {
            KeyError::Material("the certificate holds no key that can sign".to_owned())
        })?;
        let reader = convert::Source { verifies: false, ..reader };
        let keys = convert::of_material(&records, &reader)
            .map_err(|wrong| KeyError::Material(wrong.to_string()))?;
        if keys.is_empty() {
            let text = "the certificate holds no key of a known algorithm";
            return Err(KeyError::Material(text.to_owned()));
        }
        Ok(ResolvedKey { default_id, keys })
    }

    fn read_material(
        &self,
        form: &str,
        data: &str,
        algorithm: Option<SignatureAlgorithm>,
    ) -> Result<(Vec<KeyRecord>, convert::Source), KeyError> {
        // A plugin of the installation first: no other may read keys that are not its own while one
        // of those does.
        let readers = self.instances.iter().filter(|instance| instance.reads(form));
        let reader = readers.min_by_key(|instance| !instance.is_bundled());
        let reader = reader.ok_or_else(|| {
            KeyError::Unavailable(format!("no plugin is installed that reads `{form}` keys"))
        })?;
        let material = Material { form, data: data.as_bytes(), algorithm };
        let records = reader.read_material(&material, services::unix_now())?;
        Ok((records, reader.source()))
    }

    fn resolve_reference(&self, id: Option<&KeyId>) -> Result<ResolvedKey, KeyError> {
        let id = id.ok_or_else(|| {
            KeyError::Material("a key without material needs an id that names it".to_owned())
        })?;
        let scheme = id.scheme().map(str::to_ascii_lowercase).ok_or_else(|| {
            KeyError::Material(format!("`{id}` is no URI, so it names no key of a plugin"))
        })?;
        let sources: Vec<_> =
            self.instances.iter().filter(|instance| instance.claims(&scheme)).collect();
        if sources.is_empty() {
            let text = format!("no plugin has keys with the scheme `{scheme}`");
            return Err(KeyError::Material(text));
        }
        let (mut keys, mut missing) = (Vec::new(), None);
        for source in sources {
            match source.keys_named(id) {
                Ok(found) => keys.extend(found),
                Err(error) => missing = Some(error),
            }
        }
        match missing {
            _ if !keys.is_empty() => Ok(ResolvedKey { default_id: id.clone(), keys }),
            Some(error) => Err(error),
            None => {
                self.unknown_key(id);
                Err(KeyError::Material(format!("no plugin has a key `{id}`")))
            }
        }
    }
}
