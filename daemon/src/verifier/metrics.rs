//! Metrics of the verifier.

use std::collections::BTreeMap;

use hallmark_core::attestor::SignatureAlgorithm;
use hallmark_core::verdict::{Unavailable, Verdict};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::lane_metrics::LaneMetrics;
use crate::metrics::Group;

/// Upper bounds of the batch-size histogram, in checks: powers of two around the widths that
/// matter, one check alone to a full batch.
const BATCH_SIZE_BUCKETS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];

/// The values of the label `verdict`.
const VERDICTS: [&str; 6] =
    ["verified", "bad_signature", "overloaded", "deadline", "panicked", "disagreement"];

/// Handles of the verifier's metrics, resolved once. Clones count into the same metrics.
#[derive(Clone, Debug)]
pub struct VerifierMetrics {
    verifications: BTreeMap<SignatureAlgorithm, [IntCounter; VERDICTS.len()]>,
    /// `hallmark_verification_batch_size`, in checks.
    pub batch_size: Histogram,
    /// `hallmark_verification_queue_checks`.
    pub queue_checks: IntGauge,
    /// `hallmark_verifier_panics_total`.
    pub panics: IntCounter,
    /// `hallmark_lane_…`.
    pub lanes: LaneMetrics,
}

impl VerifierMetrics {
    /// Registers the metrics. Fails where they already are.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let verifications: IntCounterVec = group.counter_vec(
            "hallmark_verifications_total",
            "Signature checks that the cache could not answer, by algorithm and verdict.",
            &["algorithm", "verdict"],
        )?;
        let counters = |algorithm: SignatureAlgorithm| {
            VERDICTS.map(|verdict| verifications.with_label_values(&[algorithm.name(), verdict]))
        };
        Ok(Self {
            verifications: SignatureAlgorithm::all().map(|one| (one, counters(one))).collect(),
            batch_size: group.histogram(
                "hallmark_verification_batch_size",
                "Checks verified together in one batch.",
                &BATCH_SIZE_BUCKETS,
            )?,
            queue_checks: group.gauge(
                "hallmark_verification_queue_checks",
                "Checks that wait for a verification thread.",
            )?,
            panics: group.counter(
                "hallmark_verifier_panics_total",
                "Verification batches lost to a panic. Any is a defect: please report it.",
            )?,
            lanes: LaneMetrics::register(registry)?,
        })
    }

    /// Counts one verdict that did not come from the cache.
    pub fn count(&self, algorithm: SignatureAlgorithm, verdict: Verdict) {
        if let Some(counters) = self.verifications.get(&algorithm) {
            counters[index(verdict)].inc();
        }
    }
}

/// The place of a verdict in [`VERDICTS`].
fn index(verdict: Verdict) -> usize {
    match verdict {
        Verdict::Verified(_) => 0,
        Verdict::BadSignature => 1,
        Verdict::Unavailable(Unavailable::Overloaded) => 2,
        Verdict::Unavailable(Unavailable::Deadline) => 3,
        // No check results from an envelope that was not opened.
        Verdict::Unavailable(
            Unavailable::Panicked | Unavailable::Decoder | Unavailable::Holder,
        ) => 4,
        Verdict::Unavailable(Unavailable::Disagreement) => 5,
    }
}

#[cfg(test)]
impl VerifierMetrics {
    /// The number of checks of any algorithm that were given a verdict like this one.
    pub(crate) fn counted(&self, like: Verdict) -> u64 {
        let index = index(like);
        self.verifications.values().map(|counters| counters[index].get()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_and_verdict_has_a_series_from_the_start() {
        let registry = Registry::new();
        let metrics = VerifierMetrics::register(&registry).expect("register");
        metrics.count(SignatureAlgorithm::Ed25519, Verdict::BadSignature);
        let text =
            prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for algorithm in SignatureAlgorithm::all() {
            for verdict in VERDICTS {
                let counted =
                    algorithm == SignatureAlgorithm::Ed25519 && verdict == "bad_signature";
                let line = format!(
                    "hallmark_verifications_total{{algorithm=\"{algorithm}\",verdict=\"{verdict}\"}} {}",
                    u8::from(counted)
                );
                assert!(text.contains(&line), "{line}");
            }
        }
        assert!(VerifierMetrics::register(&registry).is_err(), "registered twice");
    }
}
