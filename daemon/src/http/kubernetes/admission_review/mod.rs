//! AdmissionReview of `admission.k8s.io/v1` and `v1beta1`, validating: may the images of this object run?
//!
//! `wire` reads the review, [`crate::workload`] finds the images, `answer` states the result. A
//! review that has a uid is answered with 200 whatever is wrong with its object, for an API server
//! may be told to let pass what it gets no answer to; an answer that denies it heeds.

mod answer;
mod wire;

use hallmark_core::attributes::{AttributeError, Namespace};
use hallmark_core::evaluate::Request;
use hallmark_core::excerpt::Excerpt;
use serde_json::value::RawValue;

use super::webhook;
use super::webhook::Cluster;
use super::webhook::Time;
use super::webhook::Undecided;
use super::{Kubernetes, UnknownKinds, Workloads};
use crate::admit::{Gate, Origin};
use crate::audit::record::Review;
use crate::http::Api;
use crate::http::dialect::Dialect;
use crate::http::engine::error::HttpError;
use crate::http::engine::exchange::Answer;
use crate::http::engine::exchange::Exchange;
use crate::http::engine::exchange::json;
use crate::workload::{Kind, Object, Pod};
use answer::{Reviewed, Verdict};
use wire::AdmissionRequest;

/// Reviews one object.
pub(in crate::http) async fn review(api: &Api, exchange: Exchange) -> Result<Answer, HttpError> {
    let cluster = Cluster::of(&exchange)?;
    let time = Time::of(&exchange)?;
    let request = wire::parse(&exchange.body)?;
    let (api_version, uid) = (request.api_version, request.uid.clone());
    let verdict = match Case::of(&request, api.kubernetes) {
        Ok(Case::Passes) => Verdict::allowed(),
        Ok(Case::Judged(judged)) => judge(&api.gate, &cluster, time, request, judged).await,
        Err(refusal) => {
            tracing::warn!(%uid, cluster = %cluster.name, "review denied: {}", refusal.message());
            Verdict::refused(&refusal)
        }
    };
    json(&verdict.reviewed(api_version, &uid))
}

/// Denies what would have to be judged, for lack of room.
pub(in crate::http) fn deny(api: &Api, exchange: &Exchange) -> Result<Answer, HttpError> {
    let request = wire::parse(&exchange.body)?;
    let verdict = match Case::of(&request, api.kubernetes) {
        Ok(Case::Passes) => Verdict::allowed(),
        Ok(Case::Judged(judged)) => Verdict::undecided(Undecided::Overloaded, judged.advisory),
        Err(refusal) => Verdict::refused(&refusal),
    };
    json(&verdict.reviewed(request.api_version, &request.uid))
}

/// The treatment of a request.
#[derive(Debug, PartialEq, Eq)]
enum Case {
    /// It starts no image.
    Passes,
    /// Its images are judged.
    Judged(Judged),
}

/// The images that a request starts.
#[derive(Debug, PartialEq, Eq)]
struct Judged {
    namespace: Namespace,
    /// Holds one image at least.
    pod: Pod,
    carried_by: Kind,
    /// The result is a warning at most.
    advisory: bool,
}

/// Why an object is denied without a decision on its images.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    /// Its images cannot be found.
    #[error(
        "denied by Binary Authorization: nobody knows where a {kind} of {group:?} carries images. \
         Leave it out of the webhook's rules, or configure unknown_kinds = \"allow\""
    )]
    UnknownKind { group: String, kind: String },
    /// It cannot be understood.
    #[error("denied by Binary Authorization: the review cannot be understood: {0}")]
    Malformed(String),
}

impl Refusal {
    fn message(&self) -> String {
        // The texts of the object may be of any length.
        Excerpt::<512>(&self.to_string()).to_string()
    }
}

