//! Metrics of who may do what.

use prometheus::{IntGauge, Registry};

use crate::metrics::Group;

/// `hallmark_issuer_*`.
#[derive(Clone, Debug)]
pub struct AuthMetrics {
    refused_keys: IntGauge,
}

impl AuthMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused_keys = Group(registry).gauge(
            "hallmark_issuer_keys_refused",
            "Keys of issuers of tokens that are passed over, because nothing can be verified with them.",
        )?;
        Ok(Self { refused_keys })
    }

    /// Shows how many keys of issuers are passed over.
    pub fn show(&self, refused_keys: usize) {
        self.refused_keys.set(i64::try_from(refused_keys).unwrap_or(i64::MAX));
    }
}
