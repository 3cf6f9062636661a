//! The input of an endpoint, and helpers to read it and to answer.

use std::time::Instant;

use bytes::Bytes;
use hallmark_core::document::read::camel_case;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::error::HttpError;
use crate::auth::Caller;
use crate::resources;

/// A whole answer.
pub type Answer = Response<Full<Bytes>>;

/// `Content-Type` of every JSON answer.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One request, its body read whole under the limits of the server.
#[derive(Debug)]
pub struct Exchange {
    /// `HEAD` arrives as such at the endpoint of `GET`; its body is cut off on the wire.
    pub method: Method,
    /// Path and query as sent.
    pub uri: Uri,
    /// The parts of the path that the route names, percent-decoded.
    pub params: Params,
    /// As sent, without `Authorization`.
    pub headers: HeaderMap,
    /// Who asks; let in at the route already.
    pub caller: Caller,
    /// Empty where none was sent.
    pub body: Bytes,
    /// When its head had arrived.
    pub received: Instant,
    /// When the answer must be there; later, the caller is told 504.
    pub deadline: Instant,
}

impl Exchange {
    /// A part of the path by its name in the route; empty where the route has no such part, and no
    /// id is empty.
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name)
    }

    /// A query parameter by its name in camelCase, decoded; snake_case is read, too. Given twice, it
    /// is refused.
    pub fn query(&self, name: &str) -> Result<Option<String>, HttpError> {
        let pairs = self.uri.query().unwrap_or_default().split('&');
        let mut values = pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(|(key, _)| decoded(key).is_ok_and(|key| camel_case(&key) == name));
        let Some((_, value)) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(HttpError::InvalidArgument(format!(
                "query parameter `{name}` given twice"
            )));
        }
        decoded(value).map(Some).map_err(|_| {
            HttpError::InvalidArgument(format!("query parameter `{name}` is not UTF-8"))
        })
    }
}

fn decoded(text: &str) -> Result<String, std::str::Utf8Error> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned)
}

/// An answer, and of a write what it changed.
#[derive(Debug)]
pub struct Written {
    /// For the caller.
    pub answer: Answer,
    /// For the record of the write.
    pub change: Change,
}

/// Nothing was written, or the path says all that there is to record.
impl From<Answer> for Written {
    fn from(answer: Answer) -> Self {
        Self { answer, change: Change::default() }
    }
}

/// The changes of a write, for its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The resources that were created, changed or deleted, if the path does not say.
    pub resources: Vec<String>,
    /// The etag before; `None` where there was none.
    pub etag_before: Option<String>,
    /// The etag after; `None` where there is none.
    pub etag_after: Option<String>,
}

impl Change {
    /// A resource that the path names was replaced by one with this etag.
    pub fn replaced<T>(written: &resources::Written<T>, etag: &str) -> Self {
        Self {
            etag_before: written.etag_before.clone(),
            etag_after: Some(etag.to_owned()),
            ..Self::default()
        }
    }

    /// A resource was created under this name, with an etag where it has any.
    pub fn created(name: &impl ToString, etag: Option<String>) -> Self {
        Self { resources: vec![name.to_string()], etag_before: None, etag_after: etag }
    }

    /// The resource that the path names was deleted.
    pub fn deleted(etag_before: Option<String>) -> Self {
        Self { etag_before, ..Self::default() }
    }
}

/// The decoded parts of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, String)>);

impl Params {
    pub(in crate::http) fn push(&mut self, name: &'static str, value: String) {
        self.0.push((name, value));
    }

    /// The part of this name; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

/// An answer of 200 with a JSON body.
pub fn json(value: &impl Serialize) -> Result<Answer, HttpError> {
    let body = serde_json::to_vec(value)
        .map_err(|error| HttpError::internal(format!("an answer did not render: {error}")))?;
    Ok(answer(StatusCode::OK, JSON, Bytes::from(body)))
}

/// An answer of any kind.
pub fn answer(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}
