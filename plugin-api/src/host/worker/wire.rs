//! The words between host and worker, little endian: numbers as they are, bytes after their length.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::arena::Writer;
use super::{WORKER_FILES_MAX, WorkerFiles};
use crate::borrowed::span;
use crate::host::error::CallError;
use crate::host::{KeyRecord, PluginInfo};
use crate::{Algorithm, Decoded, ErrorKind, Item, KeyFlags, abi};

/// A question of the host to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Op {
    /// Load the plugin and say what it is.
    Describe = 1,
    /// Make the instance.
    Create,
    Health,
    /// Open a snapshot and list its keys.
    Open,
    /// List more keys of an open snapshot.
    More,
    Resolve,
    Verify,
    Decode,
    Sign,
    SignDigests,
}

impl Op {
    pub(super) const ALL: [Self; 10] = [
        Self::Describe,
        Self::Create,
        Self::Health,
        Self::Open,
        Self::More,
        Self::Resolve,
        Self::Verify,
        Self::Decode,
        Self::Sign,
        Self::SignDigests,
    ];

    pub(super) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|&op| op as u32 == number)
    }
}

/// A doorbell: what the part of the arena holds, and how much of it. It travels through a socket,
/// so that the length that is checked is the length that is used.
pub(super) const BELL_BYTES: usize = 8;

pub(super) fn bell(what: u32, len: usize) -> [u8; BELL_BYTES] {
    (u64::from(what) | (len as u64) << 32).to_le_bytes()
}

pub(super) fn read_bell(bell: [u8; BELL_BYTES]) -> (u32, usize) {
    let both = u64::from_le_bytes(bell);
    (both as u32, (both >> 32) as usize)
}

/// The `what` of a worker's bell: the call ran.
pub(super) const ANSWERED: u32 = 0;
/// The `what` of a worker's bell: the call failed as a whole.
pub(super) const FAILED: u32 = 1;

/// The messages of a worker to the host beside its answers.
pub(super) const LOG: u8 = 1;
pub(super) const KEYS_CHANGED: u8 = 2;
pub(super) const SECRET: u8 = 3;
/// The messages of the host to a worker beside its questions.
pub(super) const SECRET_IS: u8 = 1;
pub(super) const NO_SECRET: u8 = 2;
pub(super) const CLOSE: u8 = 3;

/// Numbers and bytes after each other; `None` where there is no more room.
pub(super) trait Put {
    fn put(&mut self, bytes: &[u8]) -> Option<()>;

    fn u32(&mut self, number: u32) -> Option<()> {
        self.put(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> Option<()> {
        self.put(&number.to_le_bytes())
    }

    fn i64(&mut self, number: i64) -> Option<()> {
        self.put(&number.to_le_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.u32(u32::try_from(bytes.len()).ok()?)?;
        self.put(bytes)
    }

    fn time(&mut self, at: Option<i64>) -> Option<()> {
        self.i64(at.unwrap_or(abi::HALLMARK_TIME_ABSENT))
    }
}

impl Put for Writer {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.raw(bytes)
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.extend_from_slice(bytes);
        Some(())
    }
}

/// Reads what [`Put`] wrote; `None` where it did not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// Several of what `read` reads, at most `max`.
    pub(super) fn several<T>(
        &mut self,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let n = self.u32()? as usize;
        if n > max {
            return None;
        }
        (0..n).map(|_| read(self)).collect()
    }
}

/// An item of a batch.
pub(super) fn put_item(to: &mut impl Put, item: &Item<'_>) -> Option<()> {
    to.u64(item.key_handle)?;
    to.u32(item.algorithm.map_or(0, Algorithm::number))?;
    to.bytes(item.key)?;
    to.bytes(item.message)?;
    to.bytes(item.signature)
}

pub(super) fn item<'a>(from: &mut Reader<'a>) -> Option<Item<'a>> {
    Some(Item {
        key_handle: from.u64()?,
        algorithm: Algorithm::from_number(from.u32()?),
        key: from.bytes()?,
        message: from.bytes()?,
        signature: from.bytes()?,
    })
}

