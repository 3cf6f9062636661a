//! Something that is made of files, and made anew when they change.
//!
//! Files are read and compared by content, not by events or times: swapped symbolic links, mounted
//! ConfigMaps and file systems without events are all the same. They are few and small.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};

use crate::secret_file::{self, SecretFileError};

/// Reads files, and remembers which and what was in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<(PathBuf, u64, [u8; 32])>);

impl Files {
    /// The bytes of a file, at most `limit`.
    pub fn read(&mut self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = read(path, limit);
        self.0.push((path.to_owned(), limit, hash(&bytes)));
        bytes
    }

    /// As [`Files::read`], of a file that nobody but its owner may write.
    pub fn read_secret(&mut self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let bytes = self.read(path, limit);
        match secret_file::judge(path) {
            Ok(_) => bytes,
            Err(SecretFileError::Io(error)) => Err(error),
            Err(refused) => Err(io::Error::new(io::ErrorKind::PermissionDenied, refused)),
        }
    }

    fn changed(&self) -> bool {
        self.0.iter().any(|(path, limit, seen)| hash(&read(path, *limit)) != *seen)
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes"),
        )),
        false => Ok(bytes),
    }
}

fn hash(bytes: &io::Result<Vec<u8>>) -> [u8; 32] {
    match bytes {
        Ok(bytes) => Sha256::digest(bytes).into(),
        Err(error) => Sha256::digest(format!("{:?}", error.kind())).into(),
    }
}

type Load<T, E> = dyn Fn(&mut Files) -> Result<T, E> + Send + Sync;

/// What the files say now, or said when they last made sense.
pub struct Followed<T, E> {
    load: Box<Load<T, E>>,
    current: ArcSwap<T>,
    seen: Mutex<Files>,
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
        let mut seen = Files::default();
        let first = load(&mut seen)?;
        let current = ArcSwap::from_pointee(first);
        Ok(Self { load: Box::new(load), current, seen: Mutex::new(seen) })
    }

    /// What is in force.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Loads it again where a file has changed since the last look. `None`: none has. On error the
    /// last good one stays in force, and the error is given once.
    pub fn look(&self) -> Option<Result<(), E>> {
        let changed = self.seen.lock().unwrap_or_else(PoisonError::into_inner).changed();
        changed.then(|| self.reload())
    }

    /// Loads it again. On error the last good one stays in force.
    pub fn reload(&self) -> Result<(), E> {
        let mut files = Files::default();
        let loaded = (self.load)(&mut files);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = files;
        self.current.store(Arc::new(loaded?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        std::fs::write(&path, "3").expect("writes");
        assert_eq!((followed.look(), *followed.current()), (Some(Ok(())), 3));
    }
}
