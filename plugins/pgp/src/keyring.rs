//! The certificates in the keyring files of an instance. All files or none: one bad file fails the
//! whole reading, so that a half-written change never becomes a key set. A certificate in a good
//! file that gives no key is passed over, with a line that says why.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::certificate::Certificate;
use crate::config::Keyring;
use crate::material::{self, MaterialError};

/// Certificates of one instance, over all of its keyrings: ten attestors at Google's limit.
pub(crate) const CERTIFICATES_MAX: usize = 10_000;

/// What RFC 3986 lets stand in a path as it is.
const URI_ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Why the keyrings give no keys, and which file is to blame.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct KeyringError {
    path: PathBuf,
    pub(crate) reason: KeyringReason,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringReason {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A directory, a pipe, a socket or a device.
    #[error("not a file")]
    Special,
    /// More certificates than an instance may have.
    #[error("more than {CERTIFICATES_MAX} certificates in all keyrings up to this one")]
    TooMany,
    /// Not certificates.
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// A certificate and the keyring that it is from, as a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced {
    pub(crate) keyring: String,
    pub(crate) certificate: Certificate,
}

/// The certificates of all keyrings, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeySet {
    pub(crate) certificates: Vec<Sourced>,
    /// What was passed over, a line each.
    pub(crate) notes: Vec<String>,
}

/// Reads every keyring. Each path is absolute.
pub(crate) fn read(keyrings: &[Keyring]) -> Result<KeySet, KeyringError> {
    let mut set = KeySet::default();
    for Keyring { path } in keyrings {
        let path = Path::new(path);
        let fail = |reason| KeyringError { path: path.to_owned(), reason };
        let bytes = bytes(path).map_err(fail)?;
        let read = material::read(&bytes).map_err(|error| fail(error.into()))?;
        let keyring = uri(path);
        for (certificate, nth) in read.into_iter().zip(1..) {
            match certificate {
                Ok(certificate) => {
                    set.certificates.push(Sourced { keyring: keyring.clone(), certificate });
                }
                Err(why) => {
                    let shown = path.display();
                    set.notes.push(format!("{shown}: certificate {nth} passed over: {why}"));
                }
            }
        }
        if set.certificates.len() > CERTIFICATES_MAX {
            return Err(fail(KeyringReason::TooMany));
        }
    }
    Ok(set)
}

fn uri(path: &Path) -> String {
    format!("openpgp://{}", percent_encode(path.as_os_str().as_bytes(), URI_ESCAPED))
}

/// The content of a file, cut one byte above the limit so that its excess is noticed.
fn bytes(path: &Path) -> Result<Vec<u8>, KeyringReason> {
    if !fs::metadata(path)?.is_file() {
        return Err(KeyringReason::Special);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(material::BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
