//! Keys that sign, under the names of Cloud KMS: what its clients call a key version is a key of a
//! plugin.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Catalog, PublicHalf, SignError, Signed};
use crate::config::KeyVersion;

/// Every key version of the daemon.
#[derive(Debug)]
pub struct KeyVersions {
    catalog: Arc<Catalog>,
    by_name: HashMap<String, KeyVersion>,
}

impl KeyVersions {
    /// The key versions `configured`, whose names differ, held by the plugins of `catalog`.
    pub fn new(catalog: Arc<Catalog>, configured: Vec<KeyVersion>) -> Self {
        let by_name = configured.into_iter().map(|version| (version.name.clone(), version));
        Self { catalog, by_name: by_name.collect() }
    }

    /// The key version of that name.
    pub fn get(&self, name: &str) -> Option<&KeyVersion> {
        self.by_name.get(name)
    }

    /// Key versions that no plugin serves now, by name, and why. Answers from memory.
    pub fn unserved(&self) -> BTreeMap<String, String> {
        let wrong = |version: &KeyVersion| {
            let error = self.public_half(version).err()?;
            Some((version.name.clone(), error.to_string()))
        };
        self.by_name.values().filter_map(wrong).collect()
    }

    /// Its public half. Answers from memory.
    ///
    /// # Errors
    /// The plugin has no such key, or does not say now.
    pub fn public_half(&self, version: &KeyVersion) -> Result<PublicHalf, SignError> {
        self.catalog.signing_key(&version.plugin, &version.key)
    }

    /// Signs a message. Blocks.
    ///
    /// # Errors
    /// The plugin does not sign.
    pub fn sign(&self, version: &KeyVersion, message: &[u8]) -> Result<Signed, SignError> {
        self.catalog.sign(&version.plugin, &version.key, message)
    }

    /// Signs the message that has this digest. Blocks.
    ///
    /// # Errors
    /// The plugin does not sign, or not digests.
    pub fn sign_digest(&self, version: &KeyVersion, digest: &[u8]) -> Result<Signed, SignError> {
        self.catalog.sign_digest(&version.plugin, &version.key, digest)
    }
}
