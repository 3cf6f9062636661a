//! The files of the data directory, and what happens when their disk is full.
//!
//! redb takes any failed write for the end: it then refuses reads too until it is opened again,
//! which takes a walk over the whole file. So a full disk must not reach it. A file of
//! [`RESERVE_BYTES`] keeps room back. A write that finds the disk full gives that room up, once,
//! and succeeds; from then on writes are refused before they start, until the room has been taken
//! back. Reads notice nothing.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

/// Room kept back. One group commit must fit: the largest batch of the API is 1,000 occurrences,
/// each of which copies at most a leaf (4 KiB) in three tables and its share of the branches.
pub(super) const RESERVE_BYTES: u64 = 32 << 20;

/// The database's file.
const DATABASE: &str = "hallmark.redb";

/// Where a database lives.
pub(super) trait Disk: Debug + Send + Sync {
    /// Opens the database's file, which comes to be where it is missing.
    fn open(&self) -> io::Result<Box<dyn StorageBackend>>;

    /// True if the file that was opened is still the one under its name: what is written to another
    /// is lost with the process.
    fn is_in_place(&self) -> io::Result<bool>;

    /// Takes hold of [`RESERVE_BYTES`].
    fn take_reserve(&self) -> io::Result<()>;

    /// Lets go of them.
    fn give_reserve(&self) -> io::Result<()>;
}

/// A data directory.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Device and inode of the database's file, once it is open.
    opened: Mutex<Option<(u64, u64)>>,
}

impl Directory {
    /// The directory at `path`, which comes to be, for its owner only, where it is missing.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self { path: path.to_owned(), opened: Mutex::default() })
    }

    fn file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join(name))
    }

    fn opened(&self) -> MutexGuard<'_, Option<(u64, u64)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self) -> io::Result<File> {
        self.file("hallmark.reserve")
    }
}

impl Disk for Directory {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        let file = self.file(DATABASE)?;
        let opened = file.metadata()?;
        *self.opened() = Some((opened.dev(), opened.ino()));
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        // The name of a new file must outlive a crash as its content does.
        File::open(&self.path)?.sync_all()?;
        Ok(Box::new(file))
    }

    fn is_in_place(&self) -> io::Result<bool> {
        match std::fs::metadata(self.path.join(DATABASE)) {
            Ok(named) => {
                Ok(self.opened().is_none_or(|opened| opened == (named.dev(), named.ino())))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn take_reserve(&self) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        match fallocate(self.reserve()?, FallocateFlags::empty(), 0, RESERVE_BYTES) {
            // A file system that cannot set room aside: a full disk then costs a reopening.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    fn give_reserve(&self) -> io::Result<()> {
        self.reserve()?.set_len(0)
    }
}

/// The room kept back on a disk.
#[derive(Debug)]
pub(super) struct Reserve {
    disk: Arc<dyn Disk>,
    held: AtomicBool,
}

impl Reserve {
    /// Takes the room, where there is room.
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        let held = AtomicBool::new(disk.take_reserve().is_ok());
        Self { disk, held }
    }

    /// Takes the room back where it was given up.
    pub(super) fn restore(&self) -> io::Result<()> {
        if !self.held.load(Ordering::Acquire) {
            self.disk.take_reserve()?;
            self.held.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// True if there was room, and it was given up just now.
    fn give(&self) -> bool {
        self.held.swap(false, Ordering::AcqRel) && self.disk.give_reserve().is_ok()
    }
}

/// A database's file that gives up the reserve before it reports a full disk.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    file: Box<dyn StorageBackend>,
    reserve: Arc<Reserve>,
}

impl DatabaseFile {
    /// The file of `disk`.
    pub(super) fn open(disk: &dyn Disk, reserve: Arc<Reserve>) -> io::Result<Self> {
        Ok(Self { file: disk.open()?, reserve })
    }

    fn with_room(&self, write: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match write() {
            Err(error) if is_full(&error) && self.reserve.give() => write(),
            result => result,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl StorageBackend for DatabaseFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with_room(|| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with_room(|| self.file.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
