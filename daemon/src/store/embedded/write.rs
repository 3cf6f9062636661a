//! One write: encoded on its caller's thread, carried out in the committer's transaction.

use std::collections::HashSet;

use bytes::Bytes;
use hallmark_core::image::Digest;
use hallmark_core::names::{NoteName, OccurrenceName};
use hallmark_core::occurrence::Occurrence;
use hallmark_core::resource::{Resource, ResourceName};
use redb::ReadableTable as _;

use super::fault::Fault;
use super::given;
use super::occurrence::{self, Filed, Stored};
use super::quota;
use super::tables::{
    Tables, evidence_key, filed_key, iam_key, key_of_note, listing_key, note_key, occurrence_key,
    resource_key,
};
use crate::auth::iam::IamResource;
use crate::store::query::digest_at_end;
use crate::store::record;
use crate::store::{Change, Given, Proof, StoreError, Write};

/// The etag before, if there was one. A refusal is the inner error, a failure of the database the
/// outer one.
type Outcome = Result<Result<Option<String>, StoreError>, Fault>;

/// A write with its records encoded.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) change: PreparedChange,
    pub(super) given: Vec<Given>,
}

/// The change that a write makes, with its records encoded.
#[derive(Debug)]
pub(super) enum PreparedChange {
    /// Occurrences each with the proofs that were verified of it.
    Create {
        plain: Vec<Plain>,
        occurrences: Vec<(PreparedOccurrence, Vec<Proof>)>,
    },
    Replace(Plain),
    ReplaceOccurrence(Box<PreparedOccurrence>),
    Delete(ResourceName),
    PutIamPolicy {
        resource: IamResource,
        record: Vec<u8>,
    },
}

/// A resource that is one record in one table.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) name: ResourceName,
    record: Vec<u8>,
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
    fn from(Write { change, given }: Write) -> Self {
        let change = match change {
            Change::Create(resources) => {
                let (mut plain, mut occurrences) = (Vec::new(), Vec::new());
                for (resource, proofs) in resources {
                    match Encoded::from(resource) {
                        Encoded::Plain(one) => plain.push(one),
                        Encoded::Occurrence(one) => occurrences.push((*one, proofs)),
                    }
                }
                PreparedChange::Create { plain, occurrences }
            }
            Change::Replace(resource) => match Encoded::from(resource) {
                Encoded::Plain(one) => PreparedChange::Replace(one),
                Encoded::Occurrence(one) => PreparedChange::ReplaceOccurrence(one),
            },
            Change::Delete(name) => PreparedChange::Delete(name),
            Change::PutIamPolicy(resource, policy) => {
                let record = record::encode_iam_policy(&policy);
                PreparedChange::PutIamPolicy { resource, record }
            }
        };
        Self { change, given }
    }
}

enum Encoded {
    Plain(Plain),
    Occurrence(Box<PreparedOccurrence>),
}

impl From<Resource> for Encoded {
    fn from(resource: Resource) -> Self {
        let name = resource.name();
        let record = match resource {
            Resource::Policy(_, policy) => record::encode_policy(&policy),
            Resource::Attestor(attestor) => record::encode_attestor(&attestor),
            Resource::Note(note) => record::encode_note(&note),
            Resource::PlatformPolicy(policy) => record::encode_platform_policy(&policy),
            Resource::Occurrence(occurrence) => {
                return Self::Occurrence(Box::new(occurrence.into()));
            }
        };
        Self::Plain(Plain { name, record })
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

    /// The record of its project's entry for it.
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
        match &self.change {
            PreparedChange::Create { plain, occurrences } => {
                plain.iter().map(|one| one.record.len()).sum::<usize>()
                    + occurrences.iter().map(|(one, _)| one.size()).sum::<usize>()
            }
            PreparedChange::Replace(Plain { record, .. })
            | PreparedChange::PutIamPolicy { record, .. } => record.len(),
            PreparedChange::ReplaceOccurrence(one) => one.size(),
            PreparedChange::Delete(_) => 0,
        }
    }

    /// Carries it out whole, or refuses it before touching anything.
    pub(super) fn run(&self, tables: &mut Tables<'_>) -> Outcome {
        if let Some(refusal) = given::refusal(tables, self)? {
            return Ok(Err(refusal));
        }
        match &self.change {
            PreparedChange::Create { plain, occurrences } => create(tables, plain, occurrences),
            PreparedChange::Replace(one) => replace(tables, one),
            PreparedChange::ReplaceOccurrence(one) => replace_occurrence(tables, one),
            PreparedChange::Delete(name) => delete(tables, name),
            PreparedChange::PutIamPolicy { resource, record } => {
                let before = tables.iam.insert(iam_key(resource).as_slice(), record.as_slice())?;
                Ok(Ok(before.and_then(|before| record::etag(before.value()).ok())))
            }
        }
    }
}

