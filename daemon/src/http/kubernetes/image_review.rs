//! ImageReview of `imagepolicy.k8s.io/v1alpha1`, from the ImagePolicyWebhook admission plugin.
//!
//! It carries the images of containers, the namespace, and annotations of the pod under
//! `*.image-policy.k8s.io/`; no service account, no labels, no image volumes, and nothing of what ran
//! before.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;
use hallmark_core::policy::RuleMatch;
use serde::{Deserialize, Serialize};

use super::webhook::BREAK_GLASS_KEY;
use super::webhook::Cluster;
use super::webhook::DRY_RUN_KEY;
use super::webhook::OVERRIDDEN_KEY;
use super::webhook::Time;
use super::webhook::Undecided;
use super::webhook::causes;
use super::webhook::decide;
use super::webhook::denied;
use super::webhook::message;
use crate::http::Api;
use crate::http::dialect::Dialect;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::json;
use crate::workload::{Annotations, Few};

const API_VERSION: &str = "imagepolicy.k8s.io/v1alpha1";
const KIND: &str = "ImageReview";

/// Said where the default rule denies, for a rule of a service account might have been meant.
const WHAT_IS_MISSING: &str =
    ". (An ImageReview names no service account: no rule for one applies)";

/// Reviews the images of one pod.
pub(in crate::http) async fn review(api: &Api, exchange: Exchange) -> Result<Answer, HttpError> {
    let cluster = Cluster::of(&exchange)?;
    let time = Time::of(&exchange)?;
    let request = request(&cluster, &exchange.body)?;
    let origin = cluster.origin(Dialect::ImageReview);
    let decided = decide(&api.gate, &origin, vec![request], time).await;
    let status = match decided.as_deref() {
        Some([recorded, ..]) => Status::of(&recorded.decision),
        _ => Status::undecided(Undecided::Late),
    };
    json(&Answered { api_version: API_VERSION, kind: KIND, status })
}

/// Denies it, for lack of room.
pub(in crate::http) fn deny(_: &Api, exchange: &Exchange) -> Result<Answer, HttpError> {
    request(&Cluster::of(exchange)?, &exchange.body)?;
    let status = Status::undecided(Undecided::Overloaded);
    json(&Answered { api_version: API_VERSION, kind: KIND, status })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct Spec {
    containers: Option<Few<Container>>,
    annotations: Option<Annotations>,
    namespace: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Container {
    image: Option<Box<str>>,
}

fn request(cluster: &Cluster, json: &[u8]) -> Result<Request, HttpError> {
    let review: Review<'_> =
        hallmark_json::from_slice(json).map_err(|error| HttpError::json(&error))?;
    let refused = |problem: &str| Err(HttpError::InvalidArgument(problem.to_owned()));
    if review.api_version != API_VERSION || review.kind != KIND {
        return refused("this is not an ImageReview of imagepolicy.k8s.io/v1alpha1");
    }
    let Some(spec) = review.spec else { return refused("the review has no `spec`") };
    let mut seen = HashSet::new();
    let images = spec.containers.into_iter().flatten().map(|one| one.image.unwrap_or_default());
    let images: Vec<_> = images.filter(|image| seen.insert(image.clone())).collect();
    if images.is_empty() {
        return refused("the review has no containers");
    }
    let Some(namespace) = spec.namespace else {
        return refused("the review names no namespace");
    };
    let namespace = namespace.parse()?;
    let annotations = spec.annotations.as_ref();
    Ok(Request {
        break_glass: annotations.is_some_and(Annotations::ask_for_break_glass),
        ..cluster.request(Some(namespace), images)
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    api_version: &'static str,
    kind: &'static str,
    status: Status,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    allowed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: BTreeMap<&'static str, String>,
}

impl Status {
    fn undecided(why: Undecided) -> Self {
        Self { reason: why.denial(), ..Self::default() }
    }

    fn of(decision: &Decision) -> Self {
        let mut status = Self { allowed: decision.allowed, ..Self::default() };
        if decision.break_glass {
            status.audit_annotations.insert(BREAK_GLASS_KEY, "true".to_owned());
        }
        if !decision.allowed {
            status.reason = message(decision);
            if denied(decision).any(|image| image.rule == Some(RuleMatch::Default)) {
                status.reason.push_str(WHAT_IS_MISSING);
            }
        } else if !decision.conforms() {
            status.audit_annotations.insert(OVERRIDDEN_KEY, causes(decision));
            if decision.dry_run {
                status.audit_annotations.insert(DRY_RUN_KEY, "true".to_owned());
            }
        }
        status
    }
}
