//! The directory of a log, owned by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::fault::{LogFault, OpenError};

/// The file whose lock says who owns the directory. Its name begins with a dot, so that patterns
/// of log collectors pass it by.
const LOCK: &str = ".lock";
/// Longest lock file that is read, in bytes. Host names end at 64, the rest is numbers.
const OWNER_BYTES_MAX: u64 = 1_024;
/// Times that a lock is taken on a file that was removed in the same moment, before giving up.
const LOCK_TRIES: usize = 8;

/// A directory that this process owns until it ends, however it ends.
///
/// The lock is `flock` on a file: the kernel frees it with the process, after `kill -9` too. On
/// NFS it is a lock at the server, which is why it is on a file and not on the directory; a file
/// system without locks is refused.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
    /// The file system: another one in its place is not this log's.
    device: u64,
}

/// The process that holds a lock, as the lock file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Process id, in that process's own namespace.
    pid: u32,
    /// Host name; in Kubernetes the pod's.
    host: String,
    /// Start of its ownership.
    since: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid, host, since } = self;
        let (host, since) = (host.escape_default(), since.escape_default());
        write!(f, "process {pid} on host {host} since {since}")
    }
}

/// Room on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Left for this process.
    pub(super) free: u64,
    /// All there is.
    pub(super) total: u64,
}

impl Directory {
    /// Creates the directory if it is missing, and takes its lock.
    pub(super) fn own(path: &Path) -> Result<Self, OpenError> {
        create(path)?;
        Ok(Self { path: path.to_owned(), lock: lock(path)?, device: device(path)? })
    }

    /// Makes sure that the directory is still owned. One that was removed is created again, and
    /// locked again unless another process was quicker.
    pub(super) fn keep(&mut self) -> Result<(), LogFault> {
        if self.is_owned() {
            return Ok(());
        }
        let refused = |source| LogFault::Refused { path: self.path.clone(), source };
        // Asked before it is created: below a mount point without its disk it would be in the way.
        if device(&self.path).map_err(refused)? != self.device {
            return Err(LogFault::Unmounted { dir: self.path.clone() });
        }
        create(&self.path).map_err(refused)?;
        self.lock = lock(&self.path).map_err(|error| LogFault::NotOwned {
            dir: self.path.clone(),
            error: error.to_string(),
        })?;
        Ok(())
    }

    /// True if the locked file is the one that the next process would try to lock.
    pub(super) fn is_owned(&self) -> bool {
        is_at(&self.lock, &self.path.join(LOCK)).unwrap_or(false)
    }

    /// The room left on its disk.
    pub(super) fn room(&self) -> io::Result<Room> {
        let disk = rustix::fs::statvfs(&self.path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(Room { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
    }

    /// The path of the file that begins with this number.
    pub(super) fn file(&self, first_seq: u64) -> PathBuf {
        self.path.join(format!("audit-{first_seq:020}.jsonl"))
    }

    /// The path of a file whose first lines are being written. Nobody takes it for the log's.
    pub(super) fn unnamed(&self) -> PathBuf {
        self.path.join(".next")
    }

    /// The log files, oldest first.
    pub(super) fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        files(&self.path)
    }

    /// Makes the names of new files outlive a power failure.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// The log files of `dir` with their first sequence numbers, oldest first.
pub(super) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let seq =
            name.to_str().and_then(|name| name.strip_prefix("audit-")?.strip_suffix(".jsonl"));
        if let Some(seq) = seq.and_then(|seq| seq.parse().ok()) {
            found.push((seq, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// True if `path` names this very file.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn create(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The file system that `path` is on, or would be if it were created.
fn device(path: &Path) -> io::Result<u64> {
    let absolute = std::path::absolute(path)?;
    for place in absolute.ancestors() {
        match std::fs::metadata(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map(|found| found.dev()),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    for _ in 0..LOCK_TRIES {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.mode(0o600).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(owner(file))),
            Err(TryLockError::Error(source)) => return Err(OpenError::NoLocks(source)),
        }
        if is_at(&file, &path)? {
            // The lock holds all the same on a full disk; only its owner goes unnamed.
            drop(sign(&mut file));
            return Ok(file);
        }
    }
    Err(OpenError::Io(io::Error::other("the lock file is removed again and again")))
}

/// The owner that a lock file names. It may be about to sign.
fn owner(file: File) -> Option<Owner> {
    let mut text = String::new();
    file.take(OWNER_BYTES_MAX).read_to_string(&mut text).ok()?;
    hallmark_json::from_str(&text).ok()
}

fn sign(file: &mut File) -> io::Result<()> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let owner = Owner {
        pid: std::process::id(),
        host: host.trim().to_owned(),
        since: format!("{:.0}", jiff::Timestamp::now()),
    };
    let text = serde_json::to_string(&owner).map_err(io::Error::other)?;
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{text}")
}
