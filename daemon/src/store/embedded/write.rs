//! One write: encoded on its caller's thread, carried out in the committer's transaction.

use std::collections::HashSet;

use bytes::Bytes;
use hallmark_core::image::Digest;
use hallmark_core::names::{AttestorName, NoteName, OccurrenceName, PlatformPolicyName};
use hallmark_core::occurrence::{Note, Occurrence};
use redb::{ReadableTable as _, Table};

use super::fault::Fault;
use super::occurrence::{self, Filed, Stored};
use super::quota;
use super::record;
use super::tables::{
    Tables, evidence_key, filed_key, iam_key, key, key_of_note, listing_key, note_key,
    occurrence_key, platform_policy_key, project_key,
};
use crate::store::iam::IamResource;
use crate::store::query::digest_at_end;
use crate::store::{Proof, StoreError, Write};

pub(super) type RawTable<'txn> = Table<'txn, &'static [u8], &'static [u8]>;

/// A refusal is the inner error, a failure of the database the outer one.
type Outcome = Result<Result<(), StoreError>, Fault>;

/// A write with its records encoded.
#[derive(Debug)]
pub(super) enum Prepared {
    PutPolicy {
        name: String,
        key: Vec<u8>,
        record: Vec<u8>,
        expected_etag: Option<String>,
    },
    CreateAttestor {
        name: AttestorName,
        record: Vec<u8>,
    },
    UpdateAttestor {
        name: AttestorName,
        record: Vec<u8>,
        expected_etag: Option<String>,
    },
    DeleteAttestor(AttestorName),
    CreateNotes(Vec<PreparedNote>),
    UpdateNote(PreparedNote),
    DeleteNote(NoteName),
    /// Each with the proofs that were verified of it.
    CreateOccurrences(Vec<(PreparedOccurrence, Vec<Proof>)>),
    UpdateOccurrence(PreparedOccurrence),
    DeleteOccurrence(OccurrenceName),
    CreatePlatformPolicy {
        name: PlatformPolicyName,
        record: Vec<u8>,
    },
    ReplacePlatformPolicy {
        name: PlatformPolicyName,
        record: Vec<u8>,
        expected_etag: Option<String>,
    },
    DeletePlatformPolicy {
        name: PlatformPolicyName,
        expected_etag: Option<String>,
    },
    PutIamPolicy {
        resource: IamResource,
        record: Vec<u8>,
        expected_etag: Option<String>,
    },
}

/// A note as its table holds it.
#[derive(Debug)]
pub(super) struct PreparedNote {
    name: NoteName,
    key: Vec<u8>,
    record: Vec<u8>,
}

impl From<Note> for PreparedNote {
    fn from(note: Note) -> Self {
        Self { key: key_of_note(&note.name), record: record::encode_note(&note), name: note.name }
    }
}

/// An occurrence as the tables hold it.
#[derive(Debug)]
pub(super) struct PreparedOccurrence {
    pub(super) name: OccurrenceName,
    pub(super) note: NoteName,
    pub(super) digest: Option<Digest>,
    signatures: usize,
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
    pub(super) filed: Option<Vec<u8>>,
    pub(super) listing: Option<Vec<u8>>,
}

/// Evidence that is to be filed.
pub(super) struct Filing<'o> {
    /// Its own key, and that of its entry for the project.
    pub(super) keys: [&'o [u8]; 2],
    pub(super) signatures: usize,
    pub(super) bytes: usize,
}

