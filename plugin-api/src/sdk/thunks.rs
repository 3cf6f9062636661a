//! The functions in the plugin table, generic over the [`Plugin`] behind them.
//!
//! Each one checks its pointers and sizes, turns them into safe types, and calls the plugin under
//! `catch_unwind`; a batch catches once per item, so that one hostile item fails alone. Nothing is
//! kept of what the host lends.

use core::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use super::panic::{Panic, caught, remember_panics};
use super::rows::Rows;
use super::{
    Algorithm, Call, Caps, Decoded, Error, ErrorKind, Failure, Host, Key, LogLevel, Material,
    Plugin,
};
use crate::abi;
use crate::borrowed::{bytes, size, sized, span};

/// The place of the plugin table in the plugin's static memory.
#[derive(Debug)]
pub struct Table(OnceLock<Built>);

#[derive(Debug)]
struct Built(abi::Plugin);

// SAFETY: the table is constant once built and points at constants only.
unsafe impl Send for Built {}
// SAFETY: as above.
unsafe impl Sync for Built {}

impl Table {
    /// Empty, until the entry is called.
    #[expect(clippy::new_without_default, reason = "a const constructor for one static")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }
}

/// The body of the exported symbol: NULL where the host is none that this SDK understands.
///
/// # Safety
/// `host` is NULL or a host table that outlives the plugin.
pub unsafe fn entry<P: Plugin>(
    host: *const abi::Host,
    table: &'static Table,
) -> *const abi::Plugin {
    let answer = caught(|| {
        // SAFETY: by the contract of this function.
        let host = unsafe { sized(host) };
        if !host.is_some_and(understood) {
            return std::ptr::null();
        }
        remember_panics();
        &raw const table.0.get_or_init(|| Built(build::<P>())).0
    });
    answer.unwrap_or(std::ptr::null())
}

fn understood(host: &abi::Host) -> bool {
    host.abi_major == abi::HALLMARK_ABI_MAJOR
}

fn build<P: Plugin>() -> abi::Plugin {
    let info = &P::INFO;
    let has = |cap| info.caps.contains(cap);
    let (keys, sign, verify) = (has(Caps::KEYS), has(Caps::SIGN), has(Caps::VERIFY));
    abi::Plugin {
        magic: abi::HALLMARK_ABI_MAGIC,
        struct_size: size::<abi::Plugin>(),
        abi_major: abi::HALLMARK_ABI_MAJOR,
        abi_minor: abi::HALLMARK_ABI_MINOR,
        requires_host_minor: 0,
        reserved: 0,
        max_concurrency: info.max_concurrency,
        max_batch: info.max_batch,
        caps: info.caps.bits(),
        name: span(info.name.as_bytes()),
        version: span(info.version.as_bytes()),
        vendor: span(info.vendor.as_bytes()),
        config_schema_json: span(info.config_schema.as_bytes()),
        algs: leak(info.algorithms.iter().map(|algorithm| algorithm.number())),
        n_algs: info.algorithms.len(),
        schemes: leak(info.schemes.iter().map(|scheme| span(scheme.as_bytes()))),
        n_schemes: info.schemes.len(),
        forms: leak(info.forms.iter().map(|form| span(form.as_bytes()))),
        n_forms: info.forms.len(),
        create: Some(create::<P>),
        destroy: Some(destroy::<P>),
        health: Some(health::<P>),
        snapshot_open: keys.then_some(snapshot_open::<P> as _),
        snapshot_keys: keys.then_some(snapshot_keys::<P> as _),
        snapshot_close: keys.then_some(snapshot_close::<P> as _),
        resolve_keys: (!info.forms.is_empty()).then_some(resolve_keys::<P> as _),
        decode_batch: has(Caps::DECODE).then_some(decode_batch::<P> as _),
        verify_batch: verify.then_some(verify_batch::<P> as _),
        sign_batch: sign.then_some(sign_batch::<P> as _),
        extension: None,
    }
}

