//! What a line of the audit log holds.

use bytes::Bytes;
use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;

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

/// The line of a decision on `request`, which came in at `door` from `principal`.
pub fn decision(
    door: &str,
    principal: Option<&str>,
    request: &Request,
    decision: &Decision,
) -> DecisionRecord {
    let mut line = Vec::with_capacity(CIRCUMSTANCES_BYTES + capacity(decision));
    raw(&mut line, r#"{"type":"decision""#);
    for (member, value) in [
        (r#","door":"#, Some(door)),
        (r#","principal":"#, principal),
        (r#","project":"#, Some(request.project.as_str())),
        (r#","cluster":"#, request.cluster.as_deref()),
        (r#","namespace":"#, request.namespace.as_deref()),
        (r#","serviceAccount":"#, request.service_account.as_deref()),
        (r#","istioIdentity":"#, request.istio_identity.as_deref()),
    ] {
        if let Some(value) = value {
            raw(&mut line, member);
            text(&mut line, value);
        }
    }
    raw(&mut line, r#","decision":"#);
    let start = line.len();
    write_decision(decision, &mut line);
    let end = line.len();
    raw(&mut line, "}");
    let line = Bytes::from(line);
    DecisionRecord { decision: line.slice(start..end), line }
}
