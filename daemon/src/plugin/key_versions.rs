//! Keys that sign, under the names of Cloud KMS: what its clients call a key version is a key of a
//! plugin.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use super::{Catalog, PublicHalf, SignError, Signed};
use crate::bounded::Bounded;

/// Signatures that one plugin makes at a time: as many sessions as a small token has.
pub(super) const SIGNATURES_AT_ONCE_MAX: usize = 16;

/// Where a key is kept, as Cloud KMS says it. What the operator says of a plugin's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtectionLevel {
    /// In a file.
    #[default]
    Software,
    /// In a device that it does not leave.
    Hsm,
}

/// One key version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`.
    pub name: String,
    /// The plugin instance that holds the key.
    pub plugin: String,
    /// The key's id there.
    pub key: String,
    /// The description that clients get.
    pub protection_level: ProtectionLevel,
}

/// Every key version of the daemon.
#[derive(Debug)]
pub struct KeyVersions {
    catalog: Arc<Catalog>,
    by_name: HashMap<String, KeyVersion>,
    /// By the name of the plugin.
    signers: HashMap<String, Bounded>,
}

/// The input of a signature.
#[derive(Clone, Debug)]
pub enum WhatToSign {
    /// The whole message.
    Message(Vec<u8>),
    /// The digest that the algorithm of the key makes of the message.
    Digest(Vec<u8>),
}

impl KeyVersions {
    /// The key versions `configured`, whose names differ, held by the plugins of `catalog`.
    pub fn new(catalog: Arc<Catalog>, configured: Vec<KeyVersion>) -> Self {
        let signer =
            |version: &KeyVersion| (version.plugin.clone(), Bounded::new(SIGNATURES_AT_ONCE_MAX));
        let signers = configured.iter().map(signer).collect();
        let by_name = configured.into_iter().map(|version| (version.name.clone(), version));
        Self { catalog, by_name: by_name.collect(), signers }
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

    /// Signs by `deadline`. A plugin that does not come back keeps its thread and one of its own
    /// places; those of other plugins sign on.
    ///
    /// # Errors
    /// The plugin does not sign, not digests, or not in time.
    pub async fn sign(
        &self,
        version: &KeyVersion,
        what: WhatToSign,
        deadline: Instant,
    ) -> Result<Signed, SignError> {
        let unknown = || SignError::UnknownPlugin(version.plugin.clone());
        let signers = self.signers.get(&version.plugin).ok_or_else(unknown)?;
        let (catalog, of) = (Arc::clone(&self.catalog), version.clone());
        let work = move || match what {
            WhatToSign::Message(message) => catalog.sign(&of.plugin, &of.key, &message),
            WhatToSign::Digest(digest) => catalog.sign_digest(&of.plugin, &of.key, &digest),
        };
        signers.run(deadline, work).await.unwrap_or_else(|why| {
            let plugin = version.plugin.clone();
            Err(SignError::Unavailable { plugin, text: why.to_string() })
        })
    }
}
