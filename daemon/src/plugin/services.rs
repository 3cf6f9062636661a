//! What the daemon does for a plugin instance.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use hallmark_plugin_api::LogLevel;
use hallmark_plugin_api::host::Services;
use tokio::sync::Notify;

use crate::regular_file;

/// Bytes of a secret. A PIN, a password, a client certificate.
const SECRET_BYTES_MAX: u64 = 65_536;

/// The daemon, as one instance sees it.
#[derive(Debug)]
pub(super) struct InstanceServices {
    name: String,
    secrets: BTreeMap<String, PathBuf>,
    /// Set by a push, taken by the refresh.
    pub(super) wanted: AtomicBool,
    pushed: Arc<Notify>,
}

impl InstanceServices {
    pub(super) fn new(
        name: &str,
        secrets: &BTreeMap<String, PathBuf>,
        pushed: &Arc<Notify>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            secrets: secrets.clone(),
            wanted: AtomicBool::new(false),
            pushed: Arc::clone(pushed),
        }
    }
}

impl InstanceServices {
    /// Wakes whoever keeps keys fresh.
    pub(super) fn wake(&self) {
        self.pushed.notify_one();
    }
}

impl Services for InstanceServices {
    fn log(&self, level: LogLevel, target: &str, text: &str) {
        let plugin = self.name.as_str();
        match level {
            LogLevel::Error => tracing::error!(plugin, target, "{text}"),
            LogLevel::Warn => tracing::warn!(plugin, target, "{text}"),
            LogLevel::Info => tracing::info!(plugin, target, "{text}"),
            LogLevel::Debug => tracing::debug!(plugin, target, "{text}"),
        }
    }

    fn log_level(&self) -> LogLevel {
        if tracing::enabled!(tracing::Level::DEBUG) {
            LogLevel::Debug
        } else if tracing::enabled!(tracing::Level::INFO) {
            LogLevel::Info
        } else if tracing::enabled!(tracing::Level::WARN) {
            LogLevel::Warn
        } else {
            LogLevel::Error
        }
    }

    fn keys_changed(&self) {
        self.wanted.store(true, Ordering::Release);
        self.wake();
    }

    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.secrets.get(name)?;
        match regular_file::read(path, SECRET_BYTES_MAX) {
            Ok(secret) => Some(secret),
            Err(error) => {
                let (plugin, path) = (self.name.as_str(), path.display());
                tracing::error!(plugin, name, %path, %error, "a secret cannot be read");
                None
            }
        }
    }

    fn unix_now(&self) -> i64 {
        unix_now()
    }
}

/// Seconds since 1970; before that, 0.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
