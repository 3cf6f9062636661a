//! `POST /v1/decisions`: may these images run? 200 for allow and deny alike.
//!
//! `request` reads the JSON of one request strictly, `stream` answers ndjson, a line each.

mod request;
mod stream;

use http::StatusCode;

use super::Doors;
use super::error::HttpError;
use super::exchange::{Answer, Exchange, JSON, answer};
use crate::admit::Origin;
use crate::metrics::http::Door;

pub(super) use stream::stream;

/// Who asks is not known until callers are authenticated.
static ORIGIN: Origin = Origin { door: Door::Decisions.name(), principal: None, review: None };

/// One request, one decision.
pub(super) async fn decide(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let request = request::parse(&exchange.body)?;
    let decisions = doors.admit(&ORIGIN, vec![request], exchange.deadline).await;
    let [recorded] = decisions.as_slice() else {
        return Err(HttpError::internal(format!("{} decisions for a request", decisions.len())));
    };
    Ok(answer(StatusCode::OK, JSON, recorded.json.clone()))
}
