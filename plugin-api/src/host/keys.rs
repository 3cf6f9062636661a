//! Key records as the host keeps them: copied, bounded, with the fingerprint computed here.

use core::ffi::c_void;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::error::CallError;
use super::instance::Instance;
use super::{in_process, limits, worker};
use crate::{Algorithm, KeyFlags, abi, borrowed};

/// Bytes that are shown of an id that is none.
const ID_BYTES_SHOWN: usize = 256;

/// One public key of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Names the key in batches with its snapshot; 0 for a key from inline material.
    pub handle: u64,
    /// Stable id; may be empty for a key from inline material.
    pub id: String,
    /// Other ids that signatures name it by.
    pub other_ids: Vec<String>,
    /// SubjectPublicKeyInfo in DER, not parsed; may be empty without [`KeyFlags::HOST_VERIFY`].
    pub spki_der: Vec<u8>,
    /// SHA-256 of `spki_der`, computed by the host.
    pub spki_sha256: [u8; 32],
    /// The format's own fingerprint, as the plugin says; may be empty.
    pub fingerprint: Vec<u8>,
    /// Algorithms it may be used with, as far as this version knows them; preferred first.
    pub algorithms: Vec<Algorithm>,
    /// The uses that it allows.
    pub flags: KeyFlags,
    /// First second of validity, Unix time.
    pub not_before: Option<i64>,
    /// Last second of validity, Unix time.
    pub not_after: Option<i64>,
    /// Second of revocation, Unix time.
    pub revoked_at: Option<i64>,
    /// A JSON object for people, not parsed; may be empty.
    pub attrs_json: String,
    /// Why there is no more of it than its id, which is cut where it is no id: the plugin says so, or
    /// what it says of the key breaks the contract. `None` for a key.
    pub unusable: Option<String>,
}

impl KeyRecord {
    /// The record of a key that cannot be used.
    fn unusable(id: String, why: String) -> Self {
        Self {
            handle: 0,
            id,
            other_ids: Vec::new(),
            spki_der: Vec::new(),
            spki_sha256: Sha256::digest([]).into(),
            fingerprint: Vec::new(),
            algorithms: Vec::new(),
            flags: KeyFlags::from_bits(0),
            not_before: None,
            not_after: None,
            revoked_at: None,
            attrs_json: String::new(),
            unusable: Some(why),
        }
    }
}

/// The keys of an instance at one moment. The plugin's side of it is open as long as this lives.
#[derive(Debug)]
pub struct KeySnapshot {
    /// Differs where the keys differ.
    pub generation: u64,
    /// After how long to ask again; `None` for never.
    pub ttl: Option<Duration>,
    /// The keys, every handle once, and what stands for those that cannot be used.
    pub keys: Vec<KeyRecord>,
    pub(super) open: OpenSnapshot,
}

impl KeySnapshot {
    /// The plugin's side of it, where that is in this process.
    pub(super) fn in_process(&self) -> Option<&in_process::Opened> {
        match &self.open.opened {
            Opened::InProcess(opened) => Some(opened),
            Opened::Worker(_) => None,
        }
    }

    /// The plugin's side of it, where that is in a worker.
    pub(super) fn in_worker(&self) -> Option<&worker::Opened> {
        match &self.open.opened {
            Opened::InProcess(_) => None,
            Opened::Worker(opened) => Some(opened),
        }
    }
}

/// Closes the plugin's snapshot when dropped. Holds the instance, which must outlive it.
#[derive(Debug)]
pub(super) struct OpenSnapshot {
    pub(super) instance: Arc<Instance>,
    pub(super) opened: Opened,
}

/// The plugin's side of a snapshot.
#[derive(Debug)]
pub(super) enum Opened {
    InProcess(in_process::Opened),
    Worker(worker::Opened),
}

impl Drop for OpenSnapshot {
    fn drop(&mut self) {
        self.instance.close(&self.opened);
    }
}

/// Where keys may come from: the rules differ in whether they have handles and ids of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Snapshot,
    Material,
}

/// The context of a key sink.
pub(crate) struct KeyCollector {
    source: Source,
    keys: Vec<KeyRecord>,
    /// The fault of the first key that ended the enumeration.
    broken: Option<String>,
}

