//! Metrics of plugins that run in processes of their own, brought up to date at every scrape.

use std::sync::{Arc, Mutex, PoisonError};

use hallmark_plugin_api::host::{BreakerState, WorkerStatus};
use prometheus::{CounterVec, IntCounterVec, IntGaugeVec, Registry};

use super::metrics::advance;
use crate::metrics::Group;

/// `hallmark_plugin_worker_*` and the state of the breaker, by name of the instance.
#[derive(Clone, Debug)]
pub(super) struct WorkerMetrics {
    breaker: IntGaugeVec,
    /// Locked, so that two scrapes at once do not both add what is new.
    counters: Arc<Mutex<Counters>>,
}

#[derive(Debug)]
struct Counters {
    restarts: IntCounterVec,
    failures: IntCounterVec,
    calls: IntCounterVec,
    seconds: CounterVec,
}

impl WorkerMetrics {
    /// Registers the group.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let breaker = group.gauge_vec(
            "hallmark_plugin_breaker_state",
            "0: the worker is called; 1: it is tried; 2: it is left alone for a while.",
            &["plugin"],
        )?;
        let counters = Counters {
            restarts: group.counter_vec(
                "hallmark_plugin_worker_restarts_total",
                "Worker processes made anew.",
                &["plugin"],
            )?,
            failures: group.counter_vec(
                "hallmark_plugin_worker_failures_total",
                "Worker processes that ended or were killed, by reason.",
                &["plugin", "reason"],
            )?,
            calls: group.counter_vec(
                "hallmark_plugin_worker_calls_total",
                "Calls of a worker.",
                &["plugin"],
            )?,
            seconds: group.counter_vec(
                "hallmark_plugin_worker_call_seconds_total",
                "Time spent in calls of a worker.",
                &["plugin"],
            )?,
        };
        Ok(Self { breaker, counters: Arc::new(Mutex::new(counters)) })
    }

    /// Takes down how a worker does.
    pub(super) fn read(&self, instance: &str, worker: &WorkerStatus) {
        let state = match worker.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        self.breaker.with_label_values(&[instance]).set(state);
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        advance(&counters.restarts, &[instance], worker.restarts);
        advance(&counters.calls, &[instance], worker.calls);
        for (reason, total) in worker.failures {
            advance(&counters.failures, &[instance, reason], total);
        }
        let seconds = counters.seconds.with_label_values(&[instance]);
        seconds.inc_by((worker.call_time.as_secs_f64() - seconds.get()).max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn how_a_worker_does_is_taken_down_once() {
        let registry = Registry::new();
        let metrics = WorkerMetrics::register(&registry).expect("fresh registry");
        let worker = WorkerStatus {
            pid: None,
            restarts: 7,
            failures: [("late", 4), ("signal", 3), ("exit", 0), ("nonsense", 0), ("start", 0)],
            breaker: BreakerState::Open,
            last_fault: None,
            calls: 9,
            call_time: Duration::from_millis(2_500),
        };
        metrics.read("acme", &worker);
        metrics.read("acme", &worker);
        let text =
            prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for line in [
            r#"hallmark_plugin_breaker_state{plugin="acme"} 2"#,
            r#"hallmark_plugin_worker_restarts_total{plugin="acme"} 7"#,
            r#"hallmark_plugin_worker_failures_total{plugin="acme",reason="late"} 4"#,
            r#"hallmark_plugin_worker_calls_total{plugin="acme"} 9"#,
            r#"hallmark_plugin_worker_call_seconds_total{plugin="acme"} 2.5"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
