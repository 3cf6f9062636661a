//! `hallmark plugins bench`: how fast a plugin answers.

use std::time::Duration;

use clap::Args;
use hallmark_plugin_api::conformance::{Rate, Task, perform};
use serde_json::Value;

use super::child;
use super::subject::Subject;
use crate::cli::Outcome;
use crate::cli::output::{self, Format, string};

/// Time that starting, loading and ending may take beside the measurements.
const GRACE: Duration = Duration::from_secs(60);
/// Calls of the contract that take batches.
const CALLS: u32 = 3;

/// Measure how many items a second a plugin answers.
#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    #[command(flatten)]
    subject: Subject,
    /// Items in a batch, one measurement for each.
    #[arg(long, value_name = "N,N…", value_delimiter = ',', default_value = "1,16,256")]
    batch: Vec<usize>,
    /// Threads that call, as far as the plugin permits.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Milliseconds of each measurement.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    millis: u64,
    /// In a worker, as the daemon runs plugins that are not its own.
    #[arg(long)]
    worker: bool,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let Self { batch, threads, millis, worker, .. } = self;
        let measurements = CALLS * u32::try_from(batch.len()).unwrap_or(u32::MAX);
        let work = Duration::from_millis(millis).saturating_mul(measurements);
        let job = self.subject.job(Task::Bench { batches: batch, threads, millis, worker })?;
        let rates: Result<Vec<Rate>, String> =
            perform(&child::start, &job, work.saturating_add(GRACE))
                .map_err(|fate| anyhow::anyhow!("the plugin {fate}"))?;
        let rates = rates.map_err(anyhow::Error::msg)?;
        let rows = rates.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
        output::print_list(
            self.format,
            &rows,
            &[
                ("CALL", |rate| string(rate, "call")),
                ("BATCH", |rate| rate["batch"].to_string()),
                ("THREADS", |rate| rate["threads"].to_string()),
                ("ITEMS/S", |rate| rate["itemsPerSecond"].to_string()),
                ("US/ITEM", |rate| format!("{:.2}", number(&rate["microsPerItem"]))),
            ],
        )?;
        Ok(Outcome::Done)
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
