//! Metrics of the key sources, brought up to date at every scrape. Their label is `plugin`, since
//! Prometheus keeps `instance` for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hallmark_plugin_api::host::{BreakerState, WorkerStatus};
use prometheus::{CounterVec, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// `hallmark_plugin_*`, by name of the instance.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    age: GaugeVec,
    keys: IntGaugeVec,
    /// Locked, so that two scrapes at once do not both add what is new.
    errors: Arc<Mutex<IntCounterVec>>,
    /// Likewise.
    workers: Arc<Mutex<WorkerMetrics>>,
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
    /// How its worker does, where it has one.
    pub worker: Option<&'a WorkerStatus>,
}

/// `hallmark_plugin_*` of those that run in workers.
#[derive(Debug)]
struct WorkerMetrics {
    breaker: IntGaugeVec,
    restarts: IntCounterVec,
    failures: IntCounterVec,
    calls: IntCounterVec,
    seconds: CounterVec,
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
            workers: Arc::new(Mutex::new(WorkerMetrics::register(registry)?)),
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
        if let Some(worker) = reading.worker {
            self.workers.lock().unwrap_or_else(PoisonError::into_inner).read(instance, worker);
        }
    }
}

impl WorkerMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            breaker: IntGaugeVec::new(
                Opts::new(
                    "hallmark_plugin_breaker_state",
                    "0: the worker is called; 1: it is tried; 2: it is left alone for a while.",
                ),
                &["plugin"],
            )?,
            restarts: IntCounterVec::new(
                Opts::new("hallmark_plugin_worker_restarts_total", "Worker processes made anew."),
                &["plugin"],
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "hallmark_plugin_worker_failures_total",
                    "Worker processes that ended or were killed, by reason.",
                ),
                &["plugin", "reason"],
            )?,
            calls: IntCounterVec::new(
                Opts::new("hallmark_plugin_worker_calls_total", "Calls of a worker."),
                &["plugin"],
            )?,
            seconds: CounterVec::new(
                Opts::new(
                    "hallmark_plugin_worker_call_seconds_total",
                    "Time spent in calls of a worker.",
                ),
                &["plugin"],
            )?,
        };
        registry.register(Box::new(metrics.breaker.clone()))?;
        registry.register(Box::new(metrics.restarts.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.calls.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        Ok(metrics)
    }

    fn read(&self, instance: &str, worker: &WorkerStatus) {
        let state = match worker.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        self.breaker.with_label_values(&[instance]).set(state);
        let raise = |counter: &IntCounterVec, labels: &[&str], total: u64| {
            let counter = counter.with_label_values(labels);
            counter.inc_by(total.saturating_sub(counter.get()));
        };
        raise(&self.restarts, &[instance], worker.restarts);
        raise(&self.calls, &[instance], worker.calls);
        for (reason, total) in worker.failures {
            raise(&self.failures, &[instance, reason], total);
        }
        let seconds = self.seconds.with_label_values(&[instance]);
        seconds.inc_by((worker.call_time.as_secs_f64() - seconds.get()).max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_instance_says_of_itself_is_taken_down_as_it_is() {
        let registry = Registry::new();
        let metrics = PluginMetrics::register(&registry).expect("fresh registry");
        let worker = WorkerStatus {
            pid: None,
            restarts: 7,
            failures: [("late", 4), ("signal", 3), ("exit", 0), ("nonsense", 0), ("start", 0)],
            breaker: BreakerState::Open,
            last_fault: None,
            calls: 9,
            call_time: Duration::from_millis(2_500),
        };
        let mut reading = PluginReading {
            instance: "pkix",
            age: Some(Duration::from_millis(1_500)),
            keys: 3,
            snapshot_errors: 2,
            call_errors: 0,
            worker: Some(&worker),
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
            r#"hallmark_plugin_breaker_state{plugin="pkix"} 2"#,
            r#"hallmark_plugin_worker_restarts_total{plugin="pkix"} 7"#,
            r#"hallmark_plugin_worker_failures_total{plugin="pkix",reason="late"} 4"#,
            r#"hallmark_plugin_worker_calls_total{plugin="pkix"} 9"#,
            r#"hallmark_plugin_worker_call_seconds_total{plugin="pkix"} 2.5"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
