//! Requests, connections and sheds. Every handle is resolved once, at registration.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::flow::ClosedCause;
use super::limits::ShedCause;
use super::pace::Held;
use crate::http::dialect::Dialect;
use crate::metrics::{Group, LATENCY_BUCKETS};

/// Every status that the daemon answers with.
const CODES: [u16; 16] =
    [200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 500, 501, 503, 504, 0];

/// The name that the label `api` had: exported beside it for one more release.
const DOOR: &str = "door";

/// The metrics of the server.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: [[IntCounter; CODES.len()]; Dialect::ALL.len()],
    seconds: [Histogram; Dialect::ALL.len()],
    sheds: [IntCounter; ShedCause::ALL.len()],
    closed: [IntCounter; ClosedCause::ALL.len()],
    held_back: [IntCounter; Held::ALL.len()],
    /// Requests at work, operations aside.
    pub in_flight: IntGauge,
    /// Requests that wait for a slot.
    pub waiting: IntGauge,
    /// Bodies on their way in.
    pub bodies: IntGauge,
    /// Bytes of answers on their way out.
    pub answer_bytes: IntGauge,
    /// Connections open.
    pub connections: IntGauge,
}

impl HttpMetrics {
    /// Makes the metrics and registers them. Fails where they are registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let requests: IntCounterVec = group.counter_vec(
            "hallmark_http_requests_total",
            "Requests answered, by dialect and status.",
            &["api", DOOR, "code"],
        )?;
        let seconds = group.histogram_vec(
            "hallmark_http_request_seconds",
            "Seconds from the header of a request to its answer, by dialect.",
            &["api", DOOR],
            &LATENCY_BUCKETS,
        )?;
        let sheds: IntCounterVec = group.counter_vec(
            "hallmark_http_shed_total",
            "Work turned away, by limit reached.",
            &["cause"],
        )?;
        let closed: IntCounterVec = group.counter_vec(
            "hallmark_http_closed_total",
            "Connections ended by the daemon, by cause.",
            &["cause"],
        )?;
        let held_back: IntCounterVec = group.counter_vec(
            "hallmark_http_held_back_total",
            "Connections and answers of strangers held back, by what was.",
            &["what"],
        )?;
        let of_dialect = |dialect: Dialect| {
            CODES.map(|code| {
                let code = if code == 0 { "other".to_owned() } else { code.to_string() };
                requests.with_label_values(&[dialect.name(), dialect.name(), &code])
            })
        };
        Ok(Self {
            requests: Dialect::ALL.map(of_dialect),
            seconds: Dialect::ALL
                .map(|dialect| seconds.with_label_values(&[dialect.name(), dialect.name()])),
            sheds: ShedCause::ALL.map(|cause| sheds.with_label_values(&[cause.name()])),
            closed: ClosedCause::ALL.map(|cause| closed.with_label_values(&[cause.name()])),
            held_back: Held::ALL.map(|held| held_back.with_label_values(&[held.name()])),
            in_flight: group.gauge("hallmark_http_in_flight", "Requests at work.")?,
            waiting: group
                .gauge("hallmark_http_waiting", "Requests that wait for a slot to work in.")?,
            bodies: group.gauge("hallmark_http_bodies", "Bodies of requests on their way in.")?,
            answer_bytes: group
                .gauge("hallmark_http_answer_bytes", "Bytes of answers not yet taken.")?,
            connections: group.gauge("hallmark_http_connections", "Connections open.")?,
        })
    }

    /// Counts one answered request.
    pub fn answered(&self, dialect: Dialect, code: u16) {
        let place = CODES.iter().position(|&known| known == code).unwrap_or(CODES.len() - 1);
        self.requests[dialect as usize][place].inc();
    }

    /// Times one request that was answered whole.
    pub fn took(&self, dialect: Dialect, time: Duration) {
        self.seconds[dialect as usize].observe(time.as_secs_f64());
    }

    /// Counts work turned away.
    pub fn shed(&self, cause: ShedCause) {
        self.sheds[cause as usize].inc();
    }

    /// Counts a connection that the server ended.
    pub fn closed(&self, cause: ClosedCause) {
        self.closed[cause as usize].inc();
    }

    /// The count of what was held back of this kind.
    pub fn held_back(&self, held: Held) -> IntCounter {
        self.held_back[held as usize].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_under_its_api_and_code() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).expect("fresh registry");
        for dialect in Dialect::ALL {
            metrics.answered(dialect, 404);
            metrics.took(dialect, Duration::from_micros(30));
        }
        metrics.answered(Dialect::Unknown, 418);
        metrics.shed(ShedCause::BodyBytes);
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("counters encode");
        for line in [
            r#"hallmark_http_requests_total{api="decisions",code="404",door="decisions"} 1"#,
            r#"hallmark_http_requests_total{api="operations",code="404",door="operations"} 1"#,
            r#"hallmark_http_requests_total{api="unknown",code="other",door="unknown"} 1"#,
            r#"hallmark_http_request_seconds_bucket{api="decisions",door="decisions",le="0.00005"} 1"#,
            r#"hallmark_http_request_seconds_bucket{api="decisions",door="decisions",le="0.00002"} 0"#,
            r#"hallmark_http_shed_total{cause="body_bytes"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
