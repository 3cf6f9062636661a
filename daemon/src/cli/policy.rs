//! `hallmark policy …`: the policy of a project, its IAM policy, and trying policies out. Platform
//! policies, which share the word, are in `platform`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use hallmark_core::names::ProjectId;
use hallmark_core::policy::parse::{policy_from_document, policy_from_file_name};
use hallmark_core::policy::render::policy_to_json;
use hallmark_core::policy::{EvaluationMode, Policy as ProjectPolicy};
use serde_json::Value;

use super::attestors::attestor_path;
use super::client::{Client, Target, encode, read_input};
use super::decide::{Question, report};
use super::on_daemon::OnDaemon;
use super::output::{self, Format};
use super::platform::{Evaluate, List, One, Write};
use super::{Outcome, documents, iam};
use crate::app;

/// Read, write and try out a project's policy, and the policies of its platforms.
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Print the policy of the project.
    Export(OnDaemon),
    /// Replace the policy of the project by the one in a file.
    Import(Import),
    /// Print the policy that is asked before those of projects.
    #[command(name = "export-system-policy")]
    ExportSystem {
        /// A region, or global. The system policy is the same everywhere.
        #[arg(long, default_value = "global")]
        location: String,
        #[command(flatten)]
        on: OnDaemon,
    },
    /// Check a policy file, without a daemon. Every error names its line and field.
    Check {
        /// A .yaml, .yml or .json file.
        file: PathBuf,
    },
    /// Decide with the resources in a directory of files, without a daemon.
    ///
    /// Exits with 0 where every image is allowed, 2 where one is denied.
    Try(Try),
    /// Create a platform policy.
    Create(Write),
    /// Replace a platform policy.
    Update(Write),
    /// Print a platform policy.
    Describe(One),
    /// Delete a platform policy.
    Delete(One),
    /// List the platform policies of a platform.
    List(List),
    Evaluate(Evaluate),
    /// Not there: says what to do instead.
    #[command(name = "evaluate-and-sign", hide = true, disable_help_flag = true)]
    EvaluateAndSign {
        /// Whatever Google's tool takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Print who may do what with the policy.
    #[command(name = "get-iam-policy")]
    GetIam(OnDaemon),
    /// Replace who may do what with the policy.
    #[command(name = "set-iam-policy")]
    SetIam {
        /// A YAML or JSON file in the form that `get-iam-policy` prints.
        policy_file: PathBuf,
        #[command(flatten)]
        on: OnDaemon,
    },
    /// Let somebody do something with the policy.
    #[command(name = "add-iam-policy-binding")]
    AddBinding {
        #[command(flatten)]
        binding: iam::Binding,
        #[command(flatten)]
        on: OnDaemon,
    },
    /// Let somebody do something with the policy no longer.
    #[command(name = "remove-iam-policy-binding")]
    RemoveBinding {
        #[command(flatten)]
        binding: iam::Binding,
        #[command(flatten)]
        on: OnDaemon,
    },
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// A .yaml, .yml or .json file in the form that `policy export` prints, - for standard input.
    file: PathBuf,
    /// Refuse what is legal but hardly meant: an attestor without keys, which denies everything,
    /// and a ** that does not follow a /, which allows the projects whose names begin alike.
    #[arg(long)]
    strict_validation: bool,
    #[command(flatten)]
    on: OnDaemon,
}

#[derive(Debug, Args)]
pub(super) struct Try {
    /// The directory that `hallmark serve --config-dir` would read.
    #[arg(long)]
    config_dir: PathBuf,
    #[command(flatten)]
    question: Question,
    #[command(flatten)]
    target: Target,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Policy {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Export(on) => on.print(&on.connect()?.get(&path(&on)?)?)?,
            Self::Import(import) => import.run()?,
            Self::ExportSystem { location, on } => {
                let path = format!("/v1/locations/{}/policy", encode(&location));
                on.print(&on.connect()?.get(&path)?)?;
            }
            Self::Check { file } => {
                read(&file, None)?;
                output::line(&format!("{}: a policy", file.display()))?;
            }
            Self::Try(attempt) => return attempt.run(),
            Self::Create(write) => write.create()?,
            Self::Update(write) => write.replace()?,
            Self::Describe(one) => one.describe()?,
            Self::Delete(one) => one.delete()?,
            Self::List(list) => list.run()?,
            Self::Evaluate(evaluate) => return evaluate.run(),
            Self::EvaluateAndSign { arguments: _ } => bail!(
                "attestations of conformance are not made: evaluate with `hallmark policy \
                 evaluate`, and attest what conforms with `hallmark attestations sign-and-create`"
            ),
            Self::GetIam(on) => iam::get(&on.connect()?, &path(&on)?, on.format)?,
            Self::SetIam { policy_file, on } => {
                iam::set(&on.connect()?, &path(&on)?, &policy_file, on.format)?;
            }
            Self::AddBinding { binding, on } => {
                binding.add(&on.connect()?, &path(&on)?, on.format)?;
            }
            Self::RemoveBinding { binding, on } => {
                binding.remove(&on.connect()?, &path(&on)?, on.format)?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn path(on: &OnDaemon) -> anyhow::Result<String> {
    Ok(format!("/v1/projects/{}/policy", encode(on.target.project()?)))
}

impl Import {
    fn run(self) -> anyhow::Result<()> {
        let project = self.on.target.project()?.parse()?;
        let policy = read(&self.file, Some(&project))?;
        let path = path(&self.on)?;
        let client = self.on.connect()?;
        if self.strict_validation {
            check_strictly(&policy, &client, &self.on.target)?;
        }
        let body = policy_to_json(&policy, &project);
        self.on.print(&client.put(&path, &body)?)
    }
}

/// Refuses what is legal but hardly meant.
fn check_strictly(policy: &ProjectPolicy, client: &Client, target: &Target) -> anyhow::Result<()> {
    for pattern in &policy.admission_whitelist_patterns {
        let text = pattern.as_str();
        if text.strip_suffix("**").is_some_and(|prefix| !prefix.ends_with('/')) {
            bail!(
                "admissionWhitelistPatterns: `{text}` allows every repository whose name begins \
                 like that, also in other projects: put a / before **"
            );
        }
    }
    for rule in policy.rules() {
        let EvaluationMode::RequireAttestation(attestors) = &rule.evaluation else { continue };
        for name in attestors {
            let attestor = client.get(&attestor_path(target, &name.to_string())?)?;
            let keys = attestor["userOwnedGrafeasNote"]["publicKeys"].as_array();
            if keys.is_none_or(Vec::is_empty) {
                bail!("requireAttestationsBy: {name} has no keys, so it denies everything");
            }
        }
    }
    Ok(())
}

impl Try {
    fn run(self) -> anyhow::Result<Outcome> {
        let request = self.question.request(self.target.project()?)?;
        let decision: Value = app::decide_offline(&self.config_dir, request)?;
        report(&decision, self.format)
    }
}

/// Reads a policy; where it is known whose it is to be, it may not be named as another's.
fn read(file: &PathBuf, project: Option<&ProjectId>) -> anyhow::Result<ProjectPolicy> {
    let not_a_policy = || format!("{} is not a policy", file.display());
    if file.as_os_str() == "-" {
        let document = documents::document(file)?;
        return policy_from_document(&document, project).with_context(not_a_policy);
    }
    let text = String::from_utf8(read_input(file)?)
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    policy_from_file_name(&file.to_string_lossy(), &text, project).with_context(not_a_policy)
}
