//! `POST /v1/decisions`: may these images run? 200 for allow and deny alike.
//!
//! `request` reads the JSON of one request strictly, `stream` answers ndjson, a line each.

mod request;
mod stream;

use bytes::Bytes;
use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;
use http::StatusCode;

use super::Doors;
use super::error::HttpError;
use super::exchange::{Answer, Exchange, JSON, answer};
use crate::admit::Origin;
use crate::auth::Caller;
use crate::auth::permission::Permission;
use crate::decision_json::DecisionJson;
use crate::metrics::http::Door;

pub(super) use stream::stream;

/// One request, one decision.
pub(super) async fn decide(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let request = request::parse(&exchange.body)?;
    may_ask(doors, &exchange.caller, &request)?;
    let decisions = doors.admit(&origin(&exchange.caller), vec![request], exchange.deadline).await;
    let [decision] = decisions.as_slice() else {
        return Err(HttpError::internal(format!("{} decisions for a request", decisions.len())));
    };
    let mut body = Vec::new();
    render(decision, &mut body)?;
    Ok(answer(StatusCode::OK, JSON, Bytes::from(body)))
}

fn may_ask(doors: &Doors, caller: &Caller, request: &Request) -> Result<(), HttpError> {
    let project = request.project.as_str();
    doors.check(caller, Permission::DecisionsCreate, project, &format!("projects/{project}"))
}

fn origin(caller: &Caller) -> Origin {
    Origin { door: Door::Decisions.name(), principal: caller.principal().map(str::to_owned) }
}

/// Appends the decision as JSON, with no line break in it.
fn render(decision: &Decision, out: &mut Vec<u8>) -> Result<(), HttpError> {
    let json = DecisionJson(decision);
    out.reserve(json.capacity());
    serde_json::to_writer(out, &json)
        .map_err(|error| HttpError::internal(format!("a decision did not render: {error}")))
}
