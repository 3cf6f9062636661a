//! External data provider of Gatekeeper, `externaldata.gatekeeper.sh/v1beta1`: images in, one verdict
//! for each out.
//!
//! It carries images and nothing else: no namespace, no service account, no break-glass, and not
//! which of the images belong together. Gatekeeper keeps answers for minutes.

use std::borrow::Cow;

use hallmark_core::decision::Decision;
use hallmark_core::policy::RuleMatch;
use serde::{Deserialize, Serialize};

use super::webhook::Cluster;
use super::webhook::Time;
use super::webhook::Undecided;
use super::webhook::decide;
use super::webhook::message;
use crate::http::Api;
use crate::http::dialect::Dialect;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::json;
use crate::workload::Few;
use hallmark_core::limits::Limits;

const API_VERSION: &str = "externaldata.gatekeeper.sh/v1beta1";

/// Said where the default rule denies, for another rule might have been meant.
const WHAT_IS_MISSING: &str = ". (Gatekeeper names neither namespace nor service account: no rule \
     for one applies)";

/// Judges images, each for itself.
pub(in crate::http) async fn validate(api: &Api, exchange: Exchange) -> Result<Answer, HttpError> {
    let cluster = Cluster::of(&exchange)?;
    let time = Time::of(&exchange)?;
    let keys = keys(&exchange.body)?;
    let requests = keys.iter().map(|key| cluster.request(None, vec![key.clone()])).collect();
    let origin = cluster.origin(Dialect::ExternalData);
    let (items, system_error) = match decide(&api.gate, &origin, requests, time).await {
        Some(decided) => {
            let decisions = decided.iter().map(|recorded| &recorded.decision);
            (
                keys.iter().zip(decisions).map(|(key, decision)| Item::of(key, decision)).collect(),
                String::new(),
            )
        }
        None => (Vec::new(), Undecided::Late.denial()),
    };
    answer(items, system_error)
}

/// Denies all of them, for lack of room.
pub(in crate::http) fn deny(_: &Api, exchange: &Exchange) -> Result<Answer, HttpError> {
    Cluster::of(exchange)?;
    keys(&exchange.body)?;
    answer(Vec::new(), Undecided::Overloaded.denial())
}

fn answer(items: Vec<Item<'_>>, system_error: String) -> Result<Answer, HttpError> {
    let response = Response { idempotent: true, items, system_error };
    json(&ProviderResponse { api_version: API_VERSION, kind: "ProviderResponse", response })
}

fn keys(json: &[u8]) -> Result<Vec<Box<str>>, HttpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ProviderRequest<'a> {
        #[serde(borrow)]
        api_version: Cow<'a, str>,
        #[serde(borrow)]
        kind: Cow<'a, str>,
        request: Keys,
    }
    #[derive(Deserialize)]
    struct Keys {
        keys: Option<Few<Box<str>>>,
    }
    let asked: ProviderRequest<'_> =
        hallmark_json::from_slice(json).map_err(|error| HttpError::json(&error))?;
    let refused = |problem: String| Err(HttpError::InvalidArgument(problem));
    if asked.api_version != API_VERSION || asked.kind != "ProviderRequest" {
        return refused(format!("this is not a ProviderRequest of {API_VERSION}"));
    }
    let keys = asked.request.keys.map_or_else(Vec::new, |keys| keys.0);
    let max = Limits::DEFAULT.images_max;
    if keys.len() > max {
        return refused(format!(
            "more than {max} keys: ask for the images of one object at a time"
        ));
    }
    Ok(keys)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProviderResponse<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    /// The same images, the same answer.
    idempotent: bool,
    items: Vec<Item<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    system_error: String,
}

#[derive(Serialize)]
struct Item<'a> {
    key: &'a str,
    /// Where the image is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    /// Where it is denied.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Value {
    allowed: bool,
    reason: &'static str,
    /// It is allowed only because the rule is not enforced yet.
    dry_run: bool,
}

impl<'a> Item<'a> {
    fn of(key: &'a str, decision: &Decision) -> Self {
        if !decision.allowed {
            let mut error = message(decision);
            if decision.images.iter().any(|image| image.rule == Some(RuleMatch::Default)) {
                error.push_str(WHAT_IS_MISSING);
            }
            return Self { key, value: None, error };
        }
        let reason = decision.images.first().map_or("", |image| image.reason.code());
        let dry_run = !decision.conforms();
        Self { key, value: Some(Value { allowed: true, reason, dry_run }), error: String::new() }
    }
}
