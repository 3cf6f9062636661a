//! Batches: items lent to the plugin, results zeroed before and checked after.

use core::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::CallError;
use super::instance::{Circumstances, Instance};
use super::keys::{KeySnapshot, copy, read_id, text, time};
use super::limits;
use crate::borrowed::{size, sized, span};
use crate::{Algorithm, Decoded, Failure, Item, Refusal, Signed, abi};

/// Items in one call where the plugin sets no limit: keeps one call short.
const BATCH_MAX: usize = 1_024;

impl Instance {
    /// Verifies each item; the answers are in the order of the items. An item that the plugin did
    /// not answer, or answered with a number of no meaning, is [`Failure::Backend`].
    ///
    /// # Errors
    /// The call as a whole failed: nothing is known of any item.
    pub fn verify_batch(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Vec<Result<(), Failure>>, CallError> {
        let verify =
            self.table().verify_batch.ok_or(CallError::Unsupported("verify signatures"))?;
        let snapshot = self.own(snapshot)?;
        let mut answers = Vec::with_capacity(items.len());
        for items in items.chunks(self.batch_max()) {
            let verdicts = self.run(items, 0, at, |call, batch, error| {
                // SAFETY: instance and snapshot are live; the batch is lent for the call.
                unsafe { verify(self.raw(), snapshot, call, batch, error) }
            })?;
            answers.extend(verdicts.into_iter().map(|verdict| done(verdict, abi::HALLMARK_VALID)));
        }
        Ok(answers)
    }

    /// Takes each item's signature blob apart; the answers are in the order of the items.
    ///
    /// # Errors
    /// The call as a whole failed: nothing is known of any item.
    pub fn decode_batch(
        &self,
        snapshot: Option<&KeySnapshot>,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Vec<Result<Vec<Decoded>, Failure>>, CallError> {
        let decode =
            self.table().decode_batch.ok_or(CallError::Unsupported("decode signatures"))?;
        let snapshot = self.own(snapshot)?;
        let mut answers = Vec::with_capacity(items.len());
        for items in items.chunks(self.batch_max()) {
            let mut outputs = Outputs::<Vec<Decoded>>::new(items.len());
            let ctx = outputs.ctx();
            let sink = Some(take_decoded as unsafe extern "C" fn(_, _, _) -> _);
            let verdicts = self.run(items, 0, at, |call, batch, error| {
                // SAFETY: instance and snapshot are live; batch and outputs outlive the call.
                unsafe { decode(self.raw(), snapshot, call, batch, sink, ctx, error) }
            })?;
            answers.extend(outputs.answer(verdicts, Vec::is_empty)?);
        }
        Ok(answers)
    }

    /// Signs each item's message with the key of its handle; the answers are in the order of the
    /// items.
    ///
    /// # Errors
    /// The call as a whole failed: nothing was signed.
    pub fn sign_batch(
        &self,
        snapshot: &KeySnapshot,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Vec<Result<Vec<u8>, Failure>>, CallError> {
        self.sign_items(snapshot, items, 0, at)
    }

    /// As [`Instance::sign_batch`], where each item's message is the digest that its algorithm
    /// makes of what is signed. A plugin that cannot answers [`Failure::AlgUnsupported`].
    ///
    /// # Errors
    /// The call as a whole failed: nothing was signed.
    pub fn sign_digests(
        &self,
        snapshot: &KeySnapshot,
        items: &[Item<'_>],
        at: &Circumstances<'_>,
    ) -> Result<Vec<Result<Vec<u8>, Failure>>, CallError> {
        self.sign_items(snapshot, items, abi::HALLMARK_ITEM_PREHASHED, at)
    }

    fn sign_items(
        &self,
        snapshot: &KeySnapshot,
        items: &[Item<'_>],
        flags: u32,
        at: &Circumstances<'_>,
    ) -> Result<Vec<Result<Vec<u8>, Failure>>, CallError> {
        let sign = self.table().sign_batch.ok_or(CallError::Unsupported("sign"))?;
        let snapshot = self.own(Some(snapshot))?;
        let mut answers = Vec::with_capacity(items.len());
        for items in items.chunks(self.batch_max()) {
            let mut outputs = Outputs::<Vec<u8>>::new(items.len());
            let ctx = outputs.ctx();
            let sink = Some(take_signature as unsafe extern "C" fn(_, _, _) -> _);
            let verdicts = self.run(items, flags, at, |call, batch, error| {
                // SAFETY: instance and snapshot are live; batch and outputs outlive the call.
                unsafe { sign(self.raw(), snapshot, call, batch, sink, ctx, error) }
            })?;
            answers.extend(outputs.answer(verdicts, Vec::is_empty)?);
        }
        Ok(answers)
    }

    fn batch_max(&self) -> usize {
        match self.image().info().max_batch as usize {
            0 => BATCH_MAX,
            max => max.min(BATCH_MAX),
        }
    }

    /// The plugin's side of a snapshot, which must be this instance's.
    fn own(&self, snapshot: Option<&KeySnapshot>) -> Result<*mut abi::Snapshot, CallError> {
        match snapshot {
            None => Ok(std::ptr::null_mut()),
            Some(snapshot) if std::ptr::eq(&raw const *snapshot.open.instance, self) => {
                Ok(snapshot.open.raw.as_ptr())
            }
            Some(_) => Err(CallError::Unsupported("know this snapshot: it is another's")),
        }
    }

    /// One call over at most [`Self::batch_max`] items; gives back the raw verdicts.
    fn run(
        &self,
        items: &[Item<'_>],
        flags: u32,
        at: &Circumstances<'_>,
        call: impl FnOnce(&abi::Call, &abi::Batch, &mut abi::Error) -> abi::Rc,
    ) -> Result<Vec<abi::Verdict>, CallError> {
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
        self.call(at, |context, error| call(context, &batch, error))?;
        Ok(results.into_iter().map(|result| result.verdict).collect())
    }
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

/// Only the one constant that this kind of call may answer means yes.
fn done(verdict: abi::Verdict, yes: abi::Verdict) -> Result<(), Failure> {
    if verdict == yes { Ok(()) } else { Err(Failure::from_verdict(verdict)) }
}

/// The context of the sinks of a batch: what came out, by item.
struct Outputs<T> {
    by_item: Vec<T>,
    /// What was wrong with the first output that broke the contract.
    broken: Option<&'static str>,
}

impl<T: Default> Outputs<T> {
    fn new(n: usize) -> Self {
        Self { by_item: (0..n).map(|_| T::default()).collect(), broken: None }
    }

    fn ctx(&mut self) -> *mut c_void {
        std::ptr::from_mut(self).cast()
    }

    /// Joins outputs and verdicts: an item is answered where both are there.
    fn answer(
        self,
        verdicts: Vec<abi::Verdict>,
        is_empty: fn(&T) -> bool,
    ) -> Result<Vec<Result<T, Failure>>, CallError> {
        if let Some(broken) = self.broken {
            return Err(CallError::contract(broken));
        }
        let rows = self.by_item.into_iter().zip(verdicts);
        Ok(rows
            .map(|(output, verdict)| match done(verdict, abi::HALLMARK_DONE) {
                Ok(()) if is_empty(&output) => Err(Failure::Backend),
                answer => answer.map(|()| output),
            })
            .collect())
    }

    fn take(
        &mut self,
        index: u32,
        take: impl FnOnce(&mut T) -> Result<(), &'static str>,
    ) -> abi::Rc {
        let slot = self.by_item.get_mut(index as usize).ok_or("an output is of no item");
        let taken = catch_unwind(AssertUnwindSafe(|| slot.and_then(take)));
        match taken {
            Ok(Ok(())) => abi::HALLMARK_RC_OK,
            Ok(Err(broken)) => {
                self.broken.get_or_insert(broken);
                abi::HALLMARK_RC_LIMIT
            }
            Err(_) => abi::HALLMARK_RC_INTERNAL,
        }
    }
}

unsafe extern "C" fn take_signature(
    sink_ctx: *mut c_void,
    index: u32,
    data: abi::Bytes,
) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(outputs) = (unsafe { sink_ctx.cast::<Outputs<Vec<u8>>>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    outputs.take(index, |slot| {
        if !slot.is_empty() {
            return Err("an item has two signatures");
        }
        // SAFETY: the plugin lends the signature for this call.
        *slot = unsafe { copy(&data, limits::SIGNATURE_BYTES) }.ok_or("a signature is too long")?;
        Ok(())
    })
}

unsafe extern "C" fn take_decoded(
    sink_ctx: *mut c_void,
    index: u32,
    decoded: *const abi::Decoded,
) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(outputs) = (unsafe { sink_ctx.cast::<Outputs<Vec<Decoded>>>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    // SAFETY: NULL or lent for this call; the size is read before anything else.
    let decoded = unsafe { sized(decoded) };
    outputs.take(index, |slot| {
        if slot.len() >= limits::SIGNATURES {
            return Err("a blob has too many signatures");
        }
        let decoded = decoded.ok_or("a decoded signature has a wrong size")?;
        // SAFETY: the plugin lends the decoded signature for this call.
        slot.push(unsafe { read_decoded(decoded) }?);
        Ok(())
    })
}

/// # Safety
/// All that `decoded` points at is valid for the call.
pub(crate) unsafe fn read_decoded(decoded: &abi::Decoded) -> Result<Decoded, &'static str> {
    // SAFETY: by the contract of this function.
    let key_id = unsafe { read_id(&decoded.key_id) }?;
    if decoded.refusal != 0 {
        // SAFETY: by the contract of this function.
        let text = unsafe { text(&decoded.message) };
        let failure = Failure::from_verdict(decoded.refusal);
        return Ok(Decoded::Refused(Refusal { failure, key_id, text }));
    }
    if decoded.key_handle == 0 && key_id.is_empty() {
        return Err("a decoded signature names no key");
    }
    // SAFETY: by the contract of this function.
    let message = unsafe { copy(&decoded.message, limits::MESSAGE_BYTES) };
    // SAFETY: by the contract of this function.
    let payload = unsafe { copy(&decoded.payload, limits::MESSAGE_BYTES) };
    // SAFETY: by the contract of this function.
    let signature = unsafe { copy(&decoded.signature, limits::SIGNATURE_BYTES) };
    Ok(Decoded::Signed(Signed {
        key_handle: decoded.key_handle,
        key_id,
        algorithm: Algorithm::from_number(decoded.alg)
            .ok_or("a decoded signature is of an unknown algorithm")?,
        message: message.ok_or("a decoded message is too long")?,
        signature: signature.ok_or("a signature is too long")?,
        payload: payload.ok_or("a decoded payload is too long")?,
        signed_at: time(decoded.signed_at),
        expires_at: time(decoded.expires_at),
    }))
}
