//! Signature verification, many at once, for keys that verify often.
//!
//! Attestors have few keys and make many signatures. A [`KeyTable`] holds multiples of a key, so
//! that no doubling is left to do; an [`Engine`] verifies a batch of checks with shared inversions
//! and, where the CPU has AVX-512 IFMA, eight signatures an instruction. It accepts exactly what
//! *ring*'s `ECDSA_P256_SHA256_ASN1` accepts. Everything here is public data, and so the time it
//! takes may depend on it: never use this package to sign.
//!
//! ```
//! use hallmark_lanes::{Engine, LaneCheck};
//! # fn verify(sec1: &[u8; 65], message: &[u8], signature_der: &[u8]) -> Result<bool, Box<dyn std::error::Error>> {
//! let engine = Engine::detect()?;
//! let table = engine.build_table(sec1)?;
//! let message_hash = hallmark_lanes::sha256(message);
//! let mut good = [false];
//! engine.verify_batch(&[LaneCheck { table: &table, message_hash, signature_der }], &mut good);
//! # Ok(good[0])
//! # }
//! ```

#[cfg(target_arch = "x86_64")]
mod ifma;
mod p256;
pub mod rsa;

pub use p256::{Engine, EngineError, KeyError, KeyTable, LaneCheck};

/// The digest that [`LaneCheck::message_hash`] takes.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(message).into()
}

/// SHA-512, for [`rsa::MessageHash`].
#[must_use]
pub fn sha512(message: &[u8]) -> [u8; 64] {
    use sha2::Digest;
    sha2::Sha512::digest(message).into()
}
