//! The plugin under test: its raw functions, its instances and snapshots.

use std::fs;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sha2::{Digest, Sha256};

use super::finding::{Trouble, fail};
use super::host_table::{Grown, Helpful};
use super::job::{Blob, Subject};
use crate::borrowed::{size, span};
use crate::host::image::{Code, Mapped};
use crate::host::in_process::with_error_text;
use crate::host::keys::{KeyCollector, KeyRecord, Source, take_key};
use crate::host::{Pin, PluginImage};
use crate::{Caps, KeyFlags, abi};

/// The time that every call is told: 2026-11-20.
pub(super) const NOW: i64 = 1_795_000_000;

/// A loaded plugin, in the child that it was given.
pub(super) struct Loaded {
    pub(super) image: Arc<PluginImage>,
    code: Arc<Mapped>,
    pub(super) host: &'static Grown,
    pub(super) services: Arc<Helpful>,
    pub(super) config: String,
    /// Signature blobs and their payloads.
    pub(super) blobs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A configured instance, which ends when dropped.
pub(super) struct Live<'a> {
    pub(super) plugin: &'a Loaded,
    pub(super) raw: NonNull<abi::Instance>,
}

/// An open snapshot, which is closed when dropped.
pub(super) struct Open<'a> {
    live: &'a Live<'a>,
    pub(super) raw: NonNull<abi::Snapshot>,
    pub(super) generation: u64,
    pub(super) keys: Vec<KeyRecord>,
}

// SAFETY: the ABI lets instances and snapshots be used from any thread, and many at once; the kit
// keeps `max_concurrency`.
unsafe impl Sync for Live<'_> {}
// SAFETY: as above.
unsafe impl Sync for Open<'_> {}

/// The answer of a call that was not `HALLMARK_RC_OK`.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) rc: abi::Rc,
    pub(super) text: String,
}

impl Refusal {
    /// In a place where a good plugin does not refuse.
    pub(super) fn unexpected(self, function: &str) -> Trouble {
        match self.rc {
            abi::HALLMARK_RC_STALE_SNAPSHOT => Trouble::Stale,
            rc => Trouble::Fail(format!(
                "`{function}` answered {} ({}) to a call that it must answer",
                rc_name(rc),
                self.text
            )),
        }
    }
}

impl Loaded {
    /// Maps the file of the subject.
    pub(super) fn new(subject: &Subject) -> Result<Self, Trouble> {
        let (host, services) = Grown::leak(&subject.secrets);
        let image = PluginImage::load_here(&subject.file, &Pin::Sha256(vec![subject.sha256]))
            .map_err(|error| Trouble::Fail(error.reason.to_string()))?;
        let Code::Mapped(code) = image.code() else {
            return fail("it is not in this process");
        };
        let code = Arc::clone(code);
        let blobs = subject.blobs.iter().map(read_blob).collect::<Result<_, _>>()?;
        let (image, config) = (Arc::new(image), subject.config.clone());
        Ok(Self { image, code, host, services, config, blobs })
    }

    pub(super) fn table(&self) -> &abi::Plugin {
        self.code.table()
    }

    pub(super) fn has(&self, cap: Caps) -> bool {
        self.image.info().caps.contains(cap)
    }

    /// Items that one call may have.
    pub(super) fn batch_max(&self) -> usize {
        match self.image.info().max_batch as usize {
            0 => 1_024,
            max => max.min(1_024),
        }
    }

    /// Threads that may be inside at once, of those wanted.
    pub(super) fn threads(&self, wanted: usize) -> usize {
        match self.image.info().max_concurrency as usize {
            0 => wanted.max(1),
            max => wanted.clamp(1, max),
        }
    }

