//! A configured plugin, and the calls into it.

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::error::CallError;
use super::image::PluginImage;
use super::keys::{KeyCollector, KeyRecord, KeySnapshot, OpenSnapshot, Source, take_key};
use super::limits;
use super::services::{HostTable, Services, Slot};
use crate::borrowed::{size, span};
use crate::{ErrorKind, Material, abi};

/// What a call is told by the host.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The time to judge by, Unix seconds.
    pub now: i64,
    /// When the answer is worthless. Also bounds the wait for a free call.
    pub deadline: Option<Instant>,
    /// Non-zero asks a plugin that looks to stop.
    pub cancel: Option<&'a AtomicU32>,
}

impl Circumstances<'_> {
    /// At `now`, with as much time as it takes.
    pub fn at(now: i64) -> Self {
        Self { now, deadline: None, cancel: None }
    }
}

/// A configured plugin. Ends when it and the last of its snapshots are dropped.
///
/// Calls block: a plugin may read files or ask a device.
pub struct Instance {
    image: Arc<PluginImage>,
    raw: NonNull<abi::Instance>,
    slot: &'static Slot,
    permits: Permits,
}

// SAFETY: the ABI lets an instance be used from any thread, and many at once up to the limit that
// `permits` keeps.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("image", &self.image).finish_non_exhaustive()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(destroy) = self.table().destroy {
            // SAFETY: calls borrow the instance and snapshots hold it, so this is the last one.
            unsafe { destroy(self.raw.as_ptr()) };
        }
        self.slot.close();
    }
}

impl Instance {
    /// Makes an instance of a configuration, a JSON document.
    ///
    /// # Errors
    /// The plugin refuses the configuration, or breaks its contract.
    pub fn create(
        image: &Arc<PluginImage>,
        config_json: &str,
        services: Arc<dyn Services>,
    ) -> Result<Arc<Self>, CallError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let create = image.table().create.ok_or(CallError::Unsupported("make instances"))?;
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
                let permits = Permits::new(image.info().max_concurrency);
                Ok(Arc::new(Self { image: Arc::clone(image), raw, slot, permits }))
            }
            Err(error) => {
                slot.close();
                Err(error)
            }
        }
    }

    /// The code behind it.
    pub fn image(&self) -> &PluginImage {
        &self.image
    }

    /// Can it do its work now? A plugin that does not say is taken to.
    ///
    /// # Errors
    /// Why not.
    pub fn health(&self, at: &Circumstances<'_>) -> Result<(), CallError> {
        let Some(health) = self.table().health else { return Ok(()) };
        // SAFETY: the instance is live; all else is lent for the call.
        self.call(at, |call, error| unsafe { health(self.raw.as_ptr(), call, error) })
    }

    /// Takes the picture of all keys.
    ///
    /// # Errors
    /// The plugin cannot now, or a key breaks its contract: then there is no snapshot at all.
    pub fn snapshot(self: &Arc<Self>, at: &Circumstances<'_>) -> Result<KeySnapshot, CallError> {
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
        let open = OpenSnapshot { instance: Arc::clone(self), raw };

        let mut collector = KeyCollector::new(Source::Snapshot);
        let ctx = collector.ctx();
        let listed = self.call(at, |_, error| {
            // SAFETY: the snapshot is open and the collector outlives the call.
            unsafe { list(self.raw.as_ptr(), raw.as_ptr(), Some(take_key), ctx, error) }
        });
        let keys = collected(listed, collector)?;
        let ttl = Some(Duration::from_secs(u64::from(ttl_s))).filter(|ttl| !ttl.is_zero());
        Ok(KeySnapshot { generation, ttl, keys, open })
    }

    /// The keys in inline key material.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where the material is not of its form; otherwise the plugin cannot
    /// now, or breaks its contract.
    pub fn resolve_keys(
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
            alg: material.algorithm.map_or(0, crate::Algorithm::number),
            reserved: 0,
        };
        let mut collector = KeyCollector::new(Source::Material);
        let ctx = collector.ctx();
        let listed = self.call(at, |call, error| {
            // SAFETY: the instance is live; material and collector outlive the call.
            unsafe { resolve(self.raw.as_ptr(), call, &material, Some(take_key), ctx, error) }
        });
        collected(listed, collector)
    }

    pub(super) fn table(&self) -> &abi::Plugin {
        self.image.table()
    }

    pub(super) fn raw(&self) -> *mut abi::Instance {
        self.raw.as_ptr()
    }

    /// Every call goes through here: waits for a permit, then says what time it is.
    pub(super) fn call(
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

fn collected(
    listed: Result<(), CallError>,
    collector: KeyCollector,
) -> Result<Vec<KeyRecord>, CallError> {
    match collector.broken {
        Some(broken) => Err(CallError::Contract(broken)),
        None => listed.map(|()| collector.keys),
    }
}

/// Gives the call room for an error text and reads its code.
fn call_with_error(run: impl FnOnce(&mut abi::Error) -> abi::Rc) -> Result<(), CallError> {
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
    let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
    match rc {
        abi::HALLMARK_RC_OK => Ok(()),
        abi::HALLMARK_RC_PANIC => Err(CallError::Panicked(text)),
        rc => Err(CallError::Refused { kind: ErrorKind::from_rc(rc), text }),
    }
}

/// An instant as the plugin sees it: nanoseconds of `CLOCK_MONOTONIC`.
fn monotonic_ns(deadline: Instant) -> u64 {
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
