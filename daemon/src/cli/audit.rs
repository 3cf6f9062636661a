//! `hallmark audit verify`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::Outcome;
use crate::audit::verify::{VerifyError, verify};

/// Look after the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that no line of an audit log was changed, removed or moved.
    ///
    /// Exits with 0 where the chain is whole, 2 where it is broken, 1 where it cannot be read.
    Verify {
        /// The directory of the log, such as DATA_DIR/audit.
        dir: PathBuf,
        /// The hash that the last line must have, kept from an earlier run: proves that nothing
        /// was cut off at the end.
        #[arg(long, value_name = "SHA256")]
        head: Option<String>,
        /// How to print the result.
        #[arg(long, default_value = "text")]
        format: Format,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let Self::Verify { dir, head, format } = self;
        let (whole, report) = match verify(&dir) {
            Ok(found) if head.as_ref().is_none_or(|head| *head == found.head) => {
                let report = json!({
                    "whole": true, "files": found.files, "records": found.lines,
                    "firstSeq": found.first_seq, "head": found.head,
                    "unfinishedBytes": found.torn_bytes,
                });
                (true, report)
            }
            Ok(found) => {
                let error =
                    format!("the last line is {}: lines are missing at the end", found.head);
                (false, json!({"whole": false, "error": error}))
            }
            Err(error @ VerifyError::Broken { .. }) => {
                (false, json!({"whole": false, "error": error.to_string()}))
            }
            Err(error) => return Err(error.into()),
        };
        print(format, &report);
        Ok(if whole { Outcome::Done } else { Outcome::Denied })
    }
}

fn print(format: Format, report: &serde_json::Value) {
    match (format, report["error"].as_str()) {
        (Format::Json, _) => println!("{report}"),
        (Format::Text, Some(error)) => println!("the audit log is broken: {error}"),
        (Format::Text, None) => println!(
            "the audit log is whole: {} records in {} files, from number {}, head {}",
            report["records"],
            report["files"],
            report["firstSeq"],
            report["head"].as_str().unwrap_or_default(),
        ),
    }
}
