//! Notes: the anchors under which occurrences are filed.

use hallmark_core::names::{NoteName, ProjectId};
use hallmark_core::occurrence::Note;

use super::error::ResourceError;
use super::page::{Cursor, Page, PageRequest};
use super::{Inner, Resources, etag};
use crate::store::Write;

/// Google's default for listings of Container Analysis.
const PAGE_SIZE: usize = 20;

impl Resources {
    /// Creates a note.
    pub async fn create_note(&self, note: Note) -> Result<Note, ResourceError> {
        self.blocking(move |inner| inner.create_note(note)).await
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
        self.store.apply(Write::CreateNote(note.clone()))?;
        self.publish_if_unknown(note.name.project())?;
        Ok(note)
    }

    fn notes(&self, project: &ProjectId, cursor: &Cursor) -> Result<Page<Note>, ResourceError> {
        let after = cursor.after().map(str::parse::<NoteName>).transpose()?;
        let found = self.store.notes(project, after.as_ref(), cursor.limit())?;
        Ok(cursor.page(found, |note| note.name.to_string()))
    }

    pub(super) fn note(&self, name: &NoteName) -> Result<Note, ResourceError> {
        self.store.note(name)?.ok_or_else(|| ResourceError::NotFound(name.to_string()))
    }
}
