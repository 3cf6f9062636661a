//! Evidence in pages: what is asked for, what is answered, and how much one read may hold.

use bytes::Bytes;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::limits::Limits;
use hallmark_core::occurrence::Attestation;

/// Signatures of one page: as many as are examined at a time.
pub(super) const PAGE_SIGNATURES_MAX: usize = hallmark_core::evaluate::portion::SIGNATURES_MAX;

/// Entries that one page looks at. Attestations of a project are found among all of their digest.
pub(super) const PAGE_ENTRIES_MAX: usize = 10_000;

/// Bytes of all pages of one read, the last attestation aside. A thousand attestations as gcloud
/// makes them take one MiB.
pub(super) const READ_BYTES_MAX: usize = Limits::DEFAULT.evidence_bytes_max;

/// SHA-256 of a key's SubjectPublicKeyInfo.
pub type KeyFingerprint = [u8; 32];

/// Evidence to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceQuery {
    /// Of what.
    pub lookup: Lookup,
    /// The keys that it is held against. What a note has that they were seen to sign at the write
    /// comes first, so that nothing filed beside it delays it. A store may answer without that order.
    pub keys: Vec<KeyFingerprint>,
    /// Where to begin, or to go on.
    pub from: Cursor,
}

impl EvidenceQuery {
    /// All of a lookup, in whatever order.
    pub fn of(lookup: Lookup) -> Self {
        Self { lookup, keys: Vec::new(), from: Cursor::default() }
    }
}

/// A place in the evidence of one lookup. Only the store that gave it can read it; the default is
/// the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(pub(super) Bytes);

#[cfg(test)]
impl Cursor {
    /// A cursor of a store that counts.
    pub(crate) fn of_number(number: usize) -> Self {
        Self(Bytes::copy_from_slice(&number.to_be_bytes()))
    }

    /// The number of [`Cursor::of_number`]; 0 at the beginning.
    pub(crate) fn number(&self) -> usize {
        self.0.as_ref().try_into().map_or(0, usize::from_be_bytes)
    }
}

/// The next attestations of a lookup, in the order of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidencePage {
    /// May be empty although there are more.
    pub attestations: Vec<Attestation>,
    /// Where to go on; `None` after the last.
    pub next: Option<Cursor>,
}

/// A fact that was verified at the write: `key` signed `message`. Both are SHA-256 hashes.
///
/// Whoever may attach to a note can file a good attestation again in any number of variants, but
/// makes no new proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proof {
    /// The key.
    pub key: KeyFingerprint,
    /// Of the exact bytes signed.
    pub message: [u8; 32],
}

/// The amount that is filed of one lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) occurrences: usize,
    pub(super) signatures: usize,
    pub(super) bytes: usize,
}

impl Usage {
    /// With one attestation more.
    pub(super) fn and(self, signatures: usize, bytes: usize) -> Self {
        Self {
            occurrences: self.occurrences + 1,
            signatures: self.signatures + signatures,
            bytes: self.bytes + bytes,
        }
    }

    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            occurrences: self.occurrences + other.occurrences,
            signatures: self.signatures + other.signatures,
            bytes: self.bytes + other.bytes,
        }
    }

    /// The first limit of a note, or of so many together, that is passed, and what it limits.
    pub(super) fn passed(self, notes: usize) -> Option<(&'static str, usize)> {
        let limits = Limits::DEFAULT;
        [
            (self.occurrences, "attestations", limits.occurrences_max),
            (self.signatures, "signatures", limits.signatures_max),
            (self.bytes, "bytes of attestations", limits.evidence_bytes_max),
        ]
        .into_iter()
        .find_map(|(used, what, limit)| (used > notes * limit).then_some((what, notes * limit)))
    }
}

/// The rest of what one call of a store may read.
#[derive(Debug)]
pub(super) struct Room {
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self { bytes: READ_BYTES_MAX }
    }
}

impl Room {
    /// Fills a page from the entries after `from`: the place of each, and the attestation if it is
    /// one that is asked for.
    pub(super) fn page<E>(
        &mut self,
        from: &Cursor,
        entries: impl Iterator<Item = Result<(Cursor, Option<Attestation>), E>>,
    ) -> Result<EvidencePage, E> {
        let (mut page, mut at, mut signatures) = (EvidencePage::default(), from.clone(), 0);
        for (looked_at, entry) in entries.enumerate() {
            let full = signatures >= PAGE_SIGNATURES_MAX || looked_at >= PAGE_ENTRIES_MAX;
            if full || self.bytes == 0 {
                page.next = Some(at);
                break;
            }
            let (place, attestation) = entry?;
            at = place;
            if let Some(attestation) = attestation {
                self.bytes = self.bytes.saturating_sub(bytes(&attestation));
                signatures += attestation.signatures.len().max(1);
                page.attestations.push(attestation);
            }
        }
        Ok(page)
    }
}

/// Bytes that an attestation takes in memory, about.
fn bytes(attestation: &Attestation) -> usize {
    let signatures = attestation.signatures.iter();
    let signatures = signatures.map(|one| 64 + one.key_id.as_str().len() + one.signature.len());
    256 + attestation.payload.len() + signatures.sum::<usize>()
}
