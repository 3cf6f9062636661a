//! Metrics of verification in lanes.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Registry};

use crate::metrics::Group;

/// Handles of the metrics of lanes. Clones count into the same metrics.
#[derive(Clone, Debug)]
pub struct LaneMetrics {
    engine: IntGaugeVec,
    /// `hallmark_lane_checks_total`.
    pub checks: IntCounter,
    /// `hallmark_lane_rechecks_total`.
    pub rechecks: IntCounter,
    /// `hallmark_lane_disagreements_total`.
    pub disagreements: IntCounter,
    /// `hallmark_lane_tables_built_total`.
    pub tables_built: IntCounter,
    /// `hallmark_lane_table_bytes`.
    pub table_bytes: IntGauge,
}

impl LaneMetrics {
    /// Registers the metrics. Fails where they already are.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        Ok(Self {
            engine: group.gauge_vec(
                "hallmark_lane_engine",
                "1 for the engine that verifies in lanes. 0 once lanes and library disagreed.",
                &["engine"],
            )?,
            checks: group
                .counter("hallmark_lane_checks_total", "Signature checks done in lanes.")?,
            rechecks: group.counter(
                "hallmark_lane_rechecks_total",
                "Checks done in lanes that a library was asked about again.",
            )?,
            disagreements: group.counter(
                "hallmark_lane_disagreements_total",
                "Times that a library disagreed. Any is a defect: please report it.",
            )?,
            tables_built: group.counter(
                "hallmark_lane_tables_built_total",
                "Tables computed for keys that turned hot.",
            )?,
            table_bytes: group.gauge(
                "hallmark_lane_table_bytes",
                "Memory of the tables of keys that verify in lanes.",
            )?,
        })
    }

    /// Says whether the engine of this name is in use.
    pub fn in_use(&self, engine: &str, yes: bool) {
        self.engine.with_label_values(&[engine]).set(i64::from(yes));
    }
}
