//! The public keys in the files and directories of an instance.
//!
//! A file that gives no key, or a key in it that cannot be used, costs itself: it is named, and takes
//! nothing from the others, whose removal it must not hold up. A source that cannot be looked at,
//! and one that is too large, fails the whole reading: what is not seen is not gone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::config::ID_BYTES_MAX;
use crate::jwks::Jwks;
use crate::material::{self, FoundKey, Material, MaterialError};

/// Files in one directory, its subdirectories and hidden files among them.
pub(crate) const DIRECTORY_ENTRIES_MAX: usize = 1_000;
/// Keys of one instance, over all of its sources: ten attestors at Google's limit.
pub(crate) const KEYS_MAX: usize = 10_000;

/// Characters that RFC 3986 lets stand in a path or fragment as they are.
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

/// Lines of one file about keys that cannot be used; the others are counted.
const UNUSABLE_SHOWN: usize = 20;

/// Why the sources give no key set, and which path is to blame.
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

/// The fault of a source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceReason {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A pipe, a socket or a device.
    #[error("neither a file nor a directory")]
    Special,
    /// More entries than a directory may have.
    #[error("more than {DIRECTORY_ENTRIES_MAX} entries in the directory")]
    TooManyEntries,
    /// More keys than an instance may have.
    #[error("more than {KEYS_MAX} keys in all sources up to this one")]
    TooManyKeys,
}

/// Why a file, or a key in it, gives none.
#[derive(Debug, thiserror::Error)]
enum FileReason {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A link that leaves the directory it stands in.
    #[error("a symbolic link that leads out of its directory")]
    Outside,
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

/// A file, or a key in it, that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// The id that its key would have, or the `file` URI.
    pub(crate) id: String,
    /// The fault.
    pub(crate) why: String,
}

/// The keys of all sources, in the order of the sources and of the file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    /// The keys.
    pub(crate) keys: Vec<SourcedKey>,
    /// Files and keys that give no key.
    pub(crate) unusable: Vec<Unusable>,
    /// Keys that are for another purpose and were passed over, a line each.
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
            match file(path, path) {
                Err(FileReason::Io(error)) => return Err(SourceError::new(path, error)),
                read => set.take(path, read)?,
            }
        } else {
            return Err(SourceError::new(path, SourceReason::Special));
        }
    }
    Ok(set)
}

impl KeySet {
    /// Adds what the file `path` gave. What the machine cannot do says nothing about the file.
    fn take(&mut self, path: &Path, read: Result<Self, FileReason>) -> Result<(), SourceError> {
        use io::ErrorKind::{NotFound, PermissionDenied};
        match read {
            Ok(of_file) => {
                self.keys.extend(of_file.keys);
                self.unusable.extend(of_file.unusable);
                self.notes.extend(of_file.notes);
            }
            Err(FileReason::Io(error)) if !matches!(error.kind(), NotFound | PermissionDenied) => {
                return Err(SourceError::new(path, error));
            }
            Err(reason) => self.refuse(file_uri(path), &reason),
        }
        match self.keys.len() > KEYS_MAX {
            true => Err(SourceError::new(path, SourceReason::TooManyKeys)),
            false => Ok(()),
        }
    }

    fn refuse(&mut self, id: String, why: &impl ToString) {
        self.unusable.push(Unusable { id, why: why.to_string() });
    }

    fn add(&mut self, id: String, found: FoundKey) {
        match id.len() {
            0..=ID_BYTES_MAX => self.keys.push(SourcedKey { id, found }),
            length => self.refuse(id, &FileReason::Id(length)),
        }
    }
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
        match target(&root, &entry) {
            Ok(Some(target)) => set.take(&entry, file(&entry, &target))?,
            Ok(None) => {}
            Err(reason) => set.refuse(file_uri(&entry), &reason),
        }
    }
    Ok(())
}

