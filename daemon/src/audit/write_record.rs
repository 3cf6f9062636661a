//! The lines of the audit log about a write of a resource: one before it is carried out, one with
//! its result.

use bytes::Bytes;
use serde::Serialize;

/// The record of a write.
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
    /// The resource that the path names.
    pub resource: &'a str,
    /// `OK`, or the status of Google's APIs; empty in an intent.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub outcome: &'a str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
    /// The resources that were created, changed or deleted, if the path does not say.
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
pub fn intent(record: &WriteRecord<'_>) -> Bytes {
    object(&Typed { r#type: "writeIntent", record })
}

/// The line of a write that was carried out or refused.
pub fn outcome(record: &WriteRecord<'_>) -> Bytes {
    object(&Typed { r#type: "write", record })
}

#[derive(Serialize)]
struct Typed<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    record: &'a WriteRecord<'a>,
}

fn object(record: &impl Serialize) -> Bytes {
    serde_json::to_vec(record).expect("strings, numbers and booleans serialise into memory").into()
}
