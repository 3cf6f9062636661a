//! A plugin in memory: mapped once, never unloaded, its table copied and checked; or in processes
//! of its own.

use std::fmt;
use std::mem::{MaybeUninit, offset_of};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::error::{LoadError, LoadReason};
use super::file::{self, Pin, Sealed};
use super::keys::{array, text};
use super::limits;
use super::services::HostTable;
use super::worker::{Blueprint, WorkerOptions};
use crate::{Algorithm, Caps, abi, borrowed};

/// Keeps the mapping even if something else closes the library. Not named by libloading.
const RTLD_NODELETE: core::ffi::c_int = 0x1000;

/// A loaded plugin. Its code stays mapped as long as the process lives.
pub struct PluginImage {
    info: PluginInfo,
    sha256: [u8; 32],
    code: Code,
}

/// Where the code is that runs.
pub(crate) enum Code {
    /// In this process.
    Mapped(Arc<Mapped>),
    /// In processes made from this.
    Worker(Arc<Blueprint>),
}

/// The table of a plugin in this process.
pub(crate) struct Mapped(abi::Plugin);

/// A plugin's description of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    /// Short name: lower-case letters, digits and `-`.
    pub name: String,
    /// Version, for people.
    pub version: String,
    /// Who made it, for people.
    pub vendor: String,
    /// ABI minor it was compiled against.
    pub abi_minor: u16,
    /// The parts of the interface that it implements.
    pub caps: Caps,
    /// Algorithms that its keys may have, as far as this version knows them.
    pub algorithms: Vec<Algorithm>,
    /// URI schemes of its key ids.
    pub schemes: Vec<String>,
    /// Forms of inline key material that it resolves.
    pub forms: Vec<String>,
    /// JSON schema of its configuration; may be empty.
    pub config_schema: String,
    /// Calls that may run at once on one instance; 0 for any number.
    pub max_concurrency: u32,
    /// Items in one batch; 0 for any number.
    pub max_batch: u32,
}

// SAFETY: the table is a constant copy; its functions may be called from any thread by contract,
// and what its pointers point at is constant.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    pub(crate) fn table(&self) -> &abi::Plugin {
        &self.0
    }
}

impl fmt::Debug for PluginImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginImage").field("info", &self.info).finish_non_exhaustive()
    }
}

impl PluginImage {
    /// Reads the file, holds it against its pin, maps exactly the bytes that were hashed, and
    /// checks the plugin's table.
    ///
    /// # Errors
    /// The file is not safe to run, not the pinned one, or no plugin for this host.
    pub fn load(path: &Path, pin: &Pin) -> Result<Self, LoadError> {
        let fail = |reason| LoadError { path: path.to_owned(), reason };
        let image = Self::load_here(path, pin)?;
        if image.info.caps.contains(Caps::NEEDS_WORKER) {
            return Err(fail(LoadReason::NeedsWorker));
        }
        Ok(image)
    }

    /// As [`PluginImage::load`], whatever the plugin needs: this is its process.
    pub(crate) fn load_here(path: &Path, pin: &Pin) -> Result<Self, LoadError> {
        let mapped = file::read(path, pin).and_then(Self::map);
        mapped.map_err(|reason| LoadError { path: path.to_owned(), reason })
    }

    /// As [`PluginImage::load`], with the code in processes of its own: one now, which says what
    /// the plugin is, and one for each instance.
    ///
    /// # Errors
    /// As there; also where a process cannot be made, or ends before it has answered.
    pub fn load_in_worker(
        path: &Path,
        pin: &Pin,
        options: WorkerOptions,
    ) -> Result<Self, LoadError> {
        let fail = |reason| LoadError { path: path.to_owned(), reason };
        let sealed = file::read(path, pin).map_err(fail)?;
        let sha256 = sealed.sha256;
        let blueprint = Blueprint { sealed, options };
        let info = blueprint.describe().map_err(fail)?;
        Ok(Self { info, sha256, code: Code::Worker(Arc::new(blueprint)) })
    }

    /// Maps sealed bytes into this process.
    pub(super) fn map(sealed: Sealed) -> Result<Self, LoadReason> {
        let sha256 = sealed.sha256;
        let table = copy_table(map(sealed)?)?;
        check_functions(&table)?;
        let info = read_info(&table)?;
        Ok(Self { info, sha256, code: Code::Mapped(Arc::new(Mapped(table))) })
    }

    /// The plugin's description of itself.
    pub fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// SHA-256 of the bytes that are mapped.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    pub(crate) fn code(&self) -> &Code {
        &self.code
    }
}

/// Maps the sealed bytes and calls the entry.
fn map(sealed: Sealed) -> Result<*const abi::Plugin, LoadReason> {
    let path = format!("/proc/self/fd/{}", sealed.memory.as_raw_fd());
    // Never closed: the linker knows libraries by name, and a reused number would name this one.
    std::mem::forget(sealed.memory);
    // SAFETY: running the initialisers of code whose bytes the operator pinned is what loading a
    // plugin means.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) }
        .map_err(|error| LoadReason::Link(error.to_string()))?;
    // SAFETY: the type of this symbol is fixed by the ABI that its name carries.
    let entry = unsafe { library.get::<abi::Entry>(abi::HALLMARK_PLUGIN_ENTRY_V1) }
        .map(|symbol| *symbol)
        .map_err(|_| LoadReason::NoEntry);
    // Never unloaded: no Rust or C++ library can be, once a thread has been inside.
    let _: *mut core::ffi::c_void = library.into_raw();
    let entry = entry?;
    // SAFETY: the host table is static; the entry may be called from any one thread.
    Ok(unsafe { entry(HostTable::silent()) })
}

