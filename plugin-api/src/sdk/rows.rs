//! A batch as it crosses the boundary: strides checked, answered item by item.

use super::panic::caught;
use super::thunks::{invalid, log_panic};
use super::{Algorithm, Call, Error, Failure, Host, Item};
use crate::abi;
use crate::borrowed::{bytes, sized};

/// A batch whose pointers and sizes were checked.
pub(super) struct Rows<'a>(&'a abi::Batch);

impl<'a> Rows<'a> {
    /// # Safety
    /// `batch` is NULL or valid, with all that it points at, for `'a`.
    pub(super) unsafe fn new(batch: *const abi::Batch) -> Result<Self, Error> {
        // SAFETY: by the contract of this function.
        let batch: &'a abi::Batch = unsafe { sized(batch) }.ok_or_else(|| invalid("no batch"))?;
        let fits = stride_fits::<abi::Item>(batch.item_stride)
            && stride_fits::<abi::ItemResult>(batch.result_stride);
        let present = batch.n == 0 || !(batch.items.is_null() || batch.results.is_null());
        if fits && present { Ok(Self(batch)) } else { Err(invalid("the batch has a wrong size")) }
    }

    /// Answers every item by itself, with its flags, of which `known` are those that this call
    /// has: a panic or a cancellation concerns the items it meets.
    pub(super) fn answer(
        &self,
        host: Host,
        call: &Call<'_>,
        known: u32,
        answer: impl Fn(u32, &Item<'_>, u32) -> Result<abi::Verdict, Failure>,
    ) {
        for index in 0..self.0.n {
            let verdict = if call.cancelled() {
                Err(Failure::Cancelled)
            } else {
                caught(|| {
                    let (item, flags) = self.item(index, known)?;
                    answer(index, &item, flags)
                })
                .unwrap_or_else(|panic| {
                    log_panic(Some(host), &panic);
                    Err(Failure::Backend)
                })
            };
            self.set(index, verdict.unwrap_or_else(|failure| failure as abi::Verdict));
        }
    }

    fn item(&self, index: u32, known: u32) -> Result<(Item<'_>, u32), Failure> {
        let offset = index as usize * self.0.item_stride as usize;
        // SAFETY: index < n, and the host vouches for n items of that stride.
        let raw = unsafe { self.0.items.byte_add(offset) };
        // SAFETY: as above; the stride was checked to keep the alignment.
        let raw = unsafe { &*raw };
        let algorithm = match raw.alg {
            0 => None,
            number => Some(Algorithm::from_number(number).ok_or(Failure::AlgUnsupported)?),
        };
        if raw.flags & !known != 0 {
            return Err(Failure::AlgUnsupported);
        }
        let item = Item {
            key_handle: raw.key_handle,
            algorithm,
            // SAFETY: the host lends the bytes of an item for the call.
            key: unsafe { bytes(&raw.key) },
            // SAFETY: as above.
            message: unsafe { bytes(&raw.message) },
            // SAFETY: as above.
            signature: unsafe { bytes(&raw.signature) },
        };
        Ok((item, raw.flags))
    }

    fn set(&self, index: u32, verdict: abi::Verdict) {
        let offset = index as usize * self.0.result_stride as usize;
        // SAFETY: index < n, and the host vouches for n results of that stride.
        let result = unsafe { self.0.results.byte_add(offset) };
        // SAFETY: as above; nobody else writes this result during the call.
        unsafe { (*result).verdict = verdict };
    }
}

fn stride_fits<T>(stride: u32) -> bool {
    stride as usize >= size_of::<T>() && (stride as usize).is_multiple_of(align_of::<T>())
}
