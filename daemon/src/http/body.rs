//! Reading the body of a request whole, within its limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::error::HttpError;
use super::limits::{BODY_BYTES_FREE, ServerLimits};
use crate::metrics::http::ShedCause;

/// A body, and its share of the budget that all bodies have together.
pub(super) struct WholeBody<'a> {
    pub(super) bytes: Bytes,
    pub(super) share: Share<'a>,
}

/// Reads a body. One that says beforehand that it is too large is refused unread.
pub(super) async fn read<'a>(
    body: Incoming,
    limits: &ServerLimits,
    budget: &'a Semaphore,
) -> Result<WholeBody<'a>, HttpError> {
    let mut share = Share { budget, permit: None };
    if body.is_end_stream() {
        return Ok(WholeBody { bytes: Bytes::new(), share });
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    check(announced, limits)?;
    share.cover(announced)?;
    match timeout(limits.body_timeout, collect(body, limits, &mut share)).await {
        Ok(bytes) => Ok(WholeBody { bytes: bytes?, share }),
        Err(_) => Err(late(limits.body_timeout)),
    }
}

async fn collect(
    mut body: Incoming,
    limits: &ServerLimits,
    share: &mut Share<'_>,
) -> Result<Bytes, HttpError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| HttpError::BodyBroken)?.into_data() else { continue };
        let length = first.len() + rest.len() + data.len();
        check(length, limits)?;
        share.cover(length)?;
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    Ok([first, rest.freeze()].concat().into())
}

fn check(length: usize, limits: &ServerLimits) -> Result<(), HttpError> {
    let limit = limits.body_bytes_max;
    if length > limit { Err(HttpError::PayloadTooLarge { limit }) } else { Ok(()) }
}

fn late(waited: Duration) -> HttpError {
    HttpError::BodyTimeout { seconds: waited.as_secs() }
}

/// What one body takes of the budget of all.
pub(super) struct Share<'a> {
    budget: &'a Semaphore,
    permit: Option<SemaphorePermit<'a>>,
}

impl Share<'_> {
    /// Takes what `length` bytes need beyond what was taken already.
    fn cover(&mut self, length: usize) -> Result<(), HttpError> {
        let held = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = length.saturating_sub(BODY_BYTES_FREE).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let full = HttpError::Overloaded(ShedCause::BodyBytes);
        let missing = u32::try_from(missing).map_err(|_| full.clone())?;
        let more = self.budget.try_acquire_many(missing).map_err(|_| full)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}
