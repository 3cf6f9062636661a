//! Metrics of the audit log.

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, Registry};

use super::latency;

/// `hallmark_audit_*`.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    records: IntCounter,
    errors: IntCounter,
    append: Histogram,
    lag: Gauge,
}

impl AuditMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            records: IntCounter::new("hallmark_audit_records_total", "Records appended.")?,
            errors: IntCounter::new(
                "hallmark_audit_errors_total",
                "Appends and syncs that failed; every one of the former denied its requests.",
            )?,
            append: Histogram::with_opts(latency(
                "hallmark_audit_append_seconds",
                "Time of one append of a group of records to the log.",
            ))?,
            lag: Gauge::new(
                "hallmark_audit_lag_seconds",
                "Age of the oldest record not known to be on the disk, at the last sync.",
            )?,
        };
        registry.register(Box::new(metrics.records.clone()))?;
        registry.register(Box::new(metrics.errors.clone()))?;
        registry.register(Box::new(metrics.append.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        Ok(metrics)
    }

    /// A group of `lines` was appended in `elapsed`.
    pub fn appended(&self, lines: usize, elapsed: Duration) {
        self.records.inc_by(lines as u64);
        self.append.observe(elapsed.as_secs_f64());
    }

    /// An append or a sync failed.
    pub fn failed(&self) {
        self.errors.inc();
    }

    /// The oldest record of the sync that begins now is `lag` old.
    pub fn lag(&self, lag: Duration) {
        self.lag.set(lag.as_secs_f64());
    }
}
