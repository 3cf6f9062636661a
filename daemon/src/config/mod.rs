//! What the daemon is told: a TOML file and flags, the flags winning.
//!
//! Two stages: [`mod@file`] is exactly what was written, [`Config`] is what it means, with every
//! default filled in. Unknown keys are refused.

pub mod audit;
pub mod auth;
pub mod file;
mod hosts;
pub mod plugin;
#[cfg(test)]
mod tests;
pub mod toml_text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use hallmark_core::policy::WithoutPolicy;
use hallmark_plugin_api::host::WorkerFiles;
use hallmark_plugin_api::host::worker::{WORKER_FILE_BYTES_MAX, WORKER_FILES_MAX};
use serde::Deserialize;

use crate::tls::TlsFiles;
use auth::AuthSource;

/// Everything the daemon needs to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where requests come in. Loopback only, unless TLS is spoken and everybody is asked who they
    /// are.
    pub listen: SocketAddr,
    /// A listener of its own for `/metrics` and the health routes, where there is one.
    pub listen_metrics: Option<SocketAddr>,
    /// Names that the daemon answers to beside those of loopback, in lower case, without port.
    pub allowed_hosts: Vec<String>,
    /// How connections are protected; `None`: not at all.
    pub tls: Option<TlsFiles>,
    /// Who may do what; `None`: everybody everything.
    pub auth: Option<AuthSource>,
    /// The bound address is written here, for those who asked for port 0.
    pub port_file: Option<PathBuf>,
    /// Where resources live.
    pub source: Source,
    /// The system policy, instead of the bundled one.
    pub system_policy: Option<PathBuf>,
    /// The outcome for projects without a policy.
    pub without_policy: WithoutPolicy,
    /// How the audit log is kept.
    pub audit: Audit,
    /// What a request may cost.
    pub limits: Limits,
    /// How signatures are verified.
    pub verifier: Verifier,
    /// How signatures of keys that verify often are.
    pub lanes: Lanes,
    /// How much is remembered.
    pub cache: Cache,
    /// What Kubernetes API servers are told beside the verdicts on pods.
    pub kubernetes: Kubernetes,
    /// Plugins beside the bundled ones, and configured instances of them.
    pub plugins: Vec<plugin::Plugin>,
    /// Keys of plugins under names of Cloud KMS, each name once.
    pub key_versions: Vec<KeyVersion>,
    /// Threads that serve connections.
    pub serve_threads: usize,
    /// Files with secrets that others than their owner may read are refused, not only named.
    pub strict_permissions: bool,
}

impl Config {
    /// Every file that the configuration names for its secret, with the setting that names it: the
    /// key of TLS, who may do what, the secrets of plugins, and the keys that they sign with. The
    /// bundled plugins name those in `signing_keys`.
    pub fn secret_files(&self) -> Vec<(String, PathBuf)> {
        let tls = self.tls.iter().map(|tls| ("tls.key".to_owned(), tls.key.clone()));
        let auth = self.auth.iter().filter_map(|auth| match auth {
            AuthSource::File(path) => Some(("auth.file".to_owned(), path.clone())),
            AuthSource::Inline(_) => None,
        });
        let of_plugins = self.plugins.iter().flat_map(|plugin| {
            let setting = |key: &str| format!("{key} of plugin `{}`", plugin.name);
            let secrets = plugin.secrets.iter();
            let secrets = secrets
                .map(move |(name, path)| (setting(&format!("secrets.{name}")), path.clone()));
            secrets.chain(signing_key_files(plugin))
        });
        tls.chain(auth).chain(of_plugins).collect()
    }
}

fn signing_key_files(plugin: &plugin::Plugin) -> Vec<(String, PathBuf)> {
    let keys = plugin.config.get("signing_keys").and_then(|keys| keys.as_array());
    let path = |key: &toml::Value| key.get("path")?.as_str().map(PathBuf::from);
    let setting = format!("signing_keys of plugin `{}`", plugin.name);
    keys.into_iter().flatten().filter_map(path).map(|path| (setting.clone(), path)).collect()
}

/// Where resources live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In an embedded database in this directory; the API reads and writes.
    Data(PathBuf),
    /// In files under this directory; the API only reads.
    Files(PathBuf),
}

/// How the audit log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The directory of its files.
    pub dir: PathBuf,
    /// What an answer promises of its record.
    pub durability: Durability,
    /// Bytes after which a new file is begun.
    pub rotate_bytes: u64,
    /// Free bytes of its disk below which a warning is given; `None`: as many as suit the disk.
    pub reserve_bytes: Option<u64>,
    /// Bytes that each principal may have recorded a second, for ever.
    pub principal_bytes_per_second: u64,
    /// Bytes that each principal may have recorded at once.
    pub principal_burst_bytes: u64,
}

/// How hard an audit record is held on to before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Handed to the operating system: survives a crash of the daemon. Synced in the background.
    #[default]
    Write,
    /// On the disk: survives a power failure. Records that arrive together share one sync.
    Fsync,
}

/// Where the code of a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the daemon.
    InProcess,
    /// In a process of its own.
    Worker,
}

/// What the worker processes of a plugin may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerLimits {
    /// Time for one call; a process that takes longer is killed.
    pub call_timeout: Duration,
    /// Address space.
    pub memory_bytes: u64,
    /// Names of environment variables that are passed on.
    pub environment: Vec<String>,
    /// The user and group, by number, that they run as; `None`: as the daemon.
    pub user: Option<u32>,
    /// The only files that they may open beside those of the system; `None`: as their user may.
    pub files: Option<WorkerFiles>,
}

