//! `hallmark attestors create|list|describe|update|delete` and the IAM verbs of attestors.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Target, encode};
use super::on_daemon::OnDaemon;
use super::output::{self, Format, id, string};
use super::public_keys::PublicKeys;
use super::{Outcome, iam};

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
    /// Print who may do what with an attestor.
    GetIamPolicy(One),
    /// Replace who may do what with an attestor.
    SetIamPolicy {
        #[command(flatten)]
        one: One,
        /// A YAML or JSON file in the form that `get-iam-policy` prints.
        policy_file: PathBuf,
    },
    /// Let somebody do something with an attestor.
    AddIamPolicyBinding {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        binding: iam::Binding,
    },
    /// Let somebody do something with an attestor no longer.
    RemoveIamPolicyBinding {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        binding: iam::Binding,
    },
    /// The keys of an attestor.
    #[command(subcommand)]
    PublicKeys(Box<PublicKeys>),
}

#[derive(Debug, Args)]
pub(super) struct All {
    #[command(flatten)]
    target: Target,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Id of the attestor, or its whole name.
    attestor: String,
    #[command(flatten)]
    on: OnDaemon,
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
                one.on.print(&one.on.connect()?.get(&one.path()?)?)?;
            }
            Self::Update(update) => update.run()?,
            Self::Delete(one) => {
                one.on.connect()?.delete(&one.path()?)?;
            }
            Self::GetIamPolicy(one) => {
                iam::get(&one.on.connect()?, &one.path()?, one.on.format)?;
            }
            Self::SetIamPolicy { one, policy_file } => {
                iam::set(&one.on.connect()?, &one.path()?, &policy_file, one.on.format)?;
            }
            Self::AddIamPolicyBinding { one, binding } => {
                binding.add(&one.on.connect()?, &one.path()?, one.on.format)?;
            }
            Self::RemoveIamPolicyBinding { one, binding } => {
                binding.remove(&one.on.connect()?, &one.path()?, one.on.format)?;
            }
            Self::PublicKeys(keys) => return keys.run(),
        }
        Ok(Outcome::Done)
    }
}

impl One {
    fn path(&self) -> anyhow::Result<String> {
        attestor_path(&self.on.target, &self.attestor)
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

/// As [`attestor_path`]; an id is looked for in `project`, where that is given.
pub(super) fn attestor_path_in(
    target: &Target,
    project: Option<&str>,
    attestor: &str,
) -> anyhow::Result<String> {
    match project {
        Some(project) if !attestor.starts_with("projects/") => {
            attestor_path(target, &format!("projects/{project}/attestors/{attestor}"))
        }
        _ => attestor_path(target, attestor),
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let project = self.one.on.target.project()?;
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
        self.one.on.print(&self.one.on.connect()?.post(&path, &body)?)
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
            &[("NAME", id), ("NOTE", note), ("NUM_PUBLIC_KEYS", keys)],
        )
    }
}

impl Update {
    fn run(self) -> anyhow::Result<()> {
        let client = self.one.on.connect()?;
        let path = self.one.path()?;
        let mut attestor = client.get(&path)?;
        attestor["description"] = json!(self.description);
        self.one.on.print(&client.put(&path, &attestor)?)
    }
}
