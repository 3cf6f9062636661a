//! The daemon's services for a plugin instance.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hallmark_plugin_api::LogLevel;
use hallmark_plugin_api::host::{Services, Throttle};
use tokio::sync::Notify;

use crate::followed::Files;
use crate::timed::Timed;

/// Bytes of a secret. A PIN, a password, a client certificate.
const SECRET_BYTES_MAX: u64 = 65_536;

/// The daemon, as one instance sees it.
#[derive(Debug)]
pub(super) struct InstanceServices {
    name: String,
    secrets: BTreeMap<String, PathBuf>,
    /// Of secrets: a file system that does not answer costs one thread.
    reads: Timed,
    /// Set by a push, taken by the refresh.
    pub(super) wanted: AtomicBool,
    pushed: Arc<Notify>,
    throttle: Throttle,
    /// Of its standard error, so that a library that complains leaves room for what the plugin says.
    stderr_throttle: Throttle,
    /// Log lines that were not written since the start.
    pub(super) log_lost: AtomicU64,
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
            reads: Timed::default(),
            wanted: AtomicBool::new(false),
            pushed: Arc::clone(pushed),
            throttle: Throttle::default(),
            stderr_throttle: Throttle::default(),
            log_lost: AtomicU64::new(0),
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
        let throttle = match target {
            "stderr" => &self.stderr_throttle,
            _ => &self.throttle,
        };
        match throttle.take(Instant::now()) {
            None => {
                self.log_lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Some(0) => {}
            Some(lost) => {
                tracing::warn!(plugin = self.name, lost, "log lines of the plugin are not written");
            }
        }
        let plugin = self.name.as_str();
        match level {
            LogLevel::Error => tracing::error!(plugin, target, "{text}"),
            LogLevel::Warn => tracing::warn!(plugin, target, "{text}"),
            LogLevel::Info => tracing::info!(plugin, target, "{text}"),
            LogLevel::Debug => tracing::debug!(plugin, target, "{text}"),
        }
    }

    fn log_lost(&self, lines: u64) {
        if lines > 0 {
            self.log_lost.fetch_add(lines, Ordering::Relaxed);
            tracing::warn!(plugin = self.name, lost = lines, "log lines of the plugin are lost");
        }
    }

    fn fault(&self, text: &str) {
        tracing::error!(plugin = self.name, "{text}");
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
        match Files::through(&self.reads).read_secret(path, SECRET_BYTES_MAX) {
            Ok(secret) => Some(secret),
            Err(error) => {
                // Without its path: somebody may have written the secret itself there.
                tracing::error!(plugin = self.name, name, %error, "the file of a secret cannot be read");
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
