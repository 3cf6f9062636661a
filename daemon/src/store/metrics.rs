//! Metrics of the store: its times, its failures, and the size of its group commits.

use std::time::Instant;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use crate::metrics::{Group, LATENCY_BUCKETS};

/// Writes in one commit; ends at the committer's group limit.
const GROUP_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The operation that the store was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum StoreOperation {
    /// The list of projects.
    Projects,
    /// The policy and attestors of a project.
    Project,
    /// One note.
    Note,
    /// A page of notes.
    Notes,
    /// One occurrence.
    Occurrence,
    /// A page of occurrences.
    Occurrences,
    /// The attestations of notes and digests.
    Evidence,
    /// One IAM policy.
    IamPolicy,
    /// One platform policy.
    PlatformPolicy,
    /// A page of platform policies.
    PlatformPolicies,
    /// A write, from being handed over to being durable.
    Apply,
}

const OPERATIONS: [&str; 11] = [
    "projects",
    "project",
    "note",
    "notes",
    "occurrence",
    "occurrences",
    "evidence",
    "iam_policy",
    "platform_policy",
    "platform_policies",
    "apply",
];

/// The reason why the store did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum StoreFailure {
    /// There is no such resource.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Somebody wrote in between.
    EtagMismatch,
    /// As much is filed for a note and a digest as may be.
    Exhausted,
    /// It does not go with what is there.
    Refused,
    /// This store is not written to.
    ReadOnly,
    /// The disk is at fault.
    Unavailable,
}

const FAILURES: [&str; 7] = [
    "not_found",
    "already_exists",
    "etag_mismatch",
    "exhausted",
    "refused",
    "read_only",
    "unavailable",
];

/// The metrics of the embedded store. Cloning shares them.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    seconds: Vec<Histogram>,
    errors: Vec<IntCounter>,
    commit_writes: Histogram,
}

impl StoreMetrics {
    /// Registers `hallmark_store_seconds`, `hallmark_store_errors_total` and
    /// `hallmark_store_commit_writes`.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let seconds: HistogramVec = group.histogram_vec(
            "hallmark_store_seconds",
            "Seconds that the store took, by operation.",
            &["operation"],
            &LATENCY_BUCKETS,
        )?;
        let errors: IntCounterVec = group.counter_vec(
            "hallmark_store_errors_total",
            "Operations that the store refused or failed, by kind.",
            &["operation", "kind"],
        )?;
        Ok(Self {
            seconds: OPERATIONS
                .iter()
                .map(|operation| seconds.with_label_values(&[operation]))
                .collect(),
            errors: OPERATIONS
                .iter()
                .flat_map(|operation| {
                    FAILURES.map(|kind| errors.with_label_values(&[operation, kind]))
                })
                .collect(),
            commit_writes: group.histogram(
                "hallmark_store_commit_writes",
                "Writes made durable by one commit.",
                &GROUP_BUCKETS,
            )?,
        })
    }

    /// Runs `work` and records how long it took and how it failed.
    pub fn observe<T, E>(
        &self,
        operation: StoreOperation,
        failure: impl FnOnce(&E) -> StoreFailure,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let start = Instant::now();
        let result = work();
        self.seconds[operation as usize].observe(start.elapsed().as_secs_f64());
        if let Err(error) = &result {
            self.errors[operation as usize * FAILURES.len() + failure(error) as usize].inc();
        }
        result
    }

    /// Records how many writes one commit made durable.
    pub fn committed(&self, writes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "at most the committer's group limit")]
        self.commit_writes.observe(writes as f64);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn a_failure_is_counted_by_operation_and_kind() {
        let registry = Registry::new();
        let metrics = StoreMetrics::register(&registry).unwrap();
        let fails = || Err("gone");
        let failed: Result<(), _> =
            metrics.observe(StoreOperation::Apply, |_| StoreFailure::NotFound, fails);
        assert_eq!(failed, Err("gone"));
        let done = || Ok::<_, &str>(());
        metrics.observe(StoreOperation::Evidence, |_| StoreFailure::Unavailable, done).unwrap();
        metrics.committed(3);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            r#"hallmark_store_errors_total{kind="not_found",operation="apply"} 1"#,
            r#"hallmark_store_errors_total{kind="unavailable",operation="apply"} 0"#,
            r#"hallmark_store_seconds_count{operation="evidence"} 1"#,
            r#"hallmark_store_commit_writes_bucket{le="4"} 1"#,
            r#"hallmark_store_commit_writes_bucket{le="2"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
