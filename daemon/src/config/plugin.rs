//! `[[plugins]]`, as written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use hallmark_plugin_api::host::WorkerFiles;
use hallmark_plugin_api::host::worker::{WORKER_FILE_BYTES_MAX, WORKER_FILES_MAX};
use serde::Deserialize;

use super::file::{MIB, within};
use super::{ConfigError, Isolation, WorkerLimits};

/// One plugin file, pinned by its bytes, and the configuration of one instance of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// Name of the instance, unique.
    pub name: String,
    /// The `.so`. Absent: the bundled plugin of this name.
    pub path: Option<PathBuf>,
    /// SHA-256 sums of the files that may be loaded; required with `path`.
    #[serde(default)]
    pub sha256: Vec<String>,
    /// Handed to the plugin as JSON.
    #[serde(default)]
    pub config: toml::Table,
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
    /// Whether a source that had keys may come to have none. Default: no.
    #[serde(default)]
    pub allow_empty: bool,
    /// Default 10: the least time between two times that an unknown key id has the source asked.
    /// 0 for never.
    pub unknown_key_refresh_secs: Option<u64>,
    /// What the ids of its keys begin with. Default: with the schemes of its plugin that no
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

impl Plugin {
    /// What its worker processes may use.
    pub fn worker_limits(&self) -> Result<WorkerLimits, ConfigError> {
        let key = "plugins.call_timeout_ms";
        let timeout = within(key, self.call_timeout_ms, 5_000, 10, 600_000, "10 to 600000")?;
        let key = "plugins.memory_limit_mib";
        let memory = within(key, self.memory_limit_mib, 1_024, 64, 1 << 20, "64 to 1048576")?;
        let range = "1 to 4294967294, the number of a user that is not root";
        let user = self.user.map(u64::from);
        let user = user.map(|user| within("plugins.user", Some(user), 1, 1, 4_294_967_294, range));
        let user = user.transpose()?.and_then(|user| u32::try_from(user).ok());
        let files = self.files.as_ref().map(Files::of_worker).transpose()?;
        let confined = user.is_some() || files.is_some();
        if confined && self.isolation == Some(Isolation::InProcess) {
            return Err(ConfigError::ConfinedInProcess(self.name.clone()));
        }
        let is_name = |name: &String| !name.is_empty() && !name.contains(['=', '\0']);
        if let Some(wrong) = self.environment.iter().find(|name| !is_name(name)) {
            return Err(ConfigError::VariableName(wrong.clone()));
        }
        Ok(WorkerLimits {
            call_timeout: Duration::from_millis(timeout),
            memory_bytes: memory * MIB,
            environment: self.environment.clone(),
            user,
            files,
        })
    }
}