/// The file that an entry of `root` leads to; `None` where it leads to something else, or is gone
/// since it was listed.
fn target(root: &Path, entry: &Path) -> Result<Option<PathBuf>, FileReason> {
    let target = match fs::canonicalize(entry) {
        Err(_) if fs::symlink_metadata(entry).is_err() => return Ok(None),
        target => target?,
    };
    if !target.starts_with(root) {
        return Err(FileReason::Outside);
    }
    Ok(fs::metadata(&target)?.is_file().then_some(target))
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

/// The keys of the file at `target`, which goes by `path`.
fn file(path: &Path, target: &Path) -> Result<KeySet, FileReason> {
    let bytes = bytes(target)?;
    let (mut set, uri) = (KeySet::default(), file_uri(path));
    match material::read(&bytes)? {
        Material::Keys(keys) => {
            let alone = keys.len() == 1;
            for (key, n) in keys.into_iter().zip(1..) {
                let id = if alone { uri.clone() } else { format!("{uri}#{n}") };
                match key {
                    Ok(found) => set.add(id, found),
                    Err(why) => set.refuse(id, &why),
                }
            }
        }
        Material::Set(Jwks { keys, notes, unusable }) => {
            set.notes.extend(notes.into_iter().map(|note| format!("{}: {note}", path.display())));
            unusable.iter().for_each(|why| set.refuse(uri.clone(), why));
            let alone = keys.len() == 1;
            for (kid, key) in keys {
                let fragment =
                    kid.map(|kid| percent_encode(kid.as_bytes(), URI_ESCAPED).to_string());
                match fragment {
                    Some(fragment) => set.add(format!("{uri}#{fragment}"), key.into()),
                    None if alone => set.add(uri.clone(), key.into()),
                    None => set.refuse(uri.clone(), &FileReason::KidMissing),
                }
            }
        }
    }
    let more = set.unusable.len().saturating_sub(UNUSABLE_SHOWN);
    if more > 0 {
        set.unusable.truncate(UNUSABLE_SHOWN);
        set.refuse(uri, &format!("{more} more keys of this file cannot be used"));
    }
    Ok(set)
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

    /// The text about the only thing at `path` that cannot be used, with its name.
    fn unusable(path: &Path) -> String {
        let set = read_path(path).unwrap();
        let [Unusable { id, why }] = set.unusable.as_slice() else { panic!("{set:?}") };
        format!("{id}: {why}")
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
        assert!(unusable(&path).contains("shorten the path"), "{}", unusable(&path));
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
        assert!(unusable(&path).contains("without `kid`"), "{}", unusable(&path));
        assert_eq!(ids(&directory), ["k.json#a"]);
        let same = r#""kid":"a","#;
        let both = format!(r#"{{"keys":[{},{}]}}"#, jwk(Kind::P256, same), jwk(Kind::P384, same));
        written(&directory, "k.json", both.as_bytes());
        assert_eq!(ids(&directory), ["k.json#a", "k.json#a"]);
    }

    #[test]
    fn a_bad_key_of_a_set_is_named_and_one_for_another_purpose_is_noted() {
        let directory = TempDir::new().unwrap();
        let other = jwk(Kind::P256, r#""use":"enc","#);
        let keys = format!(r#"{{"keys":[{{"kty":"XYZ"}},{other},{}]}}"#, jwk(Kind::P384, ""));
        let path = written(&directory, "k.json", keys.as_bytes());
        let said = unusable(&path);
        assert!(said.ends_with("/k.json: key 1 of the set: its `kty` is not supported"), "{said}");
        let set = read_path(&path).unwrap();
        assert_eq!(ids(&directory), ["k.json"]);
        let note = format!("{}: key 2 passed over: its `use` `enc` is not `sig`", path.display());
        assert_eq!(set.notes, [note]);
    }

    #[test]
    fn one_bad_file_costs_its_own_keys_and_is_named() {
        let directory = TempDir::new().unwrap();
        written(&directory, "a.pem", public_pem(Kind::P256).as_bytes());
        let (private, good) = (fixture::private_pem(Kind::P256), public_pem(Kind::P384));
        let small = fixture::openssl(
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
            b"",
        );
        let small = fixture::openssl(&["pkey", "-pubout"], &small);
        let request = fixture::pem("CERTIFICATE REQUEST", public_der(Kind::P256));
        let bad: [(&[u8], &str); 9] = [
            (b"-----BEGIN PUBLIC KEY-----\n", "PEM"),
            (b"garbage", "neither PEM"),
            (b"", "empty"),
            (&good.as_bytes()[..60], "PEM"),
            (&public_der(Kind::P256)[..40], ""),
            (b"{\"keys\":", "JSON Web Key Set"),
            (private.as_bytes(), "a private key"),
            (&small, "1024"),
            (request.as_bytes(), "is not a public key"),
        ];
        for (bytes, says) in bad {
            let bad = written(&directory, "b.pem", bytes);
            let said = unusable(directory.path());
            assert!(said.starts_with(&file_uri(&bad)) && said.contains(says), "{said}");
            assert!(!said.contains(&private.lines().nth(1).unwrap()[..8]), "{said}");
            assert_eq!(ids(&directory), ["a.pem"], "{said}");
        }
        let large = vec![b' '; material::BYTES_MAX + 1];
        let bad = written(&directory, "b.pem", &large);
        assert!(unusable(directory.path()).contains("larger than"));
        fs::remove_file(&bad).unwrap();
        assert_eq!(read_path(directory.path()).unwrap().unusable, []);
        assert!(refusal(&bad).contains("cannot be read"), "it is the whole source");
    }

    #[test]
    fn one_bad_block_costs_itself() {
        let directory = TempDir::new().unwrap();
        let bad = fixture::pem("PUBLIC KEY", b"no key");
        let text = public_pem(Kind::P256) + &bad + &public_pem(Kind::P384);
        let path = written(&directory, "a.pem", text.as_bytes());
        assert_eq!(ids(&directory), ["a.pem#1", "a.pem#3"]);
        assert!(unusable(&path).contains("/a.pem#2: "), "{}", unusable(&path));
        written(&directory, "a.pem", bad.repeat(1_000).as_bytes());
        let set = read_path(&path).unwrap();
        assert_eq!(set.unusable.len(), UNUSABLE_SHOWN + 1);
        let last = &set.unusable.last().unwrap().why;
        assert_eq!(last, "980 more keys of this file cannot be used");
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
        let message = unusable(mounted.path());
        assert!(message.starts_with(&file_uri(&link)), "{message}");
        assert!(message.ends_with("leads out of its directory"), "{message}");
        assert_eq!(ids(&mounted), ["key.pem"]);
        read_path(&link).unwrap();
        for nowhere in ["nowhere", "out.pem"] {
            fs::remove_file(&link).unwrap();
            symlink(nowhere, &link).unwrap();
            assert!(unusable(mounted.path()).contains("cannot be read"), "{nowhere}");
            assert_eq!(ids(&mounted), ["key.pem"]);
        }
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
