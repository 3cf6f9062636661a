//! `hallmark plugins pin`: what to write into the configuration to trust a file.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hallmark_plugin_api::conformance::{self, Inspection};
use serde_json::json;

use crate::audit::log::Hex;
use crate::cli::Outcome;
use crate::cli::output::{self, Format};

/// Print the SHA-256 of a plugin, and the lines of the configuration that trust it.
#[derive(Debug, Args)]
pub(in crate::cli) struct Pin {
    /// The plugin.
    #[arg(value_name = "FILE.so")]
    file: PathBuf,
    /// Output format: `table` is TOML to paste.
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Pin {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let of = || self.file.display().to_string();
        let path = self.file.canonicalize().with_context(of)?;
        let bytes = std::fs::read(&path).with_context(of)?;
        let found = Inspection::of(&bytes).with_context(of)?;
        let manifest = found.manifest.unwrap_or_default();
        let name = manifest["hallmark_plugin"].as_str();
        let name = name.with_context(|| format!("{} has no manifest: is it a plugin?", of()))?;
        let sum = Hex(&conformance::sum(&path)?).to_string();
        match self.format {
            Format::Table => {
                let mut plugin = toml::Table::new();
                plugin.insert("name".to_owned(), name.into());
                plugin.insert("path".to_owned(), path.display().to_string().into());
                plugin.insert("sha256".to_owned(), vec![sum].into());
                output::text(&format!("[[plugins]]\n{plugin}config = {{}}\n"))?;
            }
            format => {
                let path = path.display().to_string();
                output::print(format, &json!({"name": name, "path": path, "sha256": [sum]}))?;
            }
        }
        Ok(Outcome::Done)
    }
}
