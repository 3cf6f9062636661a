//! One batch call, in memory that bites.

use core::ffi::c_void;
use std::sync::atomic::AtomicU32;
use std::thread::{self, ThreadId};

use super::arena::{Arena, CANARY};
use super::finding::{Trouble, fail};
use super::host_table::{GREASE, GROWTH};
use super::plugin::{Live, NOW, Open, Refusal};
use crate::borrowed::{size, sized};
use crate::host::batch::read_decoded;
use crate::host::keys::copy;
use crate::host::limits;
use crate::{Caps, abi};

/// The calls that take batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Verify,
    Decode,
    Sign,
}

/// One item of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) key_handle: u64,
    pub(super) alg: u32,
    pub(super) flags: u32,
    pub(super) key: Vec<u8>,
    pub(super) message: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The form of a call, as the plugin sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shape {
    /// Structs and strides of a later minor.
    pub(super) grown: bool,
    /// Bytes at odd addresses.
    pub(super) odd: bool,
}

/// The result of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: abi::Verdict,
    /// Signatures, or what was decoded, as bytes to compare.
    pub(super) outputs: Vec<Vec<u8>>,
}

/// The result of a call.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) answers: Vec<Answer>,
    pub(super) refusal: Option<Refusal>,
    /// A rule of the boundary that the plugin broke.
    pub(super) harm: Option<String>,
}

impl Op {
    pub(super) const ALL: [Self; 3] = [Self::Verify, Self::Decode, Self::Sign];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify_batch",
            Self::Decode => "decode_batch",
            Self::Sign => "sign_batch",
        }
    }

    pub(super) fn cap(self) -> Caps {
        match self {
            Self::Verify => Caps::VERIFY,
            Self::Decode => Caps::DECODE,
            Self::Sign => Caps::SIGN,
        }
    }

    /// The one verdict that means yes.
    pub(super) fn yes(self) -> abi::Verdict {
        match self {
            Self::Verify => abi::HALLMARK_VALID,
            Self::Decode | Self::Sign => abi::HALLMARK_DONE,
        }
    }
}

impl Reply {
    /// The answers of a call that had to run and keep the rules.
    pub(super) fn answers(self, op: Op) -> Result<Vec<Answer>, Trouble> {
        if let Some(harm) = self.harm {
            return fail(format!("`{}` {harm}", op.name()));
        }
        match self.refusal {
            Some(refusal) => Err(refusal.unexpected(op.name())),
            None => Ok(self.answers),
        }
    }
}

/// Calls the plugin with at most its `max_batch` items.
pub(super) fn call(
    live: &Live<'_>,
    open: Option<&Open<'_>>,
    op: Op,
    samples: &[Sample],
    shape: Shape,
    cancel: Option<&AtomicU32>,
) -> Result<Reply, Trouble> {
    let memory = |error: std::io::Error| Trouble::Fail(format!("the kit has no memory: {error}"));
    let lent = Lent::new(samples, shape, cancel).map_err(memory)?;
    let mut taken = Taken::new(samples.len(), shape).map_err(memory)?;
    let batch = lent.batch(&taken).map_err(memory)?;
    let mut outputs = Outputs::new(samples.len());
    let rc = enter(live, open, op, (&lent, batch), &mut taken, &mut outputs);
    drop(lent);
    let (answers, refusal, harm) = taken.read(rc, outputs);
    Ok(Reply { answers, refusal, harm })
}

fn enter(
    live: &Live<'_>,
    open: Option<&Open<'_>>,
    op: Op,
    (lent, batch): (&Lent, *const abi::Batch),
    taken: &mut Taken,
    outputs: &mut Outputs,
) -> abi::Rc {
    let table = live.plugin.table();
    let (instance, error, call) = (live.raw.as_ptr(), taken.error, lent.call);
    let snapshot = open.map_or(std::ptr::null_mut(), |open| open.raw.as_ptr());
    let ctx: *mut c_void = std::ptr::from_mut(outputs).cast();
    let absent = abi::HALLMARK_RC_UNSUPPORTED;
    match op {
        Op::Verify => table.verify_batch.map_or(absent, |verify| {
            // SAFETY: instance and snapshot are live; all else lies in arenas that outlive the call.
            unsafe { verify(instance, snapshot, call, batch, error) }
        }),
        Op::Decode => table.decode_batch.map_or(absent, |decode| {
            // SAFETY: as above; the outputs outlive the call too.
            unsafe { decode(instance, snapshot, call, batch, Some(take_decoded), ctx, error) }
        }),
        Op::Sign => table.sign_batch.map_or(absent, |sign| {
            // SAFETY: as above.
            unsafe { sign(instance, snapshot, call, batch, Some(take_bytes), ctx, error) }
        }),
    }
}

/// Memory that a plugin may read while the call lasts.
struct Lent {
    arena: Arena,
    call: *const abi::Call,
    items: *const abi::Item,
    batch: *mut u8,
    n: usize,
    shape: Shape,
}