impl Keys {
    pub(super) fn of(occurrence: &Occurrence, is_evidence: bool) -> Self {
        let own = occurrence_key(&occurrence.name);
        let evidence = occurrence.digest.filter(|_| is_evidence);
        let listing =
            digest_at_end(&occurrence.resource_uri).filter(|digest| evidence != Some(*digest));
        Self {
            note: note_key(&occurrence.note, &own),
            evidence: evidence.map(|digest| evidence_key(&occurrence.note, &digest, &own)),
            filed: evidence.map(|digest| filed_key(occurrence.name.project(), &digest, &own)),
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
            Write::CreateNote(note) => Self::CreateNotes(vec![note.into()]),
            Write::CreateNotes(notes) => {
                Self::CreateNotes(notes.into_iter().map(PreparedNote::from).collect())
            }
            Write::UpdateNote(note) => Self::UpdateNote(note.into()),
            Write::DeleteNote(name) => Self::DeleteNote(name),
            Write::CreateOccurrences(occurrences) => {
                let prepared = occurrences.into_iter().map(|(one, proofs)| (one.into(), proofs));
                Self::CreateOccurrences(prepared.collect())
            }
            Write::UpdateOccurrence(occurrence) => Self::UpdateOccurrence(occurrence.into()),
            Write::DeleteOccurrence(name) => Self::DeleteOccurrence(name),
            Write::CreatePlatformPolicy(policy) => Self::CreatePlatformPolicy {
                record: record::encode_platform_policy(&policy),
                name: policy.name,
            },
            Write::ReplacePlatformPolicy { policy, expected_etag } => Self::ReplacePlatformPolicy {
                record: record::encode_platform_policy(&policy),
                name: policy.name,
                expected_etag,
            },
            Write::DeletePlatformPolicy { name, expected_etag } => {
                Self::DeletePlatformPolicy { name, expected_etag }
            }
            Write::PutIamPolicy { resource, policy, expected_etag } => Self::PutIamPolicy {
                record: record::encode_iam_policy(&policy),
                resource,
                expected_etag,
            },
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
            signatures: body.map_or(0, |body| body.signatures.len()),
            digest: occurrence.digest,
            note: occurrence.note,
            name: occurrence.name,
        }
    }
}

impl PreparedOccurrence {
    /// Where it is evidence, and how much.
    pub(super) fn filing(&self) -> Option<Filing<'_>> {
        let keys = [self.keys.evidence.as_deref()?, self.keys.filed.as_deref()?];
        let bytes = self.evidence.as_ref()?.len();
        Some(Filing { keys, signatures: self.signatures, bytes })
    }

    /// What the entry of its project says of it.
    pub(super) fn entry(&self, proven: bool) -> Option<Vec<u8>> {
        let Filing { signatures, bytes, .. } = self.filing()?;
        let note = key_of_note(&self.note).into();
        Some(Filed { proven, signatures, bytes, note }.encode())
    }

    pub(super) fn own_key(&self) -> &[u8] {
        &self.keys.own
    }

    fn size(&self) -> usize {
        self.record.len() + self.evidence.as_ref().map_or(0, Vec::len)
    }
}

