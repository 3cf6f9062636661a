//! Reading the body of a request whole, within its limits.
//!
//! A body on its way holds no slot of those at work: its sender decides how long it takes. It has a
//! place among other bodies, and beyond what is free a share of the bytes that all have together;
//! when either is full, whoever holds most makes room, beginning with the body longest under way.

use std::future::{Future, pending};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::error::HttpError;
use super::holder::Holder;
use super::limits::BODY_BYTES_FREE;
use super::limits::ServerLimits;
use super::limits::ShedCause;
use super::room::GivesWay;
use super::room::Place;
use super::room::Room;

/// Bytes that are decompressed before others have their turn: some 0.2 ms.
const INFLATED_AT_ONCE: u64 = 64 << 10;

/// Room for the bodies of all requests.
#[derive(Debug)]
pub(in crate::http) struct Bodies {
    limits: ServerLimits,
    under_way: Arc<Room>,
    bytes: Arc<Room>,
}

/// A body, and its share of the bytes that all bodies have together.
#[derive(Debug)]
pub(in crate::http) struct WholeBody {
    pub(in crate::http) bytes: Bytes,
    pub(in crate::http) share: Share,
}

/// The compression of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Coding {
    Identity,
    Gzip,
}

impl Bodies {
    pub(in crate::http) fn new(limits: ServerLimits) -> Self {
        let room = || Room::new(GivesWay::ToAnybody);
        Self { limits, under_way: room(), bytes: room() }
    }

    /// The number of bodies under way.
    pub(in crate::http) fn count(&self) -> usize {
        self.under_way.used()
    }

    /// Bytes of all of them beyond what is free.
    #[cfg(test)]
    pub(in crate::http) fn bytes_held(&self) -> usize {
        self.bytes.used()
    }

    /// Reads a body for `holder`. One that says beforehand that it is too large is refused unread.
    /// The limits hold for what is sent and for the result.
    pub(in crate::http) async fn read(
        &self,
        body: Incoming,
        coding: Coding,
        holder: &Holder,
    ) -> Result<WholeBody, HttpError> {
        let mut share = Share::new(self, holder.clone());
        if body.is_end_stream() {
            return Ok(WholeBody { bytes: Bytes::new(), share });
        }
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        check(announced, &self.limits)?;
        let full = HttpError::Overloaded(ShedCause::Bodies);
        let place = self.under_way.enter(holder.clone(), 1, self.limits.bodies_max);
        let place = place.ok_or_else(|| full.clone())?;
        share.cover(announced)?;
        let sent = tokio::select! {
            biased;
            () = given_up(Some(&place)) => return Err(full),
            sent = timeout(self.limits.body_timeout, collect(body, &self.limits, &mut share)) => sent,
        };
        let sent = sent.map_err(|_| late(self.limits.body_timeout))??;
        let bytes = match coding {
            Coding::Identity => sent,
            Coding::Gzip => inflate(&sent, &self.limits, &mut share).await?,
        };
        share.keep()?;
        Ok(WholeBody { bytes, share })
    }
}

/// Returns once the place was given up for another; never, if there is none.
fn given_up(place: Option<&Place>) -> impl Future<Output = ()> + use<> {
    let leaving = place.map(Place::leaving);
    async move {
        match leaving {
            Some(leaving) => leaving.notified().await,
            None => pending().await,
        }
    }
}

/// Decompresses piece by piece, so that neither memory nor the thread is taken beyond the limits.
async fn inflate(
    sent: &[u8],
    limits: &ServerLimits,
    share: &mut Share,
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

/// Most bodies come in one piece, which is taken as it is. Of others the memory counts, not the bytes.
async fn collect(
    mut body: Incoming,
    limits: &ServerLimits,
    share: &mut Share,
) -> Result<Bytes, HttpError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or_default();
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = share.unless_given_up(body.frame()).await? {
        let Ok(data) = frame.map_err(|_| HttpError::BodyBroken)?.into_data() else { continue };
        let length = first.len() + all.len() + data.len();
        check(length, limits)?;
        share.cover(length)?;
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(announced.max(length));
        }
        all.extend_from_slice(&std::mem::take(&mut first));
        all.extend_from_slice(&data);
        share.cover(all.capacity())?;
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

fn check(length: usize, limits: &ServerLimits) -> Result<(), HttpError> {
    let limit = limits.body_bytes_max;
    if length > limit { Err(HttpError::PayloadTooLarge { limit }) } else { Ok(()) }
}

fn late(waited: Duration) -> HttpError {
    HttpError::BodyTimeout { seconds: waited.as_secs() }
}

/// The share of one body in the bytes that all have together.
#[derive(Debug)]
pub(in crate::http) struct Share {
    room: Arc<Room>,
    capacity: usize,
    holder: Holder,
    taken: Option<(Place, usize)>,
}

impl Share {
    fn new(bodies: &Bodies, holder: Holder) -> Self {
        let capacity = bodies.limits.body_bytes_in_flight_max;
        Self { room: Arc::clone(&bodies.bytes), capacity, holder, taken: None }
    }

    /// Takes what `length` bytes need beyond what was taken already.
    fn cover(&mut self, length: usize) -> Result<(), HttpError> {
        let held = self.taken.as_ref().map_or(0, |(_, size)| *size);
        let missing = length.saturating_sub(BODY_BYTES_FREE).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        match &mut self.taken {
            Some((place, size)) => {
                *size += missing;
                place.grow(missing, self.capacity).then_some(()).ok_or_else(full)
            }
            none => {
                let place = self.room.enter(self.holder.clone(), missing, self.capacity);
                *none = Some((place.ok_or_else(full)?, missing));
                Ok(())
            }
        }
    }

    /// The result of `next`, unless the share is given up for another before.
    async fn unless_given_up<T>(&self, next: impl Future<Output = T>) -> Result<T, HttpError> {
        tokio::select! {
            biased;
            () = given_up(self.taken.as_ref().map(|(place, _)| place)) => Err(full()),
            next = next => Ok(next),
        }
    }

    /// Keeps the share as long as the request is at work.
    fn keep(&mut self) -> Result<(), HttpError> {
        match &mut self.taken {
            Some((place, _)) => place.keep().then_some(()).ok_or_else(full),
            None => Ok(()),
        }
    }
}

fn full() -> HttpError {
    HttpError::Overloaded(ShedCause::BodyBytes)
}
