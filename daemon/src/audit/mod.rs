//! The audit log: one JSON line per decision and per write of a resource, chained by hash.
//!
//! Every line carries its sequence number and `prev`, the SHA-256 of the line before it, so a line
//! changed, removed or moved breaks the chain; [`verify`] finds where. A line is handed to the
//! operating system before the answer it records is sent. What cannot be recorded does not stand:
//! the caller of [`Audit::append`] denies.
//!
//! [`record`] and [`write_record`] say what a line holds, [`log`] is the file on disk, [`writer`]
//! the one thread that appends to it.

pub mod log;
pub mod record;
#[cfg(test)]
mod tests;
pub mod verify;
pub mod write_record;
pub mod writer;

pub use writer::{Audit, AuditError};
