//! One write: encoded on its caller's thread, carried out in the committer's transaction.

use bytes::Bytes;
use hallmark_core::names::{AttestorName, NoteName, OccurrenceName};
use hallmark_core::occurrence::Occurrence;
use redb::{ReadableTable as _, Table};

use super::fault::Fault;
use super::occurrence::{self, Stored};
use super::record;
use super::tables::{
    Tables, evidence_key, key, listing_key, note_key, occurrence_key, project_key,
};
use crate::store::query::digest_at_end;
use crate::store::{StoreError, Write};

type RawTable<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

/// A refusal is the inner error, a failure of the database the outer one.
type Outcome = Result<Result<(), StoreError>, Fault>;

/// A write with its records encoded.
#[derive(Debug)]
pub(super) enum Prepared {
    PutPolicy { name: String, key: Vec<u8>, record: Vec<u8>, expected_etag: Option<String> },
    CreateAttestor { name: AttestorName, record: Vec<u8> },
    UpdateAttestor { name: AttestorName, record: Vec<u8>, expected_etag: Option<String> },
    DeleteAttestor(AttestorName),
    CreateNote { name: NoteName, record: Vec<u8> },
    CreateOccurrences(Vec<PreparedOccurrence>),
    DeleteOccurrence(OccurrenceName),
}

/// An occurrence as the tables hold it.
#[derive(Debug)]
pub(super) struct PreparedOccurrence {
    name: OccurrenceName,
    record: Vec<u8>,
    pub(super) evidence: Option<Vec<u8>>,
    pub(super) keys: Keys,
}

/// Where one occurrence is filed.
#[derive(Debug)]
pub(super) struct Keys {
    own: Vec<u8>,
    pub(super) note: Vec<u8>,
    pub(super) evidence: Option<Vec<u8>>,
    pub(super) listing: Option<Vec<u8>>,
}

impl Keys {
    fn of(occurrence: &Occurrence, is_evidence: bool) -> Self {
        let own = occurrence_key(&occurrence.name);
        let evidence = occurrence.digest.filter(|_| is_evidence);
        let listing =
            digest_at_end(&occurrence.resource_uri).filter(|digest| evidence != Some(*digest));
        Self {
            note: note_key(&occurrence.note, &own),
            evidence: evidence.map(|digest| evidence_key(&occurrence.note, &digest, &own)),
            listing: listing.map(|digest| listing_key(&digest, &own)),
            own,
        }
    }
}

impl From<Write> for Prepared {
    fn from(write: Write) -> Self {
        match write {
            Write::PutPolicy { project, policy, expected_etag } => Self::PutPolicy {
                name: format!("projects/{project}/policy"),
                key: project_key(&project),
                record: record::encode_policy(&policy),
                expected_etag,
            },
            Write::CreateAttestor(attestor) => Self::CreateAttestor {
                record: record::encode_attestor(&attestor),
                name: attestor.name,
            },
            Write::UpdateAttestor { attestor, expected_etag } => Self::UpdateAttestor {
                record: record::encode_attestor(&attestor),
                name: attestor.name,
                expected_etag,
            },
            Write::DeleteAttestor(name) => Self::DeleteAttestor(name),
            Write::CreateNote(note) => {
                Self::CreateNote { record: record::encode_note(&note), name: note.name }
            }
            Write::CreateOccurrences(occurrences) => Self::CreateOccurrences(
                occurrences.into_iter().map(PreparedOccurrence::from).collect(),
            ),
            Write::DeleteOccurrence(name) => Self::DeleteOccurrence(name),
        }
    }
}

impl From<Occurrence> for PreparedOccurrence {
    fn from(occurrence: Occurrence) -> Self {
        let is_evidence = occurrence::is_evidence(&occurrence);
        let body = occurrence.attestation.as_ref().filter(|_| is_evidence);
        Self {
            record: occurrence::encode(&occurrence),
            evidence: body.map(|body| occurrence::encode_attestation(body, occurrence.digest)),
            keys: Keys::of(&occurrence, is_evidence),
            name: occurrence.name,
        }
    }
}