/// Static memory for the table, made once per process.
fn leak<T>(values: impl Iterator<Item = T>) -> *const T {
    Vec::leak(values.collect()).as_ptr()
}

/// The target of an instance pointer.
struct Live<P> {
    plugin: P,
    host: Host,
}

unsafe extern "C" fn create<P: Plugin>(
    host: *const abi::Host,
    instance_id: u64,
    config_json: abi::Bytes,
    out: *mut *mut abi::Instance,
    error: *mut abi::Error,
) -> abi::Rc {
    // SAFETY: the host passes NULL or a table that outlives the plugin.
    let table = unsafe { sized(host) }.filter(|table| understood(table));
    let host = table.map(|table| Host::new(table, instance_id));
    guard(host, error, || {
        let host = host.ok_or_else(|| invalid("no host table"))?;
        // SAFETY: the host lends the configuration for the call.
        let config = std::str::from_utf8(unsafe { bytes(&config_json) })
            .map_err(|_| invalid("the configuration is not UTF-8"))?;
        let live = Box::new(Live { plugin: P::create(host, config)?, host });
        // SAFETY: `out` is NULL or the host's, for this call.
        let out = unsafe { out.as_mut() }.ok_or_else(|| invalid("no place for the instance"))?;
        *out = Box::into_raw(live).cast();
        Ok(())
    })
}

unsafe extern "C" fn destroy<P: Plugin>(instance: *mut abi::Instance) {
    if instance.is_null() {
        return;
    }
    // SAFETY: `create` made the pointer and the host hands it in once, after its last call.
    let live = unsafe { Box::from_raw(instance.cast::<Live<P>>()) };
    let host = live.host;
    guard(Some(host), std::ptr::null_mut(), move || {
        drop(live);
        Ok(())
    });
}

unsafe extern "C" fn health<P: Plugin>(
    instance: *mut abi::Instance,
    call: *const abi::Call,
    error: *mut abi::Error,
) -> abi::Rc {
    // SAFETY: as for every thunk: the pointers are the host's, valid for the call.
    unsafe { enter::<P>(instance, call, error, |live, call| live.plugin.health(call)) }
}

unsafe extern "C" fn snapshot_open<P: Plugin>(
    instance: *mut abi::Instance,
    call: *const abi::Call,
    out: *mut *mut abi::Snapshot,
    generation: *mut u64,
    ttl_s: *mut u32,
    error: *mut abi::Error,
) -> abi::Rc {
    let run = |live: &Live<P>, call: &Call<'_>| {
        // SAFETY: NULL or the host's, for this call.
        let out = unsafe { out.as_mut() }.ok_or_else(|| invalid("no place for the snapshot"))?;
        let taken = live.plugin.snapshot(call)?;
        *out = Box::into_raw(Box::new(taken.keys)).cast();
        // SAFETY: NULL or the host's, for this call.
        if let Some(generation) = unsafe { generation.as_mut() } {
            *generation = taken.generation;
        }
        // SAFETY: NULL or the host's, for this call.
        if let Some(ttl_s) = unsafe { ttl_s.as_mut() } {
            *ttl_s = taken.ttl_seconds;
        }
        Ok(())
    };
    // SAFETY: the pointers are the host's, valid for the call.
    unsafe { enter::<P>(instance, call, error, run) }
}

unsafe extern "C" fn snapshot_keys<P: Plugin>(
    instance: *mut abi::Instance,
    snapshot: *mut abi::Snapshot,
    sink: abi::KeySink,
    sink_ctx: *mut c_void,
    error: *mut abi::Error,
) -> abi::Rc {
    // SAFETY: NULL or what `create` made.
    let live = unsafe { instance.cast::<Live<P>>().as_ref() };
    guard(live.map(|live| live.host), error, || {
        let live = live.ok_or_else(|| invalid("no instance"))?;
        // SAFETY: NULL or what `snapshot_open` made.
        let snapshot = unsafe { snapshot.cast::<P::Snapshot>().as_ref() };
        let snapshot = snapshot.ok_or_else(|| invalid("no snapshot"))?;
        let keys = live.plugin.keys(snapshot)?;
        keys.iter().try_for_each(|key| emit_key(key, sink, sink_ctx))
    })
}

