//! Google's Container Analysis API, which is Grafeas v1: notes and occurrences. v1beta1 is turned
//! into it and back.

use std::collections::BTreeSet;
use std::fmt::Display;

use hallmark_core::document::read::resource;
use hallmark_core::document::{DocumentError, DocumentLimits};
use hallmark_core::limits::Limits;
use hallmark_core::names::{NoteName, OccurrenceName, ProjectId};
use hallmark_core::occurrence::parse::{
    note_from_document, notes_from_batch, occurrence_from_document, occurrences_from_batch,
};
use hallmark_core::occurrence::render::{note_to_json, occurrence_to_json};
use hallmark_core::occurrence::{Note, Occurrence};
use serde_json::{Value, json as value};

use super::containeranalysis_v1beta1::document_of_v1;
use super::containeranalysis_v1beta1::in_version;
use super::containeranalysis_v1beta1::mask_of_v1;
use super::shared::answer;
use super::shared::empty;
use super::shared::listing;
use super::shared::named;
use super::shared::page;
use super::shared::project;
use super::shared::required;
use crate::auth::Place;
use crate::auth::permission::Permission;
use crate::http::Api;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Change;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::Written;
use crate::resources::Patch;

/// `POST projects/*/notes?noteId=`.
pub(in crate::http) async fn create_note(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let name: NoteName = named(&exchange, "notes", &required(&exchange, "noteId")?)?;
    let document = document_of_v1(&exchange, &DocumentLimits::OCCURRENCE)?;
    let note = note_from_document(&document, Some(&name)).map_err(DocumentError::from)?;
    let note = api.resources.create_note(note).await?;
    let answer = answer(&exchange, note_json(&exchange, &note))?;
    Ok(Written { answer, change: Change::created(&note.name, None) })
}

/// `POST projects/*/notes:batchCreate`: all or none.
pub(in crate::http) async fn create_notes(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let project = project(&exchange)?;
    let document = document_of_v1(&exchange, &DocumentLimits::DEFAULT)?;
    let notes = notes_from_batch(&document, &project)?;
    let notes = api.resources.create_notes(project, notes).await?;
    let rendered: Vec<Value> = notes.iter().map(|note| note_json(&exchange, note)).collect();
    let answer = answer(&exchange, value!({"notes": rendered}))?;
    Ok(Written { answer, change: created(notes.iter().map(|note| &note.name)) })
}

/// `PATCH projects/*/notes/*?updateMask=`.
pub(in crate::http) async fn patch_note(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let note = api.resources.patch_note(note_name(&exchange)?, patch(&exchange)?).await?;
    answer(&exchange, note_json(&exchange, &note))
}

/// `DELETE projects/*/notes/*`.
pub(in crate::http) async fn delete_note(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    api.resources.delete_note(note_name(&exchange)?).await?;
    empty()
}

/// `GET projects/*/notes/*`.
pub(in crate::http) async fn get_note(api: &Api, exchange: Exchange) -> Result<Answer, HttpError> {
    let note = api.resources.note(note_name(&exchange)?).await?;
    answer(&exchange, note_json(&exchange, &note))
}

/// `GET projects/*/notes`. Only an empty filter is understood.
pub(in crate::http) async fn list_notes(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    if !filter(&exchange)?.trim().is_empty() {
        let problem = "filter: notes are listed whole, leave the filter empty".to_owned();
        return Err(HttpError::InvalidArgument(problem));
    }
    let found = api.resources.notes(project(&exchange)?, &page(&exchange)?).await?;
    listing(&exchange, "notes", &found, |note| note_json(&exchange, note))
}

/// `POST projects/*/occurrences`.
pub(in crate::http) async fn create_occurrence(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let project = project(&exchange)?;
    let document = document_of_v1(&exchange, &DocumentLimits::OCCURRENCE)?;
    let name = unnamed(&project)?;
    let occurrence = occurrence_from_document(&document, Some(&name), &Limits::DEFAULT)
        .map_err(DocumentError::from)?;
    may_attach(api, &exchange, [&occurrence]).await?;
    let occurrence = api.resources.create_occurrence(project, occurrence).await?;
    let answer = answer(&exchange, occurrence_json(&exchange, &occurrence))?;
    Ok(Written { answer, change: Change::created(&occurrence.name, None) })
}

/// `POST projects/*/occurrences:batchCreate`: all or none.
pub(in crate::http) async fn create_occurrences(
    api: &Api,
    exchange: Exchange,
) -> Result<Written, HttpError> {
    let project = project(&exchange)?;
    let document = document_of_v1(&exchange, &DocumentLimits::DEFAULT)?;
    let name = unnamed(&project)?;
    let occurrences =
        occurrences_from_batch(&document, &name, &Limits::DEFAULT).map_err(DocumentError::from)?;
    may_attach(api, &exchange, &occurrences).await?;
    let occurrences = api.resources.create_occurrences(project, occurrences).await?;
    let rendered = occurrences.iter().map(|occurrence| occurrence_json(&exchange, occurrence));
    let rendered: Vec<Value> = rendered.collect();
    let answer = answer(&exchange, value!({"occurrences": rendered}))?;
    Ok(Written { answer, change: created(occurrences.iter().map(|occurrence| &occurrence.name)) })
}

