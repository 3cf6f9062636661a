//! Everything that a running daemon is made of.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::evaluate::Request;
use hallmark_core::limits::Limits;
use prometheus::Registry;
use serde_json::Value;

use super::metrics::ReloadMetrics;
use super::{StartError, system_policy};
use crate::admit::metrics::DecisionMetrics;
use crate::admit::{Gate, Origin, admit};
use crate::audit::Audit;
use crate::audit::metrics::AuditMetrics;
use crate::auth::Guard;
use crate::auth::metrics::AuthMetrics;
use crate::cache::{EvaluationCache, EvidenceEpochs};
use crate::config::{self, Config, Source};
use crate::evidence::EvidenceSource;
use crate::followed::metrics::LookMetrics;
use crate::http::Api;
use crate::http::engine::Engine;
use crate::http::engine::access::Authorizer;
use crate::http::engine::browser_guard::BrowserGuard;
use crate::http::engine::capacity::Capacity;
use crate::http::engine::metrics::HttpMetrics;
use crate::http::engine::readiness::Readiness;
use crate::http::engine::writing::WriteLog;
use crate::metrics::cache::CacheMetrics;
use crate::plugin::metrics::PluginMetrics;
use crate::plugin::{Catalog, Decoders, KeyHolders, KeyVersions};
use crate::resources::Resources;
use crate::snapshot::Snapshots;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::files::LiveFiles;
use crate::store::metrics::StoreMetrics;
use crate::tls::metrics::TlsMetrics;
use crate::verifier::Verifier;
use crate::verifier::metrics::VerifierMetrics;

/// Everything that a running daemon is made of.
pub struct Parts {
    /// The way in.
    pub api: Arc<Api>,
    /// The gate behind it, which decides.
    pub gate: Arc<Gate>,
    /// Where resources live.
    pub store: Arc<dyn Store>,
    /// Where keys come from.
    pub catalog: Arc<Catalog>,
    /// The snapshots under which decisions are made.
    pub snapshots: Arc<Snapshots>,
    /// Tells cached evaluations from those that new evidence has overtaken.
    pub epochs: Arc<EvidenceEpochs>,
    /// Counts what was taken up of changes to them, and what was not.
    pub reloads: ReloadMetrics,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Parts {
    /// Builds them, from the ground up.
    pub fn build(config: &Config) -> Result<Self, StartError> {
        let registry = Registry::new();
        let catalog = Arc::new(Catalog::start(&config.plugins)?);
        let plugin_metrics = PluginMetrics::register(&registry)?;
        let reloads = ReloadMetrics::register(&registry)?;
        let store = open(&config.source, &registry)?;
        let snapshots = Arc::new(Snapshots::new(config.without_policy));
        let epochs = Arc::new(EvidenceEpochs::new());
        let system = Arc::new(system_policy::read(config)?);
        let generation = snapshots.rebuild_all(&*store, &*catalog, system)?;
        let gate = Arc::new(gate(config, &registry, &store, &catalog, &snapshots, &epochs)?);
        let resources = Resources::new(
            Arc::clone(&store),
            Arc::clone(&catalog) as _,
            Arc::clone(&snapshots),
            Arc::clone(&epochs),
            Arc::clone(&gate) as _,
        );
        let engine = Arc::new(engine(config, &registry, &gate, &resources)?);
        let key_versions = KeyVersions::new(Arc::clone(&catalog), config.key_versions.clone());
        for (name, why) in key_versions.unserved() {
            tracing::warn!(name, why, "an entry of kms_keys is served by no plugin");
        }
        engine.readiness.store_opened();
        engine.readiness.snapshot_loaded(generation);
        let api = Arc::new(Api {
            engine,
            gate: Arc::clone(&gate),
            resources,
            key_versions,
            kubernetes: config.kubernetes,
            refresh: Box::new(scrape(&gate, &catalog, plugin_metrics)),
            look_metrics: LookMetrics::register(&registry)?,
            auth_metrics: AuthMetrics::register(&registry)?,
            registry,
        });
        Ok(Self { api, gate, store, catalog, snapshots, epochs, reloads })
    }
}

/// Brings up to date what is only measured when somebody looks.
fn scrape(
    gate: &Arc<Gate>,
    catalog: &Arc<Catalog>,
    plugins: PluginMetrics,
) -> impl Fn() + Send + Sync + 'static {
    let (gate, catalog) = (Arc::clone(gate), Arc::clone(catalog));
    move || {
        gate.verifier.refresh_metrics();
        gate.evaluations.refresh_metrics();
        gate.conformance.refresh_metrics();
        let snapshot = gate.snapshots.current();
        let age = snapshot.published.map_or(Duration::ZERO, |at| at.elapsed());
        gate.metrics.snapshot(snapshot.generation, age, snapshot.attestor_errors(0).1);
        catalog.instances().iter().for_each(|status| plugins.read(status));
    }
}

