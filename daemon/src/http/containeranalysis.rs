//! Google's Container Analysis API, which is Grafeas v1: notes and occurrences.

use std::fmt::Display;

use hallmark_core::document::{DocumentError, DocumentLimits};
use hallmark_core::limits::Limits;
use hallmark_core::names::{NoteName, OccurrenceName, ProjectId};
use hallmark_core::occurrence::Occurrence;
use hallmark_core::occurrence::parse::{
    note_from_document, occurrence_from_document, occurrences_from_batch,
};
use hallmark_core::occurrence::render::{note_to_json, occurrence_to_json};
use serde_json::{Value, json as value};

use super::Doors;
use super::error::HttpError;
use super::exchange::{Answer, Change, Exchange, changed, json};
use super::google::{document, empty, listing, named, page, project, required};
use crate::auth::permission::Permission;

/// `POST projects/*/notes?noteId=`.
pub(super) async fn create_note(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let name: NoteName = named(&exchange, "notes", &required(&exchange, "noteId")?)?;
    let document = document(&exchange, &DocumentLimits::OCCURRENCE)?;
    let note = note_from_document(&document, Some(&name)).map_err(DocumentError::from)?;
    let note = doors.resources.create_note(note).await?;
    Ok(changed(json(&note_to_json(&note))?, created([&note.name])))
}

/// `GET projects/*/notes/*`.
pub(super) async fn get_note(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    json(&note_to_json(&doors.resources.note(note_name(&exchange)?).await?))
}

/// `GET projects/*/notes`. Only an empty filter is understood.
pub(super) async fn list_notes(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    if !filter(&exchange)?.trim().is_empty() {
        let problem = "filter: notes are listed whole, leave the filter empty".to_owned();
        return Err(HttpError::InvalidArgument(problem));
    }
    let found = doors.resources.notes(project(&exchange)?, &page(&exchange)?).await?;
    listing("notes", &found, note_to_json)
}

/// `POST projects/*/occurrences`.
pub(super) async fn create_occurrence(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let project = project(&exchange)?;
    let document = document(&exchange, &DocumentLimits::OCCURRENCE)?;
    let name = unnamed(&project)?;
    let occurrence = occurrence_from_document(&document, Some(&name), &Limits::DEFAULT)
        .map_err(DocumentError::from)?;
    may_attach(doors, &exchange, [&occurrence])?;
    let occurrence = doors.resources.create_occurrence(project, occurrence).await?;
    Ok(changed(json(&occurrence_to_json(&occurrence))?, created([&occurrence.name])))
}

/// `POST projects/*/occurrences:batchCreate`: all or none.
pub(super) async fn create_occurrences(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let project = project(&exchange)?;
    let document = document(&exchange, &DocumentLimits::DEFAULT)?;
    let name = unnamed(&project)?;
    let occurrences = occurrences_from_batch(&document, || name.clone(), &Limits::DEFAULT)
        .map_err(DocumentError::from)?;
    may_attach(doors, &exchange, &occurrences)?;
    let occurrences = doors.resources.create_occurrences(project, occurrences).await?;
    let rendered: Vec<Value> = occurrences.iter().map(occurrence_to_json).collect();
    let answer = json(&value!({"occurrences": rendered}))?;
    Ok(changed(answer, created(occurrences.iter().map(|occurrence| &occurrence.name))))
}

/// `GET projects/*/occurrences/*`.
pub(super) async fn get_occurrence(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    json(&occurrence_to_json(&doors.resources.occurrence(occurrence_name(&exchange)?).await?))
}

/// `GET projects/*/occurrences?filter=`.
pub(super) async fn list_occurrences(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let (filter, page) = (filter(&exchange)?, page(&exchange)?);
    let found = doors.resources.occurrences(project(&exchange)?, &filter, &page).await?;
    listing("occurrences", &found, occurrence_to_json)
}

/// `GET projects/*/notes/*/occurrences?filter=`, in whatever project they live.
pub(super) async fn list_note_occurrences(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let (filter, page) = (filter(&exchange)?, page(&exchange)?);
    let found = doors.resources.occurrences_of_note(note_name(&exchange)?, &filter, &page).await?;
    listing("occurrences", &found, occurrence_to_json)
}

/// `DELETE projects/*/occurrences/*`.
pub(super) async fn delete_occurrence(
    doors: &Doors,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    doors.resources.delete_occurrence(occurrence_name(&exchange)?).await?;
    empty()
}

/// An occurrence speaks for its note, so the note's project has a say, too.
fn may_attach<'a>(
    doors: &Doors,
    exchange: &Exchange,
    occurrences: impl IntoIterator<Item = &'a Occurrence>,
) -> Result<(), HttpError> {
    let permission = Permission::NotesAttachOccurrence;
    occurrences.into_iter().try_for_each(|occurrence| {
        let note = &occurrence.note;
        doors.check(&exchange.caller, permission, note.project().as_str(), &note.to_string())
    })
}

fn created<'a, N: Display + 'a>(names: impl IntoIterator<Item = &'a N>) -> Change {
    let resources = names.into_iter().map(ToString::to_string).collect();
    Change { resources, ..Change::default() }
}

fn note_name(exchange: &Exchange) -> Result<NoteName, HttpError> {
    named(exchange, "notes", exchange.param("note"))
}

fn occurrence_name(exchange: &Exchange) -> Result<OccurrenceName, HttpError> {
    named(exchange, "occurrences", exchange.param("occurrence"))
}

/// The name that an occurrence is read under until it gets its own.
fn unnamed(project: &ProjectId) -> Result<OccurrenceName, HttpError> {
    Ok(OccurrenceName::new(project.clone(), "unnamed")?)
}

fn filter(exchange: &Exchange) -> Result<String, HttpError> {
    Ok(exchange.query("filter")?.unwrap_or_default())
}
