//! Occurrences: what is known of an image digest, attestations above all.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use hallmark_core::image::Digest;
use hallmark_core::limits::Limits;
use hallmark_core::names::{NoteName, OccurrenceName, ProjectId};
use hallmark_core::occurrence::parse::occurrence_from_json;
use hallmark_core::occurrence::{AttestationBody, Note, Occurrence};
use hallmark_core::resource::ResourceName;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::error::ResourceError;
use super::note::text;
use super::page::{Cursor, Page, PageRequest, text_bytes};
use super::patch::Patch;
use super::{Inner, Resources, etag, filter};
use crate::store::{Given, OccurrenceQuery, OccurrenceScope, Proof, StoreError, Write, version};

/// The maximum that Google documents for `batchCreate`.
pub const OCCURRENCES_PER_BATCH_MAX: usize = 1_000;
/// Google's default for listings of Container Analysis.
const PAGE_SIZE: usize = 20;

impl Resources {
    /// Creates one occurrence in `project`, under an id of its own. Creating the same attestation
    /// again is refused as existing, under the id it already has.
    pub async fn create_occurrence(
        &self,
        project: ProjectId,
        occurrence: Occurrence,
    ) -> Result<Occurrence, ResourceError> {
        let path = |_, field: &str| field.to_owned();
        let mut created = self.create(project, vec![occurrence], path).await?;
        created
            .pop()
            .ok_or_else(|| ResourceError::Unavailable("no occurrence was created".to_owned()))
    }

    /// Creates all of up to [`OCCURRENCES_PER_BATCH_MAX`] occurrences in `project`, or none.
    pub async fn create_occurrences(
        &self,
        project: ProjectId,
        occurrences: Vec<Occurrence>,
    ) -> Result<Vec<Occurrence>, ResourceError> {
        let count = occurrences.len();
        if count == 0 || count > OCCURRENCES_PER_BATCH_MAX {
            return Err(ResourceError::invalid(
                "occurrences",
                format!("must be 1 to {OCCURRENCES_PER_BATCH_MAX}, not {count}"),
            ));
        }
        let path = |i, field: &str| format!("occurrences[{i}].{field}");
        self.create(project, occurrences, path).await
    }

    /// Creates them, each with what trusted keys have signed of it: that is found first, and taken
    /// beyond the limits.
    async fn create(
        &self,
        project: ProjectId,
        occurrences: Vec<Occurrence>,
        path: fn(usize, &str) -> String,
    ) -> Result<Vec<Occurrence>, ResourceError> {
        self.0.writable()?;
        let proofs = self.0.proofs.of(&occurrences).await;
        self.blocking(move |inner| inner.create_occurrences(&project, occurrences, proofs, path))
            .await
    }

    /// One occurrence.
    pub async fn occurrence(&self, name: OccurrenceName) -> Result<Occurrence, ResourceError> {
        self.blocking(move |inner| inner.occurrence(&name)).await
    }

    /// The occurrences that live in a project and that `filter` asks for, in the order of their
    /// names. `resources/filter.rs` says which filters are understood.
    pub async fn occurrences(
        &self,
        project: ProjectId,
        filter: &str,
        page: &PageRequest,
    ) -> Result<Page<Occurrence>, ResourceError> {
        self.list(OccurrenceScope::Project(project), filter, page).await
    }

    /// As [`Resources::occurrences`], those of a note, in whatever project they live.
    pub async fn occurrences_of_note(
        &self,
        note: NoteName,
        filter: &str,
        page: &PageRequest,
    ) -> Result<Page<Occurrence>, ResourceError> {
        self.note(note.clone()).await?;
        self.list(OccurrenceScope::Note(note), filter, page).await
    }

    /// Changes some fields of an occurrence; its note, its kind and its resource are not among them.
    pub async fn patch_occurrence(
        &self,
        name: OccurrenceName,
        patch: Patch,
    ) -> Result<Occurrence, ResourceError> {
        let project = name.project().clone();
        self.writing(project, move |inner| inner.patch_occurrence(&name, &patch)).await
    }

