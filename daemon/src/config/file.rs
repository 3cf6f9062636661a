//! The configuration as written: every key optional, unknown keys refused.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hallmark_core::policy::WithoutPolicy;
use hallmark_lanes::Kernel;
use serde::{Deserialize, Deserializer};

use super::audit::AuditSection;
use super::number::{count, duration, mib, size, threads, within};
use super::plugin::PluginSection;
use super::{Config, ConfigError, Source, hosts};
use crate::auth::written::AuthSection;
use crate::http::engine::limits::ServerLimits;
use crate::http::kubernetes::{Kubernetes, UnknownKinds, Workloads};
use crate::plugin::{KeyVersion, ProtectionLevel};
use crate::tls::TlsFiles;
use crate::toml_text;
use crate::verifier::{LaneEngine, LanesConfig, VerifierConfig};

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The whole file. Flags are laid over it by [`File::over`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `ADDR:PORT`; port 0 lets the system choose.
    pub listen: Option<SocketAddr>,
    /// `ADDR:PORT` for metrics and health alone.
    pub listen_metrics: Option<SocketAddr>,
    /// Names that the daemon answers to beside those of loopback.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// Where the bound address is written.
    pub port_file: Option<PathBuf>,
    /// Directory of the embedded database.
    pub data_dir: Option<PathBuf>,
    /// Directory of resource files.
    pub config_dir: Option<PathBuf>,
    /// A policy document whose allowlist patterns are the system policy.
    pub system_policy: Option<PathBuf>,
    /// Threads that serve connections; default: one per core.
    pub serve_threads: Option<usize>,
    /// Refuse files with secrets that others than their owner may read.
    pub strict_permissions: Option<bool>,
    /// `[tls]`.
    #[serde(default)]
    pub tls: TlsSection,
    /// `[auth]`.
    pub auth: Option<AuthSection>,
    /// `[projects]`.
    #[serde(default)]
    pub projects: ProjectsSection,
    /// `[audit]`.
    #[serde(default)]
    pub audit: AuditSection,
    /// `[limits]`.
    #[serde(default)]
    pub limits: LimitsSection,
    /// `[verifier]`.
    #[serde(default)]
    pub verifier: VerifierSection,
    /// `[lanes]`.
    #[serde(default)]
    pub lanes: LanesSection,
    /// `[cache]`.
    #[serde(default)]
    pub cache: CacheSection,
    /// `[kubernetes]`.
    #[serde(default)]
    pub kubernetes: KubernetesSection,
    /// `[[plugins]]`.
    #[serde(default)]
    pub plugins: Vec<PluginSection>,
    /// `[[kms_keys]]`.
    #[serde(default)]
    pub kms_keys: Vec<KmsKey>,
}

/// `[tls]`: PEM files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The daemon's certificate chain.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// CAs of client certificates.
    pub client_ca: Option<PathBuf>,
    /// The file of what they have revoked.
    pub client_crl: Option<PathBuf>,
}

/// `[projects]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectsSection {
    /// `deny` (default), or `allow` as Google's service does.
    #[serde(default, deserialize_with = "without_policy")]
    pub without_policy: WithoutPolicy,
}

fn without_policy<'de, D: Deserializer<'de>>(written: D) -> Result<WithoutPolicy, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Written {
        Deny,
        Allow,
    }
    Ok(match Written::deserialize(written)? {
        Written::Deny => WithoutPolicy::Deny,
        Written::Allow => WithoutPolicy::Allow,
    })
}

/// `[limits]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// Default 4 MiB: an AdmissionReview holds two objects of at most 1.5 MiB, etcd's limit.
    pub body_bytes: Option<u64>,
    /// Default 10,000.
    pub connections: Option<u64>,
    /// Default 1,024.
    pub requests_in_flight: Option<u64>,
    /// Default 10,000: the apiserver gives a webhook 10 s unless told otherwise.
    pub request_timeout_ms: Option<u64>,
    /// Default 20,000, within a Pod's default grace period of 30 s.
    pub drain_timeout_ms: Option<u64>,
}

/// `[verifier]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifierSection {
    /// Default: one per core.
    pub threads: Option<usize>,
    /// Default 65,536: a few seconds of work for one core.
    pub queue_checks: Option<u64>,
    /// Default 64: about 3 ms of P-256 on one core.
    pub batch_checks: Option<u64>,
}

/// `[lanes]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanesSection {
    /// `auto` (default), `ifma`, `portable` or `off`.
    pub engine: Option<LaneEngine>,
    /// Default 32: a table costs as much as some thirty verifications.
    pub hot_checks: Option<u64>,
    /// Default 64: some 250 keys of P-256.
    pub table_mib: Option<u64>,
    /// Default 1,024.
    pub recheck_one_in: Option<u64>,
}

