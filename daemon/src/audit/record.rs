//! The content of a line of the audit log.

use bytes::Bytes;
use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;
use hallmark_core::names::PlatformPolicyName;
use hallmark_core::platform::result::{PodResult, pod_to_json};

use crate::decision_json::{capacity, raw, text, write_decision};

/// The line of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionRecord {
    /// A JSON object.
    pub line: Bytes,
    /// Its member `decision`: the very bytes that are recorded, for whoever asked.
    pub decision: Bytes,
}

/// Bytes of a line beside its decision, nearly always.
const CIRCUMSTANCES_BYTES: usize = 512;

/// The request for a decision.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The dialect.
    pub api: &'a str,
    /// Who asked the daemon, where that is known.
    pub principal: Option<&'a str>,
    /// The request to a Kubernetes API server, if one asked.
    pub review: Option<&'a Review>,
}

/// The request to a Kubernetes API server, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Its name for the review.
    pub uid: Box<str>,
    /// `CREATE` or `UPDATE`.
    pub operation: Box<str>,
    /// Of the object, such as `Pod` or `apps/Deployment`.
    pub kind: Box<str>,
    /// Where the request is for a part of the object, such as `ephemeralcontainers`.
    pub subresource: Option<Box<str>>,
    /// Of the object; absent where it is yet to be generated.
    pub name: Option<Box<str>>,
    /// Who asked the API server.
    pub user: User,
    /// Nothing was to be stored.
    pub dry_run: bool,
    /// The answer was a warning at most: the object only makes pods, and those are decided.
    pub advisory: bool,
}

/// A user of a Kubernetes API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Such as `system:serviceaccount:kube-system:job-controller`.
    pub username: Box<str>,
    /// Tells users of one name apart over time.
    pub uid: Option<Box<str>>,
    /// The groups it is in.
    pub groups: Vec<Box<str>>,
}

/// The line of a decision on `request`.
pub fn decision(asked: Asked<'_>, request: &Request, decision: &Decision) -> DecisionRecord {
    let mut line = Vec::with_capacity(CIRCUMSTANCES_BYTES + capacity(decision));
    raw(&mut line, r#"{"type":"decision""#);
    members(
        &mut line,
        &[
            (r#","api":"#, Some(asked.api)),
            // Its name until now: written beside it for one more release.
            (r#","door":"#, Some(asked.api)),
            (r#","principal":"#, asked.principal),
            (r#","project":"#, Some(request.project.as_str())),
            (r#","cluster":"#, request.cluster.as_deref()),
            (r#","namespace":"#, request.namespace.as_deref()),
            (r#","serviceAccount":"#, request.service_account.as_deref()),
            (r#","istioIdentity":"#, request.istio_identity.as_deref()),
        ],
    );
    if let Some(asked) = asked.review {
        review(asked, &mut line);
    }
    raw(&mut line, r#","decision":"#);
    let start = line.len();
    write_decision(decision, &mut line);
    let end = line.len();
    raw(&mut line, "}");
    let line = Bytes::from(line);
    DecisionRecord { decision: line.slice(start..end), line }
}

/// The line of an answer for one pod under a platform policy of that name, in the snapshot of that
/// generation.
pub fn conformance(
    asked: Asked<'_>,
    (policy, generation): (&PlatformPolicyName, u64),
    result: &PodResult,
) -> Bytes {
    let mut line = Vec::with_capacity(CIRCUMSTANCES_BYTES);
    raw(&mut line, r#"{"type":"conformance""#);
    let policy = policy.to_string();
    members(
        &mut line,
        &[
            (r#","api":"#, Some(asked.api)),
            // Its name until now: written beside it for one more release.
            (r#","door":"#, Some(asked.api)),
            (r#","principal":"#, asked.principal),
            (r#","policy":"#, Some(&policy)),
        ],
    );
    raw(&mut line, &format!(r#","generation":{generation},"pod":"#));
    serde_json::to_writer(&mut line, &pod_to_json(result)).expect("JSON is written into memory");
    raw(&mut line, "}");
    line.into()
}

/// The members that there are.
fn members(line: &mut Vec<u8>, members: &[(&str, Option<&str>)]) {
    for (member, value) in members {
        if let Some(value) = value {
            raw(line, member);
            text(line, value);
        }
    }
}

fn review(review: &Review, line: &mut Vec<u8>) {
    let flag = |flag: bool| if flag { "true" } else { "false" };
    raw(line, r#","review":{"dryRun":"#);
    raw(line, flag(review.dry_run));
    raw(line, r#","advisory":"#);
    raw(line, flag(review.advisory));
    members(
        line,
        &[
            (r#","uid":"#, Some(&review.uid)),
            (r#","operation":"#, Some(&review.operation)),
            (r#","kind":"#, Some(&review.kind)),
            (r#","subresource":"#, review.subresource.as_deref()),
            (r#","name":"#, review.name.as_deref()),
            (r#","user":{"username":"#, Some(&review.user.username)),
            (r#","uid":"#, review.user.uid.as_deref()),
        ],
    );
    raw(line, r#","groups":["#);
    for (nth, group) in review.user.groups.iter().enumerate() {
        if nth > 0 {
            raw(line, ",");
        }
        text(line, group);
    }
    raw(line, "]}}");
}
