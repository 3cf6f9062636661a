//! Limits on what may be filed for one digest under a note and in a project, and by whom: counted
//! inside the transaction that files it.
//!
//! The general limits are anybody's who may attach. What is proven is not counted against them: a
//! place is reserved for each key that the caller has verified, and the bytes that it signed. No
//! variant of an attestation that is there brings a new one, so junk neither fills the reserve nor
//! keeps out what is good. Databases from before the limits may hold more: that stays, and is read.

use std::collections::{HashMap, HashSet};
use std::ops::Bound;

use bytes::Bytes;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::image::Digest;
use hallmark_core::limits::Limits;
use redb::ReadableTable as _;

use super::fault::Fault;
use super::occurrence::{Filed, count_signatures};
use super::tables::RawTableOfWrite;
use super::tables::{
    Tables, occurrence_in_evidence_key, place_of, reserved_key, reserved_prefix, successor,
};
use super::write::PreparedOccurrence;
use crate::store::evidence::Usage;
use crate::store::{Proof, StoreError};

/// A place in the reserve, and the occurrence that takes it.
type Reserved = Vec<(Vec<u8>, Vec<u8>)>;

/// Checks that there is room for all of `occurrences`. Answers the places in the reserve that they
/// take.
pub(super) fn admit(
    tables: &Tables<'_>,
    occurrences: &[(PreparedOccurrence, Vec<Proof>)],
) -> Result<Result<Reserved, StoreError>, Fault> {
    let mut usages: HashMap<&[u8], Usage> = HashMap::new();
    let mut reserve = Reserve { table: &tables.reserved, taken: Vec::new() };
    for (one, proofs) in occurrences {
        let Some(filing) = one.filing() else { continue };
        let [note, project] = filing.keys.map(place_of);
        if reserve.take(note, proofs, one.own_key())? {
            continue;
        }
        for place in [Place::Note(note), Place::Project(project)] {
            let before = match usages.get(place.prefix()) {
                Some(usage) => *usage,
                None => place.usage(tables, None)?,
            };
            let after = before.and(filing.signatures, filing.bytes);
            usages.insert(place.prefix(), after);
            if let Some(passed) = place.passed(after) {
                return Ok(Err(place.exhausted(one, passed)));
            }
        }
    }
    Ok(Ok(reserve.taken))
}

/// The refusal where an occurrence would be larger than the one of its name, beyond the limits.
pub(super) fn outgrown(
    tables: &Tables<'_>,
    one: &PreparedOccurrence,
) -> Result<Option<StoreError>, Fault> {
    let Some(filing) = one.filing() else { return Ok(None) };
    let [evidence, filed] = filing.keys;
    let before = match tables.evidence.get(evidence)? {
        Some(record) => of_record(record.value())?,
        None => Usage::default(),
    };
    if filing.signatures <= before.signatures && filing.bytes <= before.bytes {
        return Ok(None);
    }
    for place in [Place::Note(place_of(evidence)), Place::Project(place_of(filed))] {
        let others = place.usage(tables, Some(one.own_key()))?;
        if let Some(passed) = place.passed(others.and(filing.signatures, filing.bytes)) {
            return Ok(Some(place.exhausted(one, passed)));
        }
    }
    Ok(None)
}

/// Gives back what a deleted occurrence had in the reserve.
pub(super) fn release(
    tables: &mut Tables<'_>,
    evidence_key: &[u8],
    occurrence: &[u8],
) -> Result<(), Fault> {
    let mut held = Vec::new();
    for entry in range(&tables.reserved, place_of(evidence_key))? {
        let (key, holder) = entry?;
        if holder.value() == occurrence {
            held.push(key.value().to_vec());
        }
    }
    for key in held {
        tables.reserved.remove(key.as_slice())?;
    }
    Ok(())
}

