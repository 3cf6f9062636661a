//! `hallmark attestations create|sign-and-create|list` and `hallmark create-signature-payload`.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use hallmark_core::image::{Digest, ImageReference};
use hallmark_core::payload::simple_signing;
use serde_json::{Value, json};

use super::Outcome;
use super::attestors::attestor_path;
use super::client::{Client, Target, encode, read_input};
use super::output::{self, Format, string};
use super::sign::Signer;

/// Signed statements about image digests.
#[derive(Debug, Subcommand)]
pub(super) enum Attestations {
    /// File a signature that was made elsewhere.
    Create(Create),
    /// Sign the payload of an image and file the signature.
    SignAndCreate(SignAndCreate),
    /// List the attestations of an attestor.
    List(List),
}

/// Print the bytes to sign for an image.
#[derive(Debug, Args)]
pub(super) struct CreateSignaturePayload {
    /// The image: registry/repository@sha256:…
    #[arg(long)]
    artifact_url: String,
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The attestor under whose note it is filed, an id or a whole name.
    #[arg(long, required_unless_present = "note", conflicts_with = "note")]
    attestor: Option<String>,
    /// The project of the attestor, where it is another.
    #[arg(long, value_name = "PROJECT")]
    attestor_project: Option<String>,
    /// The note that it is filed under, an id or a whole name.
    #[arg(long)]
    note: Option<String>,
    /// The image: registry/repository@sha256:…
    #[arg(long)]
    artifact_url: String,
    #[command(flatten)]
    target: Target,
    /// How to print the occurrence.
    #[arg(long, default_value = "yaml")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: Place,
    /// The signature, - for standard input.
    #[arg(long, value_name = "FILE")]
    signature_file: PathBuf,
    /// What was signed, where it is not what create-signature-payload prints.
    #[arg(long, value_name = "FILE")]
    payload_file: Option<PathBuf>,
    /// The id of the key that signed, as the attestor has it.
    #[arg(long, value_name = "ID")]
    public_key_id: String,
}

#[derive(Debug, Args)]
pub(super) struct SignAndCreate {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    signer: Signer,
    /// What the signature names its key by, instead of the hash of the key.
    #[arg(long, value_name = "ID")]
    public_key_id_override: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The attestor, an id or a whole name.
    #[arg(long)]
    attestor: String,
    /// Only those of this image.
    #[arg(long)]
    artifact_url: Option<String>,
    #[command(flatten)]
    target: Target,
    /// How to print them.
    #[arg(long, default_value = "table")]
    format: Format,
}

impl CreateSignaturePayload {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        output::bytes(&payload(&self.artifact_url)?)?;
        Ok(Outcome::Done)
    }
}

impl Attestations {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Create(create) => create.run()?,
            Self::SignAndCreate(sign) => sign.run()?,
            Self::List(list) => list.run()?,
        }
        Ok(Outcome::Done)
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let payload = match &self.payload_file {
            Some(file) => read_input(file)?,
            None => payload(&self.place.artifact_url)?,
        };
        let signature = read_input(&self.signature_file)?;
        self.place.file(&payload, &signature, &self.public_key_id)
    }
}

impl SignAndCreate {
    fn run(self) -> anyhow::Result<()> {
        let payload = payload(&self.place.artifact_url)?;
        let signed = self.signer.sign(&payload)?;
        let key_id = self.public_key_id_override.unwrap_or(signed.key_id);
        self.place.file(&payload, &signed.signature, &key_id)
    }
}

impl Place {
    /// Creates the occurrence and prints it.
    fn file(&self, payload: &[u8], signature: &[u8], key_id: &str) -> anyhow::Result<()> {
        let client = self.target.connect()?;
        let body = json!({
            "resourceUri": resource_uri(&self.artifact_url),
            "noteName": self.note_name(&client)?,
            "attestation": {
                "serializedPayload": STANDARD.encode(payload),
                "signatures": [{"publicKeyId": key_id, "signature": STANDARD.encode(signature)}],
            },
        });
        let path = format!("/v1/projects/{}/occurrences", encode(self.target.project()?));
        output::print(self.format, &client.post(&path, &body)?)
    }

    fn note_name(&self, client: &Client) -> anyhow::Result<String> {
        match (&self.note, &self.attestor) {
            (Some(whole), _) if whole.starts_with("projects/") => Ok(whole.clone()),
            (Some(id), _) => Ok(format!("projects/{}/notes/{id}", self.target.project()?)),
            (None, Some(attestor)) => {
                let whole = match &self.attestor_project {
                    Some(project) if !attestor.starts_with("projects/") => {
                        &format!("projects/{project}/attestors/{attestor}")
                    }
                    _ => attestor,
                };
                note_of(client, &self.target, whole)
            }
            (None, None) => Err(anyhow!("where is it filed? --attestor or --note")),
        }
    }
}

fn note_of(client: &Client, target: &Target, attestor: &str) -> anyhow::Result<String> {
    let attestor = client.get(&attestor_path(target, attestor)?)?;
    Ok(string(&attestor["userOwnedGrafeasNote"], "noteReference"))
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let client = self.target.connect()?;
        let note = note_of(&client, &self.target, &self.attestor)?;
        let mut filter = r#"kind="ATTESTATION""#.to_owned();
        if let Some(url) = &self.artifact_url {
            let digest = digest(url)?;
            filter = format!(r#"has_suffix(resourceUrl, "{digest}") AND {filter}"#);
        }
        let path = format!("/v1/{note}/occurrences?pageSize=100&filter={}", encode(&filter));
        let occurrences = client.list(&path, "occurrences")?;
        let key =
            |occurrence: &Value| string(&occurrence["attestation"]["signatures"][0], "publicKeyId");
        output::print_list(
            self.format,
            &occurrences,
            &[
                ("NAME", |occurrence| string(occurrence, "name")),
                ("RESOURCE", |occurrence| string(occurrence, "resourceUri")),
                ("KEY", key),
            ],
        )
    }
}

/// The payload for an image that is named by digest.
fn payload(artifact_url: &str) -> anyhow::Result<Vec<u8>> {
    let image = resource_uri(artifact_url);
    let reference = ImageReference::parse(image)?;
    Ok(simple_signing::payload(reference.repository(), digest(artifact_url)?))
}

fn digest(artifact_url: &str) -> anyhow::Result<Digest> {
    let reference = ImageReference::parse(resource_uri(artifact_url))?;
    let what = || format!("{artifact_url} names no digest: use registry/repository@sha256:…");
    reference.digest().with_context(what)
}

/// Without the scheme, as Google's tool files it.
fn resource_uri(artifact_url: &str) -> &str {
    let url = artifact_url.strip_prefix("https://").unwrap_or(artifact_url);
    url.strip_prefix("http://").unwrap_or(url)
}