impl KeyCollector {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, keys: Vec::new(), broken: None }
    }

    pub(crate) fn ctx(&mut self) -> *mut c_void {
        std::ptr::from_mut(self).cast()
    }

    /// Keys taken so far.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Checks and copies one key. One of a snapshot that breaks the contract costs that key alone;
    /// of material, whoever wrote it is there to be told.
    ///
    /// # Safety
    /// All that `key` points at is valid for the call.
    pub(super) unsafe fn take(&mut self, key: &abi::Key) -> Result<(), String> {
        if self.keys.len() >= limits::KEYS {
            return Err("it has too many keys".to_owned());
        }
        // SAFETY: by the contract of this function.
        let read = unsafe { read_key(key, self.source) };
        let record = match (read, self.source) {
            (Ok(record), _) => record,
            (Err(why), Source::Material) => return Err(why),
            (Err(why), Source::Snapshot) => {
                // SAFETY: by the contract of this function.
                let id = unsafe { shown_id(&key.id) };
                let id = if id.is_empty() { format!("key {}", self.len() + 1) } else { id };
                KeyRecord::unusable(id, why)
            }
        };
        self.keys.push(record);
        Ok(())
    }

    /// The keys, where the call went well and they could all be read.
    pub(crate) fn finish(
        mut self,
        listed: Result<(), CallError>,
    ) -> Result<Vec<KeyRecord>, CallError> {
        if let Some(broken) = self.broken {
            return Err(CallError::Contract(broken));
        }
        listed?;
        if self.source == Source::Snapshot {
            part_handles(&mut self.keys);
        }
        Ok(self.keys)
    }
}

/// Keys of one handle could not be told apart where they sign: none of them is used.
fn part_handles(keys: &mut [KeyRecord]) {
    let mut by_handle: HashMap<u64, Vec<usize>> = HashMap::new();
    for (index, key) in keys.iter().enumerate().filter(|(_, key)| key.unusable.is_none()) {
        by_handle.entry(key.handle).or_default().push(index);
    }
    for index in by_handle.into_values().filter(|indices| indices.len() > 1).flatten() {
        let id = std::mem::take(&mut keys[index].id);
        keys[index] = KeyRecord::unusable(id, "another key has its handle".to_owned());
    }
}

/// The key sink that the host passes.
pub(crate) unsafe extern "C" fn take_key(sink_ctx: *mut c_void, key: *const abi::Key) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(collector) = (unsafe { sink_ctx.cast::<KeyCollector>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    // SAFETY: NULL or lent for this call; the size is read before anything else.
    let key = unsafe { borrowed::sized(key) }.ok_or_else(|| "a key has a wrong size".to_owned());
    // SAFETY: the plugin lends the key, with all that it points at, for this call.
    let take = || key.and_then(|key| unsafe { collector.take(key) });
    let taken = catch_unwind(AssertUnwindSafe(take));
    match taken {
        Ok(Ok(())) => abi::HALLMARK_RC_OK,
        Ok(Err(broken)) => {
            collector.broken.get_or_insert(broken);
            abi::HALLMARK_RC_LIMIT
        }
        Err(_) => abi::HALLMARK_RC_INTERNAL,
    }
}

/// A key that keeps the contract, or why there is none.
///
/// # Safety
/// All that `key` points at is valid for the call.
unsafe fn read_key(key: &abi::Key, source: Source) -> Result<KeyRecord, String> {
    if KeyFlags::from_bits(key.flags).contains(KeyFlags::UNUSABLE) {
        // SAFETY: by the contract of this function.
        return Err(unsafe { text(&key.attrs_json) });
    }
    // SAFETY: by the contract of this function.
    let record = unsafe { read_fields(key) }?;
    match source {
        Source::Material => Ok(KeyRecord { handle: 0, ..record }),
        Source::Snapshot if record.id.is_empty() => Err("it has no id".to_owned()),
        Source::Snapshot if record.handle == 0 => Err("its handle is 0".to_owned()),
        Source::Snapshot => Ok(record),
    }
}

/// # Safety
/// All that `key` points at is valid for the call.
unsafe fn read_fields(key: &abi::Key) -> Result<KeyRecord, &'static str> {
    // SAFETY: by the contract of this function.
    let other_ids = unsafe { array(key.other_ids, key.n_other_ids, limits::IDS) };
    // SAFETY: by the contract of this function.
    let algs = unsafe { array(key.algs, key.n_algs, limits::ALGORITHMS) };
    let other_ids = other_ids.ok_or("it has too many ids")?;
    let algs = algs.ok_or("it has too many algorithms")?;
    // SAFETY: by the contract of this function.
    let spki_der = unsafe { copy(&key.spki_der, limits::SPKI_BYTES) };
    let spki_der = spki_der.ok_or("its SubjectPublicKeyInfo is too long")?;
    let flags = KeyFlags::from_bits(key.flags);
    if flags.contains(KeyFlags::HOST_VERIFY) && spki_der.is_empty() {
        return Err("it is for the host to verify with and has no SubjectPublicKeyInfo");
    }
    Ok(KeyRecord {
        handle: key.handle,
        // SAFETY: by the contract of this function.
        id: unsafe { read_id(&key.id) }?,
        // SAFETY: by the contract of this function.
        other_ids: other_ids.iter().map(|id| unsafe { read_id(id) }).collect::<Result<_, _>>()?,
        spki_sha256: Sha256::digest(&spki_der).into(),
        spki_der,
        // SAFETY: by the contract of this function.
        fingerprint: unsafe { copy(&key.fingerprint, limits::FINGERPRINT_BYTES) }
            .ok_or("its fingerprint is too long")?,
        algorithms: algs.iter().copied().filter_map(Algorithm::from_number).collect(),
        flags,
        not_before: time(key.not_before),
        not_after: time(key.not_after),
        revoked_at: time(key.revoked_at),
        // SAFETY: by the contract of this function.
        attrs_json: unsafe { copy(&key.attrs_json, limits::ATTRS_BYTES) }
            .and_then(|attrs| String::from_utf8(attrs).ok())
            .ok_or("its attributes are too long or not UTF-8")?,
        unusable: None,
    })
}

