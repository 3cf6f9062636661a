//! The services of the daemon, as a plugin sees them.

use core::ffi::c_void;
use std::fmt;

use super::{Error, ErrorKind};
use crate::abi;
use crate::borrowed::{bytes, span};

/// The weight of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum LogLevel {
    /// Operation is impaired.
    Error = abi::HALLMARK_LOG_ERROR,
    /// Look at this some day.
    Warn = abi::HALLMARK_LOG_WARN,
    /// Worth a line in production.
    Info = abi::HALLMARK_LOG_INFO,
    /// For whoever debugs the plugin.
    Debug = abi::HALLMARK_LOG_DEBUG,
}

#[cfg(feature = "host")]
impl LogLevel {
    /// The level of a number; one of no meaning is for whoever debugs.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            abi::HALLMARK_LOG_ERROR => Self::Error,
            abi::HALLMARK_LOG_WARN => Self::Warn,
            abi::HALLMARK_LOG_INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// The daemon, seen from one instance. Cheap to copy, usable from any thread.
#[derive(Clone, Copy)]
pub struct Host {
    /// `None` in unit tests of a plugin: nobody listens.
    table: Option<&'static abi::Host>,
    instance_id: u64,
}

// SAFETY: the ABI lets every function of the host table be called from any thread, with its ctx.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("instance_id", &self.instance_id).finish_non_exhaustive()
    }
}

impl Host {
    /// A host that logs nothing, has no secrets and does not listen: for unit tests of a plugin.
    pub fn detached() -> Self {
        Self { table: None, instance_id: 0 }
    }

    pub(super) fn new(table: &'static abi::Host, instance_id: u64) -> Self {
        Self { table: Some(table), instance_id }
    }

    /// Writes a log line of the daemon.
    pub fn log(&self, level: LogLevel, target: &str, text: &str) {
        let Some(table) = self.table else { return };
        let Some(log) = table.log else { return };
        // SAFETY: the function and ctx are of one table; both texts outlive the call.
        unsafe { log(table.ctx, level as u32, span(target.as_bytes()), span(text.as_bytes())) }
    }

    /// Would a line of this level be written?
    pub fn logs(&self, level: LogLevel) -> bool {
        let Some(table) = self.table else { return false };
        let Some(log_level) = table.log_level else { return false };
        // SAFETY: the function and ctx are of one table.
        unsafe { log_level(table.ctx) >= level as u32 }
    }

    /// Says that the next snapshot will differ. Returns at once; the daemon takes a new snapshot
    /// from a thread of its own.
    pub fn keys_changed(&self) {
        let Some(table) = self.table else { return };
        let Some(keys_changed) = table.keys_changed else { return };
        // SAFETY: the function and ctx are of one table.
        unsafe { keys_changed(table.ctx, self.instance_id) }
    }

    /// The secret of that name, from wherever the daemon keeps secrets.
    ///
    /// # Errors
    /// The daemon has no such secret, or cannot read it.
    pub fn secret(&self, name: &str) -> Result<Vec<u8>, Error> {
        let missing = || Error::new(ErrorKind::Config, format!("no secret is named `{name}`"));
        let table = self.table.ok_or_else(missing)?;
        let get_secret = table.get_secret.ok_or_else(missing)?;
        let mut secret: Option<Vec<u8>> = None;
        let sink_ctx: *mut Option<Vec<u8>> = &raw mut secret;
        // SAFETY: the function and ctx are of one table; the sink is called before this returns,
        // with the context made for it.
        let rc = unsafe {
            get_secret(table.ctx, span(name.as_bytes()), Some(take_secret), sink_ctx.cast())
        };
        if rc != abi::HALLMARK_RC_OK {
            return Err(missing());
        }
        secret.ok_or_else(missing)
    }

    /// The daemon's clock, Unix seconds: for work between calls. Inside a call use
    /// [`super::Call::now`].
    pub fn unix_now(&self) -> i64 {
        let Some(table) = self.table else { return 0 };
        let Some(unix_now) = table.unix_now else { return 0 };
        // SAFETY: the function and ctx are of one table.
        unsafe { unix_now(table.ctx) }
    }
}

unsafe extern "C" fn take_secret(sink_ctx: *mut c_void, _index: u32, data: abi::Bytes) -> abi::Rc {
    // SAFETY: `secret` above passes this context and no other, and waits for the call.
    let slot = unsafe { &mut *sink_ctx.cast::<Option<Vec<u8>>>() };
    // SAFETY: the host lends `data` for this call.
    *slot = Some(unsafe { bytes(&data) }.to_vec());
    abi::HALLMARK_RC_OK
}