unsafe extern "C" fn snapshot_close<P: Plugin>(
    instance: *mut abi::Instance,
    snapshot: *mut abi::Snapshot,
) {
    if snapshot.is_null() {
        return;
    }
    // SAFETY: NULL or what `create` made.
    let host = unsafe { instance.cast::<Live<P>>().as_ref() }.map(|live| live.host);
    // SAFETY: `snapshot_open` made the pointer and the host hands it in once, after its last use.
    let snapshot = unsafe { Box::from_raw(snapshot.cast::<P::Snapshot>()) };
    guard(host, std::ptr::null_mut(), move || {
        drop(snapshot);
        Ok(())
    });
}

unsafe extern "C" fn resolve_keys<P: Plugin>(
    instance: *mut abi::Instance,
    call: *const abi::Call,
    material: *const abi::Material,
    sink: abi::KeySink,
    sink_ctx: *mut c_void,
    error: *mut abi::Error,
) -> abi::Rc {
    let run = |live: &Live<P>, call: &Call<'_>| {
        // SAFETY: NULL or the host's, for this call.
        let material = unsafe { sized(material) }.ok_or_else(|| invalid("no material"))?;
        // SAFETY: the host lends the form for the call.
        let form = std::str::from_utf8(unsafe { bytes(&material.form) })
            .map_err(|_| invalid("the form is not UTF-8"))?;
        let unknown = || Error::new(ErrorKind::Malformed, "the algorithm is not known");
        let algorithm = match material.alg {
            0 => None,
            number => Some(Algorithm::from_number(number).ok_or_else(unknown)?),
        };
        // SAFETY: the host lends the material for the call.
        let data = unsafe { bytes(&material.data) };
        let keys = live.plugin.resolve(call, &Material { form, data, algorithm })?;
        keys.iter().try_for_each(|key| emit_key(key, sink, sink_ctx))
    };
    // SAFETY: the pointers are the host's, valid for the call.
    unsafe { enter::<P>(instance, call, error, run) }
}

unsafe extern "C" fn decode_batch<P: Plugin>(
    instance: *mut abi::Instance,
    snapshot: *mut abi::Snapshot,
    call: *const abi::Call,
    batch: *const abi::Batch,
    sink: abi::DecodedSink,
    sink_ctx: *mut c_void,
    error: *mut abi::Error,
) -> abi::Rc {
    let run = |live: &Live<P>, call: &Call<'_>| {
        // SAFETY: NULL or what `snapshot_open` made.
        let snapshot = unsafe { snapshot.cast::<P::Snapshot>().as_ref() };
        // SAFETY: the host lends the batch for the call.
        let rows = unsafe { Rows::new(batch) }?;
        rows.answer(live.host, call, 0, |index, item, _| {
            for decoded in live.plugin.decode(snapshot, item, call)? {
                emit_decoded(&decoded, index, sink, sink_ctx)?;
            }
            Ok(abi::HALLMARK_DONE)
        });
        Ok(())
    };
    // SAFETY: the pointers are the host's, valid for the call.
    unsafe { enter::<P>(instance, call, error, run) }
}

