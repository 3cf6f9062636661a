//! Reading the body of a request whole, within its limits.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::error::HttpError;
use super::limits::{BODY_BYTES_FREE, ServerLimits};
use crate::metrics::http::ShedCause;

/// Bytes that are decompressed before others have their turn: some 0.2 ms.
const INFLATED_AT_ONCE: u64 = 64 << 10;

/// A body, and its share of the budget that all bodies have together.
pub(super) struct WholeBody<'a> {
    pub(super) bytes: Bytes,
    pub(super) share: Share<'a>,
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
}

/// Reads a body. One that says beforehand that it is too large is refused unread. The limits hold
/// for what is sent and for what comes of it.
pub(super) async fn read<'a>(
    body: Incoming,
    coding: Coding,
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
    let collected = timeout(limits.body_timeout, collect(body, limits, &mut share)).await;
    let sent = collected.map_err(|_| late(limits.body_timeout))??;
    let bytes = match coding {
        Coding::Identity => sent,
        Coding::Gzip => inflate(&sent, limits, &mut share).await?,
    };
    Ok(WholeBody { bytes, share })
}

/// Decompresses piece by piece, so that neither memory nor the thread is taken beyond the limits.
async fn inflate(
    sent: &[u8],
    limits: &ServerLimits,
    share: &mut Share<'_>,
) -> Result<Bytes, HttpError> {
    let mut decoder = MultiGzDecoder::new(sent);
    let mut inflated = Vec::new();
    loop {
        let piece = decoder.by_ref().take(INFLATED_AT_ONCE).read_to_end(&mut inflated);
        let piece = piece.map_err(|error| {
            HttpError::InvalidArgument(format!(
                "the body is not the gzip it is said to be: {error}"
            ))
        })?;
        check(inflated.len(), limits)?;
        share.cover(sent.len() + inflated.len())?;
        if piece == 0 {
            return Ok(inflated.into());
        }
        yield_now().await;
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
