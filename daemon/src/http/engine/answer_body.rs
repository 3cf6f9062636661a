//! The body of an answer on its way: whole, or a stream that may break off. It is handed to the
//! transport in pieces, so that a client which takes nothing is seen to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body_util::channel::Channel;
use hyper::body::{Body, Frame, SizeHint};

use super::exchange::Answer;
use super::flow::AnswerId;
use super::flow::Flow;
use super::flow::NoRoom;
use super::flow::UnderWay;

/// Bytes that are handed over at once: the least and the usual maximum of an HTTP/2 frame.
pub(in crate::http) const PIECE_BYTES: usize = 16 << 10;

/// A stream ends before it is done; the client sees that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was broken off")]
pub(in crate::http) struct StreamBroken;

/// The body of an answer.
#[derive(Debug)]
pub(in crate::http) struct AnswerBody {
    rest: Bytes,
    /// Where `rest` is counted, if it is.
    id: Option<AnswerId>,
    more: Option<Channel<Bytes, StreamBroken>>,
    under_way: Option<UnderWay>,
}

impl AnswerBody {
    /// No body.
    pub(in crate::http) fn empty() -> Self {
        Self { rest: Bytes::new(), id: None, more: None, under_way: None }
    }

    /// A body that comes bit by bit.
    pub(in crate::http) fn streamed(more: Channel<Bytes, StreamBroken>) -> Self {
        Self { more: Some(more), ..Self::empty() }
    }

    fn whole(rest: Bytes) -> Self {
        Self { rest, ..Self::empty() }
    }

    pub(in crate::http) fn is_streamed(&self) -> bool {
        self.more.is_some()
    }

    /// The answer with its body counted among those of the connection. Of a small answer the
    /// transport holds no more than one, unless it is `multiplexed`: that is not worth counting.
    pub(in crate::http) fn counted(
        answer: Response<Self>,
        flow: &Arc<Flow>,
        multiplexed: bool,
    ) -> Result<Response<Self>, NoRoom> {
        let (head, mut body) = answer.into_parts();
        if !body.rest.is_empty() && (multiplexed || body.rest.len() > PIECE_BYTES) {
            body.hold(flow)?;
        }
        Ok(Response::from_parts(head, body))
    }

    /// The answer, with its request under way until it is taken.
    pub(in crate::http) fn on_its_way(
        answer: Response<Self>,
        mut under_way: UnderWay,
    ) -> Response<Self> {
        under_way.answered();
        answer.map(|body| Self { under_way: Some(under_way), ..body })
    }

    fn hold(&mut self, flow: &Arc<Flow>) -> Result<(), NoRoom> {
        let (rest, id) = flow.hold(std::mem::take(&mut self.rest))?;
        (self.rest, self.id) = (rest, Some(id));
        Ok(())
    }

    fn piece(&mut self) -> Bytes {
        if let (Some(id), Some(under_way)) = (self.id, &self.under_way) {
            under_way.flow().taken(id);
        }
        self.rest.split_to(self.rest.len().min(PIECE_BYTES))
    }
}

/// A whole answer, its body to be sent in pieces.
pub(in crate::http) fn whole(answer: Answer) -> Response<AnswerBody> {
    answer.map(|body| AnswerBody::whole(body.into_inner().unwrap_or_default()))
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamBroken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamBroken>>> {
        let this = &mut *self;
        while this.rest.is_empty() {
            let Some(more) = &mut this.more else { return Poll::Ready(None) };
            match ready!(Pin::new(more).poll_frame(cx)) {
                Some(Ok(frame)) => this.rest = frame.into_data().unwrap_or_default(),
                Some(Err(broken)) => return Poll::Ready(Some(Err(broken))),
                None => return Poll::Ready(None),
            }
            let flow = this.under_way.as_ref().map(|under_way| Arc::clone(under_way.flow()));
            if flow.is_some_and(|flow| this.hold(&flow).is_err()) {
                return Poll::Ready(Some(Err(StreamBroken)));
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.piece()))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.more.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match self.more {
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.rest.len() as u64),
        }
    }
}
