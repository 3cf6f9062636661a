//! Common parts of the Google-shaped dialects: names from the path, documents from the body, pages,
//! and errors.
//!
//! Of the query parameters that every Google client may add only `alt` and `$alt` change anything
//! here: answers are JSON, its enums by name or, with `json;enum-encoding=int`, by number. The
//! others (`prettyPrint`, `key`, `quotaUser`, …) are not looked at.

use std::str::FromStr;

use hallmark_core::attributes::AttributeError;
use hallmark_core::document::read::{FieldError, FieldErrors, FieldProblem, Hint};
use hallmark_core::document::{Document, DocumentError, DocumentLimits};
use hallmark_core::excerpt::Excerpt;
use hallmark_core::names::{GLOBAL, NameError, ProjectId};
use serde_json::{Map, Value};

use super::enums;
use crate::http::engine::error::FieldViolation;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::json;
use crate::resources::{Page, PageRequest, ResourceError};

/// The project of the path.
pub(in crate::http) fn project(exchange: &Exchange) -> Result<ProjectId, HttpError> {
    check_location(exchange)?;
    Ok(exchange.param("project").parse::<ProjectId>()?)
}

/// The name of a resource out of the path: `projects/{project}/{collection}/{id}`.
pub(in crate::http) fn named<T: FromStr<Err = NameError>>(
    exchange: &Exchange,
    collection: &str,
    id: &str,
) -> Result<T, HttpError> {
    check_location(exchange)?;
    Ok(format!("projects/{}/{collection}/{id}", exchange.param("project")).parse()?)
}

/// The location, where the path has one, must be the one that there is.
fn check_location(exchange: &Exchange) -> Result<(), HttpError> {
    match exchange.param("location") {
        "" | GLOBAL => Ok(()),
        other => {
            let other = Excerpt::<64>(other);
            let hint = "there is one location, global, which may be left out of names";
            Err(HttpError::NotFound(format!("location `{other}` not found: {hint}")))
        }
    }
}

/// A query parameter that must be there.
pub(in crate::http) fn required(exchange: &Exchange, name: &str) -> Result<String, HttpError> {
    let given = exchange.query(name)?.filter(|value| !value.is_empty());
    given.ok_or_else(|| HttpError::InvalidArgument(format!("query parameter `{name}` is required")))
}

/// The body as a document.
pub(in crate::http) fn document(
    exchange: &Exchange,
    limits: &DocumentLimits,
) -> Result<Document, HttpError> {
    Ok(Document::from_relaxed_json_bytes(&exchange.body, limits)?)
}

/// `pageSize` and `pageToken`.
pub(in crate::http) fn page(exchange: &Exchange) -> Result<PageRequest, HttpError> {
    let size = exchange.query("pageSize")?.filter(|size| !size.is_empty());
    let size = size.map(|size| size.parse()).transpose().map_err(|_| {
        HttpError::InvalidArgument("query parameter `pageSize` is not a number".to_owned())
    })?;
    Ok(PageRequest { size, token: exchange.query("pageToken")?.unwrap_or_default() })
}

/// An answer of 200, its enums as the client asks for them.
pub(in crate::http) fn answer(exchange: &Exchange, mut value: Value) -> Result<Answer, HttpError> {
    if enums_as_numbers(exchange)? {
        enums::to_numbers(&mut value);
    }
    json(&value)
}

fn enums_as_numbers(exchange: &Exchange) -> Result<bool, HttpError> {
    let mut as_numbers = false;
    for name in ["alt", "$alt"] {
        match exchange.query(name)?.as_deref() {
            None | Some("" | "json") => {}
            Some("json;enum-encoding=int") => as_numbers = true,
            Some(_) => {
                let hint = format!("query parameter `{name}`: answers are JSON, ask for alt=json");
                return Err(HttpError::InvalidArgument(hint));
            }
        }
    }
    Ok(as_numbers)
}

/// A page as `{"COLLECTION":[…],"nextPageToken":"…"}`; what is empty is left out.
pub(in crate::http) fn listing<T>(
    exchange: &Exchange,
    collection: &str,
    page: &Page<T>,
    render: impl Fn(&T) -> Value,
) -> Result<Answer, HttpError> {
    let mut object = Map::new();
    if !page.items.is_empty() {
        object.insert(collection.to_owned(), page.items.iter().map(render).collect());
    }
    if !page.next_page_token.is_empty() {
        object.insert("nextPageToken".to_owned(), page.next_page_token.clone().into());
    }
    answer(exchange, object.into())
}

/// The answer to a deletion.
pub(in crate::http) fn empty() -> Result<Answer, HttpError> {
    json(&Map::new())
}

impl From<ResourceError> for HttpError {
    fn from(error: ResourceError) -> Self {
        let text = error.to_string();
        match error {
            ResourceError::Invalid { field, problem } => Self::InvalidFields {
                message: text,
                violations: vec![FieldViolation { field, description: problem }],
            },
            ResourceError::NotFound(_) => Self::NotFound(text),
            ResourceError::AlreadyExists(_) => Self::AlreadyExists(text),
            ResourceError::EtagMismatch { .. } => Self::Aborted(text),
            ResourceError::LimitExceeded { .. } => Self::ResourceExhausted(text),
            ResourceError::ReadOnly(_) => Self::FailedPrecondition(text),
            ResourceError::Unavailable(_) => Self::Unavailable { inside: text },
        }
    }
}

impl From<DocumentError> for HttpError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Fields(errors) => errors.into(),
            other => Self::InvalidArgument(other.to_string()),
        }
    }
}

impl From<FieldErrors> for HttpError {
    fn from(errors: FieldErrors) -> Self {
        let message = |error: &FieldError| match unknown_field(error) {
            Some(FieldViolation { description, .. }) => description,
            None => error.to_string(),
        };
        let mut lines: Vec<_> = errors.errors.iter().map(message).collect();
        if errors.omitted > 0 {
            lines.push(format!("and {} more", errors.omitted));
        }
        let violation = |error: FieldError| {
            unknown_field(&error).unwrap_or_else(|| FieldViolation {
                description: error.problem.to_string(),
                field: error.path,
            })
        };
        Self::InvalidFields {
            message: lines.join("\n"),
            violations: errors.errors.into_iter().map(violation).collect(),
        }
    }
}

/// A field that there is not, in the words of Google's API: it is the object that is at fault.
fn unknown_field(error: &FieldError) -> Option<FieldViolation> {
    let FieldProblem::Unknown { similar } = error.problem else { return None };
    let hint = Hint(similar);
    let (object, name) = error.path.rsplit_once('.').unwrap_or(("", &error.path));
    let at = if object.is_empty() { String::new() } else { format!(" at '{object}'") };
    Some(FieldViolation {
        field: object.to_owned(),
        description: format!(
            "Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field.{hint}"
        ),
    })
}

/// A malformed attribute would match no rule: it is refused, and nothing decided.
impl From<AttributeError> for HttpError {
    fn from(error: AttributeError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}

impl From<NameError> for HttpError {
    fn from(error: NameError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}
