//! The work that a disposable child is asked to do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A plugin, and how to run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// The file.
    pub file: PathBuf,
    /// SHA-256 that its bytes must have, so that every child runs the same.
    pub sha256: [u8; 32],
    /// A configuration that it accepts: a JSON document.
    pub config: String,
    /// Secrets by name, and the files that hold them.
    pub secrets: BTreeMap<String, PathBuf>,
    /// Signatures in the plugin's format, for it to take apart.
    pub blobs: Vec<Blob>,
    /// Names of the environment variables that its worker sees; there are no others.
    pub environment: Vec<String>,
}

/// A signature in a format of its own, such as OpenPGP's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Blob {
    /// The file that holds it.
    pub file: PathBuf,
    /// The file that holds what was signed, where the signature does not.
    pub payload: Option<PathBuf>,
}

/// The effort with which a plugin is tried.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Effort {
    /// Threads that use an instance at once, as far as the plugin permits.
    pub threads: usize,
    /// Calls that each of them makes.
    pub calls: usize,
    /// Instances that are made and ended in search of leaks.
    pub cycles: usize,
}

impl Default for Effort {
    /// A few seconds in all for a plugin without a device.
    fn default() -> Self {
        Self { threads: 64, calls: 50, cycles: 1_000 }
    }
}

/// The work of one child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// The plugin to look at.
    pub subject: Subject,
    /// The effort to make.
    pub effort: Effort,
    /// The task to do.
    pub task: Task,
}

/// A task to do with a plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// One check of the catalogue, by its id.
    Check(String),
    /// Load, create, health, snapshot, destroy.
    Probe,
    /// Calls per second.
    Bench {
        /// Items in a batch.
        batches: Vec<usize>,
        /// Threads that call.
        threads: usize,
        /// Milliseconds that each number is measured.
        millis: u64,
        /// In a process of its own.
        worker: bool,
    },
}
