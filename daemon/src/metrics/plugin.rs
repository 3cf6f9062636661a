//! Metrics of the key sources, brought up to date at every scrape. Their label is `plugin`, since
//! Prometheus keeps `instance` for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

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
}

#[derive(Debug)]
struct Counters {
    errors: IntCounterVec,
    refreshes: IntCounterVec,
    rotations: IntCounterVec,
    log_lost: IntCounterVec,
}

/// One instance at the time of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct PluginReading<'a> {
    /// Name of the instance, from the configuration: bounded.
    pub instance: &'a str,
    /// Age of its last good key snapshot.
    pub age: Option<Duration>,
    /// Keys in it.
    pub keys: usize,
    /// Keys in it that are not used.
    pub refused_keys: usize,
    /// Snapshots that failed.
    pub snapshot_errors: u64,
    /// Calls that failed through the plugin's fault.
    pub call_errors: u64,
    /// For how long there should have been another snapshot.
    pub overdue: Option<Duration>,
    /// Whether its keys are withdrawn.
    pub withdrawn: bool,
    /// Whether it is not there, or its last key snapshot failed.
    pub failing: bool,
    /// Snapshots asked for, by cause.
    pub refreshes: [(&'static str, u64); 3],
    /// Ids that came to name another key.
    pub rotations: u64,
    /// Log lines that were not written.
    pub log_lost: u64,
}

impl PluginMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = Counters {
            errors: counter(
                registry,
                "hallmark_plugin_errors_total",
                "Calls that failed through the plugin's fault, by call.",
                &["plugin", "call"],
            )?,
            refreshes: counter(
                registry,
                "hallmark_plugin_key_refreshes_total",
                "Key snapshots asked for, by cause.",
                &["plugin", "cause"],
            )?,
            rotations: counter(
                registry,
                "hallmark_plugin_key_rotations_total",
                "Key ids that came to name another key, or one more.",
                &["plugin"],
            )?,
            log_lost: counter(
                registry,
                "hallmark_plugin_log_lines_lost_total",
                "Log lines of plugins that were not written, because there were too many.",
                &["plugin"],
            )?,
        };
        let seconds = |name: &str, help: &str| {
            let gauge = GaugeVec::new(Opts::new(name, help), &["plugin"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let number = |name: &str, help: &str| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["plugin"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            age: seconds(
                "hallmark_plugin_key_snapshot_age_seconds",
                "Age of the last good key snapshot.",
            )?,
            overdue: seconds(
                "hallmark_plugin_keys_overdue_seconds",
                "For how long there should have been another key snapshot; 0 where it is fresh.",
            )?,
            keys: number("hallmark_plugin_keys", "Keys in the last good key snapshot.")?,
            refused: number(
                "hallmark_plugin_keys_refused",
                "Keys in the last good key snapshot that are not used.",
            )?,
            withdrawn: number(
                "hallmark_plugin_keys_withdrawn",
                "1 where keys are no longer used, because they could not be had for too long.",
            )?,
            failing: number(
                "hallmark_plugin_failing",
                "1 while it is not there, or its last key snapshot failed.",
            )?,
            counters: Arc::new(Mutex::new(counters)),
        })
    }

    /// Takes down what an instance says of itself.
    pub fn read(&self, reading: &PluginReading<'_>) {
        let instance = reading.instance;
        if let Some(age) = reading.age {
            self.age.with_label_values(&[instance]).set(age.as_secs_f64());
        }
        let overdue = reading.overdue.unwrap_or_default();
        self.overdue.with_label_values(&[instance]).set(overdue.as_secs_f64());
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.keys.with_label_values(&[instance]).set(count(reading.keys as u64));
        self.refused.with_label_values(&[instance]).set(count(reading.refused_keys as u64));
        self.withdrawn.with_label_values(&[instance]).set(reading.withdrawn.into());
        self.failing.with_label_values(&[instance]).set(reading.failing.into());
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let Counters { errors, refreshes, rotations, log_lost } = &*counters;
        advance(errors, &[instance, "snapshot"], reading.snapshot_errors);
        advance(errors, &[instance, "other"], reading.call_errors);
        for (cause, total) in reading.refreshes {
            advance(refreshes, &[instance, cause], total);
        }
        advance(rotations, &[instance], reading.rotations);
        advance(log_lost, &[instance], reading.log_lost);
    }
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn advance(counters: &IntCounterVec, labels: &[&str], total: u64) {
    let counter = counters.with_label_values(labels);
    counter.inc_by(total.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_instance_says_of_itself_is_taken_down_as_it_is() {
        let registry = Registry::new();
        let metrics = PluginMetrics::register(&registry).expect("fresh registry");
        let mut reading = PluginReading {
            instance: "pkix",
            age: Some(Duration::from_millis(1_500)),
            keys: 3,
            refused_keys: 8,
            snapshot_errors: 2,
            call_errors: 0,
            overdue: Some(Duration::from_millis(2_500)),
            withdrawn: true,
            failing: true,
            refreshes: [("due", 4), ("push", 5), ("unknown_key", 6)],
            rotations: 7,
            log_lost: 9,
        };
        metrics.read(&reading);
        reading.snapshot_errors = 5;
        metrics.read(&reading);
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
