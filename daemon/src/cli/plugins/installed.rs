//! The plugins that a daemon would run: the bundled ones and those of a configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use hallmark_plugin_api::host::{BreakerState, WorkerStatus};
use serde_json::{Value, json};

use crate::audit::log::Hex;
use crate::cli::Outcome;
use crate::cli::output::{self, Format, string};
use crate::config::file::File;
use crate::config::plugin::PluginSection;
use crate::plugin::{Catalog, InstanceStatus};

/// List the plugin instances that the daemon would run.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    from: From,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

/// Print everything that a plugin instance says of itself.
#[derive(Debug, Args)]
pub(in crate::cli) struct Describe {
    /// Name of the instance.
    name: String,
    #[command(flatten)]
    from: From,
    /// Output format.
    #[arg(long, default_value = "yaml")]
    format: Format,
}

#[derive(Debug, Args)]
struct From {
    /// The configuration file of the daemon.
    #[arg(long, value_name = "FILE", env = "HALLMARK_CONFIG")]
    config: Option<PathBuf>,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        output::print_list(
            self.format,
            &self.from.instances()?,
            &[
                ("NAME", |instance| string(instance, "name")),
                ("PLUGIN", |instance| string(instance, "plugin")),
                ("VERSION", |instance| string(instance, "version")),
                ("KEYS", |instance| instance["keys"].to_string()),
                ("REFUSED", |instance| {
                    instance["refusedKeys"].as_array().map_or_else(String::new, |refused| {
                        let ids = refused.iter().map(|key| string(key, "id"));
                        ids.collect::<Vec<_>>().join(", ")
                    })
                }),
                ("ISOLATION", |instance| string(instance, "isolation")),
                ("PID", |instance| {
                    instance["worker"]["pid"]
                        .as_u64()
                        .map_or_else(String::new, |pid| pid.to_string())
                }),
                ("RESTARTS", |instance| {
                    instance["worker"]["restarts"]
                        .as_u64()
                        .map_or_else(String::new, |n| n.to_string())
                }),
                ("SHA256", |instance| string(instance, "sha256")),
            ],
        )?;
        Ok(Outcome::Done)
    }
}

impl Describe {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let instances = self.from.instances()?;
        let found = instances.iter().find(|instance| instance["name"] == json!(self.name));
        let found = found.with_context(|| format!("no plugin is named `{}`", self.name))?;
        output::print(self.format, found)?;
        Ok(Outcome::Done)
    }
}

impl From {
    fn instances(&self) -> anyhow::Result<Vec<Value>> {
        let file = self.config.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let plugins = file.plugins.into_iter().map(PluginSection::resolve);
        let catalog = Catalog::load(&plugins.collect::<Result<Vec<_>, _>>()?)?;
        Ok(catalog.instances().iter().map(describe).collect())
    }
}

fn describe(status: &InstanceStatus) -> Value {
    let refused = status.refused.iter().map(|key| json!({"id": key.id, "why": key.why}));
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
        "refusedKeyCount": status.refused_keys,
        "refusedKeys": refused.collect::<Vec<_>>(),
        "snapshotErrors": status.snapshot_errors,
        "lastError": status.last_error,
        "fault": status.fault(),
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