fn open(source: &Source, registry: &Registry) -> Result<Arc<dyn Store>, StartError> {
    match source {
        Source::Data(dir) => {
            let metrics = StoreMetrics::register(registry)?;
            Ok(Arc::new(EmbeddedStore::open(dir, metrics)?))
        }
        Source::Files(dir) => Ok(Arc::new(LiveFiles::load(dir)?)),
    }
}

fn gate(
    config: &Config,
    registry: &Registry,
    store: &Arc<dyn Store>,
    catalog: &Arc<Catalog>,
    snapshots: &Arc<Snapshots>,
    epochs: &Arc<EvidenceEpochs>,
) -> Result<Gate, StartError> {
    let caches = CacheMetrics::register(registry)?;
    let verifier_metrics = VerifierMetrics::register(registry)?;
    let threads = config.verifier.threads.get();
    let limits = Limits::DEFAULT;
    Ok(Gate {
        snapshots: Arc::clone(snapshots),
        catalog: Arc::clone(catalog),
        evidence: EvidenceSource::new(Arc::clone(store)),
        epochs: Arc::clone(epochs),
        evaluations: EvaluationCache::new(config.evaluation_cache_bytes, caches.evaluation),
        conformance: EvaluationCache::new(config.conformance_cache_bytes, caches.conformance),
        decoders: Decoders::new(Arc::clone(catalog), threads),
        holders: KeyHolders::new(Arc::clone(catalog), threads),
        verifier: Verifier::new(config.verifier, verifier_metrics, caches.verdict)?,
        audit: Audit::open(&config.audit, AuditMetrics::register(registry)?)
            .map_err(|source| StartError::Audit { dir: config.audit.dir.clone(), source })?,
        metrics: DecisionMetrics::register(registry)?,
        limits,
    })
}

fn engine(
    config: &Config,
    registry: &Registry,
    gate: &Gate,
    resources: &Resources,
) -> Result<Engine, StartError> {
    let metrics = HttpMetrics::register(registry)?;
    let guard = config.auth.clone().map(Guard::load).transpose()?.unwrap_or_default();
    Ok(Engine {
        limits: config.limits,
        capacity: Capacity::new(config.limits, &metrics),
        metrics,
        tls_metrics: TlsMetrics::register(registry)?,
        readiness: Readiness::default(),
        authorizer: Authorizer { guard, resources: resources.clone() },
        browser_guard: BrowserGuard { allowed_hosts: config.allowed_hosts.clone() },
        write_log: WriteLog::new(gate.audit.clone()),
    })
}

/// Decides one request with the resources in a directory of files, through the same path as the
/// daemon. Its audit log lies in a directory that is removed afterwards.
pub fn decide_offline(config_dir: &Path, request: Request) -> Result<Value, StartError> {
    let audit_dir = std::env::temp_dir().join(format!("hallmark-{}", uuid::Uuid::new_v4()));
    let file = config::file::File {
        config_dir: Some(config_dir.to_owned()),
        audit: config::audit::AuditSection { dir: Some(audit_dir.clone()), ..Default::default() },
        ..Default::default()
    };
    let config = file.resolve(1)?;
    let decided = decide_once(&config, request);
    if let Err(error) = std::fs::remove_dir_all(&audit_dir) {
        tracing::warn!(%error, dir = %audit_dir.display(), "left behind");
    }
    decided
}

fn decide_once(config: &Config, request: Request) -> Result<Value, StartError> {
    let parts = Parts::build(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let origin = Origin { api: "offline", principal: None, review: None };
    let deadline = Instant::now() + config.limits.request_deadline;
    let decisions = runtime.block_on(admit(&parts.gate, &origin, vec![request], deadline));
    let decision = decisions.first().map(|recorded| serde_json::from_slice(&recorded.json));
    Ok(decision.and_then(Result::ok).unwrap_or_default())
}