impl Prepared {
    /// Bytes of its records.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::PutPolicy { record, .. }
            | Self::CreateAttestor { record, .. }
            | Self::UpdateAttestor { record, .. }
            | Self::CreatePlatformPolicy { record, .. }
            | Self::ReplacePlatformPolicy { record, .. }
            | Self::PutIamPolicy { record, .. }
            | Self::UpdateNote(PreparedNote { record, .. }) => record.len(),
            Self::CreateNotes(notes) => notes.iter().map(|note| note.record.len()).sum(),
            Self::CreateOccurrences(all) => all.iter().map(|(one, _)| one.size()).sum(),
            Self::UpdateOccurrence(one) => one.size(),
            Self::DeleteAttestor(_)
            | Self::DeleteNote(_)
            | Self::DeleteOccurrence(_)
            | Self::DeletePlatformPolicy { .. } => 0,
        }
    }

    /// Carries it out whole, or refuses it before touching anything.
    pub(super) fn run(&self, tables: &mut Tables<'_>) -> Outcome {
        match self {
            Self::PutPolicy { name, key, record, expected_etag } => {
                put_at(&mut tables.policies, name, key, record, expected_etag.as_deref())
            }
            Self::CreateAttestor { name, record } => {
                create(&mut tables.attestors, &key(name.project(), name.id()), record, name)
            }
            Self::UpdateAttestor { name, record, expected_etag } => {
                let key = key(name.project(), name.id());
                update(&mut tables.attestors, &key, name, record, expected_etag.as_deref())
            }
            Self::DeleteAttestor(name) => {
                let deleted = delete(&mut tables.attestors, &key(name.project(), name.id()), name)?;
                forget(tables, &IamResource::Attestor(name.clone()), deleted)
            }
            Self::CreateNotes(notes) => create_notes(&mut tables.notes, notes),
            Self::UpdateNote(note) => match stored(&tables.notes, &note.key)? {
                Some(_) => put(&mut tables.notes, &note.key, &note.record),
                None => Ok(Err(StoreError::NotFound(note.name.to_string()))),
            },
            Self::DeleteNote(name) => {
                let deleted = delete(&mut tables.notes, &key(name.project(), name.id()), name)?;
                forget(tables, &IamResource::Note(name.clone()), deleted)
            }
            Self::CreateOccurrences(occurrences) => create_occurrences(tables, occurrences),
            Self::UpdateOccurrence(occurrence) => update_occurrence(tables, occurrence),
            Self::DeleteOccurrence(name) => delete_occurrence(tables, name),
            Self::CreatePlatformPolicy { name, record } => {
                create(&mut tables.platform_policies, &platform_policy_key(name), record, name)
            }
            Self::ReplacePlatformPolicy { name, record, expected_etag } => {
                let (table, key) = (&mut tables.platform_policies, platform_policy_key(name));
                update(table, &key, name, record, expected_etag.as_deref())
            }
            Self::DeletePlatformPolicy { name, expected_etag } => {
                let (table, key) = (&mut tables.platform_policies, platform_policy_key(name));
                match current(table, &key, name, expected_etag.as_deref())? {
                    Ok(()) => delete(table, &key, name),
                    refused => Ok(refused),
                }
            }
            Self::PutIamPolicy { resource, record, expected_etag } => {
                let (name, key) = (resource.to_string(), iam_key(resource));
                put_at(&mut tables.iam, &name, &key, record, expected_etag.as_deref())
            }
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

/// Puts a record where `expected_etag`, if there is one, is the etag of the one before.
fn put_at(
    table: &mut RawTable<'_>,
    name: &str,
    key: &[u8],
    record: &[u8],
    expected_etag: Option<&str>,
) -> Outcome {
    if let Some(expected) = expected_etag {
        let current = stored(table, key)?;
        let etag = current.as_deref().map_or(Ok(String::new()), record::etag)?;
        if let Some(refusal) = stale(name, &etag, expected) {
            return Ok(Err(refusal));
        }
    }
    put(table, key, record)
}

fn delete(table: &mut RawTable<'_>, key: &[u8], name: &impl ToString) -> Outcome {
    let removed = table.remove(key)?;
    Ok(removed.map(drop).ok_or_else(|| StoreError::NotFound(name.to_string())))
}

/// Removes the IAM policy of a resource that was deleted: another of its name starts afresh.
fn forget(
    tables: &mut Tables<'_>,
    resource: &IamResource,
    deleted: Result<(), StoreError>,
) -> Outcome {
    if deleted.is_ok() {
        tables.iam.remove(iam_key(resource).as_slice())?;
    }
    Ok(deleted)
}

fn create_notes(table: &mut RawTable<'_>, notes: &[PreparedNote]) -> Outcome {
    for note in notes {
        if table.get(note.key.as_slice())?.is_some() {
            return Ok(Err(StoreError::AlreadyExists(note.name.to_string())));
        }
    }
    for note in notes {
        table.insert(note.key.as_slice(), note.record.as_slice())?;
    }
    Ok(Ok(()))
}

fn create(table: &mut RawTable<'_>, key: &[u8], record: &[u8], name: &impl ToString) -> Outcome {
    if table.get(key)?.is_some() {
        return Ok(Err(StoreError::AlreadyExists(name.to_string())));
    }
    put(table, key, record)
}

fn update(
    table: &mut RawTable<'_>,
    key: &[u8],
    name: &impl ToString,
    record: &[u8],
    expected_etag: Option<&str>,
) -> Outcome {
    match current(table, key, name, expected_etag)? {
        Ok(()) => put(table, key, record),
        refused => Ok(refused),
    }
}

/// Whether there is a record, of the etag that is expected.
fn current(
    table: &RawTable<'_>,
    key: &[u8],
    name: &impl ToString,
    expected_etag: Option<&str>,
) -> Outcome {
    let Some(current) = stored(table, key)? else {
        return Ok(Err(StoreError::NotFound(name.to_string())));
    };
    if let Some(expected) = expected_etag
        && let Some(refusal) = stale(&name.to_string(), &record::etag(&current)?, expected)
    {
        return Ok(Err(refusal));
    }
    Ok(Ok(()))
}

/// The refusal where `expected` is no longer `current`.
fn stale(name: &str, current: &str, expected: &str) -> Option<StoreError> {
    (expected != current)
        .then(|| StoreError::EtagMismatch { name: name.to_owned(), current: current.to_owned() })
}

fn create_occurrences(
    tables: &mut Tables<'_>,
    occurrences: &[(PreparedOccurrence, Vec<Proof>)],
) -> Outcome {
    let mut taken = HashSet::new();
    for (one, _) in occurrences {
        if !taken.insert(&one.name) || tables.occurrences.get(one.keys.own.as_slice())?.is_some() {
            return Ok(Err(StoreError::AlreadyExists(one.name.to_string())));
        }
    }
    let reserved = match quota::admit(tables, occurrences)? {
        Ok(reserved) => reserved,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let proven: HashSet<_> = reserved.iter().map(|(_, occurrence)| occurrence.as_slice()).collect();
    for (one, _) in occurrences {
        insert_occurrence(tables, one, proven.contains(one.own_key()))?;
    }
    for (place, occurrence) in &reserved {
        tables.reserved.insert(place.as_slice(), occurrence.as_slice())?;
    }
    Ok(Ok(()))
}

/// A place that is reserved for what it was stays reserved: else one place would serve many.
fn update_occurrence(tables: &mut Tables<'_>, one: &PreparedOccurrence) -> Outcome {
    if let Some(refusal) = quota::outgrown(tables, one)? {
        return Ok(Err(refusal));
    }
    match remove_occurrence(tables, &one.name)? {
        Ok((_, proven)) => insert_occurrence(tables, one, proven).map(Ok),
        Err(refusal) => Ok(Err(refusal)),
    }
}

pub(super) fn insert_occurrence(
    tables: &mut Tables<'_>,
    one: &PreparedOccurrence,
    proven: bool,
) -> Result<(), Fault> {
    let nothing: &[u8] = &[];
    tables.occurrences.insert(one.keys.own.as_slice(), one.record.as_slice())?;
    tables.by_note.insert(one.keys.note.as_slice(), nothing)?;
    if let (Some(key), Some(record)) = (&one.keys.evidence, &one.evidence) {
        tables.evidence.insert(key.as_slice(), record.as_slice())?;
    }
    if let (Some(key), Some(entry)) = (&one.keys.filed, one.entry(proven)) {
        tables.evidence.insert(key.as_slice(), entry.as_slice())?;
    }
    if let Some(key) = &one.keys.listing {
        tables.evidence.insert(key.as_slice(), nothing)?;
    }
    Ok(())
}

fn delete_occurrence(tables: &mut Tables<'_>, name: &OccurrenceName) -> Outcome {
    let keys = match remove_occurrence(tables, name)? {
        Ok((keys, _)) => keys,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(evidence) = keys.evidence {
        quota::release(tables, &evidence, &keys.own)?;
    }
    Ok(Ok(()))
}

/// Answers where it was filed, and whether as proven.
fn remove_occurrence(
    tables: &mut Tables<'_>,
    name: &OccurrenceName,
) -> Result<Result<(Keys, bool), StoreError>, Fault> {
    let Some(record) = stored(&tables.occurrences, &occurrence_key(name))? else {
        return Ok(Err(StoreError::NotFound(name.to_string())));
    };
    let stored = Stored::decode(name.clone(), Bytes::from(record))?;
    let keys = Keys::of(stored.head(), stored.evidence().is_some());
    tables.occurrences.remove(keys.own.as_slice())?;
    tables.by_note.remove(keys.note.as_slice())?;
    let mut proven = false;
    if let Some(key) = &keys.filed
        && let Some(entry) = tables.evidence.remove(key.as_slice())?
    {
        proven = Filed::decode(Bytes::copy_from_slice(entry.value()))?.proven;
    }
    for key in [&keys.evidence, &keys.listing].into_iter().flatten() {
        tables.evidence.remove(key.as_slice())?;
    }
    Ok(Ok((keys, proven)))
}