fn create(
    tables: &mut Tables<'_>,
    plain: &[Plain],
    occurrences: &[(PreparedOccurrence, Vec<Proof>)],
) -> Outcome {
    let mut taken = HashSet::new();
    for one in plain {
        if !taken.insert(&one.name) || tables.holds(&one.name)? {
            return Ok(Err(StoreError::AlreadyExists(one.name.clone())));
        }
    }
    if let Err(refusal) = create_occurrences(tables, occurrences)? {
        return Ok(Err(refusal));
    }
    for Plain { name, record } in plain {
        tables.of(name).insert(resource_key(name).as_slice(), record.as_slice())?;
    }
    Ok(Ok(None))
}

fn replace(tables: &mut Tables<'_>, Plain { name, record }: &Plain) -> Outcome {
    let is_new = !tables.holds(name)?;
    if is_new && !matches!(name, ResourceName::Policy(_)) {
        return Ok(Err(StoreError::NotFound(name.clone())));
    }
    let before = tables.of(name).insert(resource_key(name).as_slice(), record.as_slice())?;
    Ok(Ok(before.and_then(|before| etag_of(name, before.value()))))
}

/// The etag of a record; none of a note, nor of a record that is damaged: that may be replaced.
fn etag_of(name: &ResourceName, record: &[u8]) -> Option<String> {
    match name {
        ResourceName::Note(_) | ResourceName::Occurrence(_) => None,
        _ => record::etag(record).ok(),
    }
}

/// Its IAM policy goes with it: another of its name starts afresh.
fn delete(tables: &mut Tables<'_>, name: &ResourceName) -> Outcome {
    if let ResourceName::Occurrence(name) = name {
        return delete_occurrence(tables, name);
    }
    let removed = tables.of(name).remove(resource_key(name).as_slice())?;
    let removed = removed.map(|before| etag_of(name, before.value()));
    let Some(before) = removed else { return Ok(Err(StoreError::NotFound(name.clone()))) };
    let with_it = match name {
        ResourceName::Policy(project) => Some(IamResource::Policy(project.clone())),
        ResourceName::Attestor(name) => Some(IamResource::Attestor(name.clone())),
        ResourceName::Note(name) => Some(IamResource::Note(name.clone())),
        ResourceName::Occurrence(_) | ResourceName::PlatformPolicy(_) => None,
    };
    if let Some(resource) = with_it {
        tables.iam.remove(iam_key(&resource).as_slice())?;
    }
    Ok(Ok(before))
}

fn create_occurrences(
    tables: &mut Tables<'_>,
    occurrences: &[(PreparedOccurrence, Vec<Proof>)],
) -> Outcome {
    let mut taken = HashSet::new();
    for (one, _) in occurrences {
        if !taken.insert(&one.name) || tables.occurrences.get(one.keys.own.as_slice())?.is_some() {
            return Ok(Err(StoreError::AlreadyExists(one.name.clone().into())));
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
    Ok(Ok(None))
}

/// A place that is reserved for what it was stays reserved: else one place would serve many.
fn replace_occurrence(tables: &mut Tables<'_>, one: &PreparedOccurrence) -> Outcome {
    if let Some(refusal) = quota::outgrown(tables, one)? {
        return Ok(Err(refusal));
    }
    match remove_occurrence(tables, &one.name)? {
        Ok((_, proven)) => insert_occurrence(tables, one, proven).map(|()| Ok(None)),
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
    Ok(Ok(None))
}

/// The occurrence as its own table has it.
pub(super) fn stored_occurrence(
    tables: &Tables<'_>,
    name: &OccurrenceName,
) -> Result<Option<Stored>, Fault> {
    let record = tables.occurrences.get(occurrence_key(name).as_slice())?;
    let record = record.map(|record| Bytes::copy_from_slice(record.value()));
    Ok(record.map(|record| Stored::decode(name.clone(), record)).transpose()?)
}

/// Answers where it was filed, and whether as proven.
fn remove_occurrence(
    tables: &mut Tables<'_>,
    name: &OccurrenceName,
) -> Result<Result<(Keys, bool), StoreError>, Fault> {
    let Some(stored) = stored_occurrence(tables, name)? else {
        return Ok(Err(StoreError::NotFound(name.clone().into())));
    };
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
