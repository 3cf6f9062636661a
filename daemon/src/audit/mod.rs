//! The audit log: one JSON line per decision and per write of a resource, chained by hash.
//!
//! Every line carries its sequence number and `prev`, the SHA-256 of the line before it, so a line
//! changed, removed or moved breaks the chain; [`verify`] finds where. A line is handed to the
//! operating system before the answer it records is sent. What cannot be recorded does not stand:
//! the caller of [`Audit::append`] denies.
//!
//! [`record`] and [`write_record`] say what a line holds, [`log`] is the file on disk in a
//! [`directory`] of its own, [`writer`] is how others append to it, and [`thread`] the one thread
//! that does. [`allowance`] bounds what each principal may have recorded.

pub mod allowance;
mod directory;
mod fault;
mod health;
pub mod log;
pub mod metrics;
mod notice;
#[cfg(test)]
mod outage_tests;
pub mod record;
mod sync;
#[cfg(test)]
mod tests;
mod thread;
pub mod verify;
pub mod write_record;
pub mod writer;

pub use fault::OpenError;
pub use health::Report;
pub use writer::{Account, Audit, AuditConfig, AuditError, Durability};
