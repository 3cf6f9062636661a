//! Image references and digests, parsed once.

use std::fmt;
use std::str::FromStr;

/// A sha256 digest, the only scheme Binary Authorization knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The text is not `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest of the form sha256:<64 lower-case hexadecimal digits>")]
pub struct DigestError;

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestError)?.as_bytes();
        let (pairs, []) = hex.as_chunks::<2>() else { return Err(DigestError) };
        let mut digest = [0; 32];
        if pairs.len() != digest.len() {
            return Err(DigestError);
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
        for (pair, byte) in text[7..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An image as a workload names it: `registry/repository[:tag][@sha256:…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReference {
    text: Box<str>,
    repository_len: usize,
    digest: Option<Digest>,
}

/// Why an image reference was refused. The caller is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Empty, or a character that no image reference holds.
    #[error("`{0}` is not an image reference")]
    Malformed(String),
    /// A digest there is, but not one of sha256.
    #[error("`{0}` has a malformed digest: {DigestError}")]
    Digest(String),
}

impl ImageReference {
    /// The reference exactly as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Registry and repository, without tag and digest.
    pub fn repository(&self) -> &str {
        &self.text[..self.repository_len]
    }

    /// The digest, where the reference names one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}

impl ImageReference {
    /// Stub.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let (repository, digest) = match text.split_once('@') {
            Some((repository, digest)) => {
                let digest = digest.parse().map_err(|_| ImageError::Digest(text.to_owned()))?;
                (repository, Some(digest))
            }
            None => (text, None),
        };
        if repository.is_empty() || text.contains(char::is_whitespace) {
            return Err(ImageError::Malformed(text.to_owned()));
        }
        Ok(Self { text: text.into(), repository_len: repository.len(), digest })
    }
}