pub(super) fn put_key(to: &mut impl Put, key: &KeyRecord) -> Option<()> {
    // As a plugin would say it.
    let (flags, attrs) = match &key.unusable {
        Some(why) => (KeyFlags::UNUSABLE, why),
        None => (key.flags, &key.attrs_json),
    };
    to.u64(key.handle)?;
    to.u32(flags.bits())?;
    to.bytes(key.id.as_bytes())?;
    to.u32(key.other_ids.len() as u32)?;
    key.other_ids.iter().try_for_each(|id| to.bytes(id.as_bytes()))?;
    to.bytes(&key.spki_der)?;
    to.bytes(&key.fingerprint)?;
    to.u32(key.algorithms.len() as u32)?;
    key.algorithms.iter().try_for_each(|algorithm| to.u32(algorithm.number()))?;
    to.time(key.not_before)?;
    to.time(key.not_after)?;
    to.time(key.revoked_at)?;
    to.bytes(attrs.as_bytes())
}

/// A key as it crosses the ABI, and the arrays that it points at.
pub(super) struct LentKey<'a> {
    flags: u32,
    handle: u64,
    id: &'a [u8],
    other_ids: Vec<abi::Bytes>,
    spki_der: &'a [u8],
    fingerprint: &'a [u8],
    algs: Vec<u32>,
    times: [i64; 3],
    attrs_json: &'a [u8],
}

impl<'a> LentKey<'a> {
    pub(super) fn read(from: &mut Reader<'a>) -> Option<Self> {
        use crate::host::limits;
        Some(Self {
            handle: from.u64()?,
            flags: from.u32()?,
            id: from.bytes()?,
            other_ids: from.several(limits::IDS, |from| from.bytes().map(span))?,
            spki_der: from.bytes()?,
            fingerprint: from.bytes()?,
            algs: from.several(limits::ALGORITHMS, Reader::u32)?,
            times: [from.i64()?, from.i64()?, from.i64()?],
            attrs_json: from.bytes()?,
        })
    }

    /// The key, pointing into what was read.
    pub(super) fn as_abi(&self) -> abi::Key {
        abi::Key {
            struct_size: crate::borrowed::size::<abi::Key>(),
            flags: self.flags,
            handle: self.handle,
            id: span(self.id),
            other_ids: self.other_ids.as_ptr(),
            n_other_ids: self.other_ids.len(),
            spki_der: span(self.spki_der),
            fingerprint: span(self.fingerprint),
            algs: self.algs.as_ptr(),
            n_algs: self.algs.len(),
            not_before: self.times[0],
            not_after: self.times[1],
            revoked_at: self.times[2],
            attrs_json: span(self.attrs_json),
        }
    }
}

pub(super) fn put_decoded(to: &mut impl Put, decoded: &Decoded) -> Option<()> {
    match decoded {
        Decoded::Signed(signed) => {
            to.u64(signed.key_handle)?;
            to.bytes(signed.key_id.as_bytes())?;
            to.u32(signed.algorithm.number())?;
            to.u32(0)?;
            to.bytes(&signed.message)?;
            to.bytes(&signed.signature)?;
            to.bytes(&signed.payload)?;
            to.time(signed.signed_at)?;
            to.time(signed.expires_at)
        }
        Decoded::Refused(refusal) => {
            to.u64(0)?;
            to.bytes(refusal.key_id.as_bytes())?;
            to.u32(0)?;
            to.u32(refusal.failure as abi::Verdict)?;
            to.bytes(refusal.text.as_bytes())?;
            to.bytes(&[])?;
            to.bytes(&[])?;
            to.time(None)?;
            to.time(None)
        }
    }
}

/// A decoded signature as it crosses the ABI, pointing into what was read.
pub(super) fn decoded(from: &mut Reader<'_>) -> Option<abi::Decoded> {
    Some(abi::Decoded {
        struct_size: crate::borrowed::size::<abi::Decoded>(),
        flags: 0,
        key_handle: from.u64()?,
        key_id: span(from.bytes()?),
        alg: from.u32()?,
        refusal: from.u32()?,
        message: span(from.bytes()?),
        signature: span(from.bytes()?),
        payload: span(from.bytes()?),
        signed_at: from.i64()?,
        expires_at: from.i64()?,
    })
}

pub(super) fn put_info(to: &mut impl Put, info: &PluginInfo) -> Option<()> {
    to.u32(u32::from(info.abi_minor))?;
    to.u32(info.max_concurrency)?;
    to.u32(info.max_batch)?;
    to.u64(info.caps.bits())?;
    for text in [&info.name, &info.version, &info.vendor, &info.config_schema] {
        to.bytes(text.as_bytes())?;
    }
    to.u32(info.algorithms.len() as u32)?;
    info.algorithms.iter().try_for_each(|algorithm| to.u32(algorithm.number()))?;
    for labels in [&info.schemes, &info.forms] {
        to.u32(labels.len() as u32)?;
        labels.iter().try_for_each(|label| to.bytes(label.as_bytes()))?;
    }
    Some(())
}

