//! `hallmark attestations create|sign-and-create|list` and `hallmark create-signature-payload`.

use std::path::PathBuf;

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use hallmark_core::image::{Digest, ImageReference};
use hallmark_core::payload::pae::{self, COSIGN_SIMPLE_SIGNING_TYPE};
use hallmark_core::payload::simple_signing;
use serde_json::{Value, json};

use super::Outcome;
use super::attestors::attestor_path_in;
use super::client::{Client, Target, encode, read_input};
use super::on_daemon::OnDaemon;
use super::output::{self, Format, string};
use super::sign::Signer;

/// Signed statements about image digests.
#[derive(Debug, Subcommand)]
pub(super) enum Attestations {
    /// File a signature that was made elsewhere.
    Create(Create),
    /// Sign the payload of an image and file the signature.
    SignAndCreate(Box<SignAndCreate>),
    /// List the attestations of an attestor.
    List(List),
}

/// Print the bytes to sign for an image.
#[derive(Debug, Args)]
pub(super) struct CreateSignaturePayload {
    /// The image: registry/repository@sha256:…
    #[arg(long)]
    artifact_url: String,
    /// Not looked at; scripts for Google's tool say it.
    #[arg(long, hide = true)]
    project: Option<String>,
    /// Not looked at; nothing is ever asked here.
    #[arg(long, short, hide = true)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The attestor under whose note it is filed, an id or a whole name.
    #[arg(long, required_unless_present = "note", conflicts_with = "note")]
    attestor: Option<String>,
    /// The project of the attestor, where it is another.
    #[arg(long, value_name = "PROJECT", requires = "attestor")]
    attestor_project: Option<String>,
    /// Ask the attestor first whether it would accept the attestation, and file it only where it
    /// would; with --quiet, file it anyway and warn, as Google's tool does.
    #[arg(long, requires = "attestor")]
    validate: bool,
    /// The note that it is filed under, an id or a whole name.
    #[arg(long)]
    note: Option<String>,
    /// The project of the note, where it is another.
    #[arg(long, value_name = "PROJECT", requires = "note")]
    note_project: Option<String>,
    /// The image: registry/repository@sha256:…
    #[arg(long)]
    artifact_url: String,
    #[command(flatten)]
    on: OnDaemon,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: Place,
    /// The signature, - for standard input.
    #[arg(long, value_name = "FILE")]
    signature_file: PathBuf,
    /// The payload that was signed, if it is not the one that create-signature-payload prints.
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
    /// The id by which the signature names its key, instead of the hash of the key file or the name
    /// of the key version.
    #[arg(long, value_name = "ID")]
    public_key_id_override: Option<String>,
    /// Sign the DSSE pre-authentication encoding of the payload. The payload itself is filed.
    #[arg(long)]
    pae_encode_payload: bool,
    /// The payload type of that encoding.
    #[arg(long, value_name = "TYPE", default_value = COSIGN_SIMPLE_SIGNING_TYPE, requires = "pae_encode_payload")]
    dsse_type: String,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The attestor, an id or a whole name.
    #[arg(long)]
    attestor: String,
    /// The project of the attestor, where it is another.
    #[arg(long, value_name = "PROJECT")]
    attestor_project: Option<String>,
    /// Only those of this image.
    #[arg(long)]
    artifact_url: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Output format.
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
        let message = match self.pae_encode_payload {
            true => &pae::encode(&self.dsse_type, &payload),
            false => &payload,
        };
        let on = &self.place.on;
        let signed = self.signer.sign(message, &on.connect()?, &on.target)?;
        let key_id = self.public_key_id_override.unwrap_or(signed.key_id);
        self.place.file(&payload, &signed.signature, &key_id)
    }
}

impl Place {
    /// Creates the occurrence and prints it.
    fn file(&self, payload: &[u8], signature: &[u8], key_id: &str) -> anyhow::Result<()> {
        let client = self.on.connect()?;
        let attestation = json!({
            "serializedPayload": STANDARD.encode(payload),
            "signatures": [{"publicKeyId": key_id, "signature": STANDARD.encode(signature)}],
        });
        let note = self.note_name(&client)?;
        if self.validate {
            self.validate(&client, &note, &attestation)?;
        }
        let body = json!({
            "resourceUri": resource_uri(&self.artifact_url),
            "noteName": note,
            "attestation": attestation,
        });
        let path = format!("/v1/projects/{}/occurrences", encode(self.on.target.project()?));
        self.on.print(&client.post(&path, &body)?)
    }

