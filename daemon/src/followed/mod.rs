//! Something that is made of files, and made again when they change.
//!
//! Files are read and compared by content, not by events or times: swapped symbolic links, mounted
//! ConfigMaps and file systems without events are all the same. They are few and small. A file
//! system that does not answer is an error like any other, after [`LOOK_TIME_MAX`].

pub mod metrics;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

use crate::regular_file;
use crate::secret_file::{self, SecretFileError};
use crate::timed::Timed;

/// Time for one look at all files of one thing. Disks and mounted volumes answer within
/// milliseconds; a network file system that takes longer is gone.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);

/// The time of the last look at files that came to its end. A clone is the same.
#[derive(Clone, Debug)]
pub struct LookTime(Arc<Mutex<Instant>>);

impl Default for LookTime {
    /// Now.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl LookTime {
    /// A look came to its end.
    pub fn looked(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Time since then.
    pub fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Reads files, and remembers which and what was in them.
#[derive(Debug)]
pub struct Files {
    look: Look,
    seen: Vec<Seen>,
}

impl Default for Files {
    fn default() -> Self {
        Self::through(&Timed::default())
    }
}

impl Files {
    /// Reads in the place that `reads` is.
    pub fn through(reads: &Timed) -> Self {
        Self { look: Look::begin(reads), seen: Vec::new() }
    }

    /// The bytes of a regular file, at most `limit`.
    pub fn read(&mut self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.look.read(path, limit);
        self.seen.push(Seen { path: path.to_owned(), limit, hash: hash(&bytes) });
        bytes
    }

    /// As [`Files::read`], of a file that nobody but its owner may write.
    pub fn read_secret(&mut self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.read(path, limit)?;
        match secret_file::judge(path) {
            Ok(_) => Ok(bytes),
            Err(SecretFileError::Io(error)) => Err(error),
            Err(refused) => Err(io::Error::new(io::ErrorKind::PermissionDenied, refused)),
        }
    }
}

/// One file, and what was in it.
#[derive(Debug)]
struct Seen {
    path: PathBuf,
    limit: u64,
    hash: [u8; 32],
}

/// One look at some files.
#[derive(Debug)]
struct Look {
    reads: Timed,
    deadline: Instant,
    /// A file did not answer in time.
    is_late: bool,
}

impl Look {
    fn begin(reads: &Timed) -> Self {
        let deadline = Instant::now() + LOOK_TIME_MAX;
        Self { reads: reads.clone(), deadline, is_late: false }
    }

    fn read(&mut self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let of_thread = path.to_owned();
        let read = move || regular_file::read(&of_thread, limit);
        self.reads.run(self.deadline, read).unwrap_or_else(|error| {
            self.is_late = true;
            Err(error)
        })
    }

    fn differs(&mut self, seen: &Seen) -> bool {
        hash(&self.read(&seen.path, seen.limit)) != seen.hash
    }
}

fn hash(bytes: &io::Result<Vec<u8>>) -> [u8; 32] {
    match bytes {
        Ok(bytes) => Sha256::digest(bytes).into(),
        Err(error) => Sha256::digest(format!("{:?}", error.kind())).into(),
    }
}

type Load<T, E> = dyn Fn(&mut Files) -> Result<T, E> + Send + Sync;

/// The content of the files now, or when they last made sense.
pub struct Followed<T, E> {
    load: Box<Load<T, E>>,
    current: ArcSwap<T>,
    seen: Mutex<Vec<Seen>>,
    reads: Timed,
    looked: LookTime,
}

impl<T: fmt::Debug, E> fmt::Debug for Followed<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("current", &self.current).finish_non_exhaustive()
    }
}

impl<T, E> Followed<T, E> {
    /// Loads it for the first time.
    pub fn load(
        load: impl Fn(&mut Files) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let reads = Timed::default();
        let mut files = Files::through(&reads);
        let current = ArcSwap::from_pointee(load(&mut files)?);
        let (seen, looked) = (Mutex::new(files.seen), LookTime::default());
        Ok(Self { load: Box::new(load), current, seen, reads, looked })
    }

    /// The content in force.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// When its files were last looked at.
    pub fn look_time(&self) -> LookTime {
        self.looked.clone()
    }

    /// Loads it again if a file has changed since the last look. `None`: none has. On error the
    /// last good one stays in force, and the error is given once.
    pub fn look(&self) -> Option<Result<(), E>> {
        let mut look = Look::begin(&self.reads);
        let changed = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.iter().any(|seen| look.differs(seen))
        };
        self.end(&look);
        changed.then(|| self.reload())
    }

    /// Loads it again. On error the last good one stays in force.
    pub fn reload(&self) -> Result<(), E> {
        let mut files = Files::through(&self.reads);
        let loaded = (self.load)(&mut files);
        self.end(&files.look);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = files.seen;
        self.current.store(Arc::new(loaded?));
        Ok(())
    }

    fn end(&self, look: &Look) {
        if !look.is_late {
            self.looked.looked();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_change_is_taken_up_once_and_a_fault_leaves_the_last_good_state() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("number");
        std::fs::write(&path, "1").expect("writes");
        let file = path.clone();
        let followed = Followed::load(move |files| -> Result<u32, String> {
            let bytes = files.read(&file, 4).map_err(|error| error.to_string())?;
            String::from_utf8_lossy(&bytes).parse().map_err(|_| "not a number".to_owned())
        });
        let followed = followed.expect("loads");
        assert_eq!((*followed.current(), followed.look()), (1, None));
        std::fs::write(&path, "2").expect("writes");
        assert_eq!((followed.look(), followed.look()), (Some(Ok(())), None));
        for (text, fault) in [("x", "not a number"), ("55555", "larger than 4 bytes")] {
            std::fs::write(&path, text).expect("writes");
            let error = followed.look().expect("changed").expect_err("a fault");
            assert!(error.contains(fault), "{error}");
            assert_eq!((*followed.current(), followed.look()), (2, None));
        }
        std::fs::remove_file(&path).expect("removes");
        followed.look().expect("changed").expect_err("gone");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
        let error = followed.look().expect("changed").expect_err("a fault");
        assert!(error.contains("not a regular file"), "{error}");
        std::fs::remove_file(&path).expect("removes");
        std::fs::write(&path, "3").expect("writes");
        assert_eq!((followed.look(), *followed.current()), (Some(Ok(())), 3));
    }

    /// A look that begins while another read is stuck, as on a file system that does not answer.
    #[test]
    fn a_file_system_that_does_not_answer_is_a_fault_and_no_look() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("number");
        std::fs::write(&path, "1").expect("writes");
        let reads = Timed::default();
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let past = Instant::now();
        reads.run(past, move || stuck.recv().is_err()).expect_err("late");
        let mut look = Look { reads: reads.clone(), deadline: past, is_late: false };
        let error = look.read(&path, 4).expect_err("late");
        assert_eq!((error.kind(), look.is_late), (io::ErrorKind::TimedOut, true));
        drop(release);
        let mut next = Look::begin(&reads);
        assert_eq!((next.read(&path, 4).expect("answers"), next.is_late), (b"1".to_vec(), false));
    }
}
