//! `[[plugins]]`, as written.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hallmark_core::image::Digest;
use hallmark_plugin_api::host::WorkerFiles;
use hallmark_plugin_api::host::worker::{WORKER_FILE_BYTES_MAX, WORKER_FILES_MAX};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ConfigError;
use super::number::{MIB, duration, within};
use crate::plugin::{Isolation, PluginConfig, Rotation, WorkerLimits};

/// A month: who cannot mend a key source by then has none.
const STALE_GRACE_SECS_MAX: u64 = 2_592_000;
/// A day, as the longest time to live of the bundled key sources.
const UNKNOWN_KEY_REFRESH_SECS_MAX: u64 = 86_400;

/// One plugin file, pinned by its bytes, and the configuration of one instance of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSection {
    /// Name of the instance, unique.
    pub name: String,
    /// The `.so`. Absent: the bundled plugin of this name.
    pub path: Option<PathBuf>,
    /// SHA-256 sums of the files that may be loaded; required with `path`.
    #[serde(default)]
    pub sha256: Vec<String>,
    /// Handed to the plugin as JSON.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Secrets that the plugin may ask for by name, and the files that hold them.
    #[serde(default)]
    pub secrets: BTreeMap<String, PathBuf>,
    /// `in-process` or `worker`. Default: `in-process` for files of the daemon's installation that
    /// permit it, `worker` for others.
    pub isolation: Option<Isolation>,
    /// Of a worker. Default 5,000: as long as a call of a token or a key server may take, and half
    /// of what a request is given.
    pub call_timeout_ms: Option<u64>,
    /// Of a worker. Default 1,024; about 50 are its own.
    pub memory_limit_mib: Option<u64>,
    /// Names of the environment variables that a worker sees; there are no others.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Of a worker: the user and group, by number, that it runs as. Takes a daemon that runs as
    /// root. Default: the daemon's.
    pub user: Option<u32>,
    /// Of a worker: the only files that it may open beside those of the system. Takes a kernel with
    /// Landlock. Default: those that its user may.
    pub files: Option<Files>,
    /// Default 86,400: how long the last good keys serve when their source fails.
    pub stale_grace_secs: Option<u64>,
    /// True if a source that had keys may come to have none. Default: false.
    #[serde(default)]
    pub allow_empty: bool,
    /// Default 10: the least time between two times that an unknown key id has the source asked.
    /// 0 for never.
    pub unknown_key_refresh_secs: Option<u64>,
    /// The beginnings of the ids of its keys. Default: with the schemes of its plugin that no
    /// instance before it has.
    #[serde(default)]
    pub ids: Vec<String>,
}

/// Files and directories of a worker, absolute paths.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// To read.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// To read, write, make and remove.
    #[serde(default)]
    pub write: Vec<PathBuf>,
}

impl Files {
    fn of_worker(&self) -> Result<WorkerFiles, ConfigError> {
        let Self { read, write } = self;
        let is_short = |path: &PathBuf| path.as_os_str().len() <= WORKER_FILE_BYTES_MAX;
        let fits = |path: &PathBuf| path.is_absolute() && is_short(path);
        let is_good = [read, write]
            .iter()
            .all(|list| list.len() <= WORKER_FILES_MAX && list.iter().all(fits));
        match is_good {
            true => Ok(WorkerFiles { read: read.clone(), write: write.clone() }),
            false => Err(ConfigError::WorkerFiles),
        }
    }
}

impl PluginSection {
    /// Fills in every default and checks every range.
    ///
    /// # Errors
    /// A pin is no hash, a number is out of its range, or a worker cannot be confined as told.
    pub fn resolve(self) -> Result<PluginConfig, ConfigError> {
        let pins = self.pins()?;
        let rotation = self.rotation()?;
        let limits = self.worker_limits()?;
        Ok(PluginConfig {
            name: self.name,
            path: self.path,
            pins,
            config: Value::Object(self.config),
            secrets: self.secrets,
            isolation: self.isolation,
            limits,
            rotation,
            ids: self.ids,
        })
    }

    fn pins(&self) -> Result<Vec<[u8; 32]>, ConfigError> {
        let refused =
            |pin: &str| ConfigError::Pin { plugin: self.name.clone(), pin: pin.to_owned() };
        let pin = |hex: &String| {
            let digest = format!("sha256:{hex}").parse::<Digest>();
            digest.map(|digest| digest.0).map_err(|_| refused(hex))
        };
        self.sha256.iter().map(pin).collect()
    }

    /// The replacement of its keys.
    fn rotation(&self) -> Result<Rotation, ConfigError> {
        let default = Rotation::default();
        let within = |key, value, range: RangeInclusive<u64>| match range.contains(&value) {
            true => Ok(Duration::from_secs(value)),
            false => Err(ConfigError::PluginRange { plugin: self.name.clone(), key, value, range }),
        };
        let grace = self.stale_grace_secs.unwrap_or(default.stale_grace.as_secs());
        let unknown_key_interval = match self.unknown_key_refresh_secs {
            None => default.unknown_key_interval,
            Some(0) => None,
            Some(secs) => {
                Some(within("unknown_key_refresh_secs", secs, 0..=UNKNOWN_KEY_REFRESH_SECS_MAX)?)
            }
        };
        let stale_grace = within("stale_grace_secs", grace, 1..=STALE_GRACE_SECS_MAX)?;
        Ok(Rotation { stale_grace, allow_empty: self.allow_empty, unknown_key_interval })
    }

    /// The limits of its worker processes.
    fn worker_limits(&self) -> Result<WorkerLimits, ConfigError> {
        let default = WorkerLimits::default();
        let (key, range) = ("plugins.call_timeout_ms", 10..=600_000);
        let call_timeout = duration(key, self.call_timeout_ms, range, default.call_timeout)?;
        let (key, range) = ("plugins.memory_limit_mib", 64..=1 << 20);
        let memory_mib = within(key, self.memory_limit_mib, range, default.memory_bytes / MIB)?;
        // Root, and what setresuid(2) takes for "leave it as it is".
        if let Some(user @ (0 | u32::MAX)) = self.user {
            return Err(ConfigError::WorkerUser(user));
        }
        let files = self.files.as_ref().map(Files::of_worker).transpose()?;
        let confined = self.user.is_some() || files.is_some();
        if confined && self.isolation == Some(Isolation::InProcess) {
            return Err(ConfigError::ConfinedInProcess(self.name.clone()));
        }
        let is_name = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        if let Some(wrong) = self.environment.iter().find(|name| !is_name(name)) {
            return Err(ConfigError::VariableName(wrong.clone()));
        }
        Ok(WorkerLimits {
            call_timeout,
            memory_bytes: memory_mib * MIB,
            environment: self.environment.clone(),
            user: self.user,
            files,
        })
    }
}
