//! `hallmark policy export|import|check|evaluate`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use hallmark_core::policy::parse::policy_from_file_name;
use hallmark_core::policy::render::policy_to_json;

use super::Outcome;
use super::client::{Target, encode, read_input};
use super::decide::{Question, report};
use super::output::{self, Format};
use crate::app;

/// Read, write and try out a project's policy.
#[derive(Debug, Subcommand)]
pub(super) enum Policy {
    /// Print the policy of the project.
    Export {
        #[command(flatten)]
        target: Target,
        /// How to print it.
        #[arg(long, default_value = "yaml")]
        format: Format,
    },
    /// Replace the policy of the project by the one in a file.
    Import {
        /// A .yaml, .yml or .json file in the form that `policy export` prints.
        file: PathBuf,
        #[command(flatten)]
        target: Target,
        /// How to print the policy as written.
        #[arg(long, default_value = "yaml")]
        format: Format,
    },
    /// Check a policy file, without a daemon. Every error names its line and field.
    Check {
        /// A .yaml, .yml or .json file.
        file: PathBuf,
    },
    /// Decide with the resources in a directory of files, without a daemon.
    ///
    /// Exits with 0 where every image is allowed, 2 where one is denied.
    Evaluate {
        /// The directory that `hallmark serve --config-dir` would read.
        #[arg(long)]
        config_dir: PathBuf,
        #[command(flatten)]
        question: Question,
        #[command(flatten)]
        target: Target,
        /// How to print the decision.
        #[arg(long, default_value = "table")]
        format: Format,
    },
}

impl Policy {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Export { target, format } => {
                let path = format!("/v1/projects/{}/policy", encode(target.project()?));
                output::print(format, &target.connect()?.get(&path)?)?;
                Ok(Outcome::Done)
            }
            Self::Import { file, target, format } => {
                let policy = read(&file)?;
                let project = target.project()?;
                let body = policy_to_json(&policy, &project.parse()?);
                let path = format!("/v1/projects/{}/policy", encode(project));
                output::print(format, &target.connect()?.put(&path, &body)?)?;
                Ok(Outcome::Done)
            }
            Self::Check { file } => {
                read(&file)?;
                output::line(&format!("{}: a policy", file.display()))?;
                Ok(Outcome::Done)
            }
            Self::Evaluate { config_dir, question, target, format } => {
                let request = question.request(target.project()?)?;
                let decision = app::decide_offline(&config_dir, request)?;
                report(&decision, format)
            }
        }
    }
}

fn read(file: &PathBuf) -> anyhow::Result<hallmark_core::policy::Policy> {
    let text = String::from_utf8(read_input(file)?)
        .with_context(|| format!("{} is not UTF-8", file.display()))?;
    let name = file.to_string_lossy();
    policy_from_file_name(&name, &text)
        .with_context(|| format!("{} is not a policy", file.display()))
}
