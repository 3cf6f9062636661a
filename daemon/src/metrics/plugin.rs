//! Metrics of the key sources, brought up to date at every scrape. Their label is `plugin`, since
//! Prometheus keeps `instance` for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// `hallmark_plugin_*`, by name of the instance.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    age: GaugeVec,
    keys: IntGaugeVec,
    /// Locked, so that two scrapes at once do not both add what is new.
    errors: Arc<Mutex<IntCounterVec>>,
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
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let errors = IntCounterVec::new(
            opts(
                "hallmark_plugin_errors_total",
                "Calls that failed through the plugin's fault, by call.",
            ),
            &["plugin", "call"],
        )?;
        registry.register(Box::new(errors.clone()))?;
        let metrics = Self {
            age: GaugeVec::new(
                opts(
                    "hallmark_plugin_key_snapshot_age_seconds",
                    "Age of the last good key snapshot.",
                ),
                &["plugin"],
            )?,
            keys: IntGaugeVec::new(
                opts("hallmark_plugin_keys", "Keys in the last good key snapshot."),
                &["plugin"],
            )?,
            errors: Arc::new(Mutex::new(errors)),
        };
        registry.register(Box::new(metrics.age.clone()))?;
        registry.register(Box::new(metrics.keys.clone()))?;
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
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = |call, total: u64| {
            let counter = errors.with_label_values(&[instance, call]);
            counter.inc_by(total.saturating_sub(counter.get()));
        };
        errors("snapshot", reading.snapshot_errors);
        errors("other", reading.call_errors);
    }
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
            snapshot_errors: 2,
            call_errors: 0,
        };
        metrics.read(&reading);
        reading.snapshot_errors = 5;
        metrics.read(&reading);
        let text =
            prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for line in [
            r#"hallmark_plugin_key_snapshot_age_seconds{plugin="pkix"} 1.5"#,
            r#"hallmark_plugin_keys{plugin="pkix"} 3"#,
            r#"hallmark_plugin_errors_total{call="snapshot",plugin="pkix"} 5"#,
            r#"hallmark_plugin_errors_total{call="other",plugin="pkix"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
