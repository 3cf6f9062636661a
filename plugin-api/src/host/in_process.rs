//! A plugin in this process: its functions called directly.

use core::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::batch::{Answered, Blob, Output};
use super::error::CallError;
use super::image::Mapped;
use super::instance::Circumstances;
use super::keys::{KeyCollector, KeyRecord, Source, take_key};
use super::limits;
use super::services::{HostTable, Services, Slot};
use crate::borrowed::{size, span};
use crate::{Algorithm, ErrorKind, Item, Material, abi};

/// An instance in this process.
pub(super) struct InProcess {
    code: Arc<Mapped>,
    raw: NonNull<abi::Instance>,
    slot: &'static Slot,
    permits: Permits,
}

/// An open snapshot.
#[derive(Debug)]
pub(super) struct Opened(NonNull<abi::Snapshot>);

// SAFETY: the ABI lets an instance be used from any thread, and many at once up to the limit that
// `permits` keeps.
unsafe impl Send for InProcess {}
// SAFETY: as above.
unsafe impl Sync for InProcess {}
// SAFETY: the ABI lets a snapshot be used from any thread, and many at once.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(destroy) = self.table().destroy {
            // SAFETY: calls borrow the instance and snapshots hold it, so this is the last one.
            unsafe { destroy(self.raw.as_ptr()) };
        }
        self.slot.close();
    }
}

