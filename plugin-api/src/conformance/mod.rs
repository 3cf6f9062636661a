//! The vendor kit: does a plugin keep the contract?
//!
//! `elf` reads a file without running it. Everything else runs the plugin in disposable children:
//! `launch` starts one and kills it at its deadline, `child` is its inside, `job` what it is asked.
//! `catalogue` lists the `checks`, `suite` runs them; `probe` is one short life, `bench` counts.
//! A check works with a `kit`: `plugin` (raw calls), `batch` and `arena` (memory that bites),
//! `samples` (honest and hostile items), `place` (calls as the
//! daemon makes them), `host_table` and `process` (what a plugin could disturb).

mod arena;
mod batch;
mod bench;
mod catalogue;
mod checks;
mod child;
mod elf;
mod finding;
mod host_table;
mod job;
mod kit;
mod launch;
mod place;
mod plugin;
mod probe;
mod process;
mod samples;
mod suite;

pub use bench::Rate;
pub use catalogue::{CHECKS, Check};
pub use child::answer;
pub use elf::{InspectError, Inspection};
pub use finding::{Finding, Outcome};
pub use job::{Blob, Effort, Job, Subject, Task};
pub use launch::{Fate, Start, perform};
pub use plugin::sum;
pub use probe::Probed;
pub use suite::Suite;

/// The host's verification of `(algorithm, SPKI, message, signature)`.
pub type Arithmetic = fn(crate::Algorithm, &[u8], &[u8], &[u8]) -> bool;

/// The host's judgement of the keys of a snapshot, by such a plugin: the id of each that it would not
/// use, and why.
pub type Judge = fn(&[crate::host::KeyRecord], &crate::host::PluginInfo) -> Vec<(String, String)>;

/// The parts that a child has of the program that it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its arithmetic.
    pub verifies: Arithmetic,
    /// Its judgement of keys.
    pub judge: Judge,
    /// The arguments with which it is a worker: calls [`crate::host::worker::main`].
    pub worker_arguments: &'static [&'static str],
}
