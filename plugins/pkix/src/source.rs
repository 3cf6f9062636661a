//! The public keys in the files and directories of an instance. All of them or none: one bad file
//! fails the whole reading, so that a half-written change never becomes a key set.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::material::{self, FoundKey, Material, MaterialError};

/// Files in one directory, its subdirectories and hidden files among them.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 1_000;
/// Keys of one instance, over all of its sources: ten attestors at Google's limit.
pub(crate) const KEYS_MAX: usize = 10_000;

/// What RFC 3986 lets stand in a path or fragment as it is.
const URI_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/');

/// Why the sources give no key set, and which file is to blame.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct SourceError {
    path: PathBuf,
    reason: SourceReason,
}

impl SourceError {
    fn new(path: &Path, reason: impl Into<SourceReason>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

/// What is wrong with a file or directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceReason {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A pipe, a socket or a device.
    #[error("neither a file nor a directory")]
    Special,
    /// A link that leaves the directory it stands in.
    #[error("a symbolic link that leads out of its directory")]
    Outside,
    /// More entries than a directory may have.
    #[error("more than {DIRECTORY_ENTRIES_MAX} entries in the directory")]
    TooManyEntries,
    /// More keys than an instance may have.
    #[error("more than {KEYS_MAX} keys in all sources up to this one")]
    TooManyKeys,
    /// Keys that could not be told apart by their ids.
    #[error("a key without `kid` in a set of several: give each one a `kid`")]
    KidMissing,
    /// Not key material.
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// A key and what it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourcedKey {
    /// A `file` URI, with a fragment where the file holds several. Keys of one set that share a
    /// `kid` share it.
    pub(crate) id: String,
    /// The key.
    pub(crate) found: FoundKey,
}

/// The keys of all sources, in the order of the sources and of the file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    /// The keys.
    pub(crate) keys: Vec<SourcedKey>,
    /// What was passed over, a line each.
    pub(crate) notes: Vec<String>,
}

/// Reads every source. Each path is absolute.
pub(crate) fn read(sources: &[String]) -> Result<KeySet, SourceError> {
    let mut set = KeySet::default();
    for source in sources {
        let path = Path::new(source);
        let metadata = fs::metadata(path).map_err(|error| SourceError::new(path, error))?;
        if metadata.is_dir() {
            directory(path, &mut set)?;
        } else if metadata.is_file() {
            file(path, path, &mut set)?;
        } else {
            return Err(SourceError::new(path, SourceReason::Special));
        }
    }
    Ok(set)
}

/// The `file` URI of an absolute path.
pub(crate) fn file_uri(path: &Path) -> String {
    format!("file://{}", percent_encode(path.as_os_str().as_bytes(), URI_ESCAPED))
}

/// The files of a directory by name; subdirectories, special files and hidden files passed over.
/// Links count as what they lead to, and may not lead out: Kubernetes mounts a Secret as links
/// through a hidden directory beside them.
fn directory(path: &Path, set: &mut KeySet) -> Result<(), SourceError> {
    let root = fs::canonicalize(path).map_err(|error| SourceError::new(path, error))?;
    for name in names(path)? {
        let entry = path.join(name);
        let target = fs::canonicalize(&entry).map_err(|error| SourceError::new(&entry, error))?;
        if !target.starts_with(&root) {
            return Err(SourceError::new(&entry, SourceReason::Outside));
        }
        let metadata = fs::metadata(&target).map_err(|error| SourceError::new(&entry, error))?;
        if metadata.is_file() {
            file(&entry, &target, set)?;
        }
    }
    Ok(())
}

fn names(path: &Path) -> Result<Vec<std::ffi::OsString>, SourceError> {
    let entries = fs::read_dir(path).map_err(|error| SourceError::new(path, error))?;
    let mut names = entries
        .take(DIRECTORY_ENTRIES_MAX + 1)
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| SourceError::new(path, error))?;
    if names.len() > DIRECTORY_ENTRIES_MAX {
        return Err(SourceError::new(path, SourceReason::TooManyEntries));
    }
    names.retain(|name| !name.as_bytes().starts_with(b"."));
    names.sort();
    Ok(names)
}

/// Adds the keys of the file at `target`, which goes by `path`.
fn file(path: &Path, target: &Path, set: &mut KeySet) -> Result<(), SourceError> {
    let bytes = bytes(target).map_err(|error| SourceError::new(path, error))?;
    let material = material::read(&bytes).map_err(|error| SourceError::new(path, error))?;
    let uri = file_uri(path);
    match material {
        Material::Keys(keys) => {
            let alone = keys.len() == 1;
            let id = |n: usize| if alone { uri.clone() } else { format!("{uri}#{n}") };
            set.keys.extend(
                keys.into_iter().zip(1..).map(|(found, n)| SourcedKey { id: id(n), found }),
            );
        }
        Material::Set { keys, notes } => {
            set.notes.extend(notes.into_iter().map(|note| format!("{}: {note}", path.display())));
            let alone = keys.len() == 1;
            for (kid, key) in keys {
                let id = match kid {
                    Some(kid) => format!("{uri}#{}", percent_encode(kid.as_bytes(), URI_ESCAPED)),
                    None if alone => uri.clone(),
                    None => return Err(SourceError::new(path, SourceReason::KidMissing)),
                };
                set.keys.push(SourcedKey { id, found: key.into() });
            }
        }
    }
    if set.keys.len() > KEYS_MAX {
        return Err(SourceError::new(path, SourceReason::TooManyKeys));
    }
    Ok(())
}

/// The content of a file, cut one byte above the limit so that its excess is noticed.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(material::BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
