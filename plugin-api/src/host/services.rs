//! The services of the daemon for a plugin, and the C functions that bring them there.

use core::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use super::keys::text;
use crate::borrowed::{size, span};
use crate::{LogLevel, abi};

/// The services that an instance may ask of the daemon. Called from any thread, also from the
/// plugin's own: return quickly, and never call the instance from in here.
pub trait Services: Send + Sync {
    /// Writes a log line of the plugin's.
    fn log(&self, level: LogLevel, target: &str, text: &str);
    /// So many log lines of the plugin's were lost on the way here: it wrote too many.
    fn log_lost(&self, _lines: u64) {}
    /// Writes what the host says of the plugin.
    fn fault(&self, text: &str) {
        self.log(LogLevel::Error, "hallmark_worker", text);
    }
    /// The most detailed level that is written.
    fn log_level(&self) -> LogLevel;
    /// Says that the next snapshot will differ.
    fn keys_changed(&self);
    /// The secret of that name.
    fn secret(&self, name: &str) -> Option<Vec<u8>>;
    /// Unix seconds.
    fn unix_now(&self) -> i64;
}

/// Nobody listens.
pub(super) struct Silent;

impl Services for Silent {
    fn log(&self, _: LogLevel, _: &str, _: &str) {}

    fn log_level(&self) -> LogLevel {
        LogLevel::Error
    }

    fn keys_changed(&self) {}

    fn secret(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn unix_now(&self) -> i64 {
        0
    }
}

/// The target of the `ctx` of a host table. Kept for ever, because a plugin may use its table for
/// ever; the services in it end with the instance.
pub(crate) struct Slot(RwLock<Option<Arc<dyn Services>>>);

/// A host table, in memory that is never freed.
pub(crate) struct HostTable(abi::Host);

// SAFETY: the table is constant; its ctx is NULL or a `Slot`, which is Sync.
unsafe impl Send for HostTable {}
// SAFETY: as above.
unsafe impl Sync for HostTable {}

/// The table given to the entry function: nobody listens yet.
static SILENT: HostTable = HostTable::new(std::ptr::null_mut());

impl HostTable {
    pub(super) fn silent() -> *const abi::Host {
        &raw const SILENT.0
    }

    /// A table for one instance. A few dozen bytes per instance ever made are not given back.
    pub(crate) fn leak(services: Arc<dyn Services>) -> (*const abi::Host, &'static Slot) {
        let slot: &'static Slot = Box::leak(Box::new(Slot(RwLock::new(Some(services)))));
        let ctx = std::ptr::from_ref(slot).cast_mut().cast();
        let table: &'static Self = Box::leak(Box::new(Self::new(ctx)));
        (&raw const table.0, slot)
    }

    const fn new(ctx: *mut c_void) -> Self {
        Self(abi::Host {
            struct_size: size::<abi::Host>(),
            abi_major: abi::HALLMARK_ABI_MAJOR,
            abi_minor: abi::HALLMARK_ABI_MINOR,
            ctx,
            log: Some(log),
            log_level: Some(log_level),
            keys_changed: Some(keys_changed),
            get_secret: Some(get_secret),
            unix_now: Some(unix_now),
        })
    }
}

impl Slot {
    /// From now on the plugin is not listened to.
    pub(super) fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Runs `ask` with the services behind `ctx`; `None` where there are none, or where they panic.
///
/// # Safety
/// `ctx` is NULL or points at a leaked [`Slot`].
unsafe fn with<T>(ctx: *mut c_void, ask: impl FnOnce(&dyn Services) -> T) -> Option<T> {
    // SAFETY: by the contract of this function.
    let slot = unsafe { ctx.cast::<Slot>().as_ref() }?;
    // Cloned, so that a plugin that logs while its instance ends waits for nobody.
    let services = slot.0.read().unwrap_or_else(PoisonError::into_inner).clone()?;
    catch_unwind(AssertUnwindSafe(|| ask(&*services))).ok()
}

unsafe extern "C" fn log(ctx: *mut c_void, level: u32, target: abi::Bytes, msg: abi::Bytes) {
    let level = LogLevel::from_number(level);
    let write = |services: &dyn Services| {
        // Before the text is looked at: a line that nobody reads costs next to nothing.
        if level <= services.log_level() {
            // SAFETY: the plugin lends the text for the call.
            let target = unsafe { text(&target) };
            // SAFETY: as above.
            services.log(level, &target, &unsafe { text(&msg) });
        }
    };
    // SAFETY: the ctx is the one that the table was made with.
    unsafe { with(ctx, write) };
}

unsafe extern "C" fn log_level(ctx: *mut c_void) -> u32 {
    // SAFETY: the ctx is the one that the table was made with.
    unsafe { with(ctx, |services| services.log_level() as u32) }.unwrap_or(0)
}

unsafe extern "C" fn keys_changed(ctx: *mut c_void, _instance_id: u64) {
    // SAFETY: the ctx is the one that the table was made with.
    unsafe { with(ctx, |services| services.keys_changed()) };
}

unsafe extern "C" fn get_secret(
    ctx: *mut c_void,
    name: abi::Bytes,
    sink: abi::DataSink,
    sink_ctx: *mut c_void,
) -> abi::Rc {
    let Some(sink) = sink else { return abi::HALLMARK_RC_INVALID_ARG };
    // SAFETY: the plugin lends the name for the call.
    let name = unsafe { text(&name) };
    // SAFETY: the ctx is the one that the table was made with.
    let secret = unsafe { with(ctx, |services| services.secret(&name)) };
    match secret.flatten() {
        // SAFETY: sink and context are the plugin's, for this call; the secret outlives it.
        Some(secret) => unsafe { sink(sink_ctx, 0, span(&secret)) },
        None => abi::HALLMARK_RC_CONFIG,
    }
}

unsafe extern "C" fn unix_now(ctx: *mut c_void) -> i64 {
    // SAFETY: the ctx is the one that the table was made with.
    unsafe { with(ctx, |services| services.unix_now()) }.unwrap_or(0)
}
