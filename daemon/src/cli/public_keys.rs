//! `hallmark attestors public-keys add|remove|update`: read, change, write the whole attestor.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::attestors::attestor_path;
use super::client::{Client, Target, read_input};
use super::output::{self, Format};

/// The keys of an attestor.
#[derive(Debug, Subcommand)]
pub(super) enum PublicKeys {
    /// Trust another key.
    Add(Add),
    /// Change the comment of a key, or the body of an OpenPGP key.
    Update(Update),
    /// Trust a key no longer.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// The attestor, an id or a whole name.
    #[arg(long)]
    attestor: String,
    #[command(flatten)]
    target: Target,
    /// How to print the result.
    #[arg(long, default_value = "yaml")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    #[command(flatten)]
    common: Common,
    /// Free text.
    #[arg(long)]
    comment: Option<String>,
    /// A PEM file with the key (SubjectPublicKeyInfo).
    #[arg(long, value_name = "FILE", requires = "pkix_public_key_algorithm")]
    pkix_public_key_file: Option<PathBuf>,
    /// What the key signs with, such as ecdsa-p256-sha256.
    #[arg(long, value_name = "ALGORITHM")]
    pkix_public_key_algorithm: Option<String>,
    /// A file with the armored OpenPGP certificate.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pkix_public_key_file", "public_key_id_override"])]
    pgp_public_key_file: Option<PathBuf>,
    /// A key that a plugin holds, by its URI, such as file:///etc/hallmark/keys/release.pem.
    #[arg(long, value_name = "URI", conflicts_with_all = ["pkix_public_key_file", "pgp_public_key_file"])]
    key_reference: Option<String>,
    /// What signatures name the key by, instead of the hash of the key.
    #[arg(long, value_name = "ID")]
    public_key_id_override: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Id of the key.
    id: String,
    #[command(flatten)]
    common: Common,
    /// Free text.
    #[arg(long)]
    comment: Option<String>,
    /// A file with the armored OpenPGP certificate that replaces the one there.
    #[arg(long, value_name = "FILE")]
    pgp_public_key_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Id of the key.
    id: String,
    #[command(flatten)]
    common: Common,
}

impl PublicKeys {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Add(add) => add.run()?,
            Self::Update(update) => update.run()?,
            Self::Remove(remove) => remove.run()?,
        }
        Ok(Outcome::Done)
    }
}

impl Common {
    /// Reads the attestor, changes its keys, writes it back. `change` returns which key to print.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Value>) -> anyhow::Result<Option<usize>>,
    ) -> anyhow::Result<()> {
        let client: Client = self.target.connect()?;
        let path = attestor_path(&self.target, &self.attestor)?;
        let mut attestor = client.get(&path)?;
        let keys = &mut attestor["userOwnedGrafeasNote"]["publicKeys"];
        if keys.is_null() {
            *keys = json!([]);
        }
        let list = keys.as_array_mut().context("the daemon sent keys that are not a list")?;
        let index = change(list)?;
        let written = client.put(&path, &attestor)?;
        match index {
            Some(index) => {
                let key = &written["userOwnedGrafeasNote"]["publicKeys"][index];
                output::print(self.format, key)
            }
            None => Ok(()),
        }
    }

    fn find(&self, keys: &[Value], id: &str) -> anyhow::Result<usize> {
        let found = keys.iter().position(|key| key["id"] == json!(id));
        found.with_context(|| {
            format!("No matching public key found on attestor [{}]", self.attestor)
        })
    }
}

impl Add {
    fn run(self) -> anyhow::Result<()> {
        let key = self.key()?;
        let attestor = &self.common.attestor;
        self.common.change(|keys| {
            if let Some(id) = key["id"].as_str()
                && keys.iter().any(|known| known["id"] == json!(id))
            {
                bail!("Public key with ID [{id}] already present on attestor [{attestor}]");
            }
            keys.push(key);
            Ok(Some(keys.len() - 1))
        })
    }

    fn key(&self) -> anyhow::Result<Value> {
        let mut key = json!({});
        if let Some(comment) = &self.comment {
            key["comment"] = json!(comment);
        }
        match (&self.pkix_public_key_file, &self.pgp_public_key_file, &self.key_reference) {
            (Some(pkix), None, None) => {
                let algorithm = self.pkix_public_key_algorithm.as_deref().unwrap_or_default();
                let algorithm: hallmark_core::attestor::SignatureAlgorithm = algorithm.parse()?;
                key["pkixPublicKey"] = json!({
                    "publicKeyPem": text(pkix)?, "signatureAlgorithm": algorithm.name(),
                });
                if let Some(id) = &self.public_key_id_override {
                    key["id"] = json!(id);
                }
            }
            (None, Some(pgp), None) => key["asciiArmoredPgpPublicKey"] = json!(text(pgp)?),
            (None, None, Some(reference)) => key["id"] = json!(reference),
            _ => bail!(
                "which key? --pkix-public-key-file with --pkix-public-key-algorithm, \
                 --pgp-public-key-file or --key-reference"
            ),
        }
        Ok(key)
    }
}

impl Update {
    fn run(self) -> anyhow::Result<()> {
        let armored = self.pgp_public_key_file.as_ref().map(text).transpose()?;
        self.common.change(|keys| {
            let index = self.common.find(keys, &self.id)?;
            let key = &mut keys[index];
            if let Some(armored) = armored {
                if key["asciiArmoredPgpPublicKey"].is_null() {
                    bail!("Cannot update a non-PGP PublicKey with a PGP public key");
                }
                key["asciiArmoredPgpPublicKey"] = json!(armored);
            }
            if let Some(comment) = &self.comment {
                key["comment"] = json!(comment);
            }
            Ok(Some(index))
        })
    }
}

impl Remove {
    fn run(self) -> anyhow::Result<()> {
        self.common.change(|keys| {
            let index = self.common.find(keys, &self.id)?;
            keys.remove(index);
            Ok(None)
        })
    }
}

fn text(path: &PathBuf) -> anyhow::Result<String> {
    String::from_utf8(read_input(path)?).with_context(|| format!("{} is not text", path.display()))
}
