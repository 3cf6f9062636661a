//! Why a plugin was not loaded, and why a call has no answer.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ErrorKind;

/// A plugin file was refused. The fault is the installation's or the vendor's.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {reason}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: LoadReason,
}

/// The reasons of a [`LoadError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadReason {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The last component of its path is a symbolic link.
    #[error("is a symbolic link; name the file itself")]
    Symlink,
    /// A directory, a device, a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// Somebody else could have written it.
    #[error("belongs to user {owner}; it must belong to root or to the daemon's user {daemon}")]
    Owner {
        /// Whose it is.
        owner: u32,
        /// Whose it may be.
        daemon: u32,
    },
    /// Somebody else can write it.
    #[error("is writable by its group or by everyone (mode {0:04o}); run `chmod go-w` on it")]
    Writable(u32),
    /// Larger than [`super::limits::FILE_BYTES`].
    #[error("is larger than {} bytes", super::limits::FILE_BYTES)]
    TooLarge,
    /// Its bytes are not the pinned ones.
    #[error("has sha256 {0}, which is not pinned; pin it if you trust this file")]
    Pin(String),
    /// Pinned to the daemon's installation, and not part of it.
    #[error("is not part of the daemon's installation; pin its sha256")]
    NotBundled,
    /// The dynamic linker refuses it.
    #[error("cannot be mapped: {0}")]
    Link(String),
    /// It exports no plugin.
    #[error("exports no `{}`", crate::abi::HALLMARK_PLUGIN_ENTRY_V1)]
    NoEntry,
    /// Its entry function returned NULL.
    #[error("refuses this host (ABI 1.{})", crate::abi::HALLMARK_ABI_MINOR)]
    RefusesHost,
    /// The table does not begin with the magic.
    #[error("its table has magic {0:#010x}; it is no plugin table")]
    Magic(u32),
    /// Another major version.
    #[error("speaks ABI {0}; this host speaks {host}", host = crate::abi::HALLMARK_ABI_MAJOR)]
    Major(u16),
    /// Wants a newer host.
    #[error("needs a host of ABI 1.{0}; this host is 1.{host}", host = crate::abi::HALLMARK_ABI_MINOR)]
    Minor(u16),
    /// The table ends before its required part.
    #[error("its table has {0} bytes; the required part has {1}")]
    TableSize(u32, usize),
    /// A capability without its function.
    #[error("claims {0} without a `{1}` function")]
    MissingFunction(&'static str, &'static str),
    /// A text or list of the table breaks its rules.
    #[error("its table has a wrong {0}")]
    Field(&'static str),
    /// Must run in a process of its own.
    #[error("must run in a process of its own")]
    NeedsWorker,
    /// The process that was to say what the plugin is did not.
    #[error("cannot be asked what it is: {0}")]
    Worker(WorkerFault),
    /// The process refused the plugin, with these words.
    #[error("{0}")]
    InWorker(String),
}

/// A call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The plugin says no, and why.
    #[error("{text}")]
    Refused {
        /// Who has to act.
        kind: ErrorKind,
        /// For people.
        text: String,
    },
    /// The plugin panicked and caught it.
    #[error("{0}")]
    Panicked(String),
    /// The plugin broke its contract.
    #[error("the plugin broke its contract: {0}")]
    Contract(String),
    /// All permitted calls were running until the deadline.
    #[error("the plugin is busy: its {0} concurrent calls were all taken")]
    Busy(u32),
    /// The plugin does not claim the capability.
    #[error("the plugin does not {0}")]
    Unsupported(&'static str),
    /// Its process did not answer. Nothing is known of what was asked; ask again later.
    #[error("{0}")]
    Worker(WorkerFault),
}

/// Why a worker process gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerFault {
    /// It was killed because it had no answer in this time.
    #[error("its process had no answer within {0:?} and was killed")]
    Late(Duration),
    /// A signal ended it; 9 also where the machine ran out of memory.
    #[error("its process was ended by signal {0}")]
    Signal(i32),
    /// It ended itself.
    #[error("its process exited with status {0}")]
    Exit(i32),
    /// It was killed because what it sent means nothing.
    #[error("its process {0} and was killed")]
    Nonsense(&'static str),
    /// It could not be started.
    #[error("its process cannot be started: {0}")]
    Start(String),
    /// It failed too often, and is tried again later.
    #[error("its process is not started again yet; the last time, {0}")]
    Resting(String),
    /// The caller's time was over before there was an answer.
    #[error("its process had no answer in the time of the request")]
    GaveUp,
}

impl CallError {
    pub(super) fn contract(text: impl Into<String>) -> Self {
        Self::Contract(text.into())
    }
}
