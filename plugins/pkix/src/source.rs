//! The public keys in the files and directories of an instance. All of them or none: one bad file
//! fails the whole reading, so that a half-written change never becomes a key set.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::config::ID_BYTES_MAX;
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
    pub(crate) reason: SourceReason,
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
    /// A path or `kid` that makes too long an id.
    #[error("a key id of {0} bytes: at most {ID_BYTES_MAX}, shorten the path or the `kid`")]
    Id(usize),
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
    let longest = set.keys.iter().map(|key| key.id.len()).max().unwrap_or(0);
    if longest > ID_BYTES_MAX {
        return Err(SourceError::new(path, SourceReason::Id(longest)));
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;
    use crate::fixture::{self, Kind, jwk, public_der, public_pem, written};

    fn read_path(path: &Path) -> Result<KeySet, SourceError> {
        read(&[path.to_str().unwrap().to_owned()])
    }

    /// The ids of what is read, without the URI of the directory.
    fn ids(directory: &TempDir) -> Vec<String> {
        let base = format!("{}/", file_uri(directory.path()));
        let set = read_path(directory.path()).unwrap();
        set.keys.into_iter().map(|key| key.id.replace(&base, "")).collect()
    }

    fn refusal(path: &Path) -> String {
        read_path(path).unwrap_err().to_string()
    }

    #[test]
    fn a_directory_is_its_files_by_name_each_in_its_own_form() {
        let directory = TempDir::new().unwrap();
        let keys = format!(
            r#"{{"keys":[{},{}]}}"#,
            jwk(Kind::P384, r#""kid":"a b","#),
            jwk(Kind::P521, r#""kid":"z","#)
        );
        written(&directory, "d.jwks", keys.as_bytes());
        let two = public_pem(Kind::P256) + &public_pem(Kind::Ed25519);
        written(&directory, "c.pem", two.as_bytes());
        written(&directory, "b.der", public_der(Kind::Rsa2048));
        written(&directory, "a.crt", &fixture::certificate_der(Kind::Rsa3072, &[]));
        written(&directory, ".hidden", b"not a key");
        fs::create_dir(directory.path().join("more")).unwrap();
        fs::write(directory.path().join("more/bad.pem"), "not a key").unwrap();
        let fifo = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());

        let expected = ["a.crt", "b.der", "c.pem#1", "c.pem#2", "d.jwks#a%20b", "d.jwks#z"];
        assert_eq!(ids(&directory), expected);
        let set = read_path(directory.path()).unwrap();
        let kinds =
            [Kind::Rsa3072, Kind::Rsa2048, Kind::P256, Kind::Ed25519, Kind::P384, Kind::P521];
        for (key, kind) in set.keys.iter().zip(kinds) {
            assert_eq!(key.found.key.spki_der, public_der(kind), "{kind:?}");
        }
        assert!(set.keys[0].found.validity.is_some());
        assert_eq!(refusal(&fifo), format!("{}: neither a file nor a directory", fifo.display()));
    }

    #[test]
    fn ids_are_uris_of_the_path_as_configured() {
        let directory = TempDir::new().unwrap();
        let path = written(&directory, "key ü#1%.pem", public_pem(Kind::P256).as_bytes());
        let id = &read_path(&path).unwrap().keys[0].id;
        assert!(id.starts_with("file:///"), "{id}");
        assert!(id.ends_with("/key%20%C3%BC%231%25.pem"), "{id}");
    }

    #[test]
    fn the_length_of_an_id_is_limited() {
        let directory = TempDir::new().unwrap();
        let name = "%".repeat(255);
        let deep = directory.path().join(&name).join(&name);
        fs::create_dir_all(&deep).unwrap();
        let longest = ID_BYTES_MAX - file_uri(&deep).len() - "/".len();
        let longest = "%".repeat(longest / 3) + &"k".repeat(longest % 3);
        let path = deep.join(&longest);
        fs::write(&path, public_pem(Kind::P256)).unwrap();
        assert_eq!(read_path(&path).unwrap().keys[0].id.len(), ID_BYTES_MAX);
        let path = deep.join(longest + "k");
        fs::write(&path, public_pem(Kind::P256)).unwrap();
        assert!(refusal(&path).contains("shorten the path"), "{}", refusal(&path));
    }

    #[test]
    fn the_kid_of_a_set_may_be_missing_only_where_nothing_is_ambiguous() {
        let directory = TempDir::new().unwrap();
        let one = format!(r#"{{"keys":[{}]}}"#, jwk(Kind::P256, ""));
        let path = written(&directory, "k.json", one.as_bytes());
        assert_eq!(ids(&directory), ["k.json"]);
        let two =
            format!(r#"{{"keys":[{},{}]}}"#, jwk(Kind::P256, ""), jwk(Kind::P384, r#""kid":"a","#));
        written(&directory, "k.json", two.as_bytes());
        assert!(refusal(&path).contains("without `kid`"), "{}", refusal(&path));
        let same = r#""kid":"a","#;
        let both = format!(r#"{{"keys":[{},{}]}}"#, jwk(Kind::P256, same), jwk(Kind::P384, same));
        written(&directory, "k.json", both.as_bytes());
        assert_eq!(ids(&directory), ["k.json#a", "k.json#a"]);
    }

    #[test]
    fn what_a_set_passes_over_is_noted_with_its_file() {
        let directory = TempDir::new().unwrap();
        let path = written(&directory, "k.json", br#"{"keys":[{"kty":"XYZ"}]}"#);
        let set = read_path(&path).unwrap();
        assert_eq!(set.keys, []);
        let note = format!("{}: key 1 passed over: its `kty` is not supported", path.display());
        assert_eq!(set.notes, [note]);
    }

    #[test]
    fn one_bad_file_fails_the_directory_and_is_named() {
        let directory = TempDir::new().unwrap();
        written(&directory, "a.pem", public_pem(Kind::P256).as_bytes());
        let bad = written(&directory, "b.pem", b"-----BEGIN PUBLIC KEY-----\n");
        assert!(refusal(directory.path()).starts_with(bad.to_str().unwrap()));
        let private = fixture::private_pem(Kind::P256);
        written(&directory, "b.pem", private.as_bytes());
        let message = refusal(directory.path());
        assert!(message.contains("a private key"), "{message}");
        assert!(!message.contains(&private.lines().nth(1).unwrap()[..8]), "{message}");
        let large = vec![b' '; material::BYTES_MAX + 1];
        written(&directory, "b.pem", &large);
        assert!(refusal(directory.path()).contains("larger than"));
        fs::remove_file(&bad).unwrap();
        read_path(directory.path()).unwrap();
        assert!(refusal(&bad).contains("cannot be read"));
    }

    #[test]
    fn links_may_lead_inside_the_directory_only() {
        let outside = TempDir::new().unwrap();
        let key = written(&outside, "key.pem", public_pem(Kind::P256).as_bytes());
        let mounted = TempDir::new().unwrap();
        let version = mounted.path().join("..2026_11_20");
        fs::create_dir(&version).unwrap();
        fs::write(version.join("key.pem"), public_pem(Kind::P384)).unwrap();
        symlink("..2026_11_20", mounted.path().join("..data")).unwrap();
        symlink("..data/key.pem", mounted.path().join("key.pem")).unwrap();
        assert_eq!(ids(&mounted), ["key.pem"]);

        let link = mounted.path().join("out.pem");
        symlink(&key, &link).unwrap();
        let message = refusal(mounted.path());
        assert!(message.starts_with(link.to_str().unwrap()), "{message}");
        assert!(message.ends_with("leads out of its directory"), "{message}");
        read_path(&link).unwrap();
        fs::remove_file(&link).unwrap();
        symlink("nowhere", &link).unwrap();
        assert!(refusal(mounted.path()).contains("cannot be read"));
    }

    #[test]
    fn entries_and_keys_are_limited() {
        let directory = TempDir::new().unwrap();
        for n in 0..DIRECTORY_ENTRIES_MAX {
            written(&directory, &format!(".{n}"), b"");
        }
        assert_eq!(ids(&directory), Vec::<String>::new());
        written(&directory, "one-more", b"");
        assert!(refusal(directory.path()).contains("entries"));

        let directory = TempDir::new().unwrap();
        let thousand = public_pem(Kind::P256).repeat(1_000);
        for n in 0..KEYS_MAX / 1_000 {
            written(&directory, &format!("{n}.pem"), thousand.as_bytes());
        }
        assert_eq!(ids(&directory).len(), KEYS_MAX);
        written(&directory, "x.pem", public_pem(Kind::P256).as_bytes());
        assert!(refusal(directory.path()).contains("more than 10000 keys"));
    }
}
