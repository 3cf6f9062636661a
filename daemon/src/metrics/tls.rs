//! Metrics of TLS.

use prometheus::{IntCounter, IntGauge, Registry};

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
        let metrics = Self {
            not_after: IntGauge::new(
                "hallmark_tls_certificate_expiry_timestamp_seconds",
                "When the serving certificate expires, in Unix seconds.",
            )?,
            handshake_errors: IntCounter::new(
                "hallmark_tls_handshake_errors_total",
                "TLS handshakes that failed or took too long.",
            )?,
        };
        registry.register(Box::new(metrics.not_after.clone()))?;
        registry.register(Box::new(metrics.handshake_errors.clone()))?;
        Ok(metrics)
    }
}
