//! Reading what the other side lends: the few steps from a raw pointer to a reference, used by both
//! the SDK and the loader.

use crate::abi;

/// The bytes behind a borrowed span.
///
/// # Safety
/// `span` is empty, or `ptr` is valid for `len` bytes as long as `span` is borrowed.
pub(crate) unsafe fn bytes(span: &abi::Bytes) -> &[u8] {
    if span.ptr.is_null() || span.len == 0 {
        return &[];
    }
    // SAFETY: by the contract of this function.
    unsafe { std::slice::from_raw_parts(span.ptr, span.len) }
}

/// A span over `bytes`, to lend.
pub(crate) fn span(bytes: &[u8]) -> abi::Bytes {
    abi::Bytes { ptr: bytes.as_ptr(), len: bytes.len() }
}

/// A struct whose first field is its size: `None` where it is NULL, misaligned or smaller than this
/// side knows it.
///
/// # Safety
/// `from` is NULL or points at a struct that begins with its size in bytes as a `u32`, and is valid
/// for that many bytes for `'a`.
pub(crate) unsafe fn sized<'a, T>(from: *const T) -> Option<&'a T> {
    if from.is_null() || !from.is_aligned() {
        return None;
    }
    // SAFETY: by the contract of this function, a `u32` is there; the alignment was checked.
    let size = unsafe { from.cast::<u32>().read() };
    if (size as usize) < size_of::<T>() {
        return None;
    }
    // SAFETY: as above, and there are at least as many bytes as `T` has.
    unsafe { from.as_ref() }
}

/// The size of a struct as its first field tells it.
pub(crate) const fn size<T>() -> u32 {
    assert!(size_of::<T>() <= u32::MAX as usize);
    size_of::<T>() as u32
}
