//! Notes: the anchors under which occurrences are filed.

use hallmark_core::names::NoteName;
use hallmark_core::occurrence::Note;

use super::error::ResourceError;
use super::{Inner, Resources, etag};
use crate::store::Write;

impl Resources {
    /// Creates a note.
    pub async fn create_note(&self, note: Note) -> Result<Note, ResourceError> {
        self.blocking(move |inner| inner.create_note(note)).await
    }

    /// One note.
    pub async fn note(&self, name: NoteName) -> Result<Note, ResourceError> {
        self.blocking(move |inner| inner.note(&name)).await
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

    pub(super) fn note(&self, name: &NoteName) -> Result<Note, ResourceError> {
        self.store.note(name)?.ok_or_else(|| ResourceError::NotFound(name.to_string()))
    }
}
