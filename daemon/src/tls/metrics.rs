//! Metrics of TLS.

use prometheus::{IntCounter, IntGauge, Registry};

use crate::metrics::Group;

/// `hallmark_tls_*`.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    /// Zero where TLS is not spoken.
    pub not_after: IntGauge,
    /// Handshakes that came to nothing.
    pub handshake_errors: IntCounter,
}

impl TlsMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        Ok(Self {
            not_after: group.gauge(
                "hallmark_tls_certificate_expiry_timestamp_seconds",
                "When the serving certificate expires, in Unix seconds.",
            )?,
            handshake_errors: group.counter(
                "hallmark_tls_handshake_errors_total",
                "TLS handshakes that failed or took too long.",
            )?,
        })
    }
}