/// Where the evidence of one digest is counted.
enum Place<'k> {
    /// Under a note: what the keys of evidence begin with.
    Note(&'k [u8]),
    /// In a project: what the keys of its entries begin with.
    Project(&'k [u8]),
}

impl<'k> Place<'k> {
    fn prefix(&self) -> &'k [u8] {
        let (Self::Note(prefix) | Self::Project(prefix)) = self;
        prefix
    }

    /// The refusal if `what` is filed here as often as it may be.
    fn exhausted(
        &self,
        one: &PreparedOccurrence,
        (what, limit): (&'static str, usize),
    ) -> StoreError {
        let digest = one.digest.unwrap_or(Digest([0; 32]));
        let of = match self {
            Self::Note(_) => Lookup::UnderNote(one.note.clone(), digest),
            Self::Project(_) => Lookup::InProject(one.name.project().clone(), digest),
        };
        StoreError::Exhausted { what, limit, of }
    }

    fn notes(&self) -> usize {
        match self {
            Self::Note(_) => 1,
            Self::Project(_) => Limits::DEFAULT.notes_in_project_max,
        }
    }

    fn passed(&self, usage: Usage) -> Option<(&'static str, usize)> {
        usage.passed(self.notes())
    }

    /// The amount that is filed here and not proven, but for one occurrence: all of it, or as much
    /// as passes a limit.
    fn usage(&self, tables: &Tables<'_>, except: Option<&[u8]>) -> Result<Usage, Fault> {
        let proven = match self {
            Self::Note(place) => holders(&tables.reserved, place)?,
            Self::Project(_) => HashSet::new(),
        };
        let mut usage = Usage::default();
        for entry in range(&tables.evidence, self.prefix())? {
            let (key, record) = entry?;
            let occurrence = occurrence_in_evidence_key(key.value())?;
            if except == Some(occurrence) || proven.contains(occurrence) {
                continue;
            }
            let of = match self {
                Self::Note(_) => of_record(record.value())?,
                Self::Project(_) => of_entry(record.value())?,
            };
            usage = usage.plus(of);
            if self.passed(usage).is_some() {
                break;
            }
        }
        Ok(usage)
    }
}

/// The occurrences that hold something in the reserve of a note and digest.
fn holders(reserved: &RawTableOfWrite<'_>, place: &[u8]) -> Result<HashSet<Vec<u8>>, Fault> {
    let mut holders = HashSet::new();
    for entry in range(reserved, place)? {
        holders.insert(entry?.1.value().to_vec());
    }
    Ok(holders)
}

fn of_record(record: &[u8]) -> Result<Usage, Fault> {
    Ok(Usage::default().and(count_signatures(record)?, record.len()))
}

fn of_entry(record: &[u8]) -> Result<Usage, Fault> {
    let filed = Filed::decode(Bytes::copy_from_slice(record))?;
    Ok(match filed.proven {
        true => Usage::default(),
        false => Usage::default().and(filed.signatures, filed.bytes),
    })
}

struct Reserve<'t, 'txn> {
    table: &'t RawTableOfWrite<'txn>,
    taken: Reserved,
}

impl Reserve<'_, '_> {
    /// Takes the places of those proofs that are new. Answers false where none is.
    fn take(&mut self, place: &[u8], proofs: &[Proof], occurrence: &[u8]) -> Result<bool, Fault> {
        let before = self.taken.len();
        for proof in proofs {
            let key = reserved_key(place, proof);
            let is_taken = self.table.get(key.as_slice())?.is_some()
                || self.taken.iter().any(|(taken, _)| *taken == key);
            if !is_taken && self.held_by_key(place, proof)? < Limits::DEFAULT.reserved_per_key_max {
                self.taken.push((key, occurrence.to_vec()));
            }
        }
        Ok(self.taken.len() > before)
    }

    fn held_by_key(&self, place: &[u8], proof: &Proof) -> Result<usize, Fault> {
        let prefix = reserved_prefix(place, &proof.key);
        let taken = self.taken.iter().filter(|(key, _)| key.starts_with(&prefix)).count();
        Ok(taken + range(self.table, &prefix)?.count())
    }
}

/// The entries whose keys begin with `prefix`.
fn range<'t>(
    table: &'t RawTableOfWrite<'_>,
    prefix: &[u8],
) -> Result<redb::Range<'t, &'static [u8], &'static [u8]>, Fault> {
    let end = successor(prefix);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    Ok(table.range::<&[u8]>((Bound::Included(prefix), to))?)
}