impl Prepared {
    /// Bytes of its records.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::PutPolicy { record, .. }
            | Self::CreateAttestor { record, .. }
            | Self::UpdateAttestor { record, .. }
            | Self::CreateNote { record, .. } => record.len(),
            Self::CreateOccurrences(all) => all
                .iter()
                .map(|one| one.record.len() + one.evidence.as_ref().map_or(0, Vec::len))
                .sum(),
            Self::DeleteAttestor(_) | Self::DeleteOccurrence(_) => 0,
        }
    }

    /// Carries it out whole, or refuses it before touching anything.
    pub(super) fn run(&self, tables: &mut Tables<'_>) -> Outcome {
        match self {
            Self::PutPolicy { name, key, record, expected_etag } => {
                if let Some(expected) = expected_etag {
                    let current = stored(&tables.policies, key)?;
                    let etag = current.as_deref().map_or(Ok(String::new()), record::etag)?;
                    if let Some(refusal) = stale(name, &etag, expected) {
                        return Ok(Err(refusal));
                    }
                }
                put(&mut tables.policies, key, record)
            }
            Self::CreateAttestor { name, record } => {
                create(&mut tables.attestors, &key(name.project(), name.id()), record, name)
            }
            Self::UpdateAttestor { name, record, expected_etag } => {
                update_attestor(&mut tables.attestors, name, record, expected_etag.as_deref())
            }
            Self::DeleteAttestor(name) => {
                let removed = tables.attestors.remove(key(name.project(), name.id()).as_slice())?;
                Ok(removed.map(drop).ok_or_else(|| StoreError::NotFound(name.to_string())))
            }
            Self::CreateNote { name, record } => {
                create(&mut tables.notes, &key(name.project(), name.id()), record, name)
            }
            Self::CreateOccurrences(occurrences) => create_occurrences(tables, occurrences),
            Self::DeleteOccurrence(name) => delete_occurrence(tables, name),
        }
    }
}

fn stored(table: &RawTable<'_>, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    Ok(table.get(key)?.map(|record| record.value().to_vec()))
}

fn put(table: &mut RawTable<'_>, key: &[u8], record: &[u8]) -> Outcome {
    table.insert(key, record)?;
    Ok(Ok(()))
}

fn create(table: &mut RawTable<'_>, key: &[u8], record: &[u8], name: &impl ToString) -> Outcome {
    if table.get(key)?.is_some() {
        return Ok(Err(StoreError::AlreadyExists(name.to_string())));
    }
    put(table, key, record)
}

fn update_attestor(
    table: &mut RawTable<'_>,
    name: &AttestorName,
    record: &[u8],
    expected_etag: Option<&str>,
) -> Outcome {
    let key = key(name.project(), name.id());
    let Some(current) = stored(table, &key)? else {
        return Ok(Err(StoreError::NotFound(name.to_string())));
    };
    if let Some(expected) = expected_etag
        && let Some(refusal) = stale(&name.to_string(), &record::etag(&current)?, expected)
    {
        return Ok(Err(refusal));
    }
    put(table, &key, record)
}

/// The refusal where `expected` is no longer `current`.
fn stale(name: &str, current: &str, expected: &str) -> Option<StoreError> {
    (expected != current)
        .then(|| StoreError::EtagMismatch { name: name.to_owned(), current: current.to_owned() })
}

fn create_occurrences(tables: &mut Tables<'_>, occurrences: &[PreparedOccurrence]) -> Outcome {
    let mut taken = std::collections::HashSet::new();
    for one in occurrences {
        if !taken.insert(&one.name) || tables.occurrences.get(one.keys.own.as_slice())?.is_some() {
            return Ok(Err(StoreError::AlreadyExists(one.name.to_string())));
        }
    }
    for one in occurrences {
        let nothing: &[u8] = &[];
        tables.occurrences.insert(one.keys.own.as_slice(), one.record.as_slice())?;
        tables.by_note.insert(one.keys.note.as_slice(), nothing)?;
        if let (Some(key), Some(record)) = (&one.keys.evidence, &one.evidence) {
            tables.evidence.insert(key.as_slice(), record.as_slice())?;
        }
        if let Some(key) = &one.keys.listing {
            tables.evidence.insert(key.as_slice(), nothing)?;
        }
    }
    Ok(Ok(()))
}

fn delete_occurrence(tables: &mut Tables<'_>, name: &OccurrenceName) -> Outcome {
    let Some(record) = stored(&tables.occurrences, &occurrence_key(name))? else {
        return Ok(Err(StoreError::NotFound(name.to_string())));
    };
    let stored = Stored::decode(name.clone(), Bytes::from(record))?;
    let keys = Keys::of(stored.head(), stored.evidence().is_some());
    tables.occurrences.remove(keys.own.as_slice())?;
    tables.by_note.remove(keys.note.as_slice())?;
    for key in [keys.evidence, keys.listing].into_iter().flatten() {
        tables.evidence.remove(key.as_slice())?;
    }
    Ok(Ok(()))
}
