//! Faults of a log: at its opening, and while it is written.

use std::io;
use std::path::PathBuf;

use super::directory::Owner;

/// Why a log could not be opened. The operator is at fault, or the disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes there.
    #[error(
        "in use by {}: give each daemon an --audit-dir of its own, or stop that one",
        .0.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string)
    )]
    InUse(Option<Owner>),
    /// Two daemons could not be told apart there.
    #[error(
        "its file system has no locks ({0}), so two daemons could write one log: use another disk"
    )]
    NoLocks(#[source] io::Error),
    /// The disk refused, or what is there is no log.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why the open log takes no records.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// The disk refused: full, read only, failing.
    #[error("{path} cannot be written: {source}")]
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The file has no name any more.
    #[error("{path} was removed or renamed while the daemon wrote it")]
    Missing {
        /// The name it had.
        path: PathBuf,
    },
    /// Its name belongs to another file.
    #[error("{path} was replaced by another file while the daemon wrote it")]
    Replaced {
        /// The name.
        path: PathBuf,
    },
    /// Something else wrote or cut it.
    #[error(
        "{path} has {found} bytes and the daemon wrote {written}: it was truncated, or something \
         else writes it"
    )]
    Resized {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        found: u64,
        /// The bytes that it should have.
        written: u64,
    },
    /// Its last line is another.
    #[error("{path} does not end with what the daemon wrote last")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The disk lost what it had taken.
    #[error("{path} could not be synced, so what was written may not be on the disk: {error}")]
    Unsynced {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: String,
    },
    /// The lock was lost, and another process has it.
    #[error("{dir} is not this daemon's any more: {error}")]
    NotOwned {
        /// The directory.
        dir: PathBuf,
        /// Why it could not be locked again.
        error: String,
    },
    /// Another file system is there.
    #[error(
        "{dir} was unmounted, or something was mounted over it: mount it again, or restart the \
         daemon if the log is to go on there"
    )]
    Unmounted {
        /// The directory.
        dir: PathBuf,
    },
    /// Where the next file should be is another.
    #[error("{path} is in the way of the log's next file: move it elsewhere")]
    InTheWay {
        /// The file that should not be there.
        path: PathBuf,
    },
}

impl LogFault {
    /// True if trying again may succeed on the same file. Otherwise that file is not this log's any
    /// more, and the log needs another.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// True if the file may be taken up again once it is found to be as it was left. What a failed
    /// sync lost, reading does not show.
    pub(super) fn may_be_undone(&self) -> bool {
        !matches!(self, Self::Unsynced { .. })
    }
}