/// `GET projects/*/occurrences/*`.
pub(in crate::http) async fn get_occurrence(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let occurrence = api.resources.occurrence(occurrence_name(&exchange)?).await?;
    answer(&exchange, occurrence_json(&exchange, &occurrence))
}

/// `PATCH projects/*/occurrences/*?updateMask=`. Takes what creating the result would take.
pub(in crate::http) async fn patch_occurrence(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let (name, patch) = (occurrence_name(&exchange)?, patch(&exchange)?);
    // The patched occurrence speaks for the note, as if it were created. The note is not among what
    // changes.
    let held = api.resources.occurrence(name.clone()).await?;
    may_attach(api, &exchange, [&held]).await?;
    let occurrence = api.resources.patch_occurrence(name, patch).await?;
    answer(&exchange, occurrence_json(&exchange, &occurrence))
}

/// `GET projects/*/occurrences/*/notes`: the note of an occurrence.
pub(in crate::http) async fn get_occurrence_note(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let note = api.resources.note_of_occurrence(occurrence_name(&exchange)?).await?;
    answer(&exchange, note_json(&exchange, &note))
}

/// `GET projects/*/occurrences:vulnerabilitySummary`.
pub(in crate::http) fn summarize_vulnerabilities(
    _: &Api,
    _: &Exchange,
) -> Result<Answer, HttpError> {
    Err(HttpError::Unimplemented(
        "vulnerabilities are kept, not counted: list the occurrences with \
         filter=kind=\"VULNERABILITY\" and count them"
            .to_owned(),
    ))
}

/// The IAM verbs on `projects/*/occurrences/*`.
pub(in crate::http) fn no_occurrence_iam(_: &Api, _: &Exchange) -> Result<Answer, HttpError> {
    Err(HttpError::Unimplemented(
        "an occurrence has no IAM policy of its own: set the one of its note".to_owned(),
    ))
}

/// `GET projects/*/occurrences?filter=`.
pub(in crate::http) async fn list_occurrences(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let (filter, page) = (filter(&exchange)?, page(&exchange)?);
    let found = api.resources.occurrences(project(&exchange)?, &filter, &page).await?;
    listing(&exchange, "occurrences", &found, |occurrence| occurrence_json(&exchange, occurrence))
}

/// `GET projects/*/notes/*/occurrences?filter=`, in whatever project they live.
pub(in crate::http) async fn list_note_occurrences(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let (filter, page) = (filter(&exchange)?, page(&exchange)?);
    let found = api.resources.occurrences_of_note(note_name(&exchange)?, &filter, &page).await?;
    listing(&exchange, "occurrences", &found, |occurrence| occurrence_json(&exchange, occurrence))
}

/// `DELETE projects/*/occurrences/*`.
pub(in crate::http) async fn delete_occurrence(
    api: &Api,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    api.resources.delete_occurrence(occurrence_name(&exchange)?).await?;
    empty()
}

/// An occurrence speaks for its note, so who may attach to the note is asked, too.
async fn may_attach(
    api: &Api,
    exchange: &Exchange,
    occurrences: impl IntoIterator<Item = &Occurrence>,
) -> Result<(), HttpError> {
    let notes: BTreeSet<&NoteName> = occurrences.into_iter().map(|one| &one.note).collect();
    for note in notes {
        let permission = Permission::NotesAttachOccurrence;
        let place = Place::project(note.project().as_str());
        api.engine
            .authorizer
            .check_on(&exchange.caller, permission, place, &note.to_string())
            .await?;
    }
    Ok(())
}

fn created<'a, N: Display + 'a>(names: impl IntoIterator<Item = &'a N>) -> Change {
    let resources = names.into_iter().map(ToString::to_string).collect();
    Change { resources, ..Change::default() }
}

fn note_json(exchange: &Exchange, note: &Note) -> Value {
    in_version(exchange, note_to_json(note))
}

fn occurrence_json(exchange: &Exchange, occurrence: &Occurrence) -> Value {
    in_version(exchange, occurrence_to_json(occurrence))
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

fn patch(exchange: &Exchange) -> Result<Patch, HttpError> {
    let document = document_of_v1(exchange, &DocumentLimits::OCCURRENCE)?;
    let body = resource(document.root(), |root| root.json())?;
    let Value::Object(fields) = body else {
        return Err(HttpError::InvalidArgument("the body is not an object".to_owned()));
    };
    Ok(Patch { fields, mask: mask_of_v1(&exchange.query("updateMask")?.unwrap_or_default()) })
}

fn filter(exchange: &Exchange) -> Result<String, HttpError> {
    Ok(exchange.query("filter")?.unwrap_or_default())
}
