//! Signature verification, many at once, for keys that verify often.
//!
//! Attestors have few keys and make many signatures. A key table holds multiples of a key, so
//! that no doubling is left to do; an engine verifies a batch of checks with shared inversions
//! and, where the CPU has AVX-512 IFMA, eight signatures an instruction. It accepts exactly what
//! *ring* accepts. Everything here is public data, and so the time it takes may depend on it: never
//! use this package to sign.
//!
//! ```
//! use hallmark_lanes::p256::{Engine, LaneCheck};
//! # fn verify(sec1: &[u8; 65], message: &[u8], signature_der: &[u8]) -> Result<bool, Box<dyn std::error::Error>> {
//! let engine = Engine::detect()?;
//! let table = engine.build_table(sec1)?;
//! let message_hash = hallmark_lanes::sha256(message);
//! let mut good = [false];
//! engine.verify_batch(&[LaneCheck { table: &table, message_hash, signature_der }], &mut good);
//! # Ok(good[0])
//! # }
//! ```

#![expect(clippy::duplicate_mod, reason = "the files of `ecdsa` are compiled for each curve")]

mod ecdsa;
mod error;

pub mod p256;
pub mod p384;

pub use error::{EngineError, KeyError};

/// The digest that most algorithms sign.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(message).into()
}

/// The digest that goes with P-384.
#[must_use]
pub fn sha384(message: &[u8]) -> [u8; 48] {
    use sha2::Digest;
    sha2::Sha384::digest(message).into()
}
