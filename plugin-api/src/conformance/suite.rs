//! The whole suite: every check in a child of its own.

use std::time::Duration;

use super::catalogue::{CHECKS, Check};
use super::finding::{Finding, Outcome};
use super::job::{Effort, Job, Subject, Task};
use super::launch::{Fate, Start, perform};

/// The checks to run, and the plugin, effort and deadline to run them with.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The plugin.
    pub subject: Subject,
    /// The effort with which it is tried.
    pub effort: Effort,
    /// The time that one check may take before the plugin counts as hung.
    pub deadline: Duration,
    /// Ids of the checks to run, or their beginnings, such as `memory`; all where it is empty.
    pub only: Vec<String>,
}

impl Suite {
    /// Runs the checks one after the other. `seen` is told of each finding as it is made.
    ///
    /// # Errors
    /// A child could not be started: nothing is known of the plugin.
    pub fn run(
        &self,
        start: Start<'_>,
        mut seen: impl FnMut(&Finding),
    ) -> Result<Vec<Finding>, std::io::Error> {
        let mut findings = Vec::new();
        for check in CHECKS.iter().filter(|check| self.wants(check.id)) {
            let finding = self.finding(check, start)?;
            seen(&finding);
            findings.push(finding);
        }
        Ok(findings)
    }

    fn wants(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| id.starts_with(wanted.as_str()))
    }

    fn finding(&self, check: &Check, start: Start<'_>) -> Result<Finding, std::io::Error> {
        let job = Job {
            subject: self.subject.clone(),
            effort: self.effort,
            task: Task::Check(check.id.to_owned()),
        };
        match perform(start, &job, self.deadline) {
            Ok(finding) => Ok(finding),
            Err(Fate::Spawn(error)) => Err(error),
            Err(fate) => Ok(Finding {
                id: check.id.to_owned(),
                outcome: Outcome::Fail,
                text: format!("the plugin {fate}; the rule: {}", check.rule),
            }),
        }
    }
}