impl Case {
    fn of(request: &AdmissionRequest<'_>, rules: Kubernetes) -> Result<Self, Refusal> {
        match request.operation.as_ref() {
            "CREATE" | "UPDATE" => {}
            "DELETE" | "CONNECT" => return Ok(Self::Passes),
            other => return Err(Refusal::Malformed(format!("its operation is {other:?}"))),
        }
        let kind = Kind::of(&request.kind.group, &request.kind.kind);
        let advisory = match (kind, rules.workloads) {
            (Kind::Nothing, _) | (Kind::Template(_), Workloads::Ignore) => {
                return Ok(Self::Passes);
            }
            (Kind::Unknown, _) => return unknown(request, rules),
            (Kind::Pod, _) | (Kind::Template(_), Workloads::Deny) => false,
            (Kind::Template(_), Workloads::Warn) => true,
        };
        let pod = pod(request)?;
        let namespace = namespace(request)?;
        // Of an update none may be new, and a template may leave all of them blank.
        match pod.images.is_empty() {
            true => Ok(Self::Passes),
            false => Ok(Self::Judged(Judged { namespace, pod, carried_by: kind, advisory })),
        }
    }
}

fn unknown(request: &AdmissionRequest<'_>, rules: Kubernetes) -> Result<Case, Refusal> {
    match rules.unknown_kinds {
        UnknownKinds::Allow => Ok(Case::Passes),
        UnknownKinds::Deny => Err(Refusal::UnknownKind {
            group: Excerpt::<64>(&request.kind.group).to_string(),
            kind: Excerpt::<64>(&request.kind.kind).to_string(),
        }),
    }
}

/// The pod with the images that this request starts. What runs already keeps running: of an update
/// only those are left that it adds or changes.
fn pod(request: &AdmissionRequest<'_>) -> Result<Pod, Refusal> {
    let kind = &request.kind;
    let read = |which: &str, object: &RawValue| {
        let read = Object::reviewed(object.get(), &kind.group, &kind.kind);
        read.and_then(|object| object.pod()).map_err(|why| malformed(which, &why.to_string()))
    };
    let object = request.object.ok_or_else(|| malformed("object", "there is none"))?;
    let mut pod = read("object", object)?;
    if request.operation == "UPDATE"
        && let Some(old) = request.old_object
    {
        pod.keep_changed(read("oldObject", old)?);
    }
    Ok(pod)
}

/// The namespace of the request: whatever an object says of its own, it goes there.
fn namespace(request: &AdmissionRequest<'_>) -> Result<Namespace, Refusal> {
    let Some(namespace) = request.namespace.as_deref() else {
        return Err(Refusal::Malformed("it names no namespace".to_owned()));
    };
    namespace.parse().map_err(|error: AttributeError| malformed("namespace", &error.to_string()))
}

fn malformed(which: &str, why: &str) -> Refusal {
    Refusal::Malformed(format!("{which}: {why}"))
}

async fn judge(
    gate: &Gate,
    cluster: &Cluster,
    time: Time,
    request: AdmissionRequest<'_>,
    judged: Judged,
) -> Verdict {
    let images = judged.pod.distinct_images();
    let question = Request {
        service_account: Some(judged.pod.account()),
        break_glass: judged.pod.break_glass,
        ..cluster.request(Some(judged.namespace.clone()), images)
    };
    let name = request.name.clone();
    let kind = request.kind.kind.as_ref().to_owned();
    let review = Some(asked(request, judged.advisory));
    let origin = Origin { review, ..cluster.origin(Dialect::AdmissionReview) };
    let decided = webhook::decide(gate, &origin, vec![question], time).await;
    let reviewed = Reviewed { kind, name, pod: &judged.pod, carried_by: judged.carried_by };
    let decision = decided.as_deref().and_then(<[_]>::first).map(|recorded| &recorded.decision);
    match (decision, judged.advisory) {
        (Some(decision), false) => reviewed.verdict(decision),
        (Some(decision), true) => reviewed.advice(decision),
        (None, advisory) => Verdict::undecided(Undecided::Late, advisory),
    }
}

/// The part of the audit record about the request.
fn asked(request: AdmissionRequest<'_>, advisory: bool) -> Review {
    let kind = match request.kind.group.as_ref() {
        "" => request.kind.kind.as_ref().into(),
        group => format!("{group}/{}", request.kind.kind).into(),
    };
    let some = |text: Option<Box<str>>| text.filter(|text| !text.is_empty());
    Review {
        uid: request.uid,
        operation: request.operation.as_ref().into(),
        kind,
        subresource: some(request.sub_resource),
        name: some(request.name),
        user: request.user_info.unwrap_or_default().into(),
        dry_run: request.dry_run == Some(true),
        advisory,
    }
}
