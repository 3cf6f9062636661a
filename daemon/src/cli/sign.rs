//! Signing on the command line, with a key file, a token or a key version of Cloud KMS.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use hallmark_core::attestor::{KeyId, SignatureAlgorithm, algorithm_named};
use hallmark_plugin_api::textual;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::{Client, Target};
use super::kms::KeyVersion;
use super::token::Token;
use crate::plugin::{Catalog, PluginConfig};
use crate::secret_file;

/// Bytes of a private key file that are looked at: as many as the OpenPGP plugin reads.
const KEY_FILE_BYTES_MAX: usize = 256 << 10;

/// Which key signs.
#[derive(Debug, Args)]
pub(super) struct Signer {
    /// The private key: a PEM file, or an OpenPGP secret key as gpg --export-secret-keys writes it;
    /// a path or a file:// URI. Or the name of a key in a token, pkcs11:token=…;object=….
    #[arg(
        long,
        value_name = "KEY",
        required_unless_present = "keyversion",
        conflicts_with = "keyversion"
    )]
    key: Option<String>,
    /// The algorithm that the file signs with, such as rsa-pss-4096-sha256. Needed for RSA; other
    /// keys have one way.
    #[arg(long, requires = "key")]
    algorithm: Option<String>,
    /// A file that holds the passphrase of an OpenPGP secret key.
    #[arg(long, value_name = "FILE", requires = "key")]
    passphrase_file: Option<PathBuf>,
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

    fn algorithm(&self) -> anyhow::Result<Option<SignatureAlgorithm>> {
        Ok(self.algorithm.as_deref().map(algorithm_named).transpose()?)
    }

    fn sign_with_file(&self, file: &str, message: &[u8]) -> anyhow::Result<Signed> {
        let path = PathBuf::from(file.strip_prefix("file://").unwrap_or(file));
        let path = path
            .canonicalize()
            .with_context(|| format!("--key: cannot read {}", textual::without_keys(file)))?;
        private(&path)?;
        if is_openpgp(&path)? {
            return self.sign_with_openpgp(&path, message);
        }
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

    /// The signature is a message of OpenPGP that holds the payload, as gpg --sign makes it.
    fn sign_with_openpgp(&self, path: &Path, message: &[u8]) -> anyhow::Result<Signed> {
        let mut key = json!({"id": "signing-key", "path": path});
        let mut secrets = Vec::new();
        if let Some(file) = &self.passphrase_file {
            private(file)?;
            key["passphrase"] = json!("passphrase");
            secrets.push(("passphrase".to_owned(), file.clone()));
        }
        let bundled = PluginConfig::bundled("pgp", json!({"signing_keys": [key]}));
        let secrets = secrets.into_iter().collect();
        let catalog = Catalog::load(&[PluginConfig { secrets, ..bundled }])?;
        let signed = catalog.sign("pgp", "signing-key", message)?;
        Ok(Signed { signature: signed.signature, key_id: signed.key_id })
    }
}

/// Refuses a file with a secret that others than its owner may write. It is not named: somebody may
/// have given the secret itself.
pub(super) fn private(path: &Path) -> anyhow::Result<()> {
    secret_file::judge(path).context("a file with a secret is refused")?;
    Ok(())
}

/// True if a private key file is one of OpenPGP: an armor in it, or a packet of tag 5 first.
fn is_openpgp(path: &Path) -> anyhow::Result<bool> {
    const ARMOR: &[u8] = b"-----BEGIN PGP ";
    let mut content = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX));
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(KEY_FILE_BYTES_MAX as u64).read_to_end(&mut content)?;
    let armored = content.windows(ARMOR.len()).any(|window| window == ARMOR);
    let packet = content.first().is_some_and(|first| matches!(first, 0x94..=0x97 | 0xc5));
    Ok(armored || packet)
}
