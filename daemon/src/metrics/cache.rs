//! Metrics of the caches of verdicts and of evaluations.

use moka::notification::RemovalCause;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::Group;

/// Handles of the caches' metrics, resolved once. Clones count into the same metrics.
#[derive(Clone, Debug)]
pub struct CacheMetrics {
    /// `cache="verdict"`.
    pub verdict: CacheCounters,
    /// `cache="evaluation"`.
    pub evaluation: CacheCounters,
    /// `cache="conformance"`.
    pub conformance: CacheCounters,
}

/// The metrics of one cache.
#[derive(Clone, Debug)]
pub struct CacheCounters {
    /// `hallmark_cache_requests_total{outcome="hit"}`: answered by an entry.
    pub hits: IntCounter,
    /// `hallmark_cache_requests_total{outcome="miss"}`: had to be worked out.
    pub misses: IntCounter,
    /// `hallmark_cache_requests_total{outcome="shared"}`: answered by work under way.
    pub shared: IntCounter,
    evicted_for_size: IntCounter,
    evicted_by_replacement: IntCounter,
    bytes: IntGauge,
    entries: IntGauge,
}

impl CacheMetrics {
    /// Registers the metrics. Fails where they already are.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let requests: IntCounterVec = group.counter_vec(
            "hallmark_cache_requests_total",
            "Lookups: answered by an entry, worked out, or answered by work under way.",
            &["cache", "outcome"],
        )?;
        let evictions: IntCounterVec = group.counter_vec(
            "hallmark_cache_evictions_total",
            "Entries dropped: for size, or replaced by a newer answer.",
            &["cache", "cause"],
        )?;
        let bytes: IntGaugeVec = group.gauge_vec(
            "hallmark_cache_bytes",
            "Estimated size of all entries, in bytes.",
            &["cache"],
        )?;
        let entries: IntGaugeVec =
            group.gauge_vec("hallmark_cache_entries", "Entries held.", &["cache"])?;
        let counters = |cache| CacheCounters {
            hits: requests.with_label_values(&[cache, "hit"]),
            misses: requests.with_label_values(&[cache, "miss"]),
            shared: requests.with_label_values(&[cache, "shared"]),
            evicted_for_size: evictions.with_label_values(&[cache, "size"]),
            evicted_by_replacement: evictions.with_label_values(&[cache, "replaced"]),
            bytes: bytes.with_label_values(&[cache]),
            entries: entries.with_label_values(&[cache]),
        };
        Ok(Self {
            verdict: counters("verdict"),
            evaluation: counters("evaluation"),
            conformance: counters("conformance"),
        })
    }
}

impl CacheCounters {
    /// Counts one entry dropped. No cache expires or invalidates entries, so a cause is
    /// either size or replacement.
    pub(crate) fn evicted(&self, cause: RemovalCause) {
        match cause {
            RemovalCause::Size => self.evicted_for_size.inc(),
            RemovalCause::Replaced | RemovalCause::Expired | RemovalCause::Explicit => {
                self.evicted_by_replacement.inc();
            }
        }
    }

    /// States how much the cache holds.
    pub(crate) fn holds(&self, entries: u64, bytes: u64) {
        self.entries.set(entries.try_into().unwrap_or(i64::MAX));
        self.bytes.set(bytes.try_into().unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
impl CacheCounters {
    /// Entries and bytes, as of the last refresh.
    pub(crate) fn held(&self) -> (i64, i64) {
        (self.entries.get(), self.bytes.get())
    }

    /// Entries dropped for size.
    pub(crate) fn evicted_for_size(&self) -> u64 {
        self.evicted_for_size.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cache_has_its_series_from_the_start() {
        let registry = Registry::new();
        let metrics = CacheMetrics::register(&registry).expect("register");
        metrics.verdict.hits.inc();
        metrics.evaluation.evicted(RemovalCause::Size);
        metrics.evaluation.holds(3, 4_000);
        let text =
            prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for line in [
            "hallmark_cache_requests_total{cache=\"verdict\",outcome=\"hit\"} 1",
            "hallmark_cache_requests_total{cache=\"verdict\",outcome=\"miss\"} 0",
            "hallmark_cache_requests_total{cache=\"evaluation\",outcome=\"shared\"} 0",
            "hallmark_cache_evictions_total{cache=\"evaluation\",cause=\"size\"} 1",
            "hallmark_cache_evictions_total{cache=\"verdict\",cause=\"replaced\"} 0",
            "hallmark_cache_entries{cache=\"evaluation\"} 3",
            "hallmark_cache_bytes{cache=\"evaluation\"} 4000",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(CacheMetrics::register(&registry).is_err(), "registered twice");
    }
}
