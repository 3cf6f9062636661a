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

mod comb;
mod digest;
mod ecdsa;
mod engines;
mod error;
#[cfg(target_arch = "x86_64")]
mod ifma;

pub mod ed25519;
pub mod p256;
pub mod p384;
pub mod rsa;

pub use digest::{Digest, sha256, sha384};
pub use engines::{Algorithm, Check, Engines, Kernel, Key};
pub use error::{EngineError, KeyError, PrepareError};
