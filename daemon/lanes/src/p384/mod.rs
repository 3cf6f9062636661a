//! ECDSA on P-384, with a digest of 48 bytes: what `ecdsa` says, with this curve's numbers.

#[path = "../ecdsa/curve.rs"]
mod curve;
#[path = "../ecdsa/engine.rs"]
mod engine;
#[path = "../ecdsa/field.rs"]
mod field;
#[cfg(target_arch = "x86_64")]
#[path = "../ecdsa/ifma/mod.rs"]
mod ifma;
#[path = "../ecdsa/inverse.rs"]
mod inverse;
#[path = "../ecdsa/job.rs"]
mod job;
mod known_answers;
#[cfg(target_arch = "x86_64")]
mod lane_prime;
mod params;
#[path = "../ecdsa/portable.rs"]
mod portable;
#[path = "../ecdsa/scalar.rs"]
mod scalar;
#[path = "../ecdsa/self_test.rs"]
mod self_test;
#[path = "../ecdsa/signature.rs"]
mod signature;
#[path = "../ecdsa/table.rs"]
mod table;

#[cfg(test)]
#[expect(dead_code, reason = "each includer uses a part of it")]
#[path = "../../tests/ecdsa/forge.rs"]
mod forge;
#[cfg(test)]
#[path = "../../tests/ecdsa/library_p384.rs"]
mod library;
#[cfg(test)]
#[path = "../ecdsa/tests.rs"]
mod tests;

pub use engine::{Engine, KeyTable, LaneCheck};
