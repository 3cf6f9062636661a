//! Signing on the command line, with a key that a plugin holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hallmark_core::attestor::{KeyId, SignatureAlgorithm};
use serde_json::json;

use crate::plugin::{Catalog, PluginConfig};

/// Which key signs.
#[derive(Debug, Args)]
pub(super) struct Signer {
    /// The private key: a PEM file, as a path or a file:// URI.
    #[arg(long, value_name = "FILE")]
    key: String,
    /// What it signs with, such as rsa-pss-4096-sha256. Needed for RSA; other keys have one way.
    #[arg(long)]
    algorithm: Option<String>,
}

/// A signature and the id that its key has by default.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) signature: Vec<u8>,
    pub(super) key_id: String,
}

impl Signer {
    /// Signs through the bundled plugin for key files.
    pub(super) fn sign(&self, payload: &[u8]) -> anyhow::Result<Signed> {
        let path = PathBuf::from(self.key.strip_prefix("file://").unwrap_or(&self.key));
        let path =
            path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
        let mut key = json!({"id": "signing-key", "path": path});
        if let Some(algorithm) = &self.algorithm {
            key["algorithm"] = json!(algorithm.parse::<SignatureAlgorithm>()?.name());
        }
        let catalog = Catalog::load(&[PluginConfig {
            name: "pkix".to_owned(),
            path: None,
            pins: Vec::new(),
            config: json!({"signing_keys": [key]}),
            secrets: BTreeMap::new(),
        }])?;
        let signed = catalog.sign("pkix", "signing-key", payload)?;
        let key_id = KeyId::of_spki(&signed.spki_der).to_string();
        Ok(Signed { signature: signed.signature, key_id })
    }
}
