//! `POST /v1/decisions`: may these images run? 200 for allow and deny alike, 429 for a caller that
//! has used up what it may write to the audit log.
//!
//! `request` reads the JSON of one request strictly, `stream` answers ndjson, a line each.

mod request;
mod stream;

use bytes::Bytes;
use hallmark_core::decision::{ImageDecision, Reason};
use hallmark_core::evaluate::Request;
use http::StatusCode;

use super::Api;
use crate::admit::{Origin, Recorded, admit};
use crate::auth::permission::Permission;
use crate::auth::{Caller, Place};
use crate::http::dialect::Dialect;
use crate::http::engine::access::Authorizer;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::JSON;
use crate::http::engine::exchange::answer;

pub use request::parse;
pub(super) use stream::stream;

/// One request, one decision.
pub(super) async fn decide(api: &Api, exchange: Exchange) -> Result<Answer, HttpError> {
    let request = parse(&exchange.body)?;
    may_ask(&api.engine.authorizer, &exchange.caller, &request)?;
    let origin = origin(&exchange.caller);
    let decisions = admit(&api.gate, &origin, vec![request], exchange.deadline).await;
    let [recorded] = decisions.as_slice() else {
        return Err(HttpError::internal(format!("{} decisions for a request", decisions.len())));
    };
    Ok(answer(StatusCode::OK, JSON, json(recorded)?.clone()))
}

/// The decision, unless the caller may have none recorded for now.
fn json(recorded: &Recorded) -> Result<&Bytes, HttpError> {
    let limited = |image: &ImageDecision| image.reason == Reason::AuditLimitExceeded;
    match recorded.decision.images.iter().any(limited) {
        true => Err(HttpError::AuditLimitExceeded),
        false => Ok(&recorded.json),
    }
}

fn may_ask(authorizer: &Authorizer, caller: &Caller, request: &Request) -> Result<(), HttpError> {
    let place =
        Place { project: Some(request.project.as_str()), cluster: request.cluster.as_deref() };
    authorizer.check(caller, Permission::DecisionsCreate, place)
}

fn origin(caller: &Caller) -> Origin {
    let principal = caller.principal().map(str::to_owned);
    Origin { api: Dialect::Decisions.name(), principal, review: None }
}
