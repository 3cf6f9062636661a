//! The certificates in the keyring files of an instance.
//!
//! A keyring that holds none, or a certificate in it that gives no key, costs itself: it is named, and
//! takes nothing from the others, whose removal it must not hold up. A file that cannot be read fails
//! the whole reading: what is not seen is not gone.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::certificate::{Certificate, CertificateError};
use crate::config::Keyring;
use crate::material::{self, MaterialError};

/// Certificates of one instance, over all of its keyrings: ten attestors at Google's limit.
pub(crate) const CERTIFICATES_MAX: usize = 10_000;
/// Lines of one keyring about certificates that cannot be used; the others are counted.
const UNUSABLE_SHOWN: usize = 20;

/// Characters that RFC 3986 lets stand in a path as they are.
const URI_ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Why the keyrings give no keys, and which file is to blame.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct KeyringError {
    path: PathBuf,
    pub(crate) reason: KeyringReason,
}

/// The fault of a file.
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
    /// Keyrings and certificates that give no key.
    pub(crate) unusable: Vec<Unusable>,
}

/// A keyring, or a certificate in it, that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unusable {
    /// The keyring, as a URI.
    pub(crate) id: String,
    /// The fault.
    pub(crate) why: String,
}

/// Reads every keyring. Each path is absolute.
pub(crate) fn read(keyrings: &[Keyring]) -> Result<KeySet, KeyringError> {
    let mut set = KeySet::default();
    for Keyring { path } in keyrings {
        let path = Path::new(path);
        let fail = |reason| KeyringError { path: path.to_owned(), reason };
        let bytes = bytes(path).map_err(fail)?;
        set.take(&uri(path), material::read(&bytes));
        if set.certificates.len() > CERTIFICATES_MAX {
            return Err(fail(KeyringReason::TooMany));
        }
    }
    Ok(set)
}

impl KeySet {
    fn take(
        &mut self,
        keyring: &str,
        read: Result<Vec<Result<Certificate, CertificateError>>, MaterialError>,
    ) {
        let mut unusable = Vec::new();
        match read {
            Err(why) => unusable.push(why.to_string()),
            Ok(read) => {
                for (certificate, nth) in read.into_iter().zip(1..) {
                    match certificate {
                        Err(why) => unusable.push(format!("certificate {nth}: {why}")),
                        Ok(certificate) => self
                            .certificates
                            .push(Sourced { keyring: keyring.to_owned(), certificate }),
                    }
                }
            }
        }
        let more = unusable.len().saturating_sub(UNUSABLE_SHOWN);
        if more > 0 {
            unusable.truncate(UNUSABLE_SHOWN);
            unusable.push(format!("{more} more certificates of this keyring cannot be used"));
        }
        let named = unusable.into_iter().map(|why| Unusable { id: keyring.to_owned(), why });
        self.unusable.extend(named);
    }
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
