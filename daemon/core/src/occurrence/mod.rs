//! Notes, occurrences and the attestations they carry. [`parse`] reads the resources, [`render`]
//! writes them.

pub mod parse;
pub mod render;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::attestor::KeyId;
use crate::image::Digest;
use crate::names::{NoteName, OccurrenceName};

/// The part of one ATTESTATION occurrence that a decision reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Which occurrence it is, for the explanation.
    pub occurrence: OccurrenceName,
    /// `serializedPayload`, the bytes as stored: never re-serialised.
    pub payload: Bytes,
    /// One valid signature is enough.
    pub signatures: Vec<Signature>,
    /// The place of the first of `signatures` in the occurrence: above 0 in a later part of an
    /// occurrence that is examined in parts.
    pub first_signature: usize,
}

/// One signature over a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// `publicKeyId` as stored.
    pub key_id: KeyId,
    /// The signature itself, decoded from base64.
    pub signature: Bytes,
}

/// The evidence gathered for one note and digest, or a portion of it.
pub type Evidence = Result<Vec<Attestation>, EvidenceError>;

/// Why evidence could not be gathered: the fault is never the image's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// The store did not answer.
    #[error("the evidence store is unavailable: {0}")]
    Unavailable(String),
    /// The deadline of the request passed first.
    #[error("the deadline passed before the evidence was read")]
    Deadline,
}

/// An occurrence as stored, whatever its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// `projects/P/occurrences/O`.
    pub name: OccurrenceName,
    /// The note it is an occurrence of.
    pub note: NoteName,
    /// `resourceUri` as given, with or without `https://`.
    pub resource_uri: String,
    /// The sha256 digest in `resource_uri`, where it holds one: how evidence is found.
    pub digest: Option<Digest>,
    /// `ATTESTATION`, `VULNERABILITY`, ….
    pub kind: String,
    /// Present where `kind` is `ATTESTATION`.
    pub attestation: Option<AttestationBody>,
    /// The whole resource as JSON, kept losslessly, output-only fields included.
    pub json: serde_json::Map<String, serde_json::Value>,
}

/// The `attestation` member of an occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationBody {
    /// Decoded from base64.
    pub payload: Bytes,
    /// In the order given.
    pub signatures: Vec<Signature>,
}

/// An attestation that need not be stored, and what it claims to attest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnstoredAttestation {
    /// The note it would be filed under.
    pub note: NoteName,
    /// The resource it would be filed for.
    pub resource_uri: String,
    /// The sha256 digest in `resource_uri`, where it holds one.
    pub digest: Option<Digest>,
    /// Payload and signatures.
    pub attestation: AttestationBody,
}

/// A note: the anchor under which occurrences are filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// `projects/P/notes/N`.
    pub name: NoteName,
    /// The whole resource as JSON, kept losslessly, output-only fields included.
    pub json: serde_json::Map<String, serde_json::Value>,
}
