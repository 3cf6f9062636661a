//! ECDSA on P-256 with SHA-256 (FIPS 186-5 §6.4.2), many at once, for keys with a table.
//!
//! `signature` parses, `table` holds what is computed ahead, a kernel (`portable`, `ifma`) answers
//! jobs by affine additions that share their inversions, and `job` answers alone, by complete
//! additions, what a kernel cannot. `field`, `scalar`, `inverse` and `curve` are the arithmetic
//! below. `docs/lanes.md` has the mathematics and the bounds.

mod curve;
mod engine;
mod field;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod inverse;
mod job;
mod known_answers;
mod portable;
mod scalar;
mod signature;
mod table;

#[cfg(test)]
mod tests;

pub use engine::{Engine, EngineError, KeyError, KeyTable, LaneCheck};
