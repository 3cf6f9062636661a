//! Requests, connections and sheds. Every handle is resolved once, at registration.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::latency;

/// The dialect that a request speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `/v1/decisions`.
    Decisions,
    /// AdmissionReview, from a Kubernetes API server.
    AdmissionReview,
    /// ImageReview, from a Kubernetes API server.
    ImageReview,
    /// Gatekeeper's external data provider.
    ExternalData,
    /// Google's Binary Authorization API.
    BinaryAuthorization,
    /// Google's Container Analysis API.
    ContainerAnalysis,
    /// The sliver of Google's Cloud KMS API.
    CloudKms,
    /// `/livez`, `/readyz`, `/version`, `/metrics`.
    Operations,
    /// No route was found.
    Unknown,
}

impl Door {
    const ALL: [Self; 9] = [
        Self::Decisions,
        Self::AdmissionReview,
        Self::ImageReview,
        Self::ExternalData,
        Self::BinaryAuthorization,
        Self::ContainerAnalysis,
        Self::CloudKms,
        Self::Operations,
        Self::Unknown,
    ];

    /// The word in metrics and audit records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::AdmissionReview => "admission_review",
            Self::ImageReview => "image_review",
            Self::ExternalData => "external_data",
            Self::BinaryAuthorization => "binaryauthorization",
            Self::ContainerAnalysis => "containeranalysis",
            Self::CloudKms => "cloudkms",
            Self::Operations => "operations",
            Self::Unknown => "unknown",
        }
    }
}

/// Why work was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShedCause {
    /// Too many connections.
    Connections,
    /// Too many requests at work.
    Requests,
    /// Too many ndjson streams.
    Streams,
    /// Too many bytes of bodies.
    BodyBytes,
    /// Too many TLS handshakes.
    Handshakes,
}

impl ShedCause {
    const ALL: [Self; 5] =
        [Self::Connections, Self::Requests, Self::Streams, Self::BodyBytes, Self::Handshakes];

    /// The word in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Streams => "streams",
            Self::BodyBytes => "body_bytes",
            Self::Handshakes => "handshakes",
        }
    }
}

/// Every status that the daemon answers with.
const CODES: [u16; 16] =
    [200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 500, 501, 503, 504, 0];

/// The metrics of the server.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: [[IntCounter; CODES.len()]; Door::ALL.len()],
    seconds: [Histogram; Door::ALL.len()],
    sheds: [IntCounter; ShedCause::ALL.len()],
    /// Requests at work, operations aside.
    pub in_flight: IntGauge,
    /// Connections open.
    pub connections: IntGauge,
}

impl HttpMetrics {
    /// Makes the metrics and registers them. Fails where they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("hallmark_http_requests_total", "Requests answered, by dialect and status."),
            &["door", "code"],
        )?;
        let seconds = HistogramVec::new(
            latency(
                "hallmark_http_request_seconds",
                "Seconds from the header of a request to its answer, by dialect.",
            ),
            &["door"],
        )?;
        let sheds = IntCounterVec::new(
            Opts::new("hallmark_http_shed_total", "Work turned away, by limit reached."),
            &["cause"],
        )?;
        let in_flight = IntGauge::new("hallmark_http_in_flight", "Requests at work.")?;
        let connections = IntGauge::new("hallmark_http_connections", "Connections open.")?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(sheds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        let of_door = |door: Door| {
            CODES.map(|code| {
                let code = if code == 0 { "other".to_owned() } else { code.to_string() };
                requests.with_label_values(&[door.name(), &code])
            })
        };
        Ok(Self {
            requests: Door::ALL.map(of_door),
            seconds: Door::ALL.map(|door| seconds.with_label_values(&[door.name()])),
            sheds: ShedCause::ALL.map(|cause| sheds.with_label_values(&[cause.name()])),
            in_flight,
            connections,
        })
    }

    /// Counts one answered request.
    pub fn answered(&self, door: Door, code: u16) {
        let place = CODES.iter().position(|&known| known == code).unwrap_or(CODES.len() - 1);
        self.requests[door as usize][place].inc();
    }

    /// Times one request that was answered whole.
    pub fn took(&self, door: Door, time: Duration) {
        self.seconds[door as usize].observe(time.as_secs_f64());
    }

    /// Counts work turned away.
    pub fn shed(&self, cause: ShedCause) {
        self.sheds[cause as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_door_and_code() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).expect("fresh registry");
        for door in Door::ALL {
            metrics.answered(door, 404);
            metrics.took(door, Duration::from_micros(30));
        }
        metrics.answered(Door::Unknown, 418);
        metrics.shed(ShedCause::BodyBytes);
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("counters encode");
        for line in [
            r#"hallmark_http_requests_total{code="404",door="decisions"} 1"#,
            r#"hallmark_http_requests_total{code="404",door="operations"} 1"#,
            r#"hallmark_http_requests_total{code="other",door="unknown"} 1"#,
            r#"hallmark_http_request_seconds_bucket{door="decisions",le="0.00005"} 1"#,
            r#"hallmark_http_request_seconds_bucket{door="decisions",le="0.00002"} 0"#,
            r#"hallmark_http_shed_total{cause="body_bytes"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