impl InProcess {
    /// Makes an instance; at most `max_concurrency` of its calls run at once, 0 for any number.
    pub(super) fn create(
        code: &Arc<Mapped>,
        max_concurrency: u32,
        config_json: &str,
        services: Arc<dyn Services>,
    ) -> Result<Self, CallError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let create = code.table().create.ok_or(CallError::Unsupported("make instances"))?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let (host, slot) = HostTable::leak(services);
        let mut raw = std::ptr::null_mut();
        let made = call_with_error(|error| {
            // SAFETY: the host table is never freed; all else is lent for the call.
            unsafe { create(host, id, span(config_json.as_bytes()), &mut raw, error) }
        })
        .and_then(|()| NonNull::new(raw).ok_or_else(|| CallError::contract("it made no instance")));
        match made {
            Ok(raw) => {
                let permits = Permits::new(max_concurrency);
                Ok(Self { code: Arc::clone(code), raw, slot, permits })
            }
            Err(error) => {
                slot.close();
                Err(error)
            }
        }
    }

    pub(super) fn health(&self, at: &Circumstances<'_>) -> Result<(), CallError> {
        let Some(health) = self.table().health else { return Ok(()) };
        // SAFETY: the instance is live; all else is lent for the call.
        self.call(at, |call, error| unsafe { health(self.raw.as_ptr(), call, error) })
    }

    /// Opens a snapshot: generation, seconds to live and keys.
    pub(super) fn snapshot(
        &self,
        at: &Circumstances<'_>,
    ) -> Result<(Opened, u64, u32, Vec<KeyRecord>), CallError> {
        let table = self.table();
        let (Some(open), Some(list)) = (table.snapshot_open, table.snapshot_keys) else {
            return Err(CallError::Unsupported("list keys"));
        };
        let (mut raw, mut generation, mut ttl_s) = (std::ptr::null_mut(), 0, 0);
        self.call(at, |call, error| {
            let out = &mut raw;
            // SAFETY: the instance is live; all else is lent for the call.
            unsafe { open(self.raw.as_ptr(), call, out, &mut generation, &mut ttl_s, error) }
        })?;
        let raw = NonNull::new(raw).ok_or_else(|| CallError::contract("it opened no snapshot"))?;

        let mut collector = KeyCollector::new(Source::Snapshot);
        let ctx = collector.ctx();
        let listed = self.call(at, |_, error| {
            // SAFETY: the snapshot is open and the collector outlives the call.
            unsafe { list(self.raw.as_ptr(), raw.as_ptr(), Some(take_key), ctx, error) }
        });
        let opened = Opened(raw);
        match collector.finish(listed) {
            Ok(keys) => Ok((opened, generation, ttl_s, keys)),
            Err(error) => {
                self.close(&opened);
                Err(error)
            }
        }
    }

    /// Closes a snapshot. Called once, by whoever holds it.
    pub(super) fn close(&self, opened: &Opened) {
        if let Some(close) = self.table().snapshot_close {
            // SAFETY: the snapshot is the instance's, still open, and nobody else holds it.
            unsafe { close(self.raw.as_ptr(), opened.0.as_ptr()) }
        }
    }

    pub(super) fn resolve_keys(
        &self,
        material: &Material<'_>,
        at: &Circumstances<'_>,
    ) -> Result<Vec<KeyRecord>, CallError> {
        let resolve =
            self.table().resolve_keys.ok_or(CallError::Unsupported("read key material"))?;
        let material = abi::Material {
            struct_size: size::<abi::Material>(),
            flags: 0,
            form: span(material.form.as_bytes()),
            data: span(material.data),
            alg: material.algorithm.map_or(0, Algorithm::number),
            reserved: 0,
        };
        let mut collector = KeyCollector::new(Source::Material);
        let ctx = collector.ctx();
        let listed = self.call(at, |call, error| {
            // SAFETY: the instance is live; material and collector outlive the call.
            unsafe { resolve(self.raw.as_ptr(), call, &material, Some(take_key), ctx, error) }
        });
        collector.finish(listed)
    }

    pub(super) fn verify(
        &self,
        snapshot: Option<&Opened>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Answered<()>, CallError> {
        let verify =
            self.table().verify_batch.ok_or(CallError::Unsupported("verify signatures"))?;
        self.batch(items, 0, at, |call, batch, _, error| {
            // SAFETY: instance and snapshot are live; the batch is lent for the call.
            unsafe { verify(self.raw.as_ptr(), raw(snapshot), call, batch, error) }
        })
    }

    pub(super) fn decode(
        &self,
        snapshot: Option<&Opened>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Answered<Blob>, CallError> {
        let decode =
            self.table().decode_batch.ok_or(CallError::Unsupported("decode signatures"))?;
        let sink = Some(super::batch::take_decoded as unsafe extern "C" fn(_, _, _) -> _);
        self.batch(items, 0, at, |call, batch, ctx, error| {
            // SAFETY: instance and snapshot are live; batch and outputs outlive the call.
            unsafe { decode(self.raw.as_ptr(), raw(snapshot), call, batch, sink, ctx, error) }
        })
    }

    /// `flags` are `HALLMARK_ITEM_*` of every item.
    pub(super) fn sign(
        &self,
        snapshot: Option<&Opened>,
        items: &[Item<'_>],
        flags: u32,
        at: &Circumstances<'_>,
    ) -> Result<Answered<Vec<u8>>, CallError> {
        let sign = self.table().sign_batch.ok_or(CallError::Unsupported("sign"))?;
        let sink = Some(super::batch::take_signature as unsafe extern "C" fn(_, _, _) -> _);
        self.batch(items, flags, at, |call, batch, ctx, error| {
            // SAFETY: instance and snapshot are live; batch and outputs outlive the call.
            unsafe { sign(self.raw.as_ptr(), raw(snapshot), call, batch, sink, ctx, error) }
        })
    }

    fn table(&self) -> &abi::Plugin {
        self.code.table()
    }

    /// One call over items; the outputs are the context of its sink.
    fn batch<T: Output>(
        &self,
        items: &[Item<'_>],
        flags: u32,
        at: &Circumstances<'_>,
        call: impl FnOnce(&abi::Call, &abi::Batch, *mut c_void, &mut abi::Error) -> abi::Rc,
    ) -> Result<Answered<T>, CallError> {
        let raw_items: Vec<abi::Item> = items.iter().map(|item| lend(item, flags)).collect();
        let mut results: Vec<abi::ItemResult> = (0..items.len())
            .map(|_| abi::ItemResult { verdict: abi::HALLMARK_NOT_PROCESSED, detail: 0 })
            .collect();
        let batch = abi::Batch {
            struct_size: size::<abi::Batch>(),
            n: items.len() as u32,
            item_stride: size::<abi::Item>(),
            result_stride: size::<abi::ItemResult>(),
            items: raw_items.as_ptr(),
            results: results.as_mut_ptr(),
        };
        let mut answered = Answered::new(items.len());
        let ctx = answered.ctx();
        self.call(at, |context, error| call(context, &batch, ctx, error))?;
        answered.verdicts = results.into_iter().map(|result| result.verdict).collect();
        Ok(answered)
    }

    /// Every call goes through here: waits for a permit, then says what time it is.
    fn call(
        &self,
        at: &Circumstances<'_>,
        run: impl FnOnce(&abi::Call, &mut abi::Error) -> abi::Rc,
    ) -> Result<(), CallError> {
        let _permit = self.permits.take(at.deadline)?;
        let call = abi::Call {
            struct_size: size::<abi::Call>(),
            flags: 0,
            now: at.now,
            deadline_mono_ns: at.deadline.map_or(0, monotonic_ns),
            cancel: at.cancel.map_or(std::ptr::null(), |flag| flag.as_ptr().cast_const()),
            trace_id: span(&[]),
        };
        call_with_error(|error| run(&call, error))
    }
}

fn raw(snapshot: Option<&Opened>) -> *mut abi::Snapshot {
    snapshot.map_or(std::ptr::null_mut(), |opened| opened.0.as_ptr())
}

fn lend(item: &Item<'_>, flags: u32) -> abi::Item {
    abi::Item {
        key_handle: item.key_handle,
        alg: item.algorithm.map_or(0, Algorithm::number),
        flags,
        key: span(item.key),
        message: span(item.message),
        signature: span(item.signature),
    }
}

/// Runs a call and reads its code.
fn call_with_error(run: impl FnOnce(&mut abi::Error) -> abi::Rc) -> Result<(), CallError> {
    match with_error_text(run) {
        (abi::HALLMARK_RC_OK, _) => Ok(()),
        (abi::HALLMARK_RC_PANIC, text) => Err(CallError::Panicked(text)),
        (rc, text) => Err(CallError::Refused { kind: ErrorKind::from_rc(rc), text }),
    }
}

/// Gives a call room for an error text; answers with its code and what it wrote there.
pub(crate) fn with_error_text(run: impl FnOnce(&mut abi::Error) -> abi::Rc) -> (abi::Rc, String) {
    let mut buffer = [0_u8; limits::TEXT_BYTES];
    let mut error = abi::Error {
        struct_size: size::<abi::Error>(),
        reserved: 0,
        buf: buffer.as_mut_ptr(),
        cap: buffer.len(),
        len: 0,
    };
    let rc = run(&mut error);
    let len = error.len.min(buffer.len());
    (rc, String::from_utf8_lossy(&buffer[..len]).into_owned())
}

/// An instant as the plugin sees it: nanoseconds of `CLOCK_MONOTONIC`.
pub(super) fn monotonic_ns(deadline: Instant) -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    );
    let at = now + deadline.saturating_duration_since(Instant::now());
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

/// Keeps the number of calls that run at once.
struct Permits {
    /// 0 for any number.
    max: u32,
    taken: Mutex<u32>,
    freed: Condvar,
}

struct Permit<'a>(Option<&'a Permits>);

impl Permits {
    fn new(max: u32) -> Self {
        Self { max, taken: Mutex::new(0), freed: Condvar::new() }
    }

    fn take(&self, deadline: Option<Instant>) -> Result<Permit<'_>, CallError> {
        if self.max == 0 {
            return Ok(Permit(None));
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken >= self.max {
            taken = match deadline {
                None => self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let left = at.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(CallError::Busy(self.max));
                    }
                    let waited = self.freed.wait_timeout(taken, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *taken += 1;
        Ok(Permit(Some(self)))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if let Some(permits) = self.0 {
            *permits.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            permits.freed.notify_one();
        }
    }
}