unsafe extern "C" fn verify_batch<P: Plugin>(
    instance: *mut abi::Instance,
    snapshot: *mut abi::Snapshot,
    call: *const abi::Call,
    batch: *const abi::Batch,
    error: *mut abi::Error,
) -> abi::Rc {
    let run = |live: &Live<P>, call: &Call<'_>| {
        // SAFETY: NULL or what `snapshot_open` made.
        let snapshot = unsafe { snapshot.cast::<P::Snapshot>().as_ref() };
        // SAFETY: the host lends the batch for the call.
        let rows = unsafe { Rows::new(batch) }?;
        rows.answer(live.host, call, 0, |_, item, _| {
            live.plugin.verify(snapshot, item, call)?;
            Ok(abi::HALLMARK_VALID)
        });
        Ok(())
    };
    // SAFETY: the pointers are the host's, valid for the call.
    unsafe { enter::<P>(instance, call, error, run) }
}

unsafe extern "C" fn sign_batch<P: Plugin>(
    instance: *mut abi::Instance,
    snapshot: *mut abi::Snapshot,
    call: *const abi::Call,
    batch: *const abi::Batch,
    sink: abi::DataSink,
    sink_ctx: *mut c_void,
    error: *mut abi::Error,
) -> abi::Rc {
    let run = |live: &Live<P>, call: &Call<'_>| {
        let sink = sink.ok_or_else(|| invalid("no sink"))?;
        // SAFETY: NULL or what `snapshot_open` made.
        let snapshot = unsafe { snapshot.cast::<P::Snapshot>().as_ref() };
        let snapshot = snapshot.ok_or_else(|| invalid("no snapshot"))?;
        // SAFETY: the host lends the batch for the call.
        let rows = unsafe { Rows::new(batch) }?;
        rows.answer(live.host, call, abi::HALLMARK_ITEM_PREHASHED, |index, item, flags| {
            let signature = match flags {
                0 => live.plugin.sign(snapshot, item, call)?,
                _ => live.plugin.sign_digest(snapshot, item, call)?,
            };
            // SAFETY: sink and context are of one call; the signature outlives it.
            match unsafe { sink(sink_ctx, index, span(&signature)) } {
                abi::HALLMARK_RC_OK => Ok(abi::HALLMARK_DONE),
                _ => Err(Failure::Backend),
            }
        });
        Ok(())
    };
    // SAFETY: the pointers are the host's, valid for the call.
    unsafe { enter::<P>(instance, call, error, run) }
}

