//! `hallmark notes create|describe`.

use clap::Subcommand;
use serde_json::json;

use super::Outcome;
use super::client::{Target, encode};
use super::output::{self, Format};

/// The notes under which attestations are filed.
#[derive(Debug, Subcommand)]
pub(super) enum Notes {
    /// Create a note for attestations.
    Create {
        /// Id of the note.
        note: String,
        /// Meaning of an attestation under it, for people.
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        target: Target,
        /// Output format.
        #[arg(long, default_value = "yaml")]
        format: Format,
    },
    /// Print a note.
    Describe {
        /// Id of the note.
        note: String,
        #[command(flatten)]
        target: Target,
        /// Output format.
        #[arg(long, default_value = "yaml")]
        format: Format,
    },
}

impl Notes {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::Create { note, description, target, format } => {
                let project = encode(target.project()?);
                let path = format!("/v1/projects/{project}/notes?noteId={}", encode(&note));
                let body = json!({"attestation": {"hint": {"humanReadableName": description}}});
                output::print(format, &target.connect()?.post(&path, &body)?)?;
            }
            Self::Describe { note, target, format } => {
                let project = encode(target.project()?);
                let path = format!("/v1/projects/{project}/notes/{}", encode(&note));
                output::print(format, &target.connect()?.get(&path)?)?;
            }
        }
        Ok(Outcome::Done)
    }
}