/// `[cache]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSection {
    /// Default 64: about half a million verdicts.
    pub verdict_mib: Option<u64>,
    /// Default 256.
    pub evaluation_mib: Option<u64>,
    /// Default 32.
    pub conformance_mib: Option<u64>,
}

/// `[kubernetes]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSection {
    /// `warn` (default), `deny` or `ignore`.
    pub workloads: Option<Workloads>,
    /// `deny` (default) or `allow`.
    pub unknown_kinds: Option<UnknownKinds>,
}

/// A key of a plugin under the name of a key version of Cloud KMS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmsKey {
    /// `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`.
    pub name: String,
    /// The plugin instance.
    pub plugin: String,
    /// The id of the key there.
    pub key: String,
    /// `software` (default) or `hsm`.
    #[serde(default)]
    pub protection_level: ProtectionLevel,
}

impl KmsKey {
    fn resolve(self, known: &mut HashSet<String>) -> Result<KeyVersion, ConfigError> {
        let segments: Vec<_> = self.name.split('/').collect();
        let (collections, ids): (Vec<_>, Vec<_>) =
            segments.chunks(2).map(|pair| (pair[0], pair.get(1).copied().unwrap_or(""))).unzip();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        let is_id = |id: &&str| !id.is_empty() && id.bytes().all(legal);
        if collections != KMS_COLLECTIONS || !ids.iter().all(is_id) {
            return Err(ConfigError::KmsKeyName(self.name));
        }
        if !known.insert(self.name.clone()) {
            return Err(ConfigError::KmsKeyTwice(self.name));
        }
        let Self { name, plugin, key, protection_level } = self;
        Ok(KeyVersion { name, plugin, key, protection_level })
    }
}

/// The collections in the name of a key version.
const KMS_COLLECTIONS: [&str; 5] =
    ["projects", "locations", "keyRings", "cryptoKeys", "cryptoKeyVersions"];

impl File {
    /// Reads a configuration file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml_text::read(&text)
            .map_err(|error| ConfigError::Malformed { path: path.to_owned(), error })
    }

    /// These settings where they are given, otherwise those of `below`: flags over a file.
    pub fn over(self, below: Self) -> Self {
        let source_given = self.data_dir.is_some() || self.config_dir.is_some();
        let (data_below, config_below) = match source_given {
            true => (None, None),
            false => (below.data_dir, below.config_dir),
        };
        Self {
            listen: self.listen.or(below.listen),
            listen_metrics: self.listen_metrics.or(below.listen_metrics),
            allowed_hosts: below.allowed_hosts,
            port_file: self.port_file.or(below.port_file),
            data_dir: self.data_dir.or(data_below),
            config_dir: self.config_dir.or(config_below),
            system_policy: self.system_policy.or(below.system_policy),
            serve_threads: self.serve_threads.or(below.serve_threads),
            strict_permissions: self.strict_permissions.or(below.strict_permissions),
            tls: TlsSection {
                cert: self.tls.cert.or(below.tls.cert),
                key: self.tls.key.or(below.tls.key),
                client_ca: self.tls.client_ca.or(below.tls.client_ca),
                client_crl: self.tls.client_crl.or(below.tls.client_crl),
            },
            auth: self.auth.or(below.auth),
            audit: self.audit.over(below.audit),
            projects: below.projects,
            limits: below.limits,
            verifier: below.verifier,
            lanes: below.lanes,
            cache: below.cache,
            kubernetes: below.kubernetes,
            plugins: below.plugins,
            kms_keys: below.kms_keys,
        }
    }

    /// Fills in every default and checks what can be checked without touching the world.
    pub fn resolve(self, cores: usize) -> Result<Config, ConfigError> {
        let listen = self.listen.unwrap_or(LISTEN);
        let tls = self.tls.resolve()?;
        if self.auth.as_ref().is_some_and(AuthSection::is_said_twice) {
            return Err(ConfigError::TwoAuths);
        }
        let protected = tls.is_some() && self.auth.is_some();
        for address in [Some(listen), self.listen_metrics].into_iter().flatten() {
            if !address.ip().is_loopback() && !protected {
                return Err(ConfigError::NotLoopback(address));
            }
        }
        let mut known = HashSet::new();
        let key_versions = self.kms_keys.into_iter().map(|key| key.resolve(&mut known));
        let key_versions = key_versions.collect::<Result<_, _>>()?;
        let source = source(self.data_dir, self.config_dir)?;
        let plugins = self.plugins.into_iter().map(PluginSection::resolve);
        let plugins = plugins.collect::<Result<_, _>>()?;
        Ok(Config {
            listen,
            listen_metrics: self.listen_metrics,
            allowed_hosts: hosts::compared(self.allowed_hosts)?,
            tls,
            auth: self.auth.map(AuthSection::source),
            port_file: self.port_file,
            without_policy: self.projects.without_policy,
            audit: self.audit.resolve(&source)?,
            source,
            system_policy: self.system_policy,
            limits: self.limits.resolve()?,
            verifier: self.verifier.resolve(self.lanes, &self.cache, cores)?,
            evaluation_cache_bytes: mib("cache.evaluation_mib", self.cache.evaluation_mib, 256)?,
            conformance_cache_bytes: mib("cache.conformance_mib", self.cache.conformance_mib, 32)?,
            kubernetes: self.kubernetes.resolve(),
            plugins,
            key_versions,
            serve_threads: threads("serve_threads", self.serve_threads, cores)?,
            strict_permissions: self.strict_permissions.unwrap_or(false),
        })
    }
}