/// The end of the part of the table that every plugin must have.
const REQUIRED: usize = offset_of!(abi::Plugin, destroy) + size_of::<usize>();

/// Copies as much of the table as both sides know; the rest reads as absent.
fn copy_table(table: *const abi::Plugin) -> Result<abi::Plugin, LoadReason> {
    if table.is_null() {
        return Err(LoadReason::RefusesHost);
    }
    if !table.is_aligned() {
        return Err(LoadReason::Field("alignment"));
    }
    // SAFETY: an entry of this ABI returns static data that begins with the magic.
    let magic = unsafe { (*table).magic };
    if magic != abi::HALLMARK_ABI_MAGIC {
        return Err(LoadReason::Magic(magic));
    }
    // SAFETY: the magic says that a size and a major version follow.
    let size = unsafe { (*table).struct_size };
    // SAFETY: as above.
    let major = unsafe { (*table).abi_major };
    if major != abi::HALLMARK_ABI_MAJOR {
        return Err(LoadReason::Major(major));
    }
    if (size as usize) < REQUIRED {
        return Err(LoadReason::TableSize(size, REQUIRED));
    }
    let known = (size as usize).min(size_of::<abi::Plugin>());
    let mut copy = MaybeUninit::<abi::Plugin>::zeroed();
    // SAFETY: the plugin vouches for `size` bytes, the local has room for `known`.
    unsafe { std::ptr::copy_nonoverlapping(table.cast::<u8>(), copy.as_mut_ptr().cast(), known) };
    // SAFETY: zeroes are valid for every field: numbers, nullable pointers, optional functions.
    let copy = unsafe { copy.assume_init() };
    if copy.requires_host_minor > abi::HALLMARK_ABI_MINOR {
        return Err(LoadReason::Minor(copy.requires_host_minor));
    }
    Ok(copy)
}

fn check_functions(table: &abi::Plugin) -> Result<(), LoadReason> {
    let has = |cap| table.caps & cap != 0;
    let keys = has(abi::HALLMARK_CAP_KEYS);
    let rows = [
        (true, "to be a plugin", "create", table.create.is_some()),
        (true, "to be a plugin", "destroy", table.destroy.is_some()),
        (keys, "keys", "snapshot_open", table.snapshot_open.is_some()),
        (keys, "keys", "snapshot_keys", table.snapshot_keys.is_some()),
        (keys, "keys", "snapshot_close", table.snapshot_close.is_some()),
        (table.n_forms > 0, "forms", "resolve_keys", table.resolve_keys.is_some()),
        (has(abi::HALLMARK_CAP_DECODE), "decode", "decode_batch", table.decode_batch.is_some()),
        (has(abi::HALLMARK_CAP_VERIFY), "verify", "verify_batch", table.verify_batch.is_some()),
        (has(abi::HALLMARK_CAP_SIGN), "sign", "sign_batch", table.sign_batch.is_some()),
        // Keys to sign with come from snapshots.
        (has(abi::HALLMARK_CAP_SIGN), "sign", "snapshot_open", table.snapshot_open.is_some()),
    ];
    match rows.into_iter().find(|&(claimed, _, _, present)| claimed && !present) {
        Some((_, claim, function, _)) => Err(LoadReason::MissingFunction(claim, function)),
        None => Ok(()),
    }
}

/// Reads what a table says of its plugin.
pub(super) fn read_info(table: &abi::Plugin) -> Result<PluginInfo, LoadReason> {
    let name = label(&table.name, "name")?;
    if table.config_schema_json.len > limits::SCHEMA_BYTES {
        return Err(LoadReason::Field("config_schema_json"));
    }
    // SAFETY: the table is constant data of the plugin, and so is what it points at.
    let numbers = unsafe { array(table.algs, table.n_algs, limits::ALGORITHMS) }
        .ok_or(LoadReason::Field("algs"))?;
    // SAFETY: as above.
    let schema = unsafe { borrowed::bytes(&table.config_schema_json) };
    Ok(PluginInfo {
        name,
        // SAFETY: as above.
        version: unsafe { text(&table.version) },
        // SAFETY: as above.
        vendor: unsafe { text(&table.vendor) },
        abi_minor: table.abi_minor,
        caps: Caps::from_bits(table.caps),
        algorithms: numbers.iter().copied().filter_map(Algorithm::from_number).collect(),
        schemes: labels(table.schemes, table.n_schemes, "schemes")?,
        forms: labels(table.forms, table.n_forms, "forms")?,
        config_schema: String::from_utf8_lossy(schema).into_owned(),
        max_concurrency: table.max_concurrency,
        max_batch: table.max_batch,
    })
}

fn labels(
    first: *const abi::Bytes,
    n: usize,
    field: &'static str,
) -> Result<Vec<String>, LoadReason> {
    // SAFETY: the table is constant data of the plugin, and so is what it points at.
    let spans = unsafe { array(first, n, limits::CLAIMS) }.ok_or(LoadReason::Field(field))?;
    spans.iter().map(|span| label(span, field)).collect()
}

/// A name, scheme or form: 1 to 64 of `[a-z0-9+.-]`, a letter first.
fn label(span: &abi::Bytes, field: &'static str) -> Result<String, LoadReason> {
    let wrong = LoadReason::Field(field);
    if span.len == 0 || span.len > 64 {
        return Err(wrong);
    }
    // SAFETY: the table is constant data of the plugin, and so is what it points at.
    let bytes = unsafe { borrowed::bytes(span) };
    let fits =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+.-".contains(byte);
    if !bytes.first().is_some_and(u8::is_ascii_lowercase) || !bytes.iter().all(fits) {
        return Err(wrong);
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}
