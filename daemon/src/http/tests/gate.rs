//! Doors before a gate of real parts.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use hallmark_core::limits::Limits;
use prometheus::Registry;

use crate::admit::Gate;
use crate::audit::Audit;
use crate::audit::writer::{AuditConfig, Durability};
use crate::cache::EvaluationCache;
use crate::evidence::EvidenceSource;
use crate::http::Doors;
use crate::http::limits::ServerLimits;
use crate::metrics::audit::AuditMetrics;
use crate::metrics::cache::CacheMetrics;
use crate::metrics::decision::DecisionMetrics;
use crate::metrics::verifier::VerifierMetrics;
use crate::resources::tests::fixture::World;
use crate::verifier::{Verifier, VerifierConfig};

/// Doors to what `world` holds.
pub(super) fn doors(limits: ServerLimits, world: &World) -> Doors {
    let registry = Registry::new();
    let caches = CacheMetrics::register(&registry).expect("a fresh registry");
    let config = VerifierConfig {
        threads: NonZeroUsize::MIN,
        queue_checks_max: NonZeroUsize::MIN,
        batch_checks_max: NonZeroUsize::MIN,
        verdict_cache_bytes_max: 0,
    };
    let metrics = VerifierMetrics::register(&registry).expect("a fresh registry");
    // The log keeps its file open; nothing reads it here, so its directory may go at once.
    let dir = tempfile::tempdir().expect("a directory");
    let audit = AuditConfig {
        dir: dir.path().to_owned(),
        durability: Durability::Write,
        rotate_bytes: u64::MAX,
        sync_interval: Duration::from_secs(3_600),
    };
    let audit_metrics = AuditMetrics::register(&registry).expect("a fresh registry");
    let gate = Gate {
        snapshots: Arc::clone(&world.snapshots),
        evidence: EvidenceSource::new(world.store.clone(), Limits::DEFAULT.occurrences_max),
        epochs: Arc::clone(&world.epochs),
        evaluations: EvaluationCache::new(0, caches.evaluation),
        verifier: Verifier::new(config, metrics, caches.verdict).expect("the arithmetic is right"),
        audit: Audit::open(&audit, audit_metrics).expect("the directory is writable"),
        metrics: DecisionMetrics::register(&registry).expect("a fresh registry"),
        limits: Limits::DEFAULT,
    };
    let resources = world.resources.clone();
    Doors::new(Arc::new(gate), resources, registry, limits).expect("a fresh registry")
}
