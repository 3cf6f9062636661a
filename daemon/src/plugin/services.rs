//! What the daemon does for a plugin instance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use hallmark_plugin_api::LogLevel;
use hallmark_plugin_api::host::{Services, Throttle};
use tokio::sync::Notify;

use crate::{regular_file, secret_file};

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
        let (target, text) = (escaped(target), escaped(text));
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
        tracing::error!(plugin = self.name, "{}", escaped(text));
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
        match read_secret(path) {
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

/// One line of plain text: what controls a terminal or ends a line is written out.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') {
            true => line.extend(char.escape_default()),
            false => line.push(char),
        }
    }
    line
}

fn read_secret(path: &Path) -> std::io::Result<Vec<u8>> {
    secret_file::judge(path).map_err(std::io::Error::other)?;
    regular_file::read(path, SECRET_BYTES_MAX)
}

/// Seconds since 1970; before that, 0.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