/// The description of a plugin, as its table would give it; checked as a table is.
pub(super) fn info(from: &mut Reader<'_>) -> Option<PluginInfo> {
    use crate::host::limits;
    let abi_minor = u16::try_from(from.u32()?).ok()?;
    let (max_concurrency, max_batch, caps) = (from.u32()?, from.u32()?, from.u64()?);
    let [name, version, vendor, config_schema_json] =
        [from.bytes()?, from.bytes()?, from.bytes()?, from.bytes()?].map(span);
    let algs = from.several(limits::ALGORITHMS, Reader::u32)?;
    let schemes = from.several(limits::CLAIMS, |from| from.bytes().map(span))?;
    let forms = from.several(limits::CLAIMS, |from| from.bytes().map(span))?;
    let table = abi::Plugin {
        magic: abi::HALLMARK_ABI_MAGIC,
        struct_size: crate::borrowed::size::<abi::Plugin>(),
        abi_major: abi::HALLMARK_ABI_MAJOR,
        abi_minor,
        requires_host_minor: 0,
        reserved: 0,
        max_concurrency,
        max_batch,
        caps,
        name,
        version,
        vendor,
        config_schema_json,
        algs: algs.as_ptr(),
        n_algs: algs.len(),
        schemes: schemes.as_ptr(),
        n_schemes: schemes.len(),
        forms: forms.as_ptr(),
        n_forms: forms.len(),
        create: None,
        destroy: None,
        health: None,
        snapshot_open: None,
        snapshot_keys: None,
        snapshot_close: None,
        resolve_keys: None,
        decode_batch: None,
        verify_batch: None,
        sign_batch: None,
        extension: None,
    };
    crate::host::image::read_info(&table).ok()
}

pub(super) fn put_files(to: &mut impl Put, files: Option<&WorkerFiles>) -> Option<()> {
    let lists = files.map(|files| [&files.read, &files.write]);
    to.u32(lists.is_some().into())?;
    for list in lists.into_iter().flatten() {
        to.u32(list.len() as u32)?;
        list.iter().try_for_each(|path| to.bytes(path.as_os_str().as_bytes()))?;
    }
    Some(())
}

pub(super) fn files(from: &mut Reader<'_>) -> Option<Option<WorkerFiles>> {
    if from.u32()? == 0 {
        return Some(None);
    }
    let mut list = || {
        let path = |from: &mut Reader<'_>| Some(OsStr::from_bytes(from.bytes()?).into());
        from.several(WORKER_FILES_MAX, path)
    };
    Some(Some(WorkerFiles { read: list()?, write: list()? }))
}

/// Which error a failed call has.
const REFUSED: u32 = 1;
const PANICKED: u32 = 2;
const BROKE_CONTRACT: u32 = 3;

pub(super) fn put_error(to: &mut impl Put, error: &CallError) -> Option<()> {
    let (which, kind) = match error {
        CallError::Refused { kind, .. } => (REFUSED, *kind as abi::Rc),
        CallError::Panicked(_) => (PANICKED, 0),
        CallError::Contract(_) => (BROKE_CONTRACT, 0),
        CallError::Busy(_) => (REFUSED, abi::HALLMARK_RC_BUSY),
        CallError::Unsupported(_) => (REFUSED, abi::HALLMARK_RC_UNSUPPORTED),
        CallError::Worker(_) => (REFUSED, abi::HALLMARK_RC_INTERNAL),
    };
    let text = match error {
        CallError::Contract(text) => text.clone(),
        error => error.to_string(),
    };
    to.u32(which)?;
    to.u32(kind as u32)?;
    to.bytes(text.as_bytes())
}

pub(super) fn error(from: &mut Reader<'_>) -> Option<CallError> {
    let (which, kind) = (from.u32()?, from.u32()?);
    let text = from.bytes()?;
    let text = &text[..text.len().min(crate::host::limits::TEXT_BYTES)];
    let text = String::from_utf8_lossy(text).into_owned();
    match which {
        REFUSED => Some(CallError::Refused { kind: ErrorKind::from_rc(kind as abi::Rc), text }),
        PANICKED => Some(CallError::Panicked(text)),
        BROKE_CONTRACT => Some(CallError::Contract(text)),
        _ => None,
    }
}
