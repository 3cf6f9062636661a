//! Metrics of the audit log.

use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntGauge, Registry};

use crate::metrics::{Group, LATENCY_BUCKETS};

/// `hallmark_audit_*`.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    records: IntCounter,
    errors: IntCounter,
    append: Histogram,
    lag: Gauge,
    writable: IntGauge,
    damages: IntCounter,
    limited: IntCounter,
    free: IntGauge,
    reserve: IntGauge,
}

impl AuditMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        Ok(Self {
            records: group.counter("hallmark_audit_records_total", "Records appended.")?,
            errors: group.counter(
                "hallmark_audit_errors_total",
                "Appends and syncs that failed; every one of the former denied its requests.",
            )?,
            append: group.histogram(
                "hallmark_audit_append_seconds",
                "Time of one append of a group of records to the log.",
                &LATENCY_BUCKETS,
            )?,
            lag: group.gauge(
                "hallmark_audit_lag_seconds",
                "Age of the oldest record not known to be on the disk, at the last sync.",
            )?,
            writable: group.gauge(
                "hallmark_audit_writable",
                "1 if the log takes records; 0 if everything is denied because it does not.",
            )?,
            damages: group.counter(
                "hallmark_audit_damages_total",
                "Times that the log's file was found removed, replaced, cut, changed or unsynced.",
            )?,
            limited: group.counter(
                "hallmark_audit_limited_total",
                "Records refused, and what they would have recorded denied, because their principal \
                 had used up what it may write.",
            )?,
            free: group.gauge("hallmark_audit_free_bytes", "Bytes left on the log's disk.")?,
            reserve: group.gauge(
                "hallmark_audit_reserve_bytes",
                "Bytes left on the log's disk below which the daemon warns.",
            )?,
        })
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

    /// The log takes records, or does not.
    pub fn writable(&self, writable: bool) {
        self.writable.set(i64::from(writable));
    }

    /// The log's file cannot be gone on with.
    pub fn damaged(&self) {
        self.damages.inc();
    }

    /// So many records of a principal were refused that had used up what it may write.
    pub fn limited(&self, records: usize) {
        self.limited.inc_by(records as u64);
    }

    /// The log's disk has this many bytes left, and a warning is given below `reserve`.
    pub fn room(&self, free: u64, reserve: u64) {
        self.free.set(i64::try_from(free).unwrap_or(i64::MAX));
        self.reserve.set(i64::try_from(reserve).unwrap_or(i64::MAX));
    }
}
