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

fn object(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("strings, numbers and booleans serialise into memory")
}
