//! `hallmark attestors create|list|describe|update|delete`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::client::{Target, encode};
use super::output::{self, Format, string};
use super::public_keys::PublicKeys;

/// The authorities whose keys are trusted.
#[derive(Debug, Subcommand)]
pub(super) enum Attestors {
    /// Create an attestor.
    Create(Create),
    /// List the attestors of the project.
    List(All),
    /// Print an attestor.
    Describe(One),
    /// Change the description of an attestor.
    Update(Update),
    /// Delete an attestor. Policies that name it deny from then on.
    Delete(One),
    /// The keys of an attestor.
    #[command(subcommand)]
    PublicKeys(PublicKeys),
}

#[derive(Debug, Args)]
pub(super) struct All {
    #[command(flatten)]
    target: Target,
    /// How to print them.
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Id of the attestor, or its whole name.
    attestor: String,
    #[command(flatten)]
    target: Target,
    /// How to print it.
    #[arg(long, default_value = "yaml")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    one: One,
    /// The note under which its attestations are filed, an id or a whole name.
    #[arg(long, value_name = "NOTE")]
    attestation_authority_note: String,
    /// The project of the note, where it is another.
    #[arg(long, value_name = "PROJECT")]
    attestation_authority_note_project: Option<String>,
    /// Free text.
    #[arg(long, default_value = "")]
    description: String,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    #[command(flatten)]
    one: One,
    /// Free text.
    #[arg(long)]
    description: String,
}

impl Attestors {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Create(create) => create.run()?,
            Self::List(all) => all.run()?,
            Self::Describe(one) => {
                output::print(one.format, &one.target.connect()?.get(&one.path()?)?)?;
            }
            Self::Update(update) => update.run()?,
            Self::Delete(one) => {
                one.target.connect()?.delete(&one.path()?)?;
            }
            Self::PublicKeys(keys) => return keys.run(),
        }
        Ok(Outcome::Done)
    }
}

impl One {
    fn path(&self) -> anyhow::Result<String> {
        attestor_path(&self.target, &self.attestor)
    }
}

/// The path of an attestor given by id or by whole name.
pub(super) fn attestor_path(target: &Target, attestor: &str) -> anyhow::Result<String> {
    let (project, id) =
        match attestor.strip_prefix("projects/").and_then(|rest| rest.split_once('/')) {
            Some((project, rest)) => (project, rest.strip_prefix("attestors/").unwrap_or(rest)),
            None => (target.project()?, attestor),
        };
    Ok(format!("/v1/projects/{}/attestors/{}", encode(project), encode(id)))
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let project = self.one.target.project()?;
        let note = match self.attestation_authority_note {
            whole if whole.starts_with("projects/") => whole,
            id => {
                let other = self.attestation_authority_note_project.as_deref();
                format!("projects/{}/notes/{id}", other.unwrap_or(project))
            }
        };
        let body = json!({
            "description": self.description,
            "userOwnedGrafeasNote": {"noteReference": note},
        });
        let (project, id) = (encode(project), encode(&self.one.attestor));
        let path = format!("/v1/projects/{project}/attestors?attestorId={id}");
        output::print(self.one.format, &self.one.target.connect()?.post(&path, &body)?)
    }
}

impl All {
    fn run(self) -> anyhow::Result<()> {
        let path =
            format!("/v1/projects/{}/attestors?pageSize=200", encode(self.target.project()?));
        let attestors = self.target.connect()?.list(&path, "attestors")?;
        let note = |attestor: &Value| string(&attestor["userOwnedGrafeasNote"], "noteReference");
        let keys = |attestor: &Value| {
            let keys = attestor["userOwnedGrafeasNote"]["publicKeys"].as_array();
            keys.map_or(0, Vec::len).to_string()
        };
        output::print_list(
            self.format,
            &attestors,
            &[
                ("NAME", |attestor| string(attestor, "name")),
                ("NOTE", note),
                ("NUM_PUBLIC_KEYS", keys),
            ],
        )
    }
}

impl Update {
    fn run(self) -> anyhow::Result<()> {
        let client = self.one.target.connect()?;
        let path = self.one.path()?;
        let mut attestor = client.get(&path)?;
        attestor["description"] = json!(self.description);
        output::print(self.one.format, &client.put(&path, &attestor)?)
    }
}
