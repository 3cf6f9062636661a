//! Writes, on the record: what is wanted, by whom, before anything is done, and the result before
//! the answer leaves.
//!
//! A write whose intent cannot be recorded is not carried out. One whose outcome cannot be recorded
//! is answered as unavailable; it may have happened, and its intent says that it was begun. A write
//! goes on, and its outcome is recorded, where the caller has gone away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::access;
use super::dispatch::caught;
use super::error::HttpError;
use super::exchange::Answer;
use super::exchange::Change;
use super::exchange::Exchange;
use super::exchange::Params;
use super::exchange::Written;
use super::routes::Route;
use crate::audit::write_record::{self, WriteRecord};
use crate::audit::{Account, Audit, AuditError};
use crate::auth::Caller;
use crate::http::Api;

/// Time that the record of an outcome may take: the write is done, and its record must not be lost
/// for lack of time.
const OUTCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// Refusals of callers without a name that are recorded at once, and each second: enough to see
/// that somebody tries, too few to fill a disk with. The next record says how many were not.
const NAMELESS_BURST: u32 = 100;
const NAMELESS_PER_SECOND: u32 = 10;

/// Bytes of a path or a message in the record of a refusal. A path may have 32 KiB, and at 10 a
/// second callers without a name could write 27 GB a day.
const REFUSAL_TEXT_BYTES_MAX: usize = 1_024;

/// Carries out a write and records it.
pub(in crate::http) async fn write(
    api: Arc<Api>,
    route: &'static Route,
    exchange: Exchange,
) -> Result<Answer, HttpError> {
    let log = &api.engine.write_log;
    let resource = access::resource(route, &exchange.params);
    let principal = exchange.caller.principal().map(str::to_owned);
    let id = Uuid::new_v4().to_string();
    let method = method(route);
    let mut record = WriteRecord {
        write: &id,
        principal: principal.as_deref(),
        method: &method,
        resource: &resource,
        ..WriteRecord::default()
    };
    let account = Account::Limited(record.principal);
    let intended = log.append(account, write_record::intent(&record), exchange.deadline).await;
    intended.map_err(|error| HttpError::unrecorded("nothing was done", &error))?;
    let (answered, change) = match caught((route.endpoint)(&api, exchange)).await {
        Ok(Written { answer, change }) => (Ok(answer), change),
        Err(error) => (Err(error), Change::default()),
    };
    let refusal = answered.as_ref().err().map(ToString::to_string);
    record.outcome = answered.as_ref().map_or_else(|error| error.status().1, |_| "OK");
    record.message = refusal.as_deref();
    record.resources = &change.resources;
    record.etag_before = change.etag_before.as_deref();
    record.etag_after = change.etag_after.as_deref();
    let account = Account::Owed(record.principal);
    let deadline = Instant::now() + OUTCOME_TIMEOUT;
    let recorded = log.append(account, write_record::outcome(&record), deadline).await;
    recorded.map_err(|error| HttpError::unrecorded("a write was carried out", &error))?;
    answered
}

/// As much of a caller's text as the record of a refusal holds.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(REFUSAL_TEXT_BYTES_MAX)]
}

fn method(route: &Route) -> String {
    format!("{} {}", route.method, route.path)
}

/// The record of writes.
#[derive(Debug)]
pub struct WriteLog {
    audit: Audit,
    nameless: Nameless,
}

impl WriteLog {
    /// Records writes in `audit`.
    pub fn new(audit: Audit) -> Self {
        Self { audit, nameless: Nameless::default() }
    }

    /// Records a write that was refused before it was begun.
    pub(in crate::http) async fn refused(
        &self,
        route: &Route,
        params: &Params,
        caller: Option<&Caller>,
        error: &HttpError,
        deadline: Instant,
    ) {
        let principal = caller.and_then(Caller::principal);
        let mut unrecorded = 0;
        if !matches!(caller, Some(Caller::Known(_))) {
            match self.nameless.take(Instant::now()) {
                Some(left_out) => unrecorded = left_out,
                None => return,
            }
        }
        let (resource, message) = (access::resource(route, params), error.to_string());
        let record = WriteRecord {
            principal,
            method: &method(route),
            resource: beginning(&resource),
            outcome: error.status().1,
            message: Some(beginning(&message)),
            unrecorded,
            ..WriteRecord::default()
        };
        let account = Account::Limited(principal);
        match self.append(account, write_record::outcome(&record), deadline).await {
            // Counted, and told of by the principal's next record.
            Ok(()) | Err(AuditError::LimitExceeded { .. }) => {}
            Err(error) => tracing::error!(%error, "a refusal was not recorded"),
        }
    }

    async fn append(
        &self,
        account: Account<'_>,
        record: Bytes,
        deadline: Instant,
    ) -> Result<(), AuditError> {
        self.audit.append(account, vec![record], deadline).await
    }
}

/// Bounds how many refusals of callers without a name are recorded.
#[derive(Debug, Default)]
struct Nameless(Mutex<Option<Bucket>>);

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled: Instant,
    left_out: u64,
}

impl Nameless {
    /// Takes room for one more record, if there is some, and answers how many were left out since
    /// the last.
    fn take(&self, now: Instant) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket { left: NAMELESS_BURST, filled: now, left_out: 0 };
        let bucket = bucket.get_or_insert(full);
        let seconds = now.saturating_duration_since(bucket.filled).as_secs();
        if seconds > 0 {
            let more =
                u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(NAMELESS_PER_SECOND);
            bucket.left = bucket.left.saturating_add(more).min(NAMELESS_BURST);
            bucket.filled += Duration::from_secs(seconds);
        }
        match bucket.left.checked_sub(1) {
            Some(left) => {
                bucket.left = left;
                Some(std::mem::take(&mut bucket.left_out))
            }
            None => {
                bucket.left_out += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_recorded_in_part_and_counted_in_whole() {
        let (nameless, start) = (Nameless::default(), Instant::now());
        let recorded = (0..1_000).filter(|_| nameless.take(start).is_some()).count();
        assert_eq!(recorded, 100);
        let later = start + Duration::from_secs(2);
        assert_eq!(nameless.take(later), Some(900));
        let recorded = (0..1_000).filter(|_| nameless.take(later).is_some()).count();
        assert_eq!(recorded, 19);
    }
}
