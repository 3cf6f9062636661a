//! `hallmark plugins conformance`: does a plugin keep the contract?

use std::time::Duration;

use clap::Args;
use hallmark_plugin_api::conformance::{Effort, Finding, Outcome as Found, Suite};
use serde_json::json;

use super::child;
use super::subject::Subject;
use crate::cli::Outcome;
use crate::cli::output::{self, Format};

/// Try a plugin against every rule of the contract, each in a process of its own.
///
/// Exit code 2 where it breaks one.
#[derive(Debug, Args)]
pub(in crate::cli) struct Conformance {
    #[command(flatten)]
    subject: Subject,
    /// Only the checks whose id begins with this, such as `memory`; may be repeated.
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Threads that use the plugin at once, as far as it permits.
    #[arg(long, value_name = "N", default_value_t = Effort::default().threads)]
    threads: usize,
    /// Calls of each of these threads.
    #[arg(long, value_name = "N", default_value_t = Effort::default().calls)]
    calls: usize,
    /// Instances that are made and ended in search of leaks.
    #[arg(long, value_name = "N", default_value_t = Effort::default().cycles)]
    cycles: usize,
    /// Seconds after which a check counts as hung.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    deadline: u64,
    /// Output format.
    #[arg(long, default_value = "table")]
    format: Format,
}

impl Conformance {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let (threads, calls, cycles) = (self.threads, self.calls, self.cycles);
        let suite = Suite {
            subject: self.subject.pinned()?,
            effort: Effort { threads, calls, cycles },
            deadline: Duration::from_secs(self.deadline),
            only: self.only,
        };
        let mut unprinted = Ok(());
        let findings = suite.run(&child::start, |finding| {
            if self.format == Format::Table && unprinted.is_ok() {
                unprinted = output::line(&row(finding));
            }
        })?;
        unprinted?;
        let count = |found| findings.iter().filter(|finding| finding.outcome == found).count();
        let (passed, failed) = (count(Found::Pass), count(Found::Fail));
        anyhow::ensure!(!findings.is_empty(), "no check begins with what --only says");
        match self.format {
            Format::Table => {
                let skipped = count(Found::NotApplicable);
                let sum = format!("{passed} passed, {failed} failed, {skipped} not applicable");
                output::line(&sum)?;
            }
            format => {
                let conformant = failed == 0;
                output::print(format, &json!({"conformant": conformant, "checks": findings}))?;
            }
        }
        Ok(if failed == 0 { Outcome::Done } else { Outcome::Denied })
    }
}

fn row(finding: &Finding) -> String {
    let word = match finding.outcome {
        Found::Pass => "pass",
        Found::Fail => "FAIL",
        Found::NotApplicable => "  - ",
    };
    format!("{word}  {:22}  {}", finding.id, finding.text)
}