    /// The note of an occurrence.
    pub async fn note_of_occurrence(&self, name: OccurrenceName) -> Result<Note, ResourceError> {
        self.blocking(move |inner| inner.note(&inner.occurrence(&name)?.note)).await
    }

    /// Deletes an occurrence: what it attested is no longer attested.
    pub async fn delete_occurrence(&self, name: OccurrenceName) -> Result<(), ResourceError> {
        self.blocking(move |inner| inner.delete_occurrence(name)).await
    }

    async fn list(
        &self,
        scope: OccurrenceScope,
        filter: &str,
        page: &PageRequest,
    ) -> Result<Page<Occurrence>, ResourceError> {
        let query = filter::parse(filter, scope)?;
        let cursor = Cursor::new(page, PAGE_SIZE, &format!("{query:?}"))?;
        self.blocking(move |inner| inner.occurrences(&query, &cursor)).await
    }
}

impl Inner {
    /// `path` names a field of the n-th occurrence as the request has it.
    fn create_occurrences(
        &self,
        project: &ProjectId,
        occurrences: Vec<Occurrence>,
        proofs: Vec<Vec<Proof>>,
        path: impl Fn(usize, &str) -> String,
    ) -> Result<Vec<Occurrence>, ResourceError> {
        self.check_notes(&occurrences, path)?;
        let now = etag::now();
        let created = occurrences
            .into_iter()
            .map(|occurrence| named(project, occurrence, &now))
            .collect::<Result<Vec<_>, _>>()?;
        let mut names = HashSet::with_capacity(created.len());
        if let Some(twice) = created.iter().find(|occurrence| !names.insert(&occurrence.name)) {
            return Err(taken(twice.name.id()));
        }
        let proven: Vec<_> = created.iter().cloned().zip(proofs).collect();
        let kinds: BTreeSet<_> = created.iter().map(|one| (&one.note, &one.kind)).collect();
        let of_kind =
            kinds.into_iter().map(|(note, kind)| Given::NoteOfKind(note.clone(), kind.clone()));
        let committed = self.store.apply(Write::file(proven).given(of_kind));
        self.bump(created.iter().filter_map(|occurrence| occurrence.digest));
        committed.map_err(conflict)?;
        self.publish_if_unknown(project)?;
        Ok(created)
    }

    /// Checks that every note exists and is of the kind of its occurrence.
    fn check_notes(
        &self,
        occurrences: &[Occurrence],
        path: impl Fn(usize, &str) -> String,
    ) -> Result<(), ResourceError> {
        let mut notes: BTreeMap<&NoteName, Note> = BTreeMap::new();
        for (i, occurrence) in occurrences.iter().enumerate() {
            if !notes.contains_key(&occurrence.note) {
                notes.insert(&occurrence.note, self.note(&occurrence.note)?);
            }
            let kind = notes
                .get(&occurrence.note)
                .and_then(|note| note.json.get("kind"))
                .and_then(Value::as_str);
            if let Some(kind) = kind
                && kind != occurrence.kind
            {
                return Err(ResourceError::invalid(
                    path(i, "noteName"),
                    format!(
                        "{} is of kind {kind}, the occurrence is of kind {}",
                        occurrence.note, occurrence.kind
                    ),
                ));
            }
        }
        Ok(())
    }

    fn occurrence(&self, name: &OccurrenceName) -> Result<Occurrence, ResourceError> {
        self.store.occurrence(name)?.ok_or_else(|| ResourceError::NotFound(name.to_string()))
    }

