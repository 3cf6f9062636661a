//! `hallmark attestors public-keys add|remove|update`: read, change, write the whole attestor.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hallmark_core::attestor::{SignatureAlgorithm, algorithm_named};
use serde_json::{Value, json};

use super::Outcome;
use super::attestors::attestor_path_in;
use super::client::{Client, read_input};
use super::kms::KeyVersion;
use super::on_daemon::OnDaemon;

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
    /// The project of the attestor, where it is another.
    #[arg(long, value_name = "PROJECT")]
    attestor_project: Option<String>,
    #[command(flatten)]
    on: OnDaemon,
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
    /// The algorithm that the key signs with, such as ecdsa-p256-sha256.
    #[arg(long, value_name = "ALGORITHM")]
    pkix_public_key_algorithm: Option<String>,
    /// A file with the armored OpenPGP certificate.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pkix_public_key_file", "public_key_id_override"])]
    pgp_public_key_file: Option<PathBuf>,
    #[command(flatten)]
    key_version: KeyVersion,
    /// A key that a plugin holds, by its URI, such as file:///etc/hallmark/keys/release.pem.
    #[arg(long, value_name = "URI", conflicts_with_all = ["pkix_public_key_file", "pgp_public_key_file", "public_key_id_override"])]
    key_reference: Option<String>,
    /// The id by which signatures name the key, instead of the hash of the key.
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
        client: &Client,
        change: impl FnOnce(&mut Vec<Value>) -> anyhow::Result<Option<usize>>,
    ) -> anyhow::Result<()> {
        let path = self.path()?;
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
                self.on.print(key)
            }
            None => Ok(()),
        }
    }

    fn path(&self) -> anyhow::Result<String> {
        attestor_path_in(&self.on.target, self.attestor_project.as_deref(), &self.attestor)
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
        let client = self.common.on.connect()?;
        let key = self.key(&client)?;
        let attestor = &self.common.attestor;
        self.common.change(&client, |keys| {
            if let Some(id) = key["id"].as_str()
                && keys.iter().any(|known| known["id"] == json!(id))
            {
                bail!("Public key with ID [{id}] already present on attestor [{attestor}]");
            }
            let body = &key["asciiArmoredPgpPublicKey"];
            if !body.is_null()
                && keys.iter().any(|known| known["asciiArmoredPgpPublicKey"] == *body)
            {
                bail!("Provided public key already present on attestor [{attestor}]");
            }
            keys.push(key);
            Ok(Some(keys.len() - 1))
        })
    }

    fn key(&self, client: &Client) -> anyhow::Result<Value> {
        let version = self.key_version.name(&self.common.on.target)?;
        let mut key = json!({});
        match (&self.pkix_public_key_file, &self.pgp_public_key_file, &self.key_reference, version)
        {
            (Some(pkix), None, None, None) => {
                let algorithm = self.pkix_public_key_algorithm.as_deref().unwrap_or_default();
                key["pkixPublicKey"] = pkix_public_key(&text(pkix)?, algorithm_named(algorithm)?);
            }
            (None, Some(pgp), None, None) => key["asciiArmoredPgpPublicKey"] = json!(text(pgp)?),
            (None, None, Some(reference), None) => key["id"] = json!(reference),
            (None, None, None, Some(version)) => {
                let public = version.public(client)?;
                key["pkixPublicKey"] = pkix_public_key(&public.pem, public.algorithm);
                key["id"] = json!(version.key_id());
            }
            _ => bail!(
                "which key? one of --pkix-public-key-file with --pkix-public-key-algorithm, \
                 --pgp-public-key-file, --keyversion or --key-reference"
            ),
        }
        if let Some(id) = &self.public_key_id_override {
            key["id"] = json!(id);
        }
        if let Some(comment) = &self.comment {
            key["comment"] = json!(comment);
        }
        Ok(key)
    }
}

fn pkix_public_key(pem: &str, algorithm: SignatureAlgorithm) -> Value {
    json!({"publicKeyPem": pem, "signatureAlgorithm": algorithm.name()})
}

impl Update {
    fn run(self) -> anyhow::Result<()> {
        let armored = self.pgp_public_key_file.as_ref().map(text).transpose()?;
        self.common.change(&self.common.on.connect()?, |keys| {
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
        self.common.change(&self.common.on.connect()?, |keys| {
            let index = self.common.find(keys, &self.id)?;
            keys.remove(index);
            Ok(None)
        })
    }
}

fn text(path: &PathBuf) -> anyhow::Result<String> {
    String::from_utf8(read_input(path)?).with_context(|| format!("{} is not text", path.display()))
}
