//! Evidence, in pages: what keys were seen to sign at the write comes first, then all the rest.

use std::collections::BTreeSet;

use bytes::Bytes;
use hallmark_core::evaluate::question::Lookup;
use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, ProjectId};
use hallmark_core::occurrence::{Attestation, AttestationBody};
use redb::ReadTransaction;

use super::fault::Fault;
use super::occurrence::{Filed, decode_attestation};
use super::tables::{
    EVIDENCE, NOTES, RESERVED, RawTable, key_of_note, note_place, occurrence_in_evidence_key,
    occurrence_name, project_place, reserved_prefix, scan,
};
use crate::store::evidence::Room;
use crate::store::record::Damaged;
use crate::store::{Cursor, EvidencePage, EvidenceQuery, KeyFingerprint};

/// The first byte of a cursor: which part of the evidence is being read.
const PROVEN: u8 = 0;
/// The part that follows when all that is proven was read.
const REST: u8 = 1;

/// An entry that was looked at: its place, and the attestation if it is one that is asked for.
type Entry = Result<(Cursor, Option<Attestation>), Fault>;

/// The tables that evidence is read from.
#[derive(Debug)]
pub(super) struct Tables {
    evidence: RawTable,
    notes: RawTable,
    reserved: RawTable,
}

impl Tables {
    /// Opens them.
    pub(super) fn open(view: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self {
            evidence: view.open_table(EVIDENCE)?,
            notes: view.open_table(NOTES)?,
            reserved: view.open_table(RESERVED)?,
        })
    }

    /// The next page of each.
    pub(super) fn pages(&self, wanted: &[EvidenceQuery]) -> Result<Vec<EvidencePage>, Fault> {
        let mut room = Room::default();
        let page = |query: &EvidenceQuery| match &query.lookup {
            Lookup::UnderNote(note, digest) => self.under_note(note, digest, query, &mut room),
            Lookup::InProject(project, digest) => {
                self.in_project(project, digest, &query.from, &mut room)
            }
        };
        wanted.iter().map(page).collect()
    }

    fn under_note(
        &self,
        note: &NoteName,
        digest: &Digest,
        query: &EvidenceQuery,
        room: &mut Room,
    ) -> Result<EvidencePage, Fault> {
        let note = key_of_note(note);
        if !self.exists(&note)? {
            return Ok(EvidencePage::default());
        }
        let place = note_place(&note, digest);
        let proven = self.proven(&place, &query.keys)?;
        let (part, after) = part(&query.from);
        if part == PROVEN {
            let unread = |one: &&Bytes| after.as_ref().is_none_or(|after| *one > after);
            let first = proven.iter().filter(unread).map(|occurrence| -> Entry {
                Ok((cursor(PROVEN, occurrence), self.attestation(&place, occurrence, digest)?))
            });
            if let Some(page) = apart(room.page(&query.from, first)?) {
                return Ok(page);
            }
        }
        let after = after.as_deref().filter(|_| part == REST);
        let rest = scan(&self.evidence, &place, after)?.map(|entry| -> Entry {
            let (key, record) = entry?;
            let occurrence = occurrence_in_evidence_key(&key)?;
            let is_new = !proven.contains(occurrence);
            let found = is_new.then(|| attestation(occurrence, record, digest)).transpose()?;
            Ok((cursor(REST, &key), found))
        });
        room.page(&query.from, rest)
    }

    fn in_project(
        &self,
        project: &ProjectId,
        digest: &Digest,
        from: &Cursor,
        room: &mut Room,
    ) -> Result<EvidencePage, Fault> {
        let place = project_place(project, digest);
        let (part, after) = part(from);
        let entries = |wanted: u8, after: Option<&[u8]>| {
            let entries = scan(&self.evidence, &place, after)?;
            Ok::<_, Fault>(entries.map(move |entry| -> Entry {
                let (key, record) = entry?;
                let filed = Filed::decode(record)?;
                let found = match filed.proven == (wanted == PROVEN) && self.exists(&filed.note)? {
                    true => {
                        let occurrence = occurrence_in_evidence_key(&key)?;
                        self.attestation(&note_place(&filed.note, digest), occurrence, digest)?
                    }
                    false => None,
                };
                Ok((cursor(wanted, &key), found))
            }))
        };
        if part == PROVEN
            && let Some(page) = apart(room.page(from, entries(PROVEN, after.as_deref())?)?)
        {
            return Ok(page);
        }
        room.page(from, entries(REST, after.as_deref().filter(|_| part == REST))?)
    }

    /// The occurrences that hold a place in the reserve of one of these keys.
    fn proven(&self, place: &[u8], keys: &[KeyFingerprint]) -> Result<BTreeSet<Bytes>, Fault> {
        let mut proven = BTreeSet::new();
        for key in keys {
            for entry in scan(&self.reserved, &reserved_prefix(place, key), None)? {
                proven.insert(entry?.1);
            }
        }
        Ok(proven)
    }

    /// False for a note that was deleted: it vouches for nothing.
    fn exists(&self, note: &[u8]) -> Result<bool, Fault> {
        Ok(self.notes.get(note)?.is_some())
    }

    fn attestation(
        &self,
        place: &[u8],
        occurrence: &[u8],
        digest: &Digest,
    ) -> Result<Option<Attestation>, Fault> {
        let record = self.evidence.get([place, occurrence].concat().as_slice())?;
        let record = record.map(|record| Bytes::copy_from_slice(record.value()));
        Ok(record.map(|record| attestation(occurrence, record, digest)).transpose()?)
    }
}

/// Which part a page begins in, and the key in it that was looked at last.
fn part(from: &Cursor) -> (u8, Option<Bytes>) {
    match from.0.first() {
        Some(&part) => (part.min(REST), Some(from.0.slice(1..))),
        None => (PROVEN, None),
    }
}

/// A page of what is proven, if there is one: the rest is for later, since it costs more and is
/// rarely needed.
fn apart(mut page: EvidencePage) -> Option<EvidencePage> {
    if page.next.is_none() && page.attestations.is_empty() {
        return None;
    }
    page.next.get_or_insert_with(|| cursor(REST, &[]));
    Some(page)
}

fn cursor(part: u8, key: &[u8]) -> Cursor {
    Cursor([&[part], key].concat().into())
}

fn attestation(occurrence: &[u8], record: Bytes, digest: &Digest) -> Result<Attestation, Damaged> {
    let AttestationBody { payload, signatures } = decode_attestation(record, *digest)?;
    let occurrence = occurrence_name(occurrence)?;
    Ok(Attestation { occurrence, payload, signatures, first_signature: 0 })
}
