//! Reads, each from one consistent view of the tables.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use hallmark_core::image::Digest;
use hallmark_core::names::{
    AttestorName, NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::{Attestation, AttestationBody, Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use redb::ReadTransaction;

use super::fault::Fault;
use super::fields::Damaged;
use super::occurrence::{Stored, decode_attestation};
use super::record;
use super::tables::{
    ATTESTORS, BY_NOTE, EVIDENCE, IAM, NOTES, OCCURRENCES, OF_PROJECTS, PLATFORM_POLICIES,
    POLICIES, RawTable, digest_prefix, evidence_key, evidence_prefix, iam_key, key, note_key,
    note_prefix, occurrence_in_evidence_key, occurrence_in_note_key, occurrence_key,
    occurrence_name, platform_policy_key, platform_policy_name, platform_prefix, project_key, scan,
    split,
};
use crate::store::evidence::Room;
use crate::store::iam::{IamPolicy, IamResource};
use crate::store::query::{matches, wanted_digest};
use crate::store::{
    Cursor, EvidencePage, EvidenceQuery, Lookup, OccurrenceQuery, OccurrenceScope, ProjectResources,
};

/// Every project that some key begins with; skips from one project to the next.
pub(super) fn projects(view: &ReadTransaction) -> Result<Vec<ProjectId>, Fault> {
    let mut projects = BTreeSet::new();
    for definition in OF_PROJECTS {
        let table = view.open_table(definition)?;
        let mut from = Vec::new();
        while let Some(entry) =
            table.range::<&[u8]>((Bound::Included(from.as_slice()), Bound::Unbounded))?.next()
        {
            let (project, _) = split(entry?.0.value())?;
            from = [project.as_str().as_bytes(), &[1]].concat();
            projects.insert(project);
        }
    }
    Ok(projects.into_iter().collect())
}

/// What `project` holds.
pub(super) fn project(
    view: &ReadTransaction,
    project: &ProjectId,
) -> Result<ProjectResources, Fault> {
    let prefix = project_key(project);
    let policy = view.open_table(POLICIES)?.get(prefix.as_slice())?;
    let policy = policy.map(|record| record::decode_policy(record.value())).transpose()?;
    let table = view.open_table(ATTESTORS)?;
    let mut attestors = Vec::new();
    for entry in scan(&table, &prefix, None)? {
        let (key, record) = entry?;
        let (project, id) = split(&key)?;
        let name = AttestorName::new(project, id)
            .map_err(|_| Damaged::from("an attestor id is malformed"))?;
        attestors.push(record::decode_attestor(name, &record)?);
    }
    let mut known = policy.is_some() || !attestors.is_empty();
    for definition in [NOTES, OCCURRENCES, PLATFORM_POLICIES] {
        known = known
            || scan(&view.open_table(definition)?, &prefix, None)?.next().transpose()?.is_some();
    }
    Ok(ProjectResources { policy, attestors, known })
}

/// One note.
pub(super) fn note(view: &ReadTransaction, name: &NoteName) -> Result<Option<Note>, Fault> {
    let record = view.open_table(NOTES)?.get(key(name.project(), name.id()).as_slice())?;
    Ok(record.map(|record| record::decode_note(name, record.value())).transpose()?)
}

/// The IAM policy of a resource.
pub(super) fn iam_policy(
    view: &ReadTransaction,
    resource: &IamResource,
) -> Result<Option<IamPolicy>, Fault> {
    let record = view.open_table(IAM)?.get(iam_key(resource).as_slice())?;
    Ok(record.map(|record| record::decode_iam_policy(record.value())).transpose()?)
}

/// A page of the notes of `project`.
pub(super) fn notes(
    view: &ReadTransaction,
    project: &ProjectId,
    after: Option<&NoteName>,
    limit: usize,
) -> Result<Vec<Note>, Fault> {
    let after = after.map(|name| key(name.project(), name.id()));
    let entries = scan(&view.open_table(NOTES)?, &project_key(project), after.as_deref())?;
    let note = |entry: Result<(Bytes, Bytes), Fault>| {
        let (key, record) = entry?;
        let (project, id) = split(&key)?;
        let name =
            NoteName::new(project, id).map_err(|_| Damaged::from("a note id is malformed"))?;
        Ok(record::decode_note(&name, &record)?)
    };
    entries.take(limit).map(note).collect()
}

/// The next page of each lookup.
pub(super) fn evidence(
    view: &ReadTransaction,
    wanted: &[EvidenceQuery],
) -> Result<Vec<EvidencePage>, Fault> {
    let (table, notes) = (view.open_table(EVIDENCE)?, view.open_table(NOTES)?);
    let occurrences = view.open_table(OCCURRENCES)?;
    let mut room = Room::default();
    let one = |EvidenceQuery { lookup, from }: &EvidenceQuery| {
        let (prefix, digest, project) = match lookup {
            Lookup::UnderNote(note, _) if !exists(&notes, note)? => {
                return Ok(EvidencePage::default());
            }
            Lookup::UnderNote(note, digest) => (evidence_prefix(note, digest), digest, None),
            Lookup::InProject(project, digest) => {
                (digest_prefix(digest), digest, Some(project_key(project)))
            }
        };
        let entries = scan(&table, &prefix, Some(from.0.as_ref()))?.map(|entry| {
            let (key, record) = entry?;
            let occurrence = occurrence_in_evidence_key(&key)?;
            let asked = match &project {
                None => true,
                Some(project) => {
                    occurrence.starts_with(project) && has_note(&occurrences, &notes, occurrence)?
                }
            };
            let name = asked.then(|| occurrence_name(occurrence)).transpose()?;
            let found = name.map(|name| attestation(name, record, *digest)).transpose()?;
            Ok((Cursor(key), found))
        });
        room.page(from, entries)
    };
    wanted.iter().map(one).collect()
}

/// False for a note that was deleted: it vouches for nothing.
fn exists(notes: &RawTable, note: &NoteName) -> Result<bool, Fault> {
    Ok(notes.get(key(note.project(), note.id()).as_slice())?.is_some())
}

/// True if the note of the occurrence under `key` exists.
fn has_note(occurrences: &RawTable, notes: &RawTable, key: &[u8]) -> Result<bool, Fault> {
    let record = occurrences.get(key)?;
    let record = record.ok_or_else(|| Damaged::from("an occurrence is in an index only"))?;
    let stored = Stored::decode(occurrence_name(key)?, Bytes::copy_from_slice(record.value()))?;
    exists(notes, &stored.head().note)
}

/// One platform policy.
pub(super) fn platform_policy(
    view: &ReadTransaction,
    name: &PlatformPolicyName,
) -> Result<Option<PlatformPolicy>, Fault> {
    let record = view.open_table(PLATFORM_POLICIES)?.get(platform_policy_key(name).as_slice())?;
    let policy = record.map(|record| record::decode_platform_policy(name, record.value()));
    Ok(policy.transpose()?)
}

/// A page of the policies of `project` for `platform`.
pub(super) fn platform_policies(
    view: &ReadTransaction,
    project: &ProjectId,
    platform: Platform,
    after: Option<&PlatformPolicyName>,
    limit: usize,
) -> Result<Vec<PlatformPolicy>, Fault> {
    let after = after.map(platform_policy_key);
    let table = view.open_table(PLATFORM_POLICIES)?;
    let entries = scan(&table, &platform_prefix(project, platform), after.as_deref())?;
    let policy = |entry: Result<(Bytes, Bytes), Fault>| {
        let (key, record) = entry?;
        Ok(record::decode_platform_policy(&platform_policy_name(&key)?, &record)?)
    };
    entries.take(limit).map(policy).collect()
}

fn attestation(
    occurrence: OccurrenceName,
    record: Bytes,
    digest: Digest,
) -> Result<Attestation, Damaged> {
    let AttestationBody { payload, signatures } = decode_attestation(record, digest)?;
    Ok(Attestation { occurrence, payload, signatures, first_signature: 0 })
}

/// The two tables that an occurrence is put together from.
#[derive(Debug)]
pub(super) struct Occurrences {
    occurrences: RawTable,
    evidence: RawTable,
}

impl Occurrences {
    /// Opens them.
    pub(super) fn open(view: &ReadTransaction) -> Result<Self, Fault> {
        Ok(Self {
            occurrences: view.open_table(OCCURRENCES)?,
            evidence: view.open_table(EVIDENCE)?,
        })
    }

    /// One occurrence.
    pub(super) fn get(&self, name: &OccurrenceName) -> Result<Option<Occurrence>, Fault> {
        let Some(record) = self.occurrences.get(occurrence_key(name).as_slice())? else {
            return Ok(None);
        };
        let record = Bytes::copy_from_slice(record.value());
        self.complete(Stored::decode(name.clone(), record)?).map(Some)
    }

    fn complete(&self, stored: Stored) -> Result<Occurrence, Fault> {
        let Some(digest) = stored.evidence() else { return Ok(stored.complete(None)?) };
        let head = stored.head();
        let key = evidence_key(&head.note, &digest, &occurrence_key(&head.name));
        let record = self
            .evidence
            .get(key.as_slice())?
            .ok_or_else(|| Damaged::from("evidence is missing"))?;
        Ok(stored
            .complete(Some(decode_attestation(Bytes::copy_from_slice(record.value()), digest)?))?)
    }

    /// A page of those that `query` asks for.
    pub(super) fn list(
        &self,
        view: &ReadTransaction,
        query: &OccurrenceQuery,
        after: Option<&OccurrenceName>,
        limit: usize,
    ) -> Result<Vec<Occurrence>, Fault> {
        let after_key = after.map(occurrence_key);
        if let Some(digest) = wanted_digest(query) {
            let names = self.names_of_digest(&digest, after)?;
            return self.page(names.into_iter().map(Ok), query, limit);
        }
        let of_note = match &query.scope {
            OccurrenceScope::Note(note) => Some(note),
            OccurrenceScope::Project(_) => query.note.as_ref(),
        };
        if let Some(note) = of_note {
            let table = view.open_table(BY_NOTE)?;
            let after = after_key.map(|after| note_key(note, &after));
            let names = scan(&table, &note_prefix(note), after.as_deref())?
                .map(|entry| Ok(occurrence_name(occurrence_in_note_key(&entry?.0)?)?));
            return self.page(names, query, limit);
        }
        let OccurrenceScope::Project(project) = &query.scope else { return Ok(Vec::new()) };
        let names = scan(&self.occurrences, &project_key(project), after_key.as_deref())?
            .map(|entry| Ok(occurrence_name(&entry?.0)?));
        self.page(names, query, limit)
    }

    fn names_of_digest(
        &self,
        digest: &Digest,
        after: Option<&OccurrenceName>,
    ) -> Result<BTreeSet<OccurrenceName>, Fault> {
        let mut names = BTreeSet::new();
        for entry in scan(&self.evidence, &digest.0, None)? {
            let name = occurrence_name(occurrence_in_evidence_key(&entry?.0)?)?;
            if after.is_none_or(|after| name > *after) {
                names.insert(name);
            }
        }
        Ok(names)
    }

    fn page(
        &self,
        names: impl Iterator<Item = Result<OccurrenceName, Fault>>,
        query: &OccurrenceQuery,
        limit: usize,
    ) -> Result<Vec<Occurrence>, Fault> {
        let mut page = Vec::new();
        for name in names {
            if page.len() >= limit {
                break;
            }
            let name = name?;
            let Some(record) = self.occurrences.get(occurrence_key(&name).as_slice())? else {
                return Err(Damaged(format!("{name} is in an index only")).into());
            };
            let stored = Stored::decode(name, Bytes::copy_from_slice(record.value()))?;
            if matches(query, stored.head()) {
                page.push(self.complete(stored)?);
            }
        }
        Ok(page)
    }
}
