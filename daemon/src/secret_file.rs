//! Files that hold secrets or say who may do what: nobody but their owner may write them.
//!
//! Links are followed one by one, and every directory on the way is judged, as each entry of it
//! could be replaced by whoever may write the directory. A Secret that Kubernetes mounts passes: its
//! links and files belong to root, in a directory that is sticky.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Links on the way to one file: as many as Linux follows.
const LINKS_MAX: usize = 40;

/// Permission bits.
const GROUP_READS: u32 = 0o040;
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A file that others than its owner may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable {
    /// The permission bits.
    pub mode: u32,
}

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file, or a directory on the way to it, may be written by others.
    #[error("others than its owner may write {} (mode {mode:o}): chmod go-w", path.display())]
    Writable {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Whoever owns a directory or link on the way could replace the file.
    #[error(
        "{} belongs to user {owner}, who is neither root nor the user of this process nor the owner \
         of the file, and could replace it: chown it, or move the file",
        path.display()
    )]
    Owner {
        /// The directory or link.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Links that lead in a circle.
    #[error("more than {LINKS_MAX} symbolic links on the way")]
    Links,
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Judges the file at `path`, and the way to it. Says if others may read it: a group may, if root
/// gave the file to it, as Kubernetes does by `fsGroup` and distributions do for their services.
///
/// # Errors
/// Somebody who is not trusted with the secret could replace it, or it cannot be looked at.
pub fn judge(path: &Path) -> Result<Option<Readable>, SecretFileError> {
    let file = fs::metadata(path)?;
    if !file.is_file() {
        // A pipe that a shell made, as in --token-file <(…): there is no file to replace.
        return Ok(None);
    }
    let way = Way { trusted: [0, rustix::process::geteuid().as_raw(), file.uid()] };
    let end = way.walk(path)?;
    let mode = file.mode() & 0o7777;
    if mode & OTHERS_WRITE != 0 {
        return Err(SecretFileError::Writable { path: end, mode });
    }
    let group = mode & GROUP_READS != 0 && file.uid() != 0;
    let readable = group || mode & OTHERS_READ != 0;
    Ok(readable.then_some(Readable { mode }))
}

/// The way to a file, for which these users are trusted.
struct Way {
    trusted: [u32; 3],
}

impl Way {
    /// Goes along a path, link by link, and returns where it ends.
    fn walk(&self, path: &Path) -> Result<PathBuf, SecretFileError> {
        let mut here = PathBuf::from("/");
        let mut ahead = names(&std::path::absolute(path)?);
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            let entry = fs::symlink_metadata(&next)?;
            self.judge_directory(&here, &next, &entry)?;
            if !entry.is_symlink() {
                here = next;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(SecretFileError::Links);
            }
            let target = fs::read_link(&next)?;
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            let mut first = names(&target);
            first.append(&mut ahead);
            ahead = first;
        }
        Ok(here)
    }

    /// Who may replace an entry: the owner of its directory, and whoever may write the directory;
    /// if that is sticky, only the owner of the entry.
    fn judge_directory(
        &self,
        directory: &Path,
        entry: &Path,
        of_entry: &Metadata,
    ) -> Result<(), SecretFileError> {
        let meta = fs::symlink_metadata(directory)?;
        let mode = meta.mode() & 0o7777;
        self.trust(directory, meta.uid())?;
        match (mode & OTHERS_WRITE != 0, mode & STICKY != 0) {
            (false, _) => Ok(()),
            (true, true) => self.trust(entry, of_entry.uid()),
            (true, false) => Err(SecretFileError::Writable { path: directory.to_owned(), mode }),
        }
    }

    fn trust(&self, path: &Path, owner: u32) -> Result<(), SecretFileError> {
        match self.trusted.contains(&owner) {
            true => Ok(()),
            false => Err(SecretFileError::Owner { path: path.to_owned(), owner }),
        }
    }
}

