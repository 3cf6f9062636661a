//! One signature on its way through the kernel.

use super::engine::LaneCheck;
use super::key::KeyTable;
use super::number::{Number, from_be_bytes};

/// Signatures that the kernel takes at once.
pub(crate) const LANES: usize = 8;

/// A base below its modulus.
#[derive(Clone, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) key: &'a KeyTable,
    pub(crate) base: Number,
}

impl<'a> Job<'a> {
    /// `None` if the signature is not of the modulus' length or not below it (RFC 8017 §5.2.2).
    pub(crate) fn new(check: &LaneCheck<'a>) -> Option<Self> {
        let (key, signature) = (check.table, check.signature);
        // Of equal length, so that the order of bytes is that of numbers.
        let in_range = signature.len() == key.modulus().len() && signature < key.modulus();
        in_range.then(|| Self { key, base: from_be_bytes(signature) })
    }
}
