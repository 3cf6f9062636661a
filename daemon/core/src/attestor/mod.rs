//! Attestors: whose keys are trusted, and under which note their attestations are found.
//!
//! Two forms. [`Attestor`] is the resource as it is written, with its key material as text.
//! [`TrustedAttestor`] is what a decision uses: the same attestor with every key resolved by a
//! plugin into a [`VerificationKey`]. [`parse`] reads the resource, [`render`] writes it;
//! [`SignatureAlgorithm`] is what a key signs with.

pub mod parse;
pub mod render;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::envelope::Envelope;
use crate::excerpt::Excerpt;
use crate::names::{AttestorName, NoteName};
use crate::time::UnixTime;

pub use hallmark_algorithm::{Curve, HashFunction, KeyType, Scheme, SignatureAlgorithm};

/// Bytes of one key id, as many as a plugin may give a key. Names of Cloud KMS keys end at about 500.
pub const KEY_ID_BYTES_MAX: usize = 2_048;

/// The id that a signature names its key by. Compared by exact string equality; a lookup hint,
/// never a statement of trust.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The id as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for KeyId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KeyId {
    /// The id of a PKIX key that was given none, from its SubjectPublicKeyInfo in DER:
    /// `ni:///sha-256;` (RFC 6920) and the SHA-256 in unpadded base64url.
    pub fn of_spki(spki_der: &[u8]) -> Self {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(spki_der));
        Self(format!("ni:///sha-256;{hash}").into())
    }

    /// True if the id is a URI reference (RFC 3986) that names something globally: with a scheme,
    /// or like `//cloudkms.googleapis.com/…`, the form in which Google's tools add KMS keys.
    pub fn is_uri(&self) -> bool {
        self.scheme().is_some()
            || (self.0.len() > 2 && self.0.starts_with("//") && uri_characters(&self.0))
    }

    /// The scheme of an id that is a URI, as written: `pkcs11` of `pkcs11:token=…`.
    pub fn scheme(&self) -> Option<&str> {
        let (scheme, rest) = self.0.split_once(':')?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let named = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        let whole = named && scheme.bytes().all(legal) && !rest.is_empty() && uri_characters(rest);
        whole.then_some(scheme)
    }
}

/// True if `text` holds only what RFC 3986 §2 lets a URI hold.
fn uri_characters(text: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let hex = |escape: &[u8]| escape.iter().all(u8::is_ascii_hexdigit);
    let escapes = || text.bytes().enumerate().filter(|&(_, byte)| byte == b'%').map(|(at, _)| at);
    text.bytes().all(legal)
        && escapes().all(|at| text.as_bytes().get(at + 1..at + 3).is_some_and(hex))
}

/// No algorithm goes by this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown signature algorithm `{0}`")]
pub struct UnknownAlgorithm(pub String);

/// Reads the name of an algorithm in any spelling, such as somebody types.
pub fn algorithm_named(text: &str) -> Result<SignatureAlgorithm, UnknownAlgorithm> {
    SignatureAlgorithm::from_spelling(text)
        .ok_or_else(|| UnknownAlgorithm(Excerpt::<64>(text).to_string()))
}

/// An attestor as written through the API or in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestor {
    /// `projects/P/attestors/A`; immutable.
    pub name: AttestorName,
    /// Free text.
    pub description: String,
    /// Where its attestations are found; immutable.
    pub note: NoteName,
    /// The keys it trusts. Empty: nothing it is asked about is ever attested.
    pub public_keys: Vec<PublicKey>,
    /// Changes with every write; quoted, opaque.
    pub etag: String,
    /// RFC 3339, set by the daemon; empty where never written.
    pub update_time: String,
}

/// One trusted key of an attestor, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Free text.
    pub comment: String,
    /// The name that signatures give it. `None` until the daemon has computed the default.
    pub id: Option<KeyId>,
    /// The key itself.
    pub material: KeyMaterial,
}

/// The forms in which an attestor holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A PEM SubjectPublicKeyInfo and the algorithm it must match.
    Pkix {
        /// RFC 7468 §13.
        public_key_pem: String,
        /// Declared; key type, size and curve must agree with it.
        signature_algorithm: SignatureAlgorithm,
    },
    /// An ASCII-armored OpenPGP certificate (`gpg --export --armor`).
    Pgp {
        /// The armored text.
        ascii_armored: String,
    },
    /// No material of its own: the id is a URI with a scheme that a plugin instance claims.
    Reference,
}

/// An attestor ready to decide with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedAttestor {
    /// `projects/P/attestors/A`.
    pub name: AttestorName,
    /// Where its attestations are found.
    pub note: NoteName,
    /// Its keys, or why none is available (a key source that is down): then it denies with
    /// [`crate::decision::AttestorReason::KeysUnavailable`].
    pub keys: Result<Vec<Arc<VerificationKey>>, String>,
    /// Why some of its keys are unavailable. What the others verify stands; where they verify
    /// nothing, it is not known whether the missing ones would have.
    pub missing: Option<String>,
}

/// A public key that the host can verify with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerificationKey {
    /// Every id that a signature may name it by.
    pub ids: Vec<KeyId>,
    /// The key itself, judged when it entered.
    pub spki: Spki,
    /// SHA-256 of its SubjectPublicKeyInfo: the identity of the key, whatever its ids.
    pub fingerprint: [u8; 32],
    /// The one algorithm it verifies with.
    pub algorithm: SignatureAlgorithm,
    /// When it may be used.
    pub validity: Validity,
    /// The form of its signatures; `None` where they are raw.
    pub envelope: Option<Envelope>,
    /// The plugin instance that lists it, or that read it out of the attestor's text.
    pub plugin: Arc<str>,
    /// The plugin instance that verifies its signatures; `None` where the host does.
    pub holder: Option<Arc<str>>,
}

/// A public key as it was read once: nobody who verifies with it reads it again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spki {
    der: Arc<[u8]>,
    key_type: KeyType,
    bits: Range<usize>,
}

impl Spki {
    /// A SubjectPublicKeyInfo in DER, of a key of this type, whose bits are at this place.
    pub fn new(der: impl Into<Arc<[u8]>>, key_type: KeyType, bits: Range<usize>) -> Self {
        Self { der: der.into(), key_type, bits }
    }

    /// The SubjectPublicKeyInfo in DER; the point of a key that entered is uncompressed.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Type, size and curve.
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The bits of the subject public key: an RSAPublicKey, a point, or the key itself. Empty, which
    /// verifies nothing, if their place is outside.
    pub fn bits(&self) -> &[u8] {
        self.der.get(self.bits.clone()).unwrap_or_default()
    }
}

/// When a key may be used. `None` bounds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Validity {
    /// First second at which it is valid.
    pub not_before: Option<UnixTime>,
    /// Last second at which it is valid.
    pub not_after: Option<UnixTime>,
    /// Revoked from this second on; a plain PKIX signature has no trusted time of its own, so a
    /// key revoked by `now` verifies nothing.
    pub revoked_at: Option<UnixTime>,
    /// A signature dated until `not_after` counts after it, too. Its date is its signer's word.
    pub outlives_expiry: bool,
    /// A signature dated before `revoked_at` counts after it, too.
    pub outlives_revocation: bool,
}
