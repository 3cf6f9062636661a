//! The configuration of the daemon: a TOML file and flags, the flags winning.
//!
//! Two stages: [`mod@file`] is exactly what was written, [`Config`] is what it means: the settings of
//! each module, as that module defines them. The `resolve` of a section makes one of the other; it
//! fills in every default and checks every range. Unknown keys are refused.

pub mod audit;
pub mod file;
mod hosts;
mod number;
pub mod plugin;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use hallmark_core::policy::WithoutPolicy;
use hallmark_plugin_api::host::worker::{WORKER_FILE_BYTES_MAX, WORKER_FILES_MAX};
use serde_json::Value;

use crate::audit::AuditConfig;
use crate::auth::written::AuthSource;
use crate::http::engine::limits::ServerLimits;
use crate::http::kubernetes::Kubernetes;
use crate::plugin::{KeyVersion, PluginConfig};
use crate::tls::TlsFiles;
use crate::toml_text;
use crate::verifier::VerifierConfig;

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
    /// The protection of connections; `None`: none.
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
    /// Settings of the audit log.
    pub audit: AuditConfig,
    /// Limits on the cost of a request.
    pub limits: ServerLimits,
    /// Threads, queue, lanes and cache of the verifier.
    pub verifier: VerifierConfig,
    /// Bytes of the cache of evaluations.
    pub evaluation_cache_bytes: u64,
    /// Bytes of the cache of evaluations under the checks of platform policies.
    pub conformance_cache_bytes: u64,
    /// Answers to Kubernetes API servers beside the verdicts on pods.
    pub kubernetes: Kubernetes,
    /// Plugins beside the bundled ones, and configured instances of them.
    pub plugins: Vec<PluginConfig>,
    /// Keys of plugins under names of Cloud KMS, each name once.
    pub key_versions: Vec<KeyVersion>,
    /// Threads that serve connections.
    pub serve_threads: NonZeroUsize,
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

fn signing_key_files(plugin: &PluginConfig) -> Vec<(String, PathBuf)> {
    let keys = plugin.config.get("signing_keys").and_then(|keys| keys.as_array());
    let path = |key: &Value| key.get("path")?.as_str().map(PathBuf::from);
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
    /// A pin of a plugin is no hash.
    #[error("plugin `{plugin}`: `{pin}` is not a SHA-256 in hexadecimal")]
    Pin {
        /// The instance.
        plugin: String,
        /// The pin as written.
        pin: String,
    },
    /// A number of a plugin is out of its range.
    #[error("plugin `{plugin}`: {key} is {value}: give {} to {}", .range.start(), .range.end())]
    PluginRange {
        /// The instance.
        plugin: String,
        /// The key.
        key: &'static str,
        /// The value that it was set to.
        value: u64,
        /// The values that it may have.
        range: RangeInclusive<u64>,
    },
    /// No worker runs as this user.
    #[error(
        "plugins.user = {0} is out of range: 1 to 4294967294, the number of a user that is not root"
    )]
    WorkerUser(u32),
    /// A number is out of its range.
    #[error("{key} = {value} is out of range: {} to {}", .range.start(), .range.end())]
    Range {
        /// Which key.
        key: &'static str,
        /// The value that it was set to.
        value: u64,
        /// The values that it may have.
        range: RangeInclusive<u64>,
    },
}
