//! Notes: the anchors under which occurrences are filed.

use hallmark_core::names::{NoteName, ProjectId};
use hallmark_core::occurrence::Note;
use hallmark_core::occurrence::parse::note_from_json;
use serde_json::{Map, Value};

use super::error::ResourceError;
use super::page::{Cursor, Page, PageRequest, text_bytes};
use super::patch::Patch;
use super::{Inner, Resources, etag};
use crate::store::{Given, Write, version};

/// Google's default for listings of Container Analysis.
const PAGE_SIZE: usize = 20;
/// The maximum that Google documents for `batchCreate`.
const NOTES_PER_BATCH_MAX: usize = 1_000;

impl Resources {
    /// Creates a note.
    pub async fn create_note(&self, note: Note) -> Result<Note, ResourceError> {
        self.blocking(move |inner| inner.create_note(note)).await
    }

    /// Creates all of up to [`NOTES_PER_BATCH_MAX`] notes of `project`, or none.
    pub async fn create_notes(
        &self,
        project: ProjectId,
        notes: Vec<Note>,
    ) -> Result<Vec<Note>, ResourceError> {
        let count = notes.len();
        if count == 0 || count > NOTES_PER_BATCH_MAX {
            let problem = format!("must be 1 to {NOTES_PER_BATCH_MAX}, not {count}");
            return Err(ResourceError::invalid("notes", problem));
        }
        self.blocking(move |inner| inner.create_notes(&project, notes)).await
    }

    /// Changes some fields of a note; its kind is not among them.
    pub async fn patch_note(&self, name: NoteName, patch: Patch) -> Result<Note, ResourceError> {
        self.writing(name.project().clone(), move |inner| inner.patch_note(&name, &patch)).await
    }

    /// Deletes a note. The occurrences under it attest nothing from then on.
    pub async fn delete_note(&self, name: NoteName) -> Result<(), ResourceError> {
        self.writing(name.project().clone(), move |inner| {
            inner.store.apply(Write::delete(name.clone()))?;
            inner.publish_notes(name.project(), std::slice::from_ref(&name))
        })
        .await
    }

    /// One note.
    pub async fn note(&self, name: NoteName) -> Result<Note, ResourceError> {
        self.blocking(move |inner| inner.note(&name)).await
    }

    /// The notes of a project, in the order of their names.
    pub async fn notes(
        &self,
        project: ProjectId,
        page: &PageRequest,
    ) -> Result<Page<Note>, ResourceError> {
        let cursor = Cursor::new(page, PAGE_SIZE, &format!("projects/{project}/notes"))?;
        self.blocking(move |inner| inner.notes(&project, &cursor)).await
    }
}

impl Inner {
    fn create_note(&self, mut note: Note) -> Result<Note, ResourceError> {
        self.writable()?;
        let now = etag::now();
        note.stamp(&now, &now);
        self.store.apply(Write::create(note.clone()))?;
        // Occurrences of a deleted note of the same name are evidence again.
        self.publish_notes(note.name.project(), std::slice::from_ref(&note.name))?;
        Ok(note)
    }

    fn create_notes(
        &self,
        project: &ProjectId,
        mut notes: Vec<Note>,
    ) -> Result<Vec<Note>, ResourceError> {
        self.writable()?;
        let now = etag::now();
        notes.iter_mut().for_each(|note| note.stamp(&now, &now));
        self.store.apply(Write::create_all(notes.clone()))?;
        let names: Vec<_> = notes.iter().map(|note| note.name.clone()).collect();
        self.publish_notes(project, &names)?;
        Ok(notes)
    }

    fn patch_note(&self, name: &NoteName, patch: &Patch) -> Result<Note, ResourceError> {
        self.writable()?;
        Self::repeated(|| {
            let held = self.note(name)?;
            let json = Value::Object(patch.onto(&held.json, &["name", "kind", "createTime"])?);
            let mut note = note_from_json(&json.to_string(), Some(name))
                .map_err(|error| ResourceError::invalid("note", error.to_string()))?;
            let before = version(&held.json);
            note.stamp(text(&held.json, "createTime"), &etag::now_after(before));
            let unchanged = Given::Version(before.to_owned());
            self.store.apply(Write::replace(note.clone()).given([unchanged]))?;
            Ok(note)
        })
    }

    fn notes(&self, project: &ProjectId, cursor: &Cursor) -> Result<Page<Note>, ResourceError> {
        let read = |after: Option<&str>, limit| {
            let after = after.map(str::parse::<NoteName>).transpose()?;
            Ok(self.store.notes(project, after.as_ref(), limit)?)
        };
        cursor.fill(read, |note| note.name.to_string(), |note| text_bytes(&note.json))
    }

    pub(super) fn note(&self, name: &NoteName) -> Result<Note, ResourceError> {
        self.store.note(name)?.ok_or_else(|| ResourceError::NotFound(name.to_string()))
    }
}

/// A member that is a string; empty where it is not set.
pub(super) fn text<'a>(json: &'a Map<String, Value>, member: &str) -> &'a str {
    json.get(member).and_then(Value::as_str).unwrap_or_default()
}
