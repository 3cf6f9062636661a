//! Reads, each from one consistent view of the tables.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use hallmark_core::image::Digest;
use hallmark_core::names::{
    AttestorName, NoteName, OccurrenceName, Platform, PlatformPolicyName, ProjectId,
};
use hallmark_core::occurrence::{Note, Occurrence};
use hallmark_core::platform::PlatformPolicy;
use redb::ReadTransaction;

use super::evidence;
use super::fault::Fault;
use super::occurrence::{Stored, decode_attestation};
use super::tables::{
    ATTESTORS, BY_NOTE, EVIDENCE, IAM, NOTES, OCCURRENCES, OF_PROJECTS, PLATFORM_POLICIES,
    POLICIES, RawTable, evidence_key, iam_key, key, key_of_note, listing_prefix, note_key,
    note_place, note_prefix, occurrence_in_evidence_key, occurrence_in_note_key, occurrence_key,
    occurrence_name, platform_policy_key, platform_policy_name, platform_prefix, project_key,
    project_place, scan, split,
};
use crate::auth::iam::{IamPolicy, IamResource};
use crate::store::query::{matches, wanted_digest};
use crate::store::record;
use crate::store::record::Damaged;
use crate::store::{
    EvidencePage, EvidenceQuery, OccurrenceQuery, OccurrenceScope, ProjectResources,
};

/// The resources of every project.
pub(super) fn load_all(
    view: &ReadTransaction,
) -> Result<Vec<(ProjectId, ProjectResources)>, Fault> {
    let with_resources = |name: ProjectId| {
        let resources = project(view, &name)?;
        Ok((name, resources))
    };
    projects(view)?.into_iter().map(with_resources).collect()
}

/// Every project that some key begins with; skips from one project to the next.
fn projects(view: &ReadTransaction) -> Result<BTreeSet<ProjectId>, Fault> {
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
    Ok(projects)
}

/// The resources of `project`.
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
    let platform_policies = policies_at(view, &prefix, None, usize::MAX)?;
    let mut known = policy.is_some() || !attestors.is_empty() || !platform_policies.is_empty();
    for definition in [NOTES, OCCURRENCES] {
        known = known
            || scan(&view.open_table(definition)?, &prefix, None)?.next().transpose()?.is_some();
    }
    Ok(ProjectResources { policy, attestors, platform_policies, known })
}

/// One note.
pub(super) fn note(view: &ReadTransaction, name: &NoteName) -> Result<Option<Note>, Fault> {
    let record = view.open_table(NOTES)?.get(key_of_note(name).as_slice())?;
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
    evidence::Tables::open(view)?.pages(wanted)
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
    policies_at(view, &platform_prefix(project, platform), after.as_deref(), limit)
}

fn policies_at(
    view: &ReadTransaction,
    prefix: &[u8],
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<PlatformPolicy>, Fault> {
    let table = view.open_table(PLATFORM_POLICIES)?;
    let entries = scan(&table, prefix, after)?;
    let policy = |entry: Result<(Bytes, Bytes), Fault>| {
        let (key, record) = entry?;
        Ok(record::decode_platform_policy(&platform_policy_name(&key)?, &record)?)
    };
    entries.take(limit).map(policy).collect()
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
            let names = self.names_of_digest(&digest, &query.scope, after_key.as_deref())?;
            return self.page(names, query, limit);
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

    /// Those in scope that name a digest, in the order of their names.
    fn names_of_digest(
        &self,
        digest: &Digest,
        scope: &OccurrenceScope,
        after: Option<&[u8]>,
    ) -> Result<impl Iterator<Item = Result<OccurrenceName, Fault>> + use<>, Fault> {
        let listing = listing_prefix(digest);
        let (evidence, others) = match scope {
            OccurrenceScope::Project(project) => {
                (project_place(project, digest), [listing.clone(), project_key(project)].concat())
            }
            OccurrenceScope::Note(note) => {
                (note_place(&key_of_note(note), digest), listing.clone())
            }
        };
        let run = |prefix: &[u8], place: &[u8]| {
            let after = after.map(|after| [place, after].concat());
            let entries = scan(&self.evidence, prefix, after.as_deref())?;
            Ok::<_, Fault>(entries.map(|entry| {
                let (key, _) = entry?;
                Ok(occurrence_name(occurrence_in_evidence_key(&key)?)?)
            }))
        };
        Ok(merged([run(&evidence, &evidence)?, run(&others, &listing)?]))
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

/// Two runs of names as one, in the order of the names. A failure comes first.
fn merged(
    runs: [impl Iterator<Item = Result<OccurrenceName, Fault>>; 2],
) -> impl Iterator<Item = Result<OccurrenceName, Fault>> {
    let [mut one, mut other] = runs.map(Iterator::peekable);
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(Ok(first)), Some(Ok(second))) if second < first => other.next(),
        (Some(Ok(_)), Some(Err(_))) | (None, _) => other.next(),
        _ => one.next(),
    })
}
