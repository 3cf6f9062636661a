//! Metrics of looks at files that are followed.

use std::collections::BTreeMap;

use prometheus::{IntGaugeVec, Registry};

use crate::metrics::Group;

/// The resources of `--config-dir`.
pub const CONFIG_DIR: &str = "config-dir";
/// Certificates and keys of TLS.
pub const TLS: &str = "tls";
/// Who may do what.
pub const AUTH: &str = "auth";

/// `hallmark_files_look_*`.
#[derive(Clone, Debug)]
pub struct LookMetrics {
    /// Zero for files that are not followed.
    age: IntGaugeVec,
}

impl LookMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let age: IntGaugeVec = Group(registry).gauge_vec(
            "hallmark_files_look_age_seconds",
            "Time since files that are followed were last looked at, to the end.",
            &["files"],
        )?;
        for files in [CONFIG_DIR, TLS, AUTH] {
            age.with_label_values(&[files]).set(0);
        }
        Ok(Self { age })
    }

    /// Shows the ages in seconds, by what the files are for.
    pub fn show(&self, ages: &BTreeMap<&'static str, u64>) {
        for (files, age) in ages {
            self.age.with_label_values(&[files]).set(i64::try_from(*age).unwrap_or(i64::MAX));
        }
    }
}
