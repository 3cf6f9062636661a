//! The open database, and its reopening after it failed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase as _, TableError};

use super::disk::{DatabaseFile, Disk, RESERVE_BYTES, Reserve};
use super::fault::Fault;
use super::migrate::migrate;
use super::tables::{FORMAT, FORMAT_BEFORE, META, Tables};

/// Pages kept in memory beside the operating system's own cache.
const CACHE_BYTES: usize = 128 << 20;

/// One database that is opened again whenever redb gave up on it.
#[derive(Debug)]
pub(super) struct Shared {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    reserve: Arc<Reserve>,
    /// `None` after a reopening that failed.
    database: RwLock<Option<Database>>,
    /// redb reported an error: it answers nothing more until it is opened again.
    failed: AtomicBool,
}

impl Shared {
    /// Opens the database of `disk`; `path` names it in messages.
    pub(super) fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, Fault> {
        let reserve = Arc::new(Reserve::new(Arc::clone(&disk)));
        let database = unpanicked(|| open(path, disk.as_ref(), &reserve))?;
        Ok(Self {
            path: path.to_owned(),
            disk,
            reserve,
            database: RwLock::new(Some(database)),
            failed: AtomicBool::new(false),
        })
    }

    /// Runs `work` on the database. What redb fails at is remembered for [`Shared::heal`].
    pub(super) fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Err(Fault::Database(format!(
                "{} could not be opened again",
                self.path.display()
            )));
        };
        let result = unpanicked(|| work(database));
        if matches!(result, Err(Fault::Database(_))) {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Runs `work` in one consistent read.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.with(|database| work(&database.begin_read()?))
    }

    /// Makes the database fit for writes again, where it is not and that can be done.
    pub(super) fn heal(&self) -> Result<(), Fault> {
        self.check_place()?;
        self.reserve.restore().map_err(|error| {
            let (path, mib) = (self.path.display(), RESERVE_BYTES >> 20);
            Fault::Full(format!("writes to {path} wait until {mib} MiB of disk are free: {error}"))
        })?;
        if self.failed.load(Ordering::Acquire) {
            self.reopen()?;
        }
        Ok(())
    }

    /// Looks whether the file is still under its name. What is written after that is lost with the
    /// process, so no write may be acknowledged.
    pub(super) fn check_place(&self) -> Result<(), Fault> {
        let path = self.path.display();
        match self.disk.is_in_place() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Fault::Gone(format!(
                "the database in {path} was removed or replaced while the daemon had it open: writes \
                 are refused; put the very file back, or restart the daemon with the one that is there"
            ))),
            Err(error) => {
                Err(Fault::Gone(format!("the database in {path} is out of reach: {error}")))
            }
        }
    }

    fn reopen(&self) -> Result<(), Fault> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // The old one must let go of the file's lock first.
        *database = None;
        *database = Some(unpanicked(|| open(&self.path, self.disk.as_ref(), &self.reserve))?);
        self.failed.store(false, Ordering::Release);
        tracing::warn!(path = %self.path.display(), "the database had failed and was opened again");
        Ok(())
    }
}

/// A damaged file may make redb panic: a fault of the database, not the end of the thread.
fn unpanicked<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(Fault::Database(format!("redb panicked: {}", text.unwrap_or_default())))
    })
}

fn open(path: &Path, disk: &dyn Disk, reserve: &Arc<Reserve>) -> Result<Database, Fault> {
    let say = |what: &dyn std::fmt::Display| Fault::Database(format!("{}: {what}", path.display()));
    let file =
        DatabaseFile::open(disk, Arc::clone(reserve)).map_err(|error: io::Error| say(&error))?;
    let opened = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(file);
    let database = opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => {
            say(&"in use by another daemon: give each daemon a --data-dir of its own")
        }
        error => say(&error),
    })?;
    match format_of(&database)? {
        Some(FORMAT) => Ok(database),
        Some(FORMAT_BEFORE) => migrate(&database).map(|()| database),
        Some(other) => Err(say(&format_args!(
            "its format is {other} and this daemon reads format {FORMAT}: use the daemon that wrote it, \
             or an empty --data-dir"
        ))),
        None => initialise(&database).map(|()| database),
    }
}

/// `None` where the database is new.
fn format_of(database: &Database) -> Result<Option<u64>, Fault> {
    match database.begin_read()?.open_table(META) {
        Ok(meta) => Ok(Some(meta.get("format")?.map_or(0, |format| format.value()))),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn initialise(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format", FORMAT)?;
    drop(Tables::open(&transaction)?);
    Ok(transaction.commit()?)
}