impl WorkerLimits {
    /// Whether they hold in a process of its own only.
    pub fn is_confined(&self) -> bool {
        self.user.is_some() || self.files.is_some()
    }
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(5),
            memory_bytes: 1 << 30,
            environment: Vec::new(),
            user: None,
            files: None,
        }
    }
}

/// What requests may cost together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one request body.
    pub body_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// Requests in flight; more are shed.
    pub requests_in_flight: usize,
    /// Time for one request, from its head to its answer.
    pub request_timeout: Duration,
    /// Time that requests in flight are given at shutdown.
    pub drain_timeout: Duration,
}

/// How signatures are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verifier {
    /// Threads that verify.
    pub threads: usize,
    /// Signatures waiting; more are not determined.
    pub queue_checks: usize,
    /// Signatures that one thread takes at once.
    pub batch_checks: usize,
}

/// How signatures of keys that verify often are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// What computes.
    pub engine: LaneEngine,
    /// Signatures of a key after which its table is computed.
    pub hot_checks: u64,
    /// Memory of all tables.
    pub table_bytes: u64,
    /// Of the verdicts after a table's first hundred, one in so many is asked of a library too.
    pub recheck_one_in: u64,
}

/// What computes in lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneEngine {
    /// The fastest that this CPU has.
    #[default]
    Auto,
    /// AVX-512 IFMA, or the daemon does not start.
    Ifma,
    /// What every CPU has.
    Portable,
    /// Nothing: libraries verify everything.
    Off,
}

/// How much is remembered, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Verdicts of signatures.
    pub verdict_bytes: u64,
    /// Evaluations of digests.
    pub evaluation_bytes: u64,
    /// Bytes that evaluations under the checks of platform policies may take.
    pub conformance_bytes: u64,
}

/// What Kubernetes API servers are told beside the verdicts on pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kubernetes {
    /// Objects that pods are made from.
    pub workloads: Workloads,
    /// Objects whose images nobody knows how to find.
    pub unknown_kinds: UnknownKinds,
}

/// What comes of a workload whose pods would be denied: a Deployment, a CronJob, a PodTemplate, ….
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workloads {
    /// It is allowed with a warning; its pods are denied when they come.
    #[default]
    Warn,
    /// It is denied as its pods would be.
    Deny,
    /// It is allowed unseen.
    Ignore,
}

/// What comes of an object of a kind that is neither a pod nor a known workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownKinds {
    /// It is denied: a pod might hide in it.
    #[default]
    Deny,
    /// It is allowed unseen.
    Allow,
}

/// Where a key is kept, as Cloud KMS says it. What the operator says of a plugin's key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtectionLevel {
    /// In a file.
    #[default]
    Software,
    /// In a device that it does not leave.
    Hsm,
}

/// One key version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// `projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N`.
    pub name: String,
    /// The plugin instance that holds the key.
    pub plugin: String,
    /// The key's id there.
    pub key: String,
    /// What clients are told of it.
    pub protection_level: ProtectionLevel,
}

/// Why the configuration was refused. The operator is at fault.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a configuration.
    #[error("{path}: {error}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Where and why.
        error: toml_text::TomlError,
    },
    /// Nothing says where resources live.
    #[error(
        "say where resources live: --data-dir DIR for a database, or --config-dir DIR for files"
    )]
    NoSource,
    /// Two things say where resources live.
    #[error("--data-dir and --config-dir exclude each other: resources live in one place")]
    TwoSources,
    /// Files are read only, so the log needs a place of its own.
    #[error("with --config-dir the audit log needs a directory of its own: --audit-dir DIR")]
    NoAuditDir,
    /// Anyone on the network could ask.
    #[error(
        "{0} is not a loopback address, and without authentication under TLS anyone who reaches it \
         could change policies: say --tls-cert FILE --tls-key FILE, and who may do what with --auth \
         FILE (docs/security.md), or listen on 127.0.0.1 or [::1]"
    )]
    NotLoopback(SocketAddr),
    /// A name of the daemon that no client can ask for.
    #[error(
        "allowed_hosts: `{0}` is not a host: write a name or an address, without scheme and port"
    )]
    AllowedHost(String),
    /// Half of TLS.
    #[error("TLS needs both --tls-cert and --tls-key, and --tls-client-ca needs them, too")]
    HalfTls,
    /// Revocation lists of nobody.
    #[error("--tls-client-crl lists what the CAs of --tls-client-ca FILE revoked: name those, too")]
    CrlWithoutCa,
    /// Two things say who may do what.
    #[error("auth.file says who may do what: leave everything else of [auth] to that file")]
    TwoAuths,
    /// A key version is named as Cloud KMS names none.
    #[error(
        "kms_keys: `{0}` is not of the form \
         projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N"
    )]
    KmsKeyName(String),
    /// Two key versions of one name.
    #[error("kms_keys: `{0}` is there twice: give each key version one entry")]
    KmsKeyTwice(String),
    /// A plugin in the daemon has the daemon's user and files.
    #[error(
        "plugins: plugin `{0}` runs in the daemon; set `isolation = \"worker\"` or remove its `user` \
         and `files`"
    )]
    ConfinedInProcess(String),
    /// Files that a worker cannot be given.
    #[error(
        "plugins.files: give {WORKER_FILES_MAX} absolute paths at most in each list, of \
         {WORKER_FILE_BYTES_MAX} bytes at most"
    )]
    WorkerFiles,
    /// No environment variable has this name.
    #[error("plugins.environment: `{0}` is no name of a variable; its value is the daemon's own")]
    VariableName(String),
    /// A number is out of its range.
    #[error("{key} = {value} is out of range: {range}")]
    Range {
        /// Which key.
        key: &'static str,
        /// What it was set to.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
}
