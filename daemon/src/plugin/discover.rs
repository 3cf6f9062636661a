//! Which plugin files there are, and which instances of them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hallmark_plugin_api::host::{
    LoadError, LoadReason, Pin, PluginImage, WorkerFiles, WorkerOptions,
};
use serde::Deserialize;

use super::error::PluginError;
use super::freshness::Rotation;

/// One instance as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginConfig {
    /// Name of the instance, unique.
    pub name: String,
    /// The file; `None` for the bundled plugin of this name.
    pub path: Option<PathBuf>,
    /// SHA-256 sums that the file may have. None for a file of the daemon's own installation.
    pub pins: Vec<[u8; 32]>,
    /// Handed to the plugin as JSON.
    pub config: serde_json::Value,
    /// Secrets that the plugin may ask for by name, and the files that hold them; read whenever
    /// it asks.
    pub secrets: BTreeMap<String, PathBuf>,
    /// Where it runs; `None`: a file of the installation here unless it must not, another in a
    /// worker.
    pub isolation: Option<Isolation>,
    /// The limits of its worker, where it has one.
    pub limits: WorkerLimits,
    /// The rules by which its keys are replaced.
    pub rotation: Rotation,
    /// The beginnings of the ids of its keys. Empty: they begin with a scheme of its plugin that no
    /// instance before it has.
    pub ids: Vec<String>,
}

impl PluginConfig {
    /// The bundled plugin of this name.
    pub fn bundled(name: &str, config: serde_json::Value) -> Self {
        Self {
            name: name.to_owned(),
            path: None,
            pins: Vec::new(),
            config,
            secrets: BTreeMap::new(),
            isolation: None,
            limits: WorkerLimits::default(),
            rotation: Rotation::default(),
            ids: Vec::new(),
        }
    }
}

/// Where the code of a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the daemon.
    InProcess,
    /// In a process of its own.
    Worker,
}

/// Limits on the worker processes of a plugin.
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
    /// True if they hold in a process of its own only.
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

const PREFIX: &str = "libhallmark_plugin_";
const SUFFIX: &str = ".so";

/// Where bundled plugins are looked for: beside the executable, as cargo leaves them, and in
/// `../lib/hallmark/plugins` from there, as packages install them.
pub(super) fn bundle_directories() -> Vec<PathBuf> {
    let executable = std::env::current_exe().and_then(|path| path.canonicalize());
    let Some(home) = executable.as_deref().ok().and_then(Path::parent) else { return Vec::new() };
    vec![home.to_owned(), home.join("../lib/hallmark/plugins")]
}

/// A plugin that was loaded, and the instance that is to be made of it.
pub(super) struct Found {
    pub(super) image: Arc<PluginImage>,
    pub(super) config: PluginConfig,
    /// Part of the daemon's installation.
    pub(super) is_bundled: bool,
}

/// Loads the plugins of the configured instances, in their order, then every bundled plugin that
/// was not configured.
pub(super) fn find(
    configs: &[PluginConfig],
    bundles: &[impl AsRef<Path>],
) -> Result<Vec<Found>, PluginError> {
    let bundled = bundled(bundles)?;
    let mut names = HashSet::new();
    let mut paths = Vec::new();
    for config in configs {
        if !names.insert(config.name.as_str()) {
            return Err(PluginError::Twice(config.name.clone()));
        }
        let path = match &config.path {
            Some(path) => path,
            None => bundled
                .get(&config.name)
                .ok_or_else(|| PluginError::NotBundled(config.name.clone()))?,
        };
        paths.push(path.as_path());
    }
    let mut found = load_all(configs, &paths)?;
    for (name, path) in &bundled {
        if names.contains(name.as_str()) {
            continue;
        }
        let config = PluginConfig::bundled(name, serde_json::json!({}));
        match PluginImage::load(path, &Pin::BesideExecutable) {
            // It reaches out to something that has to be named first: a token.
            Err(LoadError { reason: LoadReason::NeedsWorker, .. }) => {}
            image => found.push(Found { image: Arc::new(image?), config, is_bundled: true }),
        }
    }
    Ok(found)
}

/// Side by side: a file from elsewhere first runs in a process of its own, which may take seconds.
fn load_all(configs: &[PluginConfig], paths: &[&Path]) -> Result<Vec<Found>, PluginError> {
    let load = |config: &PluginConfig, path: &Path| {
        let (image, config) = (Arc::new(load(path, config)?), config.clone());
        Ok(Found { image, is_bundled: config.pins.is_empty(), config })
    };
    std::thread::scope(|scope| {
        let start = |(config, path)| scope.spawn(move || load(config, path));
        let loading: Vec<_> = configs.iter().zip(paths.iter().copied()).map(start).collect();
        let loaded = loading
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        loaded.collect()
    })
}

/// Loads a plugin where it is to run. A file from elsewhere first runs in a process of its own,
/// even if it may then run here: what crashes while it is loaded never does so in the daemon.
fn load(path: &Path, config: &PluginConfig) -> Result<PluginImage, LoadError> {
    let pin = match config.pins.as_slice() {
        [] => Pin::BesideExecutable,
        pins => Pin::Sha256(pins.to_vec()),
    };
    let in_worker = || PluginImage::load_in_worker(path, &pin, worker_options(&config.limits));
    match (config.isolation, &pin) {
        (Some(Isolation::Worker), _) | (None, Pin::Sha256(_)) => in_worker(),
        (Some(Isolation::InProcess), Pin::Sha256(_)) => {
            in_worker()?;
            PluginImage::load(path, &pin)
        }
        (Some(Isolation::InProcess), Pin::BesideExecutable) => PluginImage::load(path, &pin),
        (None, Pin::BesideExecutable) if config.limits.is_confined() => in_worker(),
        (None, Pin::BesideExecutable) => match PluginImage::load(path, &pin) {
            Err(LoadError { reason: LoadReason::NeedsWorker, .. }) => in_worker(),
            image => image,
        },
    }
}

/// The program of a worker is the one that runs now, even if its file was replaced.
fn worker_options(limits: &WorkerLimits) -> WorkerOptions {
    #[cfg(not(test))]
    let arguments = ["plugin-worker"];
    #[cfg(test)]
    let arguments = ["plugin::tests::plugin_worker", "--exact"];
    WorkerOptions {
        program: "/proc/self/exe".into(),
        arguments: arguments.map(Into::into).into(),
        call_timeout: limits.call_timeout,
        memory_bytes: limits.memory_bytes,
        environment: limits.environment.clone(),
        user: limits.user,
        files: limits.files.clone(),
    }
}

/// The bundled plugins by name; the first directory that has one wins.
fn bundled(directories: &[impl AsRef<Path>]) -> Result<BTreeMap<String, PathBuf>, PluginError> {
    let mut found = BTreeMap::new();
    for dir in directories.iter().map(AsRef::as_ref) {
        let fail = |source| PluginError::Directory { dir: dir.to_owned(), source };
        let entries = match std::fs::read_dir(dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(fail)?,
        };
        for entry in entries {
            let file = entry.map_err(fail)?.file_name();
            let name =
                file.to_str().and_then(|file| file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
            if let Some(name) = name {
                found.entry(name.to_owned()).or_insert_with(|| dir.join(&file));
            }
        }
    }
    Ok(found)
}
