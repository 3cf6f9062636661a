//! A connection that cannot be held for nothing: whoever opens it must speak, whoever is answered
//! must read, and whoever is refused in mid-sentence still hears why.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::flow::{Flow, Reading};
use super::limits::ServerLimits;

/// The first bytes of an HTTP/2 client with prior knowledge, RFC 9113 §3.4. The server waits for as
/// much of it as matches, with no time limit of its own.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A byte stream under the time limits of a server.
#[derive(Debug)]
pub(in crate::http) struct GuardedIo<T> {
    io: T,
    limits: ServerLimits,
    flow: Arc<Flow>,
    held_back: HeldBack,
    opening: Option<Opening>,
    stalled: Option<Stalled>,
    lingering: Option<Pin<Box<Sleep>>>,
}

/// While strangers ask for too much.
#[derive(Debug, Default)]
struct HeldBack {
    /// A piece was read; before the next, what it asks for must have begun.
    read_piece: bool,
    until: Option<Pin<Box<Sleep>>>,
}

/// Bytes that are read at a time of a stranger who has nothing under way: a few requests of HTTP/2,
/// once its tables hold their headers.
const PIECE_BYTES: usize = 64;

/// Time that a stranger with something under way rests before it is looked at again.
const REST: Duration = Duration::from_millis(250);

/// Until it is clear which HTTP is spoken.
#[derive(Debug)]
struct Opening {
    matched: usize,
    deadline: Pin<Box<Sleep>>,
}

/// Since the client did not take all that was ready for it.
#[derive(Debug)]
struct Stalled {
    taken: usize,
    deadline: Pin<Box<Sleep>>,
}

/// Bytes that a client must take within the time for a write: a byte now and then is no reading.
const TAKEN_BYTES_MIN: usize = 4 << 10;

impl<T> GuardedIo<T> {
    /// Guards a connection that has just been opened.
    pub(in crate::http) fn new(io: T, limits: ServerLimits, flow: Arc<Flow>) -> Self {
        let opening = Opening { matched: 0, deadline: timer(limits.first_byte_timeout) };
        let held_back = HeldBack::default();
        Self { io, limits, flow, held_back, opening: Some(opening), stalled: None, lingering: None }
    }

    /// Reads as much as the connection may now.
    fn poll_read_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>
    where
        T: AsyncRead + Unpin,
    {
        if std::mem::take(&mut self.held_back.read_piece) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match self.flow.reading() {
                Reading::Freely => return Pin::new(&mut self.io).poll_read(cx, buffer),
                Reading::Piecemeal => break,
                Reading::Later => {
                    let until = self.held_back.until.get_or_insert_with(|| timer(REST));
                    ready!(until.as_mut().poll(cx));
                    self.held_back.until = None;
                }
            }
        }
        let mut piece = [0; PIECE_BYTES];
        let length = piece.len().min(buffer.remaining());
        let mut piece = ReadBuf::new(&mut piece[..length]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut piece))?;
        buffer.put_slice(piece.filled());
        self.held_back.read_piece = true;
        Poll::Ready(Ok(()))
    }

    fn heard(&mut self, bytes: &[u8]) {
        let Some(opening) = &mut self.opening else { return };
        let expected = &HTTP2_PREFACE[opening.matched..];
        if bytes.len() < expected.len() && expected.starts_with(bytes) {
            opening.matched += bytes.len();
        } else {
            self.opening = None;
        }
    }

    /// Passes a write on, and fails it once the client has taken too little for too long. `taken`
    /// is what a write means for the client: bytes taken, or all of them.
    fn unstalled<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
        taken: impl FnOnce(&R) -> Taken,
    ) -> Poll<io::Result<R>>
    where
        T: Unpin,
    {
        let written = write(Pin::new(&mut self.io), cx);
        if let (Poll::Ready(Ok(result)), Some(stalled)) = (&written, &mut self.stalled) {
            stalled.taken = match taken(result) {
                Taken::Bytes(count) => stalled.taken.saturating_add(count),
                Taken::All => TAKEN_BYTES_MIN,
            };
            if stalled.taken >= TAKEN_BYTES_MIN {
                self.stalled = None;
            }
        }
        if written.is_ready() {
            return written;
        }
        let timeout = self.limits.write_timeout;
        let begin = || Stalled { taken: 0, deadline: timer(timeout) };
        let stalled = self.stalled.get_or_insert_with(begin);
        ready!(stalled.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The part of the waiting bytes that a write got rid of.
enum Taken {
    Bytes(usize),
    /// Nothing waits any more.
    All,
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.poll_read_some(cx, buffer);
        if read.is_ready() {
            self.heard(&buffer.filled()[before..]);
            return read;
        }
        if let Some(opening) = &mut self.opening {
            ready!(opening.deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GuardedIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unstalled(cx, |io, cx| io.poll_write(cx, bytes), |count| Taken::Bytes(*count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = |io: Pin<&mut T>, cx: &mut Context<'_>| io.poll_write_vectored(cx, slices);
        self.unstalled(cx, write, |count| Taken::Bytes(*count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unstalled(cx, |io, cx| io.poll_flush(cx), |()| Taken::All)
    }

    /// Says goodbye, then listens a while: closing with unread bytes would reset the connection,
    /// and the client would lose the answer that says why its body was not wanted.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let lingering = match &mut this.lingering {
            Some(lingering) => lingering,
            none => {
                ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                none.insert(timer(this.limits.linger_timeout))
            }
        };
        let mut scrap = [0; 16 << 10];
        while lingering.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut scrap);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn timer(duration: Duration) -> Pin<Box<Sleep>> {
    Box::pin(sleep(duration))
}
