//! AdmissionReview of `admission.k8s.io/v1` and `v1beta1`, validating: may the images of this object run?
//!
//! `wire` reads the review, `object` finds the images, `answer` says what came of it. A review that
//! has a uid is answered with 200 whatever is wrong with its object, for an API server may be told
//! to let pass what it gets no answer to; an answer that denies it heeds.

mod answer;
mod object;
mod wire;

use std::collections::HashSet;

use hallmark_core::evaluate::Request;

use super::Doors;
use super::error::HttpError;
use super::exchange::{Answer, Exchange, json};
use super::webhook::{self, Cluster, Time, Undecided};
use crate::admit::Origin;
use crate::audit::record::Review;
use crate::config::{Kubernetes, UnknownKinds, Workloads};
use crate::metrics::http::Door;
use answer::{Reviewed, Verdict};
use object::{Carries, Pod};
use wire::AdmissionRequest;

/// Reviews one object.
pub(super) async fn review(doors: &Doors, exchange: Exchange) -> Result<Answer, HttpError> {
    let cluster = Cluster::of(&exchange)?;
    let time = Time::of(&exchange)?;
    let request = wire::parse(&exchange.body)?;
    let (api_version, uid) = (request.api_version, request.uid.clone());
    let verdict = match Case::of(&request, doors.kubernetes) {
        Ok(Case::Passes) => Verdict::allowed(),
        Ok(Case::Judged(judged)) => judge(doors, &cluster, time, request, judged).await,
        Err(refusal) => {
            tracing::warn!(%uid, cluster = %cluster.name, "review denied: {}", refusal.message());
            Verdict::refused(&refusal)
        }
    };
    json(&verdict.reviewed(api_version, &uid))
}

/// Denies what would have to be judged, for want of room.
pub(super) fn deny(doors: &Doors, exchange: &Exchange) -> Result<Answer, HttpError> {
    let request = wire::parse(&exchange.body)?;
    let verdict = match Case::of(&request, doors.kubernetes) {
        Ok(Case::Passes) => Verdict::allowed(),
        Ok(Case::Judged(judged)) => Verdict::undecided(Undecided::Overloaded, judged.advisory),
        Err(refusal) => Verdict::refused(&refusal),
    };
    json(&verdict.reviewed(request.api_version, &request.uid))
}

/// What is to be done about a request.
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
    namespace: Box<str>,
    /// Holds one image at least.
    pod: Pod,
    carries: Carries,
    /// Whatever comes of it is a warning at most.
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
        // What the object says may be of any length.
        self.to_string().chars().take(512).collect()
    }
}

impl Case {
    fn of(request: &AdmissionRequest<'_>, rules: Kubernetes) -> Result<Self, Refusal> {
        match request.operation.as_ref() {
            "CREATE" | "UPDATE" => {}
            "DELETE" | "CONNECT" => return Ok(Self::Passes),
            other => return Err(Refusal::Malformed(format!("its operation is {other:?}"))),
        }
        let carries = Carries::of(&request.kind);
        let advisory = match (carries, rules.workloads) {
            (Carries::Nothing, _) | (Carries::Template(_), Workloads::Ignore) => {
                return Ok(Self::Passes);
            }
            (Carries::Unknown, _) => return unknown(request, rules),
            (Carries::Pod, _) | (Carries::Template(_), Workloads::Deny) => false,
            (Carries::Template(_), Workloads::Warn) => true,
        };
        let pod = pod(request, carries)?;
        let namespace = request.namespace.clone().filter(|namespace| !namespace.is_empty());
        let namespace =
            namespace.ok_or_else(|| Refusal::Malformed("it names no namespace".to_owned()))?;
        match pod.images.is_empty() {
            true => Ok(Self::Passes),
            false => Ok(Self::Judged(Judged { namespace, pod, carries, advisory })),
        }
    }
}

fn unknown(request: &AdmissionRequest<'_>, rules: Kubernetes) -> Result<Case, Refusal> {
    match rules.unknown_kinds {
        UnknownKinds::Allow => Ok(Case::Passes),
        UnknownKinds::Deny => Err(Refusal::UnknownKind {
            group: request.kind.group.chars().take(64).collect(),
            kind: request.kind.kind.chars().take(64).collect(),
        }),
    }
}

/// The pod with the images that this request starts. What runs already keeps running: of an update
/// only those are left that it adds or changes.
fn pod(request: &AdmissionRequest<'_>, carries: Carries) -> Result<Pod, Refusal> {
    let malformed = |which: &str, why: String| Refusal::Malformed(format!("{which}: {why}"));
    let object = request.object.ok_or_else(|| malformed("object", "there is none".to_owned()))?;
    let mut pod =
        Pod::read(object, &request.kind, carries).map_err(|why| malformed("object", why))?;
    if pod.images.is_empty() {
        return Err(malformed("object", "it has no containers".to_owned()));
    }
    if request.operation == "UPDATE"
        && let Some(old) = request.old_object
    {
        let old =
            Pod::read(old, &request.kind, carries).map_err(|why| malformed("oldObject", why))?;
        pod.keep_changed(old);
    }
    Ok(pod)
}

async fn judge(
    doors: &Doors,
    cluster: &Cluster,
    time: Time,
    request: AdmissionRequest<'_>,
    judged: Judged,
) -> Verdict {
    let mut seen = HashSet::new();
    let images = judged.pod.images.iter().map(|used| &used.image);
    let images = images.filter(|image| seen.insert(*image)).cloned().collect();
    let question = Request {
        namespace: Some(judged.namespace.clone()),
        service_account: Some(judged.pod.service_account.clone()),
        break_glass: judged.pod.break_glass,
        ..cluster.request(images)
    };
    let name = request.name.clone();
    let kind = request.kind.kind.as_ref().to_owned();
    let review = Some(asked(request, judged.advisory));
    let origin = Origin { review, ..cluster.origin(Door::AdmissionReview) };
    let decided = webhook::decide(doors, &origin, vec![question], time).await;
    let reviewed = Reviewed { kind, name, pod: &judged.pod, carries: judged.carries };
    let decision = decided.as_deref().and_then(<[_]>::first).map(|recorded| &recorded.decision);
    match (decision, judged.advisory) {
        (Some(decision), false) => reviewed.verdict(decision),
        (Some(decision), true) => reviewed.advice(decision),
        (None, advisory) => Verdict::undecided(Undecided::Late, advisory),
    }
}

/// What the audit record says of the request.
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
