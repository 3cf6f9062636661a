//! Signing on the command line, with a key file, a token or a key version of Cloud KMS.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use hallmark_core::attestor::{KeyId, SignatureAlgorithm};
use serde_json::json;

use super::client::{Client, Target};
use super::kms::KeyVersion;
use super::token::Token;
use crate::plugin::{Catalog, PluginConfig};

/// Which key signs.
#[derive(Debug, Args)]
pub(super) struct Signer {
    /// The private key: a PEM file, as a path or a file:// URI, or the name of a key in a token,
    /// pkcs11:token=…;object=….
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "keyversion",
        conflicts_with = "keyversion"
    )]
    key: Option<String>,
    /// What the file signs with, such as rsa-pss-4096-sha256. Needed for RSA; other keys have one
    /// way.
    #[arg(long, requires = "key")]
    algorithm: Option<String>,
    #[command(flatten)]
    token: Token,
    #[command(flatten)]
    key_version: KeyVersion,
}

/// A signature and the id that its key has by default.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) signature: Vec<u8>,
    pub(super) key_id: String,
}

impl Signer {
    /// Signs with the key version, or through the bundled plugin for key files.
    pub(super) fn sign(
        &self,
        message: &[u8],
        client: &Client,
        target: &Target,
    ) -> anyhow::Result<Signed> {
        match (self.key_version.name(target)?, &self.key) {
            (Some(version), _) => {
                let algorithm = version.public(client)?.algorithm;
                let signature = version.sign(client, algorithm, message)?;
                Ok(Signed { signature, key_id: version.key_id() })
            }
            (None, Some(uri)) if uri.starts_with("pkcs11:") => {
                self.token.sign(uri, self.algorithm()?, message)
            }
            (None, Some(file)) => self.sign_with_file(file, message),
            (None, None) => bail!("which key signs? say --key FILE or --keyversion"),
        }
    }

    fn sign_with_file(&self, file: &str, message: &[u8]) -> anyhow::Result<Signed> {
        let path = PathBuf::from(file.strip_prefix("file://").unwrap_or(file));
        let path =
            path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
        let mut key = json!({"id": "signing-key", "path": path});
        if let Some(algorithm) = self.algorithm()? {
            key["algorithm"] = json!(algorithm.name());
        }
        let config = json!({"signing_keys": [key]});
        let catalog = Catalog::load(&[PluginConfig::bundled("pkix", config)])?;
        let signed = catalog.sign("pkix", "signing-key", message)?;
        let key_id = KeyId::of_spki(&signed.spki_der).to_string();
        Ok(Signed { signature: signed.signature, key_id })
    }

    fn algorithm(&self) -> anyhow::Result<Option<SignatureAlgorithm>> {
        Ok(self.algorithm.as_deref().map(str::parse).transpose()?)
    }
}
