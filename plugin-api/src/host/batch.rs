//! Batches: items lent to the plugin, answers checked.

use core::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::error::CallError;
use super::instance::{Circumstances, Instance};
use super::keys::{KeySnapshot, copy, read_id, text, time};
use super::limits;
use crate::borrowed::sized;
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
        self.in_parts(items, |part| self.verify_part(snapshot, part, at))
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
        self.in_parts(items, |part| self.decode_part(snapshot, part, at))
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
        self.in_parts(items, |part| self.sign_part(snapshot, part, 0, at))
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
        let flags = abi::HALLMARK_ITEM_PREHASHED;
        self.in_parts(items, |part| self.sign_part(snapshot, part, flags, at))
    }

    /// Calls with as many items as one call takes, until all are answered.
    fn in_parts<T: Output>(
        &self,
        items: &[Item<'_>],
        mut call: impl FnMut(&[Item<'_>]) -> Result<Answered<T>, CallError>,
    ) -> Result<Vec<Result<T::Answer, Failure>>, CallError> {
        let batch_max = match self.image().info().max_batch as usize {
            0 => BATCH_MAX,
            max => max.min(BATCH_MAX),
        };
        let mut answers = Vec::with_capacity(items.len());
        while answers.len() < items.len() {
            let rest = &items[answers.len()..];
            answers.extend(call(&rest[..rest.len().min(batch_max)])?.finish()?);
        }
        Ok(answers)
    }
}

/// The output of an item beside its verdict.
pub(super) trait Output: Default {
    /// The host's form of it.
    type Answer;
    /// The plugin's verdict on an item that is done.
    const DONE: abi::Verdict;
    /// True if an item that is done must have had more than this.
    fn is_missing(&self) -> bool;
    /// The answer for an item that is done.
    fn into_answer(self) -> Self::Answer;
}

impl Output for () {
    type Answer = ();
    const DONE: abi::Verdict = abi::HALLMARK_VALID;
    fn is_missing(&self) -> bool {
        false
    }
    fn into_answer(self) {}
}

impl Output for Vec<u8> {
    type Answer = Self;
    const DONE: abi::Verdict = abi::HALLMARK_DONE;
    fn is_missing(&self) -> bool {
        self.is_empty()
    }
    fn into_answer(self) -> Self {
        self
    }
}

/// The answers to the first items of a call, and the context of its sink.
pub(super) struct Answered<T> {
    /// As the plugin wrote them, in the order of the items.
    pub(super) verdicts: Vec<abi::Verdict>,
    outputs: Vec<T>,
    /// The fault of the first output that broke the contract.
    broken: Option<&'static str>,
}

impl<T: Output> Answered<T> {
    /// Of `n` items, none answered yet.
    pub(super) fn new(n: usize) -> Self {
        let outputs = (0..n).map(|_| T::default()).collect();
        Self { verdicts: Vec::with_capacity(n), outputs, broken: None }
    }

    pub(super) fn ctx(&mut self) -> *mut c_void {
        std::ptr::from_mut(self).cast()
    }

    /// Joins outputs and verdicts: an item is answered where both are there, and only by the one
    /// constant that this kind of call may answer.
    fn finish(self) -> Result<impl Iterator<Item = Result<T::Answer, Failure>>, CallError> {
        if let Some(broken) = self.broken {
            return Err(CallError::contract(broken));
        }
        let rows = self.outputs.into_iter().zip(self.verdicts);
        Ok(rows.map(|(output, verdict)| match verdict == T::DONE {
            true if output.is_missing() => Err(Failure::Backend),
            true => Ok(output.into_answer()),
            false => Err(Failure::from_verdict(verdict)),
        }))
    }

    fn take(
        &mut self,
        index: u32,
        take: impl FnOnce(&mut T) -> Result<(), &'static str>,
    ) -> abi::Rc {
        let slot = self.outputs.get_mut(index as usize).ok_or("an output is of no item");
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

/// The sink of signatures that the host passes, with an [`Answered`] as its context.
pub(super) unsafe extern "C" fn take_signature(
    sink_ctx: *mut c_void,
    index: u32,
    data: abi::Bytes,
) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(answered) = (unsafe { sink_ctx.cast::<Answered<Vec<u8>>>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    answered.take(index, |slot| {
        if !slot.is_empty() {
            return Err("an item has two signatures");
        }
        // SAFETY: the plugin lends the signature for this call.
        *slot = unsafe { copy(&data, limits::SIGNATURE_BYTES) }.ok_or("a signature is too long")?;
        Ok(())
    })
}

/// The signatures that were taken out of one blob.
#[derive(Debug, Default)]
pub(super) struct Blob {
    decoded: Vec<Decoded>,
    bytes: usize,
}

impl Output for Blob {
    type Answer = Vec<Decoded>;
    const DONE: abi::Verdict = abi::HALLMARK_DONE;
    fn is_missing(&self) -> bool {
        self.decoded.is_empty()
    }
    fn into_answer(self) -> Vec<Decoded> {
        self.decoded
    }
}

impl Blob {
    /// Takes one more. A blob that comes to too much keeps nothing but a refusal: its writer is at
    /// fault, and neither the plugin nor the blobs beside it are.
    fn take(&mut self, mut decoded: Decoded) {
        self.bytes += size(&decoded);
        if let (Decoded::Signed(signed), Some(last)) = (&mut decoded, self.last_payload())
            && signed.payload == last
        {
            self.bytes -= last.len();
            signed.payload = last;
        }
        if self.bytes <= limits::BLOB_BYTES {
            return self.decoded.push(decoded);
        }
        let text = format!("it comes to more than {} bytes", limits::BLOB_BYTES);
        self.decoded = vec![Decoded::Refused(Refusal::new(Failure::Malformed, text))];
    }

    /// The payload that the blob carries, as far as is known.
    fn last_payload(&self) -> Option<Arc<[u8]>> {
        match self.decoded.last()? {
            Decoded::Signed(signed) => Some(Arc::clone(&signed.payload)),
            Decoded::Refused(_) => None,
        }
    }
}

fn size(decoded: &Decoded) -> usize {
    match decoded {
        Decoded::Signed(signed) => {
            signed.message.len()
                + signed.payload.len()
                + signed.signature.len()
                + signed.key_id.len()
        }
        Decoded::Refused(refusal) => refusal.text.len() + refusal.key_id.len(),
    }
}

/// The sink of decoded signatures that the host passes, with an [`Answered`] as its context.
pub(super) unsafe extern "C" fn take_decoded(
    sink_ctx: *mut c_void,
    index: u32,
    decoded: *const abi::Decoded,
) -> abi::Rc {
    // SAFETY: the plugin hands back the context that came with this sink, during its call.
    let Some(answered) = (unsafe { sink_ctx.cast::<Answered<Blob>>().as_mut() }) else {
        return abi::HALLMARK_RC_INVALID_ARG;
    };
    // SAFETY: NULL or lent for this call; the size is read before anything else.
    let decoded = unsafe { sized(decoded) };
    answered.take(index, |slot| {
        if slot.decoded.len() >= limits::SIGNATURES {
            return Err("a blob has too many signatures");
        }
        let decoded = decoded.ok_or("a decoded signature has a wrong size")?;
        if slot.bytes > limits::BLOB_BYTES {
            return Ok(());
        }
        // SAFETY: the plugin lends the decoded signature for this call.
        slot.take(unsafe { read_decoded(decoded) }?);
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
        payload: payload.ok_or("a decoded payload is too long")?.into(),
        signed_at: time(decoded.signed_at),
        expires_at: time(decoded.expires_at),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(payload: &[u8]) -> Decoded {
        Decoded::Signed(Signed {
            key_handle: 0,
            key_id: "k".to_owned(),
            algorithm: Algorithm::Ed25519,
            message: payload.to_vec(),
            signature: vec![1; 64],
            payload: payload.into(),
            signed_at: None,
            expires_at: None,
        })
    }

    fn payloads(blob: &Blob) -> Vec<&Arc<[u8]>> {
        let payloads = blob.decoded.iter().filter_map(|one| match one {
            Decoded::Signed(signed) => Some(&signed.payload),
            Decoded::Refused(_) => None,
        });
        payloads.collect()
    }

    #[test]
    fn the_payload_of_a_blob_is_held_once_and_counted_once() {
        let mut blob = Blob::default();
        (0..limits::SIGNATURES).for_each(|_| blob.take(signed(&[7; 64 << 10])));
        let held = payloads(&blob);
        assert_eq!(held.len(), limits::SIGNATURES);
        assert!(held.iter().all(|one| Arc::ptr_eq(one, held[0])));

        let mut blob = Blob::default();
        (0..limits::SIGNATURES).for_each(|n| blob.take(signed(&[n as u8; 64 << 10])));
        assert!(matches!(&blob.decoded[..], [Decoded::Refused(_)]), "each is another");
    }
}
