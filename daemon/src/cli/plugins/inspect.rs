//! `hallmark plugins inspect`: what a file is, without running any of it.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hallmark_plugin_api::conformance::{self, Inspection};
use serde_json::json;

use crate::audit::log::Hex;
use crate::cli::Outcome;
use crate::cli::output::{self, Format};

/// Print what a plugin file is, without running any of it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The plugin.
    #[arg(value_name = "FILE.so")]
    file: PathBuf,
    /// Output format.
    #[arg(long, default_value = "yaml")]
    format: Format,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let of = || self.file.display().to_string();
        let bytes = std::fs::read(&self.file).with_context(of)?;
        let mut found = serde_json::to_value(Inspection::of(&bytes).with_context(of)?)?;
        found["sha256"] = json!(Hex(&conformance::sum(&self.file)?).to_string());
        output::print(self.format, &found)?;
        Ok(Outcome::Done)
    }
}
