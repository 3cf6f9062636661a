//! Lines that the log holds of itself: that it could not be written for a time, and why, and how
//! much was refused.

use bytes::Bytes;
use serde::Serialize;

use super::log::{Body, BodyTooLong, Mended};

/// The type of the line that continues the chain in a new file.
pub(super) const CONTINUED: &str = "logContinued";

/// A fault of the log that is over.
#[derive(Debug)]
pub(super) struct Outage<'a> {
    /// The fault.
    pub(super) cause: &'a str,
    /// When it was noticed.
    pub(super) since: jiff::Timestamp,
    /// Records that were refused meanwhile; what they would have recorded was denied.
    pub(super) refused: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    r#type: &'static str,
    cause: &'a str,
    since: String,
    refused: u64,
    #[serde(flatten)]
    damaged: Option<Damaged>,
}

/// The numbers that were in a damaged file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Damaged {
    first_seq: u64,
    last_seq: u64,
}

/// The line that ends an outage: `logResumed` in the same file, `logContinued` in a new one.
pub(super) fn ended(outage: &Outage<'_>, mended: Mended) -> Result<Body, BodyTooLong> {
    let damaged = match mended {
        Mended::Whole => None,
        Mended::Continued { first_seq, next_seq } => {
            Some(Damaged { first_seq, last_seq: next_seq.saturating_sub(1) })
        }
    };
    object(&Line {
        r#type: if damaged.is_some() { CONTINUED } else { "logResumed" },
        cause: outage.cause,
        since: format!("{:.6}", outage.since),
        refused: outage.refused,
        damaged,
    })
}

/// The line that tells how many records of a principal were refused since its last: it had used up
/// what it may have recorded.
pub(super) fn unrecorded(principal: Option<&str>, records: u64) -> Result<Body, BodyTooLong> {
    #[derive(Serialize)]
    struct Line<'a> {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        principal: Option<&'a str>,
        records: u64,
    }
    object(&Line { r#type: "unrecorded", principal, records })
}

fn object(line: &impl Serialize) -> Result<Body, BodyTooLong> {
    let json = serde_json::to_vec(line).expect("strings and numbers serialise into memory");
    Body::new(Bytes::from(json))
}
