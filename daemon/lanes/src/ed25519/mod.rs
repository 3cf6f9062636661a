//! Ed25519 (RFC 8032 §5.1), cofactorless as *ring* verifies, many at once, for keys with a table.
//!
//! `curve` reads keys, `table` holds what is computed ahead, a kernel (`portable`, `lanes`) adds up
//! s · B − h · A for each signature by additions that are right for every pair of points, and what
//! comes out is encoded and compared with R. `field` and `scalar` are the arithmetic below.
//! `docs/lanes.md` has the mathematics and the bounds.

mod curve;
mod engine;
mod field;
mod known_answers;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod portable;
mod scalar;
mod table;

#[cfg(test)]
mod tests;

pub use engine::{Engine, KeyTable, LaneCheck};
