//! Everything that a running daemon is made of.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hallmark_core::evaluate::Request;
use hallmark_core::image::Digest;
use hallmark_core::limits::Limits;
use hallmark_lanes::Kernel;
use prometheus::Registry;
use serde_json::Value;

use super::metrics::ReloadMetrics;
use super::{StartError, system_policy};
use crate::admit::metrics::DecisionMetrics;
use crate::admit::{Gate, Origin, admit};
use crate::audit::Audit;
use crate::audit::allowance::AllowanceLimits;
use crate::audit::metrics::AuditMetrics;
use crate::audit::writer::AuditConfig;
use crate::auth::Guard;
use crate::auth::metrics::AuthMetrics;
use crate::cache::{EvaluationCache, EvidenceEpochs};
use crate::config::plugin::Plugin;
use crate::config::{self, Config, LaneEngine, Source};
use crate::evidence::EvidenceSource;
use crate::followed::metrics::LookMetrics;
use crate::http::Api;
use crate::http::engine::Engine;
use crate::http::engine::access::Authorizer;
use crate::http::engine::browser_guard::BrowserGuard;
use crate::http::engine::capacity::Capacity;
use crate::http::engine::limits::ServerLimits;
use crate::http::engine::metrics::HttpMetrics;
use crate::http::engine::readiness::Readiness;
use crate::http::engine::writing::WriteLog;
use crate::metrics::cache::CacheMetrics;
use crate::plugin::metrics::PluginMetrics;
use crate::plugin::{Catalog, Decoders, KeyHolders, KeyVersions, PluginConfig, Rotation};
use crate::resources::Resources;
use crate::snapshot::Snapshots;
use crate::store::Store;
use crate::store::embedded::EmbeddedStore;
use crate::store::files::LiveFiles;
use crate::store::metrics::StoreMetrics;
use crate::tls::metrics::TlsMetrics;
use crate::verifier::metrics::VerifierMetrics;
use crate::verifier::{LanesConfig, Verifier, VerifierConfig};

/// Interval at which the audit log is looked after, and synced unless that is done at every append.
const AUDIT_SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Time in which a log file that was removed or damaged may be put back, before a new one continues
/// the chain. Two looks of a readiness probe (`periodSeconds: 2` in `deploy/kubernetes`) and a
/// margin, so that a balancer turns to another replica first, and an outage is long enough to be
/// seen.
const AUDIT_MEND_AFTER: Duration = Duration::from_secs(5);

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
        let catalog = Arc::new(Catalog::start(&plugins(&config.plugins)?)?);
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

/// The plugin instances as configured; a pin that is no SHA-256 is the operator's fault.
pub fn plugins(written: &[Plugin]) -> Result<Vec<PluginConfig>, StartError> {
    let instance = |plugin: &Plugin| {
        let refused = |error: String| StartError::PluginConfig { name: plugin.name.clone(), error };
        let pins = plugin.sha256.iter().map(|hex| pin(hex)).collect::<Result<_, _>>();
        Ok(PluginConfig {
            name: plugin.name.clone(),
            path: plugin.path.clone(),
            pins: pins.map_err(refused)?,
            rotation: rotation(plugin).map_err(refused)?,
            config: serde_json::to_value(&plugin.config)
                .map_err(|error| refused(error.to_string()))?,
            secrets: plugin.secrets.clone(),
            isolation: plugin.isolation,
            limits: plugin.worker_limits()?,
            ids: plugin.ids.clone(),
        })
    };
    written.iter().map(instance).collect()
}

/// A month: who cannot mend a key source by then has none.
const STALE_GRACE_SECS_MAX: u64 = 2_592_000;
/// A day, as the longest time to live of the bundled key sources.
const UNKNOWN_KEY_REFRESH_SECS_MAX: u64 = 86_400;

fn rotation(plugin: &Plugin) -> Result<Rotation, String> {
    let default = Rotation::default();
    let grace = plugin.stale_grace_secs.unwrap_or(default.stale_grace.as_secs());
    if !(1..=STALE_GRACE_SECS_MAX).contains(&grace) {
        return Err(format!("stale_grace_secs is {grace}: give 1 to {STALE_GRACE_SECS_MAX}"));
    }
    let unknown_key_interval = match plugin.unknown_key_refresh_secs {
        None => default.unknown_key_interval,
        Some(0) => None,
        Some(secs) if secs <= UNKNOWN_KEY_REFRESH_SECS_MAX => Some(Duration::from_secs(secs)),
        Some(secs) => {
            let max = UNKNOWN_KEY_REFRESH_SECS_MAX;
            return Err(format!("unknown_key_refresh_secs is {secs}: give 0 to {max}"));
        }
    };
    let stale_grace = Duration::from_secs(grace);
    Ok(Rotation { stale_grace, allow_empty: plugin.allow_empty, unknown_key_interval })
}

