//! `hallmark validate-running`: what of that which runs would be denied today, and why.
//!
//! `pods` reads what runs, `verdict` asks the daemon about it, each thing once, and `report` shows
//! the results.

mod pods;
mod report;
mod verdict;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Outcome;
use super::client::{Client, Target, read_input};
use super::output;
use pods::Running;
use report::Report;
use verdict::{Question, Verdict};

/// Questions sent at once: the daemon reads ahead, and a bar moves often enough.
const QUESTIONS_AT_ONCE: usize = 500;

/// Cells of the progress bar.
const BAR_CELLS: usize = 30;

/// Ask which running pods would be denied today.
///
/// Nothing is changed in the cluster. Exits with 0 where every pod would be let in again, if only
/// for a dry run or for break-glass, and 2 where one would not. The daemon records every decision.
#[derive(Debug, Args)]
pub(super) struct ValidateRunning {
    /// Pods as `kubectl get pods -A -o json` prints them; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pods: PathBuf,
    /// Ask the cluster of this kubeconfig for its pods instead; runs `kubectl`.
    #[arg(long, conflicts_with = "pods")]
    kubeconfig: Option<PathBuf>,
    /// LOCATION.CLUSTER, for rules of clusters.
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Output format.
    #[arg(long, value_enum, default_value = "table")]
    format: ReportFormat,
}

/// Output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    /// Pods that would be denied, in columns for people.
    Table,
    /// Everything, as one document.
    Json,
    /// Numbers, for the textfile collector of the node exporter.
    Prometheus,
}

impl ValidateRunning {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let project = self.target.project()?.to_owned();
        let pods = match &self.kubeconfig {
            Some(kubeconfig) => kubectl(kubeconfig)?,
            None => read_input(&self.pods)?,
        };
        let running = Running::read(&pods)?;
        drop(pods);
        let client = self.target.connect()?;
        let questions = Question::all(&running);
        let ask = |questions: &[Question]| -> anyhow::Result<Vec<u8>> {
            let mut lines = Vec::new();
            for question in questions {
                serde_json::to_writer(
                    &mut lines,
                    &question.request(&project, self.cluster.as_deref()),
                )?;
                lines.push(b'\n');
            }
            Ok(lines)
        };
        let verdicts = decide(&client, &questions, ask)?;
        let report = Report::new(&running, &questions, &verdicts);
        match self.format {
            ReportFormat::Table => report.print_table()?,
            ReportFormat::Json => {
                let json = report.json(&project, self.cluster.as_deref());
                output::line(&serde_json::to_string_pretty(&json)?)?;
            }
            ReportFormat::Prometheus => output::text(&report.prometheus())?,
        }
        Ok(if report.is_clean() { Outcome::Done } else { Outcome::Denied })
    }
}

/// The pods of all namespaces.
fn kubectl(kubeconfig: &Path) -> anyhow::Result<Vec<u8>> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig).args(["get", "pods", "-A", "-o", "json"]);
    let hint = "cannot run kubectl: install it, or pipe `kubectl get pods -A -o json` in";
    let output = command.output().context(hint)?;
    if !output.status.success() {
        bail!("kubectl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// One verdict for each question.
fn decide(
    client: &Client,
    questions: &[Question],
    lines: impl Fn(&[Question]) -> anyhow::Result<Vec<u8>>,
) -> anyhow::Result<Vec<Verdict>> {
    let progress = Progress::new(questions.len());
    let mut verdicts = Vec::with_capacity(questions.len());
    for some in questions.chunks(QUESTIONS_AT_ONCE) {
        progress.show(verdicts.len());
        let answer = client.post_lines("/v1/decisions", lines(some)?)?;
        let answers = answer.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let before = verdicts.len();
        for line in answers {
            let answer: Value =
                serde_json::from_slice(line).context("the daemon answered a line without JSON")?;
            verdicts.push(Verdict::of(&answer));
        }
        if verdicts.len() - before != some.len() {
            bail!("the daemon broke the stream off: is it going away? try again");
        }
    }
    progress.show(verdicts.len());
    progress.end();
    Ok(verdicts)
}

/// A bar on standard error, where a person may look at it.
struct Progress {
    total: usize,
    is_seen: bool,
}

impl Progress {
    fn new(total: usize) -> Self {
        Self { total, is_seen: total > 0 && std::io::stderr().is_terminal() }
    }

    fn show(&self, done: usize) {
        if self.is_seen {
            let full = done * BAR_CELLS / self.total;
            let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR_CELLS - full));
            self.write(&format!("\r[{bar}] {done}/{} images", self.total));
        }
    }

    fn end(&self) {
        if self.is_seen {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // A bar that cannot be shown is no reason to stop.
        drop(write!(std::io::stderr(), "{text}"));
    }
}
