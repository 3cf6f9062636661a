//! The one path: plan → gather → pair → verify → decide → record.

use std::time::Instant;

use hallmark_core::decision::Decision;
use hallmark_core::evaluate::Request;

/// Everything that deciding needs. One per daemon.
#[derive(Debug)]
pub struct Gate {}

/// Where requests come from, for the audit record and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The dialect that asks, a bounded word such as `decisions` or `admission_review`.
    pub door: &'static str,
    /// Who asks, where that is known.
    pub principal: Option<String>,
}

/// Decides requests, each on its own, and records every decision before it returns.
///
/// A batch is the base case: requests that arrive together share one read of the store, one batch
/// of verifications and one write of the audit log. Never fails: what cannot be determined,
/// gathered, verified or recorded before `deadline` is a denial that says so.
pub async fn admit(
    gate: &Gate,
    origin: &Origin,
    requests: Vec<Request>,
    deadline: Instant,
) -> Vec<Decision> {
    let _ = (gate, origin, requests, deadline);
    std::future::ready(Vec::new()).await
}
