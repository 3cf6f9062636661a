//! `hallmark plugins list|inspect`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use hallmark_plugin_api::host::{BreakerState, WorkerStatus};
use serde_json::{Value, json};

use super::Outcome;
use super::output::{self, Format, string};
use crate::app;
use crate::audit::log::Hex;
use crate::config::file::File;
use crate::plugin::{Catalog, InstanceStatus};

/// Look at plugins: the bundled ones and those of a configuration file.
#[derive(Debug, Subcommand)]
pub(super) enum Plugins {
    /// List the plugin instances that the daemon would run.
    List {
        #[command(flatten)]
        from: From,
        /// How to print them.
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Print everything that a plugin instance says of itself.
    Inspect {
        /// Name of the instance.
        name: String,
        #[command(flatten)]
        from: From,
        /// How to print it.
        #[arg(long, default_value = "yaml")]
        format: Format,
    },
}

#[derive(Debug, Args)]
pub(super) struct From {
    /// The configuration file of the daemon.
    #[arg(long, value_name = "FILE", env = "HALLMARK_CONFIG")]
    config: Option<PathBuf>,
}

impl Plugins {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        match self {
            Self::List { from, format } => output::print_list(
                format,
                &from.instances()?,
                &[
                    ("NAME", |instance| string(instance, "name")),
                    ("PLUGIN", |instance| string(instance, "plugin")),
                    ("VERSION", |instance| string(instance, "version")),
                    ("KEYS", |instance| instance["keys"].to_string()),
                    ("ISOLATION", |instance| string(instance, "isolation")),
                    ("SHA256", |instance| string(instance, "sha256")),
                ],
            )?,
            Self::Inspect { name, from, format } => {
                let instances = from.instances()?;
                let found = instances.iter().find(|instance| instance["name"] == json!(name));
                output::print(
                    format,
                    found.with_context(|| format!("no plugin is named `{name}`"))?,
                )?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl From {
    fn instances(&self) -> anyhow::Result<Vec<Value>> {
        let file = self.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let catalog = Catalog::load(&app::plugins(&file.plugins)?)?;
        Ok(catalog.instances().iter().map(describe).collect())
    }
}

fn describe(status: &InstanceStatus) -> Value {
    json!({
        "name": status.name,
        "plugin": status.plugin,
        "version": status.version,
        "vendor": status.vendor,
        "sha256": Hex(&status.sha256).to_string(),
        "listsKeys": status.has_keys,
        "signs": status.signs,
        "schemes": status.schemes,
        "forms": status.forms,
        "generation": status.generation,
        "keys": status.keys,
        "snapshotErrors": status.snapshot_errors,
        "lastError": status.last_error,
        "isolation": if status.worker.is_some() { "worker" } else { "in-process" },
        "worker": status.worker.as_ref().map(worker),
    })
}

fn worker(status: &WorkerStatus) -> Value {
    json!({
        "pid": status.pid,
        "restarts": status.restarts,
        "failures": status.failures.iter().copied().collect::<BTreeMap<_, _>>(),
        "breaker": match status.breaker {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Open => "open",
        },
        "lastFault": status.last_fault,
    })
}