impl Lent {
    fn new(samples: &[Sample], shape: Shape, cancel: Option<&AtomicU32>) -> std::io::Result<Self> {
        let stride = stride::<abi::Item>(shape);
        let data = |it: &Sample| it.key.len() + it.message.len() + it.signature.len() + 3 * 3;
        let structs = size_of::<abi::Call>() + size_of::<abi::Batch>() + 2 * GROWTH + 64;
        let total = structs + samples.len() * stride + samples.iter().map(data).sum::<usize>();
        let mut arena = Arena::new(total)?;
        let call = abi::Call {
            struct_size: size::<abi::Call>() + if shape.grown { GROWTH as u32 } else { 0 },
            flags: if shape.grown { 1 << 31 } else { 0 },
            now: NOW,
            deadline_mono_ns: 0,
            cancel: cancel.map_or(std::ptr::null(), |flag| flag.as_ptr().cast_const()),
            trace_id: lend(&mut arena, b"", shape),
        };
        let call = put(&mut arena, call, shape).cast::<abi::Call>();
        let batch = arena.take(size_of::<abi::Batch>() + GROWTH, 16, 0);
        let items = arena.take(samples.len() * stride, 16, 0);
        for (index, sample) in samples.iter().enumerate() {
            let item = abi::Item {
                key_handle: sample.key_handle,
                alg: sample.alg,
                flags: sample.flags,
                key: lend(&mut arena, &sample.key, shape),
                message: lend(&mut arena, &sample.message, shape),
                signature: lend(&mut arena, &sample.signature, shape),
            };
            // SAFETY: the arena has `stride` bytes for each item.
            let at = unsafe { items.add(index * stride) }.cast::<abi::Item>();
            // SAFETY: as above; the first is aligned, and strides keep it so.
            unsafe { at.write(item) };
        }
        Ok(Self { arena, call, items: items.cast(), batch, n: samples.len(), shape })
    }

    /// Writes the batch itself and closes the arena for writing.
    fn batch(&self, taken: &Taken) -> std::io::Result<*const abi::Batch> {
        let batch = abi::Batch {
            struct_size: size::<abi::Batch>() + if self.shape.grown { GROWTH as u32 } else { 0 },
            n: self.n as u32,
            item_stride: stride::<abi::Item>(self.shape) as u32,
            result_stride: taken.stride as u32,
            items: self.items,
            results: taken.results.cast(),
        };
        let at = self.batch.cast::<abi::Batch>();
        // SAFETY: the arena has room for a batch there, aligned; it is sealed below.
        unsafe { at.write(batch) };
        self.arena.seal()?;
        Ok(at)
    }
}

/// Bytes of one element, and of what a later minor put behind it.
fn stride<T>(shape: Shape) -> usize {
    size_of::<T>() + if shape.grown { 2 * align_of::<u64>() } else { 0 }
}

fn lend(arena: &mut Arena, bytes: &[u8], shape: Shape) -> abi::Bytes {
    let align = if shape.odd { 2 } else { 1 };
    let ptr = arena.put(bytes, align, usize::from(shape.odd)).cast_const();
    // Empty bytes may have no address.
    let ptr = if bytes.is_empty() && !shape.odd { std::ptr::null() } else { ptr };
    abi::Bytes { ptr, len: bytes.len() }
}

/// Copies a struct, with grease behind it.
fn put<T>(arena: &mut Arena, value: T, shape: Shape) -> *const u8 {
    let at = arena.take(size_of::<T>(), 16, 0);
    // SAFETY: the arena has room for it there, aligned.
    unsafe { at.cast::<T>().write(value) };
    if shape.grown {
        arena.put(&[GREASE; GROWTH], 1, 0);
    }
    at
}

/// Memory that a plugin may write while the call lasts.
struct Taken {
    arena: Arena,
    error: *mut abi::Error,
    text: *mut u8,
    results: *mut u8,
    stride: usize,
    n: usize,
}

/// Bytes of an error text here, and of the canaries behind it.
const TEXT: usize = 256;
const FENCE: usize = 64;

impl Taken {
    fn new(n: usize, shape: Shape) -> std::io::Result<Self> {
        let stride = stride::<abi::ItemResult>(shape);
        let mut arena = Arena::new(size_of::<abi::Error>() + 3 * FENCE + TEXT + n * stride + 64)?;
        let error = arena.take(size_of::<abi::Error>(), 16, 0).cast::<abi::Error>();
        arena.take(FENCE, 1, 0);
        let text = arena.take(TEXT, 1, 0);
        arena.take(FENCE, 1, 0);
        // The last result ends where the guard begins.
        let from_end = arena.bytes().len() - n * stride;
        // SAFETY: an offset among the bytes of the arena.
        let results = unsafe { arena.bytes().as_ptr().add(from_end).cast_mut() };
        let value = abi::Error {
            struct_size: size::<abi::Error>(),
            reserved: 0,
            buf: text,
            cap: TEXT,
            len: 0,
        };
        // SAFETY: the arena has room for it there, aligned.
        unsafe { error.write(value) };
        for index in 0..n {
            // SAFETY: the results are `n` strides long.
            let result = unsafe { results.add(index * stride) };
            // SAFETY: as above; the host hands them over zeroed.
            unsafe { result.write_bytes(0, size_of::<abi::ItemResult>()) };
        }
        Ok(Self { arena, error, text, results, stride, n })
    }

