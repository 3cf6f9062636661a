//! `hallmark audit verify`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Outcome;
use crate::audit::verify::{LineHash, Verified, VerifyError, verify};

/// Look after the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Check that no line of an audit log was changed, removed or moved.
    ///
    /// Exits with 0 if the chain is whole, 2 if it is broken or lacks the line of --head, 1 if it
    /// cannot be read or --head is not a hash.
    Verify {
        /// The directory of the log, such as DATA_DIR/audit.
        dir: PathBuf,
        /// The head that an earlier run printed, kept elsewhere: the log must hold that line, or go
        /// on right after it. Proves that nothing up to it was cut off; the log may have grown.
        #[arg(long, value_name = "SHA256")]
        head: Option<LineHash>,
        /// Output format.
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
        let (whole, report) = match verify(&dir, head) {
            Ok(found) => (true, whole(&found)),
            Err(error @ (VerifyError::Broken { .. } | VerifyError::HeadMissing(_))) => {
                (false, json!({"whole": false, "error": error.to_string()}))
            }
            Err(error) => return Err(error.into()),
        };
        print(format, &report);
        Ok(if whole { Outcome::Done } else { Outcome::Denied })
    }
}

fn whole(found: &Verified) -> Value {
    let mut report = json!({
        "whole": true, "files": found.files, "records": found.lines,
        "firstSeq": found.first_seq, "head": found.head.to_string(),
        "unfinishedBytes": found.torn_bytes, "losses": found.losses,
    });
    if let Some(seq) = found.kept_seq {
        report["keptHeadSeq"] = json!(seq);
    }
    report
}

fn print(format: Format, report: &Value) {
    match (format, report["error"].as_str()) {
        (Format::Json, _) => println!("{report}"),
        (Format::Text, Some(error)) => println!("the audit log is broken: {error}"),
        (Format::Text, None) => print_whole(report),
    }
}

fn print_whole(report: &Value) {
    println!(
        "the audit log is whole: {} records in {} files, from number {}, head {}",
        report["records"],
        report["files"],
        report["firstSeq"],
        report["head"].as_str().unwrap_or_default(),
    );
    if let Some(seq) = report["keptHeadSeq"].as_u64() {
        println!("the head that you kept is that of number {seq}");
    }
    for loss in report["losses"].as_array().into_iter().flatten() {
        println!(
            "numbers {} to {} were damaged while the daemon wrote them: {}; number {} continues the \
             chain",
            loss["firstSeq"],
            loss["lastSeq"],
            loss["cause"].as_str().unwrap_or_default(),
            loss["seq"],
        );
    }
}