    /// An instance of the configuration that the vendor gave.
    pub(super) fn create(&self) -> Result<Live<'_>, Trouble> {
        self.create_from(self.host.ordinary(), &self.config).map_err(|refusal| {
            let Refusal { rc, text } = refusal;
            let rc = rc_name(rc);
            Trouble::Fail(format!(
                "`create` refuses the configuration with {rc} ({text}): give the kit one that works \
                 with --config and --secret"
            ))
        })
    }

    /// An instance of any configuration, on any host table.
    pub(super) fn create_from(
        &self,
        host: *const abi::Host,
        config: &str,
    ) -> Result<Live<'_>, Refusal> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut raw = std::ptr::null_mut();
        refusable(|error| match self.table().create {
            // SAFETY: the host table is never freed; all else is lent for the call.
            Some(create) => unsafe { create(host, id, span(config.as_bytes()), &mut raw, error) },
            None => abi::HALLMARK_RC_UNSUPPORTED,
        })?;
        match NonNull::new(raw) {
            Some(raw) => Ok(Live { plugin: self, raw }),
            None => Err(Refusal {
                rc: abi::HALLMARK_RC_INTERNAL,
                text: "it answered OK and made no instance".to_owned(),
            }),
        }
    }
}

impl Live<'_> {
    pub(super) fn health(&self) -> Result<(), Refusal> {
        let Some(health) = self.plugin.table().health else { return Ok(()) };
        // SAFETY: the instance is live; all else is lent for the call.
        refusable(|error| unsafe { health(self.raw.as_ptr(), &call(), error) })
    }

    /// Opens a snapshot and lists its keys, which must keep the contract.
    pub(super) fn open(&self) -> Result<Open<'_>, Trouble> {
        let table = self.plugin.table();
        let (Some(open), Some(list)) = (table.snapshot_open, table.snapshot_keys) else {
            return Err(Trouble::Skip("the plugin lists no keys"));
        };
        let (mut raw, mut generation, mut ttl_s) = (std::ptr::null_mut(), 0, 0);
        let live = self.raw.as_ptr();
        // SAFETY: the instance is live; all else is lent for the call.
        refusable(|error| unsafe {
            open(live, &call(), &mut raw, &mut generation, &mut ttl_s, error)
        })
        .map_err(|refusal| refusal.unexpected("snapshot_open"))?;
        let Some(raw) = NonNull::new(raw) else {
            return fail("`snapshot_open` answered OK and opened none; set `*out`");
        };
        let mut open = Open { live: self, raw, generation, keys: Vec::new() };
        let mut collector = KeyCollector::new(Source::Snapshot);
        let ctx = collector.ctx();
        let listed =
            // SAFETY: the snapshot is open and the collector outlives the call.
            refusable(|error| unsafe { list(live, raw.as_ptr(), Some(take_key), ctx, error) });
        match collector.finish(Ok(())) {
            Ok(keys) => open.keys = keys,
            Err(error) => return fail(format!("`snapshot_keys`: {error}")),
        }
        listed.map_err(|refusal| refusal.unexpected("snapshot_keys"))?;
        Ok(open)
    }

    /// Its refusal of a snapshot, if it refuses one. One that it opens is closed again.
    pub(super) fn refusal_of_snapshot(&self) -> Option<Refusal> {
        let open = self.plugin.table().snapshot_open?;
        let (mut raw, mut generation, mut ttl_s) = (std::ptr::null_mut(), 0, 0);
        let live = self.raw.as_ptr();
        let opened = refusable(|error| {
            // SAFETY: the instance is live; all else is lent for the call.
            unsafe { open(live, &call(), &mut raw, &mut generation, &mut ttl_s, error) }
        });
        if opened.is_ok()
            && let Some(raw) = NonNull::new(raw)
        {
            drop(Open { live: self, raw, generation, keys: Vec::new() });
        }
        opened.err()
    }

    /// A snapshot where the plugin has any, nothing where it has none.
    pub(super) fn open_if_any(&self) -> Result<Option<Open<'_>>, Trouble> {
        match self.open() {
            Ok(open) => Ok(Some(open)),
            Err(Trouble::Skip(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The keys in material, or the refusal.
    pub(super) fn resolve(&self, form: &str, data: &[u8]) -> Result<Vec<KeyRecord>, Refusal> {
        let Some(resolve) = self.plugin.table().resolve_keys else { return Ok(Vec::new()) };
        let material = abi::Material {
            struct_size: size::<abi::Material>(),
            flags: 0,
            form: span(form.as_bytes()),
            data: span(data),
            alg: 0,
            reserved: 0,
        };
        let mut collector = KeyCollector::new(Source::Material);
        let ctx = collector.ctx();
        let live = self.raw.as_ptr();
        // SAFETY: the instance is live; material and collector outlive the call.
        refusable(|error| unsafe {
            resolve(live, &call(), &material, Some(take_key), ctx, error)
        })?;
        let rc = abi::HALLMARK_RC_INTERNAL;
        collector.finish(Ok(())).map_err(|error| Refusal { rc, text: error.to_string() })
    }
}

impl Open<'_> {
    /// The keys that sign.
    pub(super) fn signing(&self) -> impl Iterator<Item = &KeyRecord> {
        self.keys.iter().filter(|key| key.flags.contains(KeyFlags::SIGN))
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(destroy) = self.plugin.table().destroy {
            // SAFETY: calls and snapshots borrow this value, so it is the last use.
            unsafe { destroy(self.raw.as_ptr()) }
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(close) = self.live.plugin.table().snapshot_close {
            // SAFETY: still open, and nobody else holds it.
            unsafe { close(self.live.raw.as_ptr(), self.raw.as_ptr()) }
        }
    }
}

/// A call without deadline or cancellation.
pub(super) fn call() -> abi::Call {
    abi::Call {
        struct_size: size::<abi::Call>(),
        flags: 0,
        now: NOW,
        deadline_mono_ns: 0,
        cancel: std::ptr::null(),
        trace_id: span(&[]),
    }
}

/// Runs a call and reads its code.
fn refusable(run: impl FnOnce(&mut abi::Error) -> abi::Rc) -> Result<(), Refusal> {
    match with_error_text(run) {
        (abi::HALLMARK_RC_OK, _) => Ok(()),
        (rc, text) => Err(Refusal { rc, text }),
    }
}

/// The bytes of the file, held against the sum that every child is given.
pub(super) fn read(subject: &Subject) -> Result<Vec<u8>, Trouble> {
    let bytes = fs::read(&subject.file).map_err(|error| Trouble::Fail(error.to_string()))?;
    if <[u8; 32]>::from(Sha256::digest(&bytes)) == subject.sha256 {
        Ok(bytes)
    } else {
        fail("the file changed while the kit ran; run it again")
    }
}

fn read_blob(blob: &Blob) -> Result<(Vec<u8>, Vec<u8>), Trouble> {
    let read = |file: &Path| {
        let unreadable = |error| Trouble::Fail(format!("cannot read {}: {error}", file.display()));
        fs::read(file).map_err(unreadable)
    };
    let payload = blob.payload.as_deref().map(read).transpose()?;
    Ok((read(&blob.file)?, payload.unwrap_or_default()))
}

/// The SHA-256 of a file, and nothing else of it.
///
/// # Errors
/// It cannot be read.
pub fn sum(file: &Path) -> std::io::Result<[u8; 32]> {
    Ok(Sha256::digest(fs::read(file)?).into())
}

/// The name of a code, for people.
pub(super) fn rc_name(rc: abi::Rc) -> String {
    let names = [
        "OK",
        "INVALID_ARG",
        "UNSUPPORTED",
        "CONFIG",
        "UNAVAILABLE",
        "TIMEOUT",
        "CANCELLED",
        "BUSY",
        "AUTH",
        "INTERNAL",
        "PANIC",
        "STALE_SNAPSHOT",
        "MALFORMED",
        "LIMIT",
    ];
    let name = usize::try_from(rc).ok().and_then(|index| names.get(index));
    name.map_or_else(|| format!("the unknown code {rc}"), |name| format!("RC_{name}"))
}
