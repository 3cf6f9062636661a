//! What verification in lanes counts.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

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
        let counter = |name: &str, help: &str| -> Result<_, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let engine = IntGaugeVec::new(
            Opts::new(
                "hallmark_lane_engine",
                "1 for the engine that verifies in lanes. 0 once lanes and library disagreed.",
            ),
            &["engine"],
        )?;
        let table_bytes = IntGauge::new(
            "hallmark_lane_table_bytes",
            "Memory of the tables of keys that verify in lanes.",
        )?;
        registry.register(Box::new(engine.clone()))?;
        registry.register(Box::new(table_bytes.clone()))?;
        Ok(Self {
            engine,
            checks: counter("hallmark_lane_checks_total", "Signature checks done in lanes.")?,
            rechecks: counter(
                "hallmark_lane_rechecks_total",
                "Checks done in lanes that a library was asked about again.",
            )?,
            disagreements: counter(
                "hallmark_lane_disagreements_total",
                "Times that a library disagreed. Any is a defect: please report it.",
            )?,
            tables_built: counter(
                "hallmark_lane_tables_built_total",
                "Tables computed for keys that turned hot.",
            )?,
            table_bytes,
        })
    }

    /// Says whether the engine of this name is in use.
    pub fn in_use(&self, engine: &str, yes: bool) {
        self.engine.with_label_values(&[engine]).set(i64::from(yes));
    }
}