/// The names in a path, `..` among them.
fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changes the mode");
    }

    fn file(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        fs::write(&path, "secret").expect("writes");
        with_mode(&path, mode);
        path
    }

    #[test]
    fn a_file_is_its_owners_to_write_and_to_read() {
        let dir = tempfile::tempdir().expect("a directory");
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(judge(&file(dir.path(), "k", mode)).expect("good"), None, "{mode:o}");
        }
        for mode in [0o644, 0o604, 0o444] {
            let readable = judge(&file(dir.path(), "k", mode)).expect("good");
            assert_eq!(readable, Some(Readable { mode }), "{mode:o}");
        }
        let root = rustix::process::geteuid().is_root();
        for mode in [0o640, 0o440] {
            let readable = judge(&file(dir.path(), "k", mode)).expect("good");
            assert_eq!(readable.is_none(), root, "{mode:o}: only root gives files to groups");
        }
        for mode in [0o620, 0o602, 0o666, 0o660] {
            let path = file(dir.path(), "k", mode);
            let Err(SecretFileError::Writable { path: named, mode: told }) = judge(&path) else {
                panic!("{mode:o}")
            };
            assert_eq!((named, told), (path.canonicalize().expect("there"), mode));
        }
        let missing = judge(&dir.path().join("missing"));
        assert!(matches!(missing, Err(SecretFileError::Io(_))));
    }

    #[test]
    fn whoever_may_write_a_directory_may_replace_what_is_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = dir.path().join("open");
        fs::create_dir(&open).expect("creates");
        let inside = open.join("inside");
        fs::create_dir(&inside).expect("creates");
        let path = file(&inside, "k", 0o600);
        for (mode, good) in [(0o755, true), (0o777, false), (0o775, false), (0o1777, true)] {
            with_mode(&open, mode);
            assert_eq!(judge(&path).is_ok(), good, "{mode:o}");
        }
        // A link is no way around it, nor is `..`.
        with_mode(&open, 0o777);
        let link = dir.path().join("link");
        symlink("open/inside/k", &link).expect("links");
        for way in [&link, &dir.path().join("open/../open/inside/k")] {
            assert!(matches!(judge(way), Err(SecretFileError::Writable { .. })), "{way:?}");
        }
        with_mode(&open, 0o755);
        judge(&link).expect("good");
        symlink("circle", dir.path().join("circle")).expect("links");
        judge(&dir.path().join("circle")).expect_err("leads nowhere");
    }

    /// As Kubernetes mounts a Secret: links through `..data` in a sticky directory.
    #[test]
    fn a_mounted_secret_is_good() {
        let dir = tempfile::tempdir().expect("a directory");
        let mount = dir.path().join("tls");
        let version = mount.join("..2026_11_30");
        fs::create_dir_all(&version).expect("creates");
        symlink("..2026_11_30", mount.join("..data")).expect("links");
        symlink("..data/tls.key", mount.join("tls.key")).expect("links");
        with_mode(&mount, 0o3777);
        with_mode(&version, 0o2755);
        let root = rustix::process::geteuid().is_root();
        for mode in [0o440, 0o640] {
            file(&version, "tls.key", mode);
            let readable = judge(&mount.join("tls.key")).expect("good");
            assert_eq!(readable.is_none(), root, "{mode:o}");
        }
        file(&version, "tls.key", 0o644);
        assert!(judge(&mount.join("tls.key")).expect("good").is_some());
    }

    #[test]
    fn another_user_who_could_replace_the_file_is_not_trusted() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let theirs = dir.path().join("theirs");
        fs::create_dir(&theirs).expect("creates");
        let path = file(&theirs, "k", 0o600);
        std::os::unix::fs::chown(&theirs, Some(4711), None).expect("gives away");
        assert!(matches!(judge(&path), Err(SecretFileError::Owner { owner: 4711, .. })));
        // It is theirs to write anyway.
        std::os::unix::fs::chown(&path, Some(4711), None).expect("gives away");
        judge(&path).expect("good");
    }
}
