//! The daemon that a plugin under test talks to.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::plugin::NOW;
use crate::borrowed::size;
use crate::host::Services;
use crate::host::services::HostTable;
use crate::{LogLevel, abi};

/// Bytes that a later minor could have added to a struct.
pub(super) const GROWTH: usize = 64;
/// The byte that fills them: no pointer, no number that means anything.
pub(super) const GREASE: u8 = 0xD6;

/// A host table with the fields of a later minor behind it.
#[repr(C)]
pub(super) struct Grown {
    table: abi::Host,
    later: [u8; GROWTH],
    ordinary: *const abi::Host,
}

// SAFETY: constant; the table in it is made to be shared.
unsafe impl Sync for Grown {}

impl Grown {
    /// Both tables, and the services behind them; never freed, one pair to a process.
    pub(super) fn leak(secrets: &BTreeMap<String, PathBuf>) -> (&'static Self, Arc<Helpful>) {
        let services = Arc::new(Helpful {
            secrets: secrets.clone(),
            forgetful: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            pushes: AtomicU32::new(0),
        });
        let (ordinary, _) = HostTable::leak(Arc::clone(&services) as _);
        // SAFETY: leaked just now, and constant.
        let known = unsafe { &*ordinary };
        let table = abi::Host {
            struct_size: size::<abi::Host>() + GROWTH as u32,
            abi_major: known.abi_major,
            abi_minor: known.abi_minor + 9,
            ctx: known.ctx,
            log: known.log,
            log_level: known.log_level,
            keys_changed: known.keys_changed,
            get_secret: known.get_secret,
            unix_now: known.unix_now,
        };
        let grown = Self { table, later: [GREASE; GROWTH], ordinary };
        (Box::leak(Box::new(grown)), services)
    }

    /// The table as this version has it.
    pub(super) fn ordinary(&self) -> *const abi::Host {
        self.ordinary
    }

    /// The table as a later minor would have it.
    pub(super) fn grown(&self) -> *const abi::Host {
        // The plugin is lent the whole of it, so the pointer is to the whole.
        std::ptr::from_ref(self).cast()
    }

    /// Did anybody write to what no version knows?
    pub(super) fn is_whole(&self) -> bool {
        self.later == [GREASE; GROWTH]
    }
}

/// Services that count and keep quiet.
pub(super) struct Helpful {
    secrets: BTreeMap<String, PathBuf>,
    /// Has no secrets any more.
    pub(super) forgetful: AtomicBool,
    /// The number of times that a secret was asked for.
    pub(super) asked: AtomicU32,
    /// The number of times that the plugin pushed.
    pub(super) pushes: AtomicU32,
}

impl Services for Helpful {
    fn log(&self, _: LogLevel, _: &str, _: &str) {}

    fn log_level(&self) -> LogLevel {
        LogLevel::Debug
    }

    fn keys_changed(&self) {
        self.pushes.fetch_add(1, Ordering::Relaxed);
    }

    fn secret(&self, name: &str) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.forgetful.load(Ordering::Relaxed) {
            return None;
        }
        fs::read(self.secrets.get(name)?).ok()
    }

    fn unix_now(&self) -> i64 {
        NOW
    }
}
