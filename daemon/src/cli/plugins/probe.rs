//! `hallmark plugins probe`: one short life of a plugin, in a process of its own.

use std::time::Duration;

use clap::Args;
use hallmark_plugin_api::conformance::{Fate, Probed, Task, perform};
use serde_json::{Value, json};

use super::child;
use super::subject::Subject;
use crate::cli::Outcome;
use crate::cli::output::{self, Format, string};

/// Time that all steps together may take.
const DEADLINE: Duration = Duration::from_secs(5);

/// Load a plugin in a process of its own, make an instance, list its keys, end it.
///
/// Exit code 2 where a step fails, hangs or crashes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Probe {
    #[command(flatten)]
    subject: Subject,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Probe {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let job = self.subject.job(Task::Probe)?;
        let seen = match perform::<Probed>(&child::start, &job, DEADLINE) {
            Ok(probed) => serde_json::to_value(probed)?,
            Err(Fate::Spawn(error)) => return Err(error.into()),
            Err(fate) => json!({"fault": format!("the plugin {fate}")}),
        };
        match self.format {
            Format::Table => output::text(&sentences(&seen))?,
            format => output::print(format, &seen)?,
        }
        let well = seen["fault"].is_null() && seen["refusedCount"] == json!(0);
        Ok(if well { Outcome::Done } else { Outcome::Denied })
    }
}

fn sentences(seen: &Value) -> String {
    let mut text = String::new();
    if seen["plugin"].is_string() {
        let said = ["plugin", "version", "vendor"].map(|member| string(seen, member));
        text += &format!("{} {} by {}\n", said[0], said[1], said[2]);
    }
    for step in seen["steps"].as_array().into_iter().flatten() {
        let (name, millis) = (step[0].as_str().unwrap_or_default(), &step[1]);
        text += &format!("  {name}: {millis} ms\n");
    }
    if let Some(count) = seen["keyCount"].as_u64().filter(|&count| count > 0) {
        text += &format!("{count} keys\n");
    }
    for refused in seen["refused"].as_array().into_iter().flatten() {
        let part = |nth: usize| refused[nth].as_str().unwrap_or_default();
        text += &format!("  not used: {}: {}\n", part(0), part(1));
    }
    for key in seen["keys"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        text += &format!("  {key}\n");
    }
    match seen["fault"].as_str() {
        Some(fault) => text + &format!("FAILED: {fault}\n"),
        None => match seen["refusedCount"].as_u64().unwrap_or_default() {
            0 => text + "all well\n",
            count => text + &format!("FAILED: the daemon would not use {count} of its keys\n"),
        },
    }
}