fn source(data: Option<PathBuf>, files: Option<PathBuf>) -> Result<Source, ConfigError> {
    match (data, files) {
        (Some(dir), None) => Ok(Source::Data(dir)),
        (None, Some(dir)) => Ok(Source::Files(dir)),
        (None, None) => Err(ConfigError::NoSource),
        (Some(_), Some(_)) => Err(ConfigError::TwoSources),
    }
}

impl TlsSection {
    fn resolve(self) -> Result<Option<TlsFiles>, ConfigError> {
        let Self { cert, key, client_ca, client_crl } = self;
        if client_crl.is_some() && client_ca.is_none() {
            return Err(ConfigError::CrlWithoutCa);
        }
        match (cert, key, client_ca) {
            (Some(cert), Some(key), client_ca) => {
                Ok(Some(TlsFiles { cert, key, client_ca, client_crl }))
            }
            (None, None, None) => Ok(None),
            _ => Err(ConfigError::HalfTls),
        }
    }
}

impl LimitsSection {
    fn resolve(self) -> Result<ServerLimits, ConfigError> {
        let default = ServerLimits::DEFAULT;
        Ok(ServerLimits {
            body_bytes_max: size(
                "limits.body_bytes",
                self.body_bytes,
                1_024..=1 << 30,
                default.body_bytes_max,
            )?,
            connections_max: size(
                "limits.connections",
                self.connections,
                1..=1 << 20,
                default.connections_max,
            )?,
            in_flight_max: size(
                "limits.requests_in_flight",
                self.requests_in_flight,
                1..=1 << 20,
                default.in_flight_max,
            )?,
            request_deadline: duration(
                "limits.request_timeout_ms",
                self.request_timeout_ms,
                1..=600_000,
                default.request_deadline,
            )?,
            drain_timeout: duration(
                "limits.drain_timeout_ms",
                self.drain_timeout_ms,
                0..=600_000,
                default.drain_timeout,
            )?,
            ..default
        })
    }
}

impl VerifierSection {
    fn resolve(
        self,
        lanes: LanesSection,
        cache: &CacheSection,
        cores: usize,
    ) -> Result<VerifierConfig, ConfigError> {
        Ok(VerifierConfig {
            threads: threads("verifier.threads", self.threads, cores)?,
            queue_checks_max: count("verifier.queue_checks", self.queue_checks, 1 << 24, 65_536)?,
            batch_checks_max: count("verifier.batch_checks", self.batch_checks, 65_536, 64)?,
            verdict_cache_bytes_max: mib("cache.verdict_mib", cache.verdict_mib, 64)?,
            lanes: lanes.resolve()?,
        })
    }
}

impl LanesSection {
    /// `None`: they are off.
    fn resolve(self) -> Result<Option<LanesConfig>, ConfigError> {
        let range = 1..=1_000_000;
        let hot_checks = within("lanes.hot_checks", self.hot_checks, range.clone(), 32)?;
        let recheck_one_in = within("lanes.recheck_one_in", self.recheck_one_in, range, 1_024)?;
        let table_bytes_max = mib("lanes.table_mib", self.table_mib, 64)?;
        let kernel = match self.engine.unwrap_or_default() {
            LaneEngine::Auto => None,
            LaneEngine::Ifma => Some(Kernel::Ifma),
            LaneEngine::Portable => Some(Kernel::Portable),
            LaneEngine::Off => return Ok(None),
        };
        Ok(Some(LanesConfig { kernel, hot_checks, table_bytes_max, recheck_one_in }))
    }
}

impl KubernetesSection {
    fn resolve(self) -> Kubernetes {
        Kubernetes {
            workloads: self.workloads.unwrap_or_default(),
            unknown_kinds: self.unknown_kinds.unwrap_or_default(),
        }
    }
}