    fn read(self, rc: abi::Rc, outputs: Outputs) -> (Vec<Answer>, Option<Refusal>, Option<String>) {
        // SAFETY: written by `new`, and perhaps by the plugin.
        let error = unsafe { self.error.read() };
        let text = &self.arena.bytes()[self.arena.offset(self.text)..][..error.len.min(TEXT)];
        let text = String::from_utf8_lossy(text).into_owned();
        let refusal = (rc != abi::HALLMARK_RC_OK).then_some(Refusal { rc, text });
        let harm = self.harm(&error).or(outputs.broken);
        let at = |index: usize| self.arena.offset(self.results) + index * self.stride;
        let verdicts = (0..self.n).map(|index| {
            let mut verdict = [0; 4];
            verdict.copy_from_slice(&self.arena.bytes()[at(index)..][..4]);
            abi::Verdict::from_ne_bytes(verdict)
        });
        let answers = verdicts.zip(outputs.by_item);
        let answers = answers.map(|(verdict, outputs)| Answer { verdict, outputs }).collect();
        (answers, refusal, harm)
    }

    /// Is every byte that is not the plugin's as it was?
    fn harm(&self, error: &abi::Error) -> Option<String> {
        if error.len > error.cap || error.cap != TEXT || error.buf != self.text {
            return Some("says that its error text is longer than `error->cap`".to_owned());
        }
        let bytes = self.arena.bytes();
        let (error, text) = (self.arena.offset(self.error.cast()), self.arena.offset(self.text));
        let results = self.arena.offset(self.results);
        let is_ours = |at: usize| {
            let in_struct = (error..error + size_of::<abi::Error>()).contains(&at);
            let in_result =
                at >= results && (at - results) % self.stride < size_of::<abi::ItemResult>();
            !(in_struct || in_result || (text..text + TEXT).contains(&at))
        };
        let touched = (0..bytes.len()).find(|&at| is_ours(at) && bytes[at] != CANARY)?;
        Some(if touched >= results {
            "writes between the results: step with HALLMARK_RESULT, never with sizeof".to_owned()
        } else if touched >= text {
            "writes beyond its error text, or in front of the first result".to_owned()
        } else {
            "writes outside of what it was lent".to_owned()
        })
    }
}

/// The context of the sinks.
struct Outputs {
    by_item: Vec<Vec<Vec<u8>>>,
    thread: ThreadId,
    broken: Option<String>,
}

impl Outputs {
    fn new(n: usize) -> Self {
        Self { by_item: vec![Vec::new(); n], thread: thread::current().id(), broken: None }
    }

    fn take(&mut self, index: u32, output: Result<Vec<u8>, &str>) -> abi::Rc {
        let broken = match (self.by_item.get_mut(index as usize), output) {
            _ if thread::current().id() != self.thread => "calls a sink from another thread",
            (None, _) => "gives an output for an item that is not in the batch",
            (_, Err(broken)) => &format!("breaks the contract: {broken}"),
            (Some(slot), Ok(output)) => {
                slot.push(output);
                return abi::HALLMARK_RC_OK;
            }
        };
        self.broken.get_or_insert_with(|| broken.to_owned());
        abi::HALLMARK_RC_LIMIT
    }
}

unsafe extern "C" fn take_bytes(ctx: *mut c_void, index: u32, data: abi::Bytes) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(outputs) = (unsafe { ctx.cast::<Outputs>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    // SAFETY: the plugin lends the bytes for this call.
    let bytes = unsafe { copy(&data, limits::SIGNATURE_BYTES) };
    outputs.take(index, bytes.ok_or("a signature is too long, or has no address"))
}

unsafe extern "C" fn take_decoded(
    ctx: *mut c_void,
    index: u32,
    decoded: *const abi::Decoded,
) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(outputs) = (unsafe { ctx.cast::<Outputs>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    // SAFETY: NULL or lent for this call; the size is read before anything else.
    let decoded = unsafe { sized(decoded) };
    let read = decoded.ok_or("a decoded signature has a wrong size").and_then(|decoded| {
        // SAFETY: the plugin lends it, and all that it points at, for this call.
        unsafe { read_decoded(decoded) }
    });
    outputs.take(index, read.map(|decoded| format!("{decoded:?}").into_bytes()))
}
