//! RSA signatures (RFC 8017 §8.1.2, §8.2.2) with the exponent 65537, eight at a time.
//!
//! `key` is what is computed ahead, `kernel` raises eight signatures to the exponent with AVX-512
//! IFMA, `encoding` holds what comes out against the message, `number` is the arithmetic of one
//! number. `docs/lanes.md` has the mathematics and the bounds. There is no portable kernel: the
//! libraries' assembly is faster than one would be.

#[cfg(not(target_arch = "x86_64"))]
mod absent;
mod encoding;
mod engine;
mod job;
#[cfg(target_arch = "x86_64")]
pub(crate) mod kernel;
mod key;
mod known_answers;
mod number;

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

pub use encoding::{MessageHash, Padding};
pub use engine::{Engine, LaneCheck};
pub use key::KeyTable;
#[cfg(target_arch = "x86_64")]
pub(crate) use {
    job::{Job, LANES},
    number::Number,
};