/// The way into every call on an instance.
///
/// # Safety
/// `instance` is NULL or what `create::<P>` made; `call` and `error` are NULL or valid for the
/// call.
unsafe fn enter<P: Plugin>(
    instance: *mut abi::Instance,
    call: *const abi::Call,
    error: *mut abi::Error,
    run: impl FnOnce(&Live<P>, &Call<'_>) -> Result<(), Error>,
) -> abi::Rc {
    // SAFETY: by the contract of this function.
    let live = unsafe { instance.cast::<Live<P>>().as_ref() };
    guard(live.map(|live| live.host), error, || {
        let live = live.ok_or_else(|| invalid("no instance"))?;
        // SAFETY: by the contract of this function.
        let call = unsafe { sized(call) }.ok_or_else(|| invalid("no call"))?;
        // SAFETY: NULL or a flag that the host keeps for the call and writes atomically only.
        let cancel = unsafe { call.cancel.cast::<AtomicU32>().as_ref() };
        let deadline_mono_ns = Some(call.deadline_mono_ns).filter(|&at| at != 0);
        run(live, &Call { now: call.now, deadline_mono_ns, cancel })
    })
}

/// Runs plugin code; a panic and an error both become a code and a text.
fn guard(
    host: Option<Host>,
    error: *mut abi::Error,
    run: impl FnOnce() -> Result<(), Error>,
) -> abi::Rc {
    match caught(run) {
        Ok(Ok(())) => abi::HALLMARK_RC_OK,
        Ok(Err(refused)) => {
            write_error(error, &refused.text);
            refused.kind as abi::Rc
        }
        Err(panic) => {
            log_panic(host, &panic);
            write_error(error, &panic.to_string());
            abi::HALLMARK_RC_PANIC
        }
    }
}

pub(super) fn log_panic(host: Option<Host>, panic: &Panic) {
    if let Some(host) = host {
        host.log(LogLevel::Error, "panic", &panic.to_string());
    }
}

fn write_error(error: *mut abi::Error, text: &str) {
    // SAFETY: NULL or the caller's, for the call.
    if unsafe { sized(error) }.is_none_or(|error| error.buf.is_null()) {
        return;
    }
    // SAFETY: as above, and it is not NULL.
    let error = unsafe { &mut *error };
    let mut len = text.len().min(error.cap);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    // SAFETY: the caller vouches for `cap` bytes at `buf`, which are not part of `text`.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), error.buf, len) };
    error.len = len;
}

pub(super) fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

fn emit_key(key: &Key, sink: abi::KeySink, sink_ctx: *mut c_void) -> Result<(), Error> {
    let other_ids: Vec<_> = key.other_ids.iter().map(|id| span(id.as_bytes())).collect();
    let algs: Vec<_> = key.algorithms.iter().map(|algorithm| algorithm.number()).collect();
    let raw = abi::Key {
        struct_size: size::<abi::Key>(),
        flags: key.flags.bits(),
        handle: key.handle,
        id: span(key.id.as_bytes()),
        other_ids: other_ids.as_ptr(),
        n_other_ids: other_ids.len(),
        spki_der: span(&key.spki_der),
        fingerprint: span(&key.fingerprint),
        algs: algs.as_ptr(),
        n_algs: algs.len(),
        not_before: time(key.not_before),
        not_after: time(key.not_after),
        revoked_at: time(key.revoked_at),
        attrs_json: span(key.attrs_json.as_bytes()),
    };
    let sink = sink.ok_or_else(|| invalid("no sink"))?;
    // SAFETY: sink and context are of one call; all that `raw` points at outlives it.
    match unsafe { sink(sink_ctx, &raw) } {
        abi::HALLMARK_RC_OK => Ok(()),
        _ => Err(Error::new(ErrorKind::Limit, "the host refuses a key")),
    }
}

fn emit_decoded(
    decoded: &Decoded,
    index: u32,
    sink: abi::DecodedSink,
    sink_ctx: *mut c_void,
) -> Result<(), Failure> {
    let raw = lend_decoded(decoded);
    let sink = sink.ok_or(Failure::Backend)?;
    // SAFETY: sink and context are of one call; all that `raw` points at outlives it.
    match unsafe { sink(sink_ctx, index, &raw) } {
        abi::HALLMARK_RC_OK => Ok(()),
        _ => Err(Failure::Backend),
    }
}

fn lend_decoded(decoded: &Decoded) -> abi::Decoded {
    let absent = abi::Decoded {
        struct_size: size::<abi::Decoded>(),
        flags: 0,
        key_handle: 0,
        key_id: span(&[]),
        alg: 0,
        refusal: 0,
        message: span(&[]),
        signature: span(&[]),
        payload: span(&[]),
        signed_at: abi::HALLMARK_TIME_ABSENT,
        expires_at: abi::HALLMARK_TIME_ABSENT,
    };
    match decoded {
        Decoded::Signed(signed) => abi::Decoded {
            key_handle: signed.key_handle,
            key_id: span(signed.key_id.as_bytes()),
            alg: signed.algorithm.number(),
            message: span(&signed.message),
            signature: span(&signed.signature),
            payload: span(&signed.payload),
            signed_at: time(signed.signed_at),
            expires_at: time(signed.expires_at),
            ..absent
        },
        Decoded::Refused(refusal) => abi::Decoded {
            key_id: span(refusal.key_id.as_bytes()),
            refusal: refusal.failure as abi::Verdict,
            message: span(refusal.text.as_bytes()),
            ..absent
        },
    }
}

fn time(at: Option<i64>) -> i64 {
    at.unwrap_or(abi::HALLMARK_TIME_ABSENT)
}
