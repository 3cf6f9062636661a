//! Metrics of decisions and of the snapshot that they are made under.

use std::time::Duration;

use hallmark_core::decision::Decision;
use hallmark_core::platform::result::Conformance;
use hallmark_core::policy::EnforcementMode;
use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use crate::metrics::{Group, LATENCY_BUCKETS};

const OUTCOMES: [&str; 3] = ["allowed", "denied", "undetermined"];
const RULES: [&str; 6] =
    ["none", "default", "cluster", "namespace", "service_account", "istio_identity"];
/// `advisory`: whatever resulted from it was a warning at most, and the pods are decided when they
/// come.
const MODES: [&str; 4] = ["none", "enforced", "dry_run", "advisory"];

/// `hallmark_decision*` and `hallmark_snapshot_*`.
#[derive(Clone, Debug)]
pub struct DecisionMetrics {
    /// By outcome, rule kind, mode, in the order of the constants.
    images: Vec<IntCounter>,
    /// By verdict.
    pods: [IntCounter; Conformance::ALL.len()],
    break_glass: IntCounter,
    total: Histogram,
    gather: Histogram,
    verify: Histogram,
    generation: IntGauge,
    snapshot_age: Gauge,
    impaired_attestors: IntGauge,
}

impl DecisionMetrics {
    /// Registers the group.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let group = Group(registry);
        let images: IntCounterVec = group.counter_vec(
            "hallmark_decisions_total",
            "Images decided, before dry run and break-glass.",
            &["outcome", "rule", "mode"],
        )?;
        let mut handles = Vec::new();
        for outcome in OUTCOMES {
            for rule in RULES {
                for mode in MODES {
                    handles.push(images.with_label_values(&[outcome, rule, mode]));
                }
            }
        }
        let pods: IntCounterVec = group.counter_vec(
            "hallmark_pods_evaluated_total",
            "Pods held against a platform policy, by verdict.",
            &["verdict"],
        )?;
        Ok(Self {
            images: handles,
            pods: Conformance::ALL.map(|verdict| pods.with_label_values(&[verdict.as_str()])),
            break_glass: group.counter(
                "hallmark_break_glass_total",
                "Requests that asked for break-glass, whatever their outcome.",
            )?,
            total: group.histogram(
                "hallmark_decision_seconds",
                "Time from the parsed request to the recorded decision.",
                &LATENCY_BUCKETS,
            )?,
            gather: group.histogram(
                "hallmark_decision_gather_seconds",
                "Time to read the evidence of a batch of requests.",
                &LATENCY_BUCKETS,
            )?,
            verify: group.histogram(
                "hallmark_decision_verify_seconds",
                "Time to verify the signatures of a batch of requests, queueing included.",
                &LATENCY_BUCKETS,
            )?,
            generation: group
                .gauge("hallmark_snapshot_generation", "Generation of the snapshot in force.")?,
            snapshot_age: group.gauge(
                "hallmark_snapshot_age_seconds",
                "Time since the snapshot in force was published.",
            )?,
            impaired_attestors: group
                .gauge("hallmark_attestors_impaired", "Attestors of which a key cannot be used.")?,
        })
    }

    /// A decision was recorded, `elapsed` after its request had been parsed. `advisory`: it was
    /// asked for to warn, not to let in.
    pub fn decided(&self, decision: &Decision, advisory: bool, elapsed: Duration) {
        self.total.observe(elapsed.as_secs_f64());
        if decision.break_glass {
            self.break_glass.inc();
        }
        for image in &decision.images {
            let outcome = match (image.allowed, image.reason.is_undetermined()) {
                (true, _) => 0,
                (false, false) => 1,
                (false, true) => 2,
            };
            let kind = image.rule.as_ref().map_or("none", |rule| rule.kind());
            let rule = RULES.iter().position(|&rule| rule == kind).unwrap_or(0);
            let mode = match image.enforcement {
                _ if advisory => 3,
                None => 0,
                Some(EnforcementMode::EnforcedBlockAndAuditLog) => 1,
                Some(EnforcementMode::DryrunAuditLogOnly) => 2,
            };
            if let Some(counter) =
                self.images.get((outcome * RULES.len() + rule) * MODES.len() + mode)
            {
                counter.inc();
            }
        }
    }

    /// An answer for one pod under a platform policy was recorded.
    pub fn conformed(&self, verdict: Conformance) {
        self.pods[verdict as usize].inc();
    }

    /// The evidence of a batch was read in `elapsed`.
    pub fn gathered(&self, elapsed: Duration) {
        self.gather.observe(elapsed.as_secs_f64());
    }

    /// The signatures of a batch were verified in `elapsed`.
    pub fn verified(&self, elapsed: Duration) {
        self.verify.observe(elapsed.as_secs_f64());
    }

    /// The snapshot in force at a scrape, how long it has been, and of how many of its attestors a
    /// key cannot be used.
    pub fn snapshot(&self, generation: u64, age: Duration, impaired_attestors: usize) {
        self.impaired_attestors.set(i64::try_from(impaired_attestors).unwrap_or(i64::MAX));
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.snapshot_age.set(age.as_secs_f64());
    }
}
