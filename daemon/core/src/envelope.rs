//! Signatures in an envelope: a format, such as OpenPGP, that names its key and carries dates, and
//! signs more than the payload. A plugin takes the envelope apart; what it finds is held against
//! keys and clock here, and verified as any other signature is.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::attestor::SignatureAlgorithm;
use crate::time::UnixTime;
use crate::verdict::Unavailable;

/// The form of a key's signatures that are not raw.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// Who takes them apart: the name of a plugin instance.
    pub decoder: Arc<str>,
    /// The format's own fingerprint of the key, in upper-case hexadecimal. Empty where the format
    /// has none: its signatures name keys by their ids.
    pub fingerprint: Box<str>,
}

/// Digits of a fingerprint that name a key: an OpenPGP key id.
const FINGERPRINT_DIGITS_MIN: usize = 16;

impl Envelope {
    /// True if a signature that names its key by `id` means this one: by its fingerprint, or by a
    /// good part of it from either end. Only a hint: arithmetic decides.
    pub fn is_named(&self, id: &str) -> bool {
        let part = self.fingerprint.starts_with(id) || self.fingerprint.ends_with(id);
        part && (id.len() >= FINGERPRINT_DIGITS_MIN || id.len() == self.fingerprint.len())
    }
}

/// A signature as stored, and who is to take it apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sealed {
    /// As in [`Envelope::decoder`].
    pub decoder: Arc<str>,
    /// The bytes that a detached signature is over.
    pub payload: Bytes,
    /// The envelope.
    pub signature: Bytes,
}

/// The contents of an envelope.
pub type Opened = Result<Vec<Enclosed>, Unavailable>;

/// Envelopes that were taken apart.
#[derive(Clone, Debug, Default)]
pub struct Envelopes(HashMap<Sealed, Opened>);

impl Envelopes {
    /// The contents of one; an error if it was not taken apart.
    pub fn opened(&self, sealed: &Sealed) -> Result<&[Enclosed], Unavailable> {
        match self.0.get(sealed) {
            Some(Ok(found)) => Ok(found),
            Some(Err(why)) => Err(*why),
            None => Err(Unavailable::Decoder),
        }
    }
}

impl FromIterator<(Sealed, Opened)> for Envelopes {
    fn from_iter<T: IntoIterator<Item = (Sealed, Opened)>>(opened: T) -> Self {
        Self(opened.into_iter().collect())
    }
}

/// One signature in an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enclosed {
    /// To be verified.
    Signed(EnclosedSignature),
    /// Not to be believed, whatever arithmetic would say.
    Refused {
        /// The kind of reason.
        refusal: Refusal,
        /// The name that it gives its key; may be empty.
        key_id: String,
        /// Why, for a person.
        error: String,
    },
}

/// A signature out of its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnclosedSignature {
    /// The name that it gives its key.
    pub key_id: String,
    /// The algorithm that it was made with.
    pub algorithm: SignatureAlgorithm,
    /// The exact bytes that it is over.
    pub message: Bytes,
    /// The raw signature.
    pub signature: Bytes,
    /// The payload that the envelope brings along; `None` for a detached signature.
    pub payload: Option<Bytes>,
    /// When it says it was made.
    pub signed_at: Option<UnixTime>,
    /// The first second at which it says it no longer counts.
    pub expires_at: Option<UnixTime>,
}

/// Why a signature in an envelope is refused before arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is damaged, or of a form that is not accepted.
    Malformed,
    /// It rests on what is too weak, or its key may not be used for this.
    Weak,
    /// Of an algorithm that nobody here verifies.
    Unsupported,
    /// It is visibly over something else.
    Mismatch,
}