    fn occurrences(
        &self,
        query: &OccurrenceQuery,
        cursor: &Cursor,
    ) -> Result<Page<Occurrence>, ResourceError> {
        let read = |after: Option<&str>, limit| {
            let after = after.map(str::parse::<OccurrenceName>).transpose()?;
            Ok(self.store.occurrences(query, after.as_ref(), limit)?)
        };
        cursor.fill(read, |one| one.name.to_string(), |one| text_bytes(&one.json))
    }

    fn patch_occurrence(
        &self,
        name: &OccurrenceName,
        patch: &Patch,
    ) -> Result<Occurrence, ResourceError> {
        self.writable()?;
        Self::repeated(|| {
            let held = self.occurrence(name)?;
            let fixed = ["name", "kind", "noteName", "resourceUri", "createTime"];
            let json = Value::Object(patch.onto(&held.json, &fixed)?);
            let mut occurrence =
                occurrence_from_json(&json.to_string(), Some(name), &Limits::DEFAULT)
                    .map_err(|error| ResourceError::invalid("occurrence", error.to_string()))?;
            let before = version(&held.json);
            occurrence.stamp(text(&held.json, "createTime"), &etag::now_after(before));
            let unchanged = Given::Version(before.to_owned());
            let write = Write::replace(occurrence.clone()).given([unchanged]);
            let committed = self.store.apply(write);
            self.bump(held.digest);
            committed?;
            Ok(occurrence)
        })
    }

    fn delete_occurrence(&self, name: OccurrenceName) -> Result<(), ResourceError> {
        self.writable()?;
        let held = self.occurrence(&name)?;
        let project = name.project().clone();
        let committed = self.store.apply(Write::delete(name));
        self.bump(held.digest);
        committed?;
        self.forget_if_empty(&project)
    }

    /// A project without policy and attestors may just have lost its last resource, and a project
    /// that holds nothing is denied everything.
    fn forget_if_empty(&self, project: &ProjectId) -> Result<(), ResourceError> {
        let snapshot = self.snapshots.current();
        match snapshot.projects.get(project) {
            Some(known) if known.policy.is_none() && known.attestors.is_empty() => {
                self.publish(project)
            }
            _ => Ok(()),
        }
    }

    /// Makes evidence of these digests be read again. Done even where a commit failed: one whose
    /// outcome is not known may have happened.
    fn bump(&self, digests: impl IntoIterator<Item = Digest>) {
        for digest in digests {
            self.epochs.bump(&digest);
        }
    }
}

/// The occurrence under its id, with the fields that the service sets.
fn named(
    project: &ProjectId,
    mut occurrence: Occurrence,
    now: &str,
) -> Result<Occurrence, ResourceError> {
    let id = match &occurrence.attestation {
        Some(attestation) => content_id(&occurrence, attestation),
        None => Uuid::new_v4(),
    };
    occurrence.name = OccurrenceName::new(project.clone(), &id.to_string())?;
    occurrence.json.insert("name".to_owned(), occurrence.name.to_string().into());
    occurrence.stamp(now, now);
    Ok(occurrence)
}

/// The id of an attestation, out of what makes it the one it is: note, resource, payload and
/// signatures. The same attestation thus has one name, which can be taken only once.
fn content_id(occurrence: &Occurrence, attestation: &AttestationBody) -> Uuid {
    let resource = occurrence.resource_uri.as_str();
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(occurrence.note.to_string().as_bytes());
    add(resource.strip_prefix("https://").unwrap_or(resource).as_bytes());
    add(&attestation.payload);
    for signature in &attestation.signatures {
        add(signature.key_id.as_str().as_bytes());
        add(&signature.signature);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn conflict(error: StoreError) -> ResourceError {
    match error {
        StoreError::AlreadyExists(ResourceName::Occurrence(name)) => taken(name.id()),
        other => other.into(),
    }
}

/// The words of Google's service; its clients put "is the subject of a conflict" before them.
fn taken(id: &str) -> ResourceError {
    ResourceError::AlreadyExists(format!("occurrence ID \"{id}\""))
}