    fn note_name(&self, client: &Client) -> anyhow::Result<String> {
        match &self.note {
            Some(whole) if whole.starts_with("projects/") => Ok(whole.clone()),
            Some(id) => {
                let project = match &self.note_project {
                    Some(project) => project,
                    None => self.on.target.project()?,
                };
                Ok(format!("projects/{project}/notes/{id}"))
            }
            None => note_of(client, &self.attestor_path()?),
        }
    }

    fn attestor_path(&self) -> anyhow::Result<String> {
        match &self.attestor {
            Some(id) => attestor_path_in(&self.on.target, self.attestor_project.as_deref(), id),
            None => bail!("where is it filed? say --attestor or --note"),
        }
    }

    /// Asks the attestor whether it would accept the attestation.
    fn validate(&self, client: &Client, note: &str, attestation: &Value) -> anyhow::Result<()> {
        let path = format!("{}:validateAttestationOccurrence", self.attestor_path()?);
        let body = json!({
            "attestation": attestation,
            "occurrenceNote": note,
            "occurrenceResourceUri": resource_uri(&self.artifact_url),
        });
        let answer = client.post(&path, &body)?;
        if answer["result"] == "VERIFIED" {
            return Ok(());
        }
        let reason = string(&answer, "denialReason");
        if !self.on.target.quiet() {
            bail!(
                "Attestation could not be validated! ({reason}) To create it anyway say --quiet, or \
                 leave --validate out"
            );
        }
        eprintln!("hallmark: Attestation could not be validated! ({reason}) Created anyway");
        Ok(())
    }
}

fn note_of(client: &Client, attestor_path: &str) -> anyhow::Result<String> {
    Ok(string(&client.get(attestor_path)?["userOwnedGrafeasNote"], "noteReference"))
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let client = self.target.connect()?;
        let project = self.attestor_project.as_deref();
        let attestor = attestor_path_in(&self.target, project, &self.attestor)?;
        let note = note_of(&client, &attestor)?;
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
    let (repository, digest) = named_by_digest(artifact_url)?;
    Ok(simple_signing::payload(&repository, digest))
}

fn digest(artifact_url: &str) -> anyhow::Result<Digest> {
    named_by_digest(artifact_url).map(|(_, digest)| digest)
}

/// Repository and digest of an image, or what Google's tool says that is wrong with it.
fn named_by_digest(artifact_url: &str) -> anyhow::Result<(String, Digest)> {
    /// `sha256:` and 64 digits.
    const DIGEST_CHARS: usize = 71;
    let image = resource_uri(artifact_url);
    let Some((_, given)) = image.split_once('@') else {
        bail!(
            "Docker image name must be fully qualified (e.g.registry/repository@digest) saw: \
             {image}: name it by its sha256: digest"
        );
    };
    let chars = given.chars().count();
    if chars < DIGEST_CHARS {
        bail!("Invalid digest: {given}, must be at least {DIGEST_CHARS} characters");
    }
    if chars > DIGEST_CHARS {
        bail!("Invalid digest: {given}, must be at most {DIGEST_CHARS} characters");
    }
    if !given.chars().all(|c| "sh:0123456789abcdef".contains(c)) {
        bail!("Invalid digest: {given}, acceptable characters include: sh:0123456789abcdef");
    }
    let reference = ImageReference::parse(image)?;
    match reference.digest() {
        Some(digest) => Ok((reference.repository().to_owned(), digest)),
        None => bail!("Invalid digest: {given}, must be sha256: and 64 digits"),
    }
}

/// Without the scheme, as Google's tool files it.
fn resource_uri(artifact_url: &str) -> &str {
    let url = artifact_url.strip_prefix("https://").unwrap_or(artifact_url);
    url.strip_prefix("http://").unwrap_or(url)
}
