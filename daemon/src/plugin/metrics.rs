//! Metrics of the key sources, brought up to date at every scrape. Their label is `plugin`, since
//! Prometheus keeps `instance` for itself.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Registry};
use std::sync::{Arc, Mutex, PoisonError};

use super::status::{InstanceStatus, Refreshes};
use super::worker_metrics::WorkerMetrics;
use crate::metrics::Group;

/// `hallmark_plugin_*`, by name of the instance.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    age: GaugeVec,
    overdue: GaugeVec,
    keys: IntGaugeVec,
    refused: IntGaugeVec,
    withdrawn: IntGaugeVec,
    failing: IntGaugeVec,
    /// Locked, so that two scrapes at once do not both add what is new.
    counters: Arc<Mutex<Counters>>,
    workers: WorkerMetrics,
}

#[derive(Debug)]
struct Counters {
    errors: IntCounterVec,
    refreshes: IntCounterVec,
    rotations: IntCounterVec,
    log_lost: IntCounterVec,
}

impl PluginMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let counters = Counters {
            errors: group.counter_vec(
                "hallmark_plugin_errors_total",
                "Calls that failed through the plugin's fault, by call.",
                &["plugin", "call"],
            )?,
            refreshes: group.counter_vec(
                "hallmark_plugin_key_refreshes_total",
                "Key snapshots asked for, by cause.",
                &["plugin", "cause"],
            )?,
            rotations: group.counter_vec(
                "hallmark_plugin_key_rotations_total",
                "Key ids that came to name another key, or one more.",
                &["plugin"],
            )?,
            log_lost: group.counter_vec(
                "hallmark_plugin_log_lines_lost_total",
                "Log lines of plugins that were not written, because there were too many.",
                &["plugin"],
            )?,
        };
        Ok(Self {
            age: group.gauge_vec(
                "hallmark_plugin_key_snapshot_age_seconds",
                "Age of the last good key snapshot.",
                &["plugin"],
            )?,
            overdue: group.gauge_vec(
                "hallmark_plugin_keys_overdue_seconds",
                "For how long there should have been another key snapshot; 0 where it is fresh.",
                &["plugin"],
            )?,
            keys: group.gauge_vec(
                "hallmark_plugin_keys",
                "Keys in the last good key snapshot.",
                &["plugin"],
            )?,
            refused: group.gauge_vec(
                "hallmark_plugin_keys_refused",
                "Keys in the last good key snapshot that are not used.",
                &["plugin"],
            )?,
            withdrawn: group.gauge_vec(
                "hallmark_plugin_keys_withdrawn",
                "1 where keys are no longer used, because they could not be had for too long.",
                &["plugin"],
            )?,
            failing: group.gauge_vec(
                "hallmark_plugin_failing",
                "1 while it is not there, or its last key snapshot failed.",
                &["plugin"],
            )?,
            counters: Arc::new(Mutex::new(counters)),
            workers: WorkerMetrics::register(registry)?,
        })
    }

    /// Takes down what an instance says of itself.
    pub fn read(&self, status: &InstanceStatus) {
        let instance = status.name.as_str();
        if let Some(worker) = &status.worker {
            self.workers.read(instance, worker);
        }
        if let Some(age) = status.snapshot_age {
            self.age.with_label_values(&[instance]).set(age.as_secs_f64());
        }
        let overdue = status.overdue.unwrap_or_default();
        self.overdue.with_label_values(&[instance]).set(overdue.as_secs_f64());
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.keys.with_label_values(&[instance]).set(count(status.keys));
        self.refused.with_label_values(&[instance]).set(count(status.refused_keys));
        self.withdrawn.with_label_values(&[instance]).set(status.withdrawn.into());
        let failing = !status.is_made || status.last_error.is_some();
        self.failing.with_label_values(&[instance]).set(failing.into());
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).read(status);
    }
}

impl Counters {
    fn read(&self, status: &InstanceStatus) {
        let instance = status.name.as_str();
        advance(&self.errors, &[instance, "snapshot"], status.snapshot_errors);
        advance(&self.errors, &[instance, "other"], status.call_errors);
        let Refreshes { due, push, unknown_key } = status.refreshes;
        for (cause, total) in [("due", due), ("push", push), ("unknown_key", unknown_key)] {
            advance(&self.refreshes, &[instance, cause], total);
        }
        advance(&self.rotations, &[instance], status.rotations);
        advance(&self.log_lost, &[instance], status.log_lost);
    }
}

/// Brings a counter to `total`, which is counted elsewhere.
pub(super) fn advance(counters: &IntCounterVec, labels: &[&str], total: u64) {
    let counter = counters.with_label_values(labels);
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_an_instance_says_of_itself_is_taken_down_as_it_is() {
        let registry = Registry::new();
        let metrics = PluginMetrics::register(&registry).expect("fresh registry");
        let mut status = InstanceStatus {
            name: "pkix".to_owned(),
            snapshot_age: Some(Duration::from_millis(1_500)),
            keys: 3,
            refused_keys: 8,
            snapshot_errors: 2,
            overdue: Some(Duration::from_millis(2_500)),
            withdrawn: true,
            refreshes: Refreshes { due: 4, push: 5, unknown_key: 6 },
            rotations: 7,
            log_lost: 9,
            ..InstanceStatus::default()
        };
        metrics.read(&status);
        status.snapshot_errors = 5;
        metrics.read(&status);
        let text =
            prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for line in [
            r#"hallmark_plugin_key_snapshot_age_seconds{plugin="pkix"} 1.5"#,
            r#"hallmark_plugin_keys{plugin="pkix"} 3"#,
            r#"hallmark_plugin_keys_refused{plugin="pkix"} 8"#,
            r#"hallmark_plugin_keys_overdue_seconds{plugin="pkix"} 2.5"#,
            r#"hallmark_plugin_keys_withdrawn{plugin="pkix"} 1"#,
            r#"hallmark_plugin_failing{plugin="pkix"} 1"#,
            r#"hallmark_plugin_key_refreshes_total{cause="due",plugin="pkix"} 4"#,
            r#"hallmark_plugin_key_refreshes_total{cause="unknown_key",plugin="pkix"} 6"#,
            r#"hallmark_plugin_key_rotations_total{plugin="pkix"} 7"#,
            r#"hallmark_plugin_log_lines_lost_total{plugin="pkix"} 9"#,
            r#"hallmark_plugin_errors_total{call="snapshot",plugin="pkix"} 5"#,
            r#"hallmark_plugin_errors_total{call="other",plugin="pkix"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
