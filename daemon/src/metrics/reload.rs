//! Metrics of taking up changed files, settings and keys.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// `hallmark_reload*`.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    taken: IntCounter,
    refused: IntCounter,
    failing: IntGauge,
}

impl ReloadMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reloads = IntCounterVec::new(
            Opts::new("hallmark_reloads_total", "Reloads that were put in force, or refused."),
            &["outcome"],
        )?;
        let failing = IntGauge::new(
            "hallmark_reload_failing",
            "1 while what is in force is not what the files say, because they make no sense.",
        )?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(failing.clone()))?;
        Ok(Self {
            taken: reloads.with_label_values(&["taken"]),
            refused: reloads.with_label_values(&["refused"]),
            failing,
        })
    }

    /// A reload was put in force.
    pub fn taken(&self) {
        self.taken.inc();
        self.failing.set(0);
    }

    /// A reload was refused: the last good state stays in force.
    pub fn refused(&self) {
        self.refused.inc();
        self.failing.set(1);
    }
}
