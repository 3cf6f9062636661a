//! How much may be filed for one note and digest, and by whom: counted inside the transaction that
//! files it.
//!
//! The general limits are anybody's who may attach. Beyond them a place is reserved for each proof:
//! a key that the caller has verified, and the bytes that it signed. No variant of an attestation
//! that is there brings a new one, so junk neither fills the reserve nor keeps out what is good.
//! Databases from before the limits may hold more: that stays, and is read.

use std::collections::HashMap;
use std::ops::Bound;

use bytes::Bytes;
use hallmark_core::limits::Limits;
use redb::ReadableTable as _;

use super::fault::Fault;
use super::occurrence::count_signatures;
use super::tables::{Tables, place_of_evidence, reserved_key, reserved_prefix, successor};
use super::write::{PreparedOccurrence, RawTable};
use crate::store::evidence::Usage;
use crate::store::{Proof, StoreError};

/// A place in the reserve, and the occurrence that takes it.
type Reserved = Vec<(Vec<u8>, Vec<u8>)>;

/// Whether there is room for all of `occurrences`. Answers the places in the reserve that those
/// beyond the general limits take.
pub(super) fn admit(
    tables: &Tables<'_>,
    occurrences: &[(PreparedOccurrence, Vec<Proof>)],
) -> Result<Result<Reserved, StoreError>, Fault> {
    let mut usages: HashMap<&[u8], Usage> = HashMap::new();
    let mut reserve = Reserve { table: &tables.reserved, taken: Vec::new() };
    for (one, proofs) in occurrences {
        let Some((key, signatures, bytes)) = one.filed() else { continue };
        let place = place_of_evidence(key);
        let before = match usages.get(place) {
            Some(usage) => *usage,
            None => usage(&tables.evidence, place)?,
        };
        let after = before.and(signatures, bytes);
        usages.insert(place, after);
        if let Some(passed) = after.passed()
            && !reserve.take(place, proofs, one.own_key())?
        {
            return Ok(Err(one.exhausted(passed)));
        }
    }
    Ok(Ok(reserve.taken))
}

/// The refusal where an occurrence would be larger than the one of its name, beyond the limits.
pub(super) fn outgrown(
    tables: &Tables<'_>,
    one: &PreparedOccurrence,
) -> Result<Option<StoreError>, Fault> {
    let Some((key, signatures, bytes)) = one.filed() else { return Ok(None) };
    let before = match tables.evidence.get(key)? {
        Some(record) => of_record(record.value())?,
        None => Usage::default(),
    };
    let all = usage(&tables.evidence, place_of_evidence(key))?;
    let after = all.without(before).and(signatures, bytes);
    let grows = signatures > before.signatures || bytes > before.bytes;
    Ok(after.passed().filter(|_| grows).map(|passed| one.exhausted(passed)))
}

/// Gives back what a deleted occurrence had in the reserve.
pub(super) fn release(
    tables: &mut Tables<'_>,
    evidence_key: &[u8],
    occurrence: &[u8],
) -> Result<(), Fault> {
    let mut held = Vec::new();
    for entry in range(&tables.reserved, place_of_evidence(evidence_key))? {
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

/// What is filed in a place: all of it, or as much as passes a limit.
fn usage(table: &RawTable<'_>, place: &[u8]) -> Result<Usage, Fault> {
    let mut usage = Usage::default();
    for entry in range(table, place)? {
        let of = of_record(entry?.1.value())?;
        usage = usage.and(of.signatures, of.bytes);
        if usage.passed().is_some() {
            break;
        }
    }
    Ok(usage)
}

fn of_record(record: &[u8]) -> Result<Usage, Fault> {
    let signatures = count_signatures(Bytes::copy_from_slice(record))?;
    Ok(Usage::default().and(signatures, record.len()))
}

struct Reserve<'t, 'txn> {
    table: &'t RawTable<'txn>,
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
        let prefix = reserved_prefix(place, proof);
        let taken = self.taken.iter().filter(|(key, _)| key.starts_with(&prefix)).count();
        Ok(taken + range(self.table, &prefix)?.count())
    }
}

/// The entries whose keys begin with `prefix`.
fn range<'t>(
    table: &'t RawTable<'_>,
    prefix: &[u8],
) -> Result<redb::Range<'t, &'static [u8], &'static [u8]>, Fault> {
    let end = successor(prefix);
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    Ok(table.range::<&[u8]>((Bound::Included(prefix), to))?)
}
