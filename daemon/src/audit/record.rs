//! What a line of the audit log holds.

use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;
use serde::Serialize;

use crate::decision_json::DecisionJson;

/// The line of a decision, as a JSON object.
pub fn decision(
    door: &str,
    principal: Option<&str>,
    request: &Request,
    decision: &Decision,
) -> Vec<u8> {
    object(&DecisionRecord {
        r#type: "decision",
        door,
        principal,
        project: request.project.as_str(),
        cluster: request.cluster.as_deref(),
        namespace: request.namespace.as_deref(),
        service_account: request.service_account.as_deref(),
        istio_identity: request.istio_identity.as_deref(),
        decision: DecisionJson(decision),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DecisionRecord<'a> {
    r#type: &'static str,
    door: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    project: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    istio_identity: Option<&'a str>,
    decision: DecisionJson<'a>,
}

/// What is recorded of a write.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WriteRecord<'a> {
    /// Joins intent and outcome; empty where the write was refused before it was begun.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub write: &'a str,
    /// Who, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<&'a str>,
    /// Method and path of the route, such as `PUT /v1/projects/{project}/policy`.
    pub method: &'a str,
    /// What the path names.
    pub resource: &'a str,
    /// `OK`, or the status of Google's APIs; empty in an intent.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub outcome: &'a str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// What was created, changed or deleted, where the path does not say.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub resources: &'a [String],
    /// The etag before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag_before: Option<&'a str>,
    /// The etag after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag_after: Option<&'a str>,
    /// Refusals of callers without a name that were too many to record, since the last that was.
    #[serde(skip_serializing_if = "is_zero")]
    pub unrecorded: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The line of a write that is about to be carried out.
pub fn write_intent(record: &WriteRecord<'_>) -> Vec<u8> {
    object(&Typed { r#type: "writeIntent", record })
}

/// The line of a write that was carried out or refused.
pub fn write(record: &WriteRecord<'_>) -> Vec<u8> {
    object(&Typed { r#type: "write", record })
}

#[derive(Serialize)]
struct Typed<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    record: &'a WriteRecord<'a>,
}

fn object(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("strings, numbers and booleans serialise into memory")
}