/// The name of a key that cannot be used: its id, or as much of it as is fit to be shown.
///
/// # Safety
/// The bytes are valid for the call.
unsafe fn shown_id(span: &abi::Bytes) -> String {
    // SAFETY: by the contract of this function.
    if let Ok(id) = unsafe { read_id(span) } {
        return id;
    }
    let start = abi::Bytes { ptr: span.ptr, len: span.len.min(ID_BYTES_SHOWN) };
    // SAFETY: by the contract of this function, which is that of fewer bytes.
    let text = String::from_utf8_lossy(unsafe { borrowed::bytes(&start) });
    text.chars()
        .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
        .collect()
}

/// An id is compared byte by byte and shown to people: UTF-8 without control characters.
///
/// # Safety
/// The bytes are valid for the call.
pub(super) unsafe fn read_id(span: &abi::Bytes) -> Result<String, &'static str> {
    // SAFETY: by the contract of this function.
    let id = unsafe { copy(span, limits::ID_BYTES) }.ok_or("a key id is too long")?;
    let id = String::from_utf8(id).map_err(|_| "a key id is not UTF-8")?;
    if id.chars().any(char::is_control) {
        return Err("a key id holds control characters");
    }
    Ok(id)
}

/// A copy of at most `max` bytes; `None` where there are more, or where they have no address.
///
/// # Safety
/// The bytes are valid for the call.
pub(crate) unsafe fn copy(span: &abi::Bytes, max: usize) -> Option<Vec<u8>> {
    if span.len > max || (span.ptr.is_null() && span.len != 0) {
        return None;
    }
    // SAFETY: by the contract of this function.
    Some(unsafe { borrowed::bytes(span) }.to_vec())
}

/// The elements of an array of at most `max`; `None` where there are more, or no array.
///
/// # Safety
/// `first` is NULL or valid for `n` elements for `'a`.
pub(super) unsafe fn array<'a, T>(first: *const T, n: usize, max: usize) -> Option<&'a [T]> {
    if n == 0 {
        return Some(&[]);
    }
    if n > max || first.is_null() || !first.is_aligned() {
        return None;
    }
    // SAFETY: by the contract of this function.
    Some(unsafe { std::slice::from_raw_parts(first, n) })
}

/// Text for people: cut, and made UTF-8.
///
/// # Safety
/// The bytes are valid for the call.
pub(super) unsafe fn text(span: &abi::Bytes) -> String {
    let span = abi::Bytes { ptr: span.ptr, len: span.len.min(limits::TEXT_BYTES) };
    // SAFETY: by the contract of this function.
    String::from_utf8_lossy(unsafe { borrowed::bytes(&span) }).into_owned()
}

pub(super) fn time(at: i64) -> Option<i64> {
    Some(at).filter(|&at| at != abi::HALLMARK_TIME_ABSENT)
}
