//! Metrics of the key sources, brought up to date at every scrape.

use std::time::Duration;

use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

/// `hallmark_plugin_*`, by instance.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    age: GaugeVec,
    keys: IntGaugeVec,
    errors: IntGaugeVec,
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
    /// Snapshots that failed.
    pub snapshot_errors: u64,
    /// Calls that failed through the plugin's fault.
    pub call_errors: u64,
}

impl PluginMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| Opts::new(name, help);
        let metrics = Self {
            age: GaugeVec::new(
                gauge(
                    "hallmark_plugin_key_snapshot_age_seconds",
                    "Age of the last good key snapshot.",
                ),
                &["instance"],
            )?,
            keys: IntGaugeVec::new(
                gauge("hallmark_plugin_keys", "Keys in the last good key snapshot."),
                &["instance"],
            )?,
            errors: IntGaugeVec::new(
                gauge("hallmark_plugin_errors", "Calls that failed since the start, by call."),
                &["instance", "call"],
            )?,
        };
        registry.register(Box::new(metrics.age.clone()))?;
        registry.register(Box::new(metrics.keys.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        Ok(metrics)
    }

    /// Takes down what an instance says of itself.
    pub fn read(&self, reading: &PluginReading<'_>) {
        let instance = reading.instance;
        if let Some(age) = reading.age {
            self.age.with_label_values(&[instance]).set(age.as_secs_f64());
        }
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.keys.with_label_values(&[instance]).set(count(reading.keys as u64));
        let errors = |call| self.errors.with_label_values(&[instance, call]);
        errors("snapshot").set(count(reading.snapshot_errors));
        errors("other").set(count(reading.call_errors));
    }
}
