//! Metrics of taking up changed files, settings and keys.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use crate::metrics::Group;

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
        let group = Group(registry);
        let reloads: IntCounterVec = group.counter_vec(
            "hallmark_reloads_total",
            "Reloads that were put in force, or refused.",
            &["outcome"],
        )?;
        Ok(Self {
            taken: reloads.with_label_values(&["taken"]),
            refused: reloads.with_label_values(&["refused"]),
            failing: group.gauge(
                "hallmark_reload_failing",
                "1 while what is in force is not what the files say, because they make no sense.",
            )?,
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