fn pin(hex: &str) -> Result<[u8; 32], String> {
    let digest = format!("sha256:{hex}").parse::<Digest>();
    digest.map(|digest| digest.0).map_err(|_| format!("`{hex}` is not a SHA-256 in hexadecimal"))
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
    let verifier = VerifierConfig {
        threads: at_least_one(config.verifier.threads),
        queue_checks_max: at_least_one(config.verifier.queue_checks),
        batch_checks_max: at_least_one(config.verifier.batch_checks),
        verdict_cache_bytes_max: config.cache.verdict_bytes,
        lanes: lanes(&config.lanes),
    };
    let verifier_metrics = VerifierMetrics::register(registry)?;
    let limits = Limits::DEFAULT;
    Ok(Gate {
        snapshots: Arc::clone(snapshots),
        catalog: Arc::clone(catalog),
        evidence: EvidenceSource::new(Arc::clone(store)),
        epochs: Arc::clone(epochs),
        evaluations: EvaluationCache::new(config.cache.evaluation_bytes, caches.evaluation),
        conformance: EvaluationCache::new(config.cache.conformance_bytes, caches.conformance),
        decoders: Decoders::new(Arc::clone(catalog), config.verifier.threads.max(1)),
        holders: KeyHolders::new(Arc::clone(catalog), config.verifier.threads.max(1)),
        verifier: Verifier::new(verifier, verifier_metrics, caches.verdict)?,
        audit: audit(&config.audit, registry)?,
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
    let limits = server_limits(&config.limits);
    let metrics = HttpMetrics::register(registry)?;
    let guard = config.auth.clone().map(Guard::load).transpose()?.unwrap_or_default();
    Ok(Engine {
        limits,
        capacity: Capacity::new(limits, &metrics),
        metrics,
        tls_metrics: TlsMetrics::register(registry)?,
        readiness: Readiness::default(),
        authorizer: Authorizer { guard, resources: resources.clone() },
        browser_guard: BrowserGuard { allowed_hosts: config.allowed_hosts.clone() },
        write_log: WriteLog::new(gate.audit.clone()),
    })
}

fn lanes(config: &config::Lanes) -> Option<LanesConfig> {
    let kernel = match config.engine {
        LaneEngine::Auto => None,
        LaneEngine::Ifma => Some(Kernel::Ifma),
        LaneEngine::Portable => Some(Kernel::Portable),
        LaneEngine::Off => return None,
    };
    Some(LanesConfig {
        kernel,
        hot_checks: config.hot_checks,
        table_bytes_max: config.table_bytes,
        recheck_one_in: config.recheck_one_in,
    })
}

fn audit(config: &config::Audit, registry: &Registry) -> Result<Audit, StartError> {
    let metrics = AuditMetrics::register(registry)?;
    let settings = AuditConfig {
        dir: config.dir.clone(),
        durability: config.durability,
        rotate_bytes: config.rotate_bytes,
        sync_interval: AUDIT_SYNC_INTERVAL,
        mend_after: AUDIT_MEND_AFTER,
        reserve_bytes: config.reserve_bytes,
        allowance: AllowanceLimits {
            bytes_per_second: config.principal_bytes_per_second,
            burst_bytes: config.principal_burst_bytes,
        },
    };
    Audit::open(&settings, metrics)
        .map_err(|source| StartError::Audit { dir: config.dir.clone(), source })
}

fn server_limits(limits: &config::Limits) -> ServerLimits {
    ServerLimits {
        body_bytes_max: limits.body_bytes,
        connections_max: limits.connections,
        in_flight_max: limits.requests_in_flight,
        request_deadline: limits.request_timeout,
        drain_timeout: limits.drain_timeout,
        ..ServerLimits::DEFAULT
    }
}

/// The configuration refuses zero.
fn at_least_one(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN)
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
    let deadline = Instant::now() + config.limits.request_timeout;
    let decisions = runtime.block_on(admit(&parts.gate, &origin, vec![request], deadline));
    let decision = decisions.first().map(|recorded| serde_json::from_slice(&recorded.json));
    Ok(decision.and_then(Result::ok).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation_of(toml: &str) -> Result<Rotation, String> {
        let text = format!("[[plugins]]\nname = 'pkix'\n{toml}");
        let file: config::file::File = toml::from_str(&text).expect("the form");
        let plugins = plugins(&file.plugins).map_err(|error| error.to_string())?;
        Ok(plugins[0].rotation)
    }

    #[test]
    fn how_keys_are_replaced_is_configured_within_limits() {
        assert_eq!(rotation_of(""), Ok(Rotation::default()));
        let given = rotation_of(
            "stale_grace_secs = 2592000\nallow_empty = true\nunknown_key_refresh_secs = 86400",
        );
        let expected = Rotation {
            stale_grace: Duration::from_secs(2_592_000),
            allow_empty: true,
            unknown_key_interval: Some(Duration::from_secs(86_400)),
        };
        assert_eq!(given, Ok(expected));
        let never = rotation_of("unknown_key_refresh_secs = 0").expect("0 is never");
        assert_eq!(never.unknown_key_interval, None);
        for (name, value) in [
            ("stale_grace_secs", 0),
            ("stale_grace_secs", 2_592_001),
            ("unknown_key_refresh_secs", 86_401),
        ] {
            let refused = rotation_of(&format!("{name} = {value}")).expect_err(name);
            assert!(refused.contains(&format!("{name} is {value}")), "{refused}");
        }
    }
}
