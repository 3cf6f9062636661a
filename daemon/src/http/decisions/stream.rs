//! `application/x-ndjson`: a request a line in, a decision a line out, in order, for as long as
//! the client likes.
//!
//! Lines that have arrived together are decided as one batch, and the next batch is read while the
//! one before is decided and the one before that is written. A client that does not read stops the
//! reading: nothing is held but the batches on their way. A line that is not a request is answered
//! by an error that names it, and the stream goes on.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use hallmark_core::evaluate::Request;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, timeout_at};

use super::request;
use crate::admit::{Origin, Recorded, admit};
use crate::auth::{Caller, Credentials};
use crate::http::Api;
use crate::http::engine::answer_body::StreamBroken;
use crate::http::engine::dispatch::GRACE;
use crate::http::engine::error::HttpError;
use crate::http::engine::holder::Holder;
use crate::http::engine::limits::{BATCH_BYTES, BATCH_LINES, ServerLimits, ShedCause};
use crate::http::engine::room::Place;
use crate::http::engine::slots::NoSlot;

/// Batches that wait for their turn to be written, decided or being decided.
const BATCHES_AHEAD: usize = 2;

/// Who streams: checked again for each batch, and charged for all of them.
#[derive(Clone, Debug)]
struct Client {
    credentials: Credentials,
    holder: Holder,
}

/// Answers a stream of requests. For lack of room, one of a client who has more of them ends.
pub(in crate::http) fn stream(
    api: &Arc<Api>,
    credentials: Credentials,
    holder: Holder,
    body: Incoming,
) -> Result<Response<Channel<Bytes, StreamBroken>>, HttpError> {
    let engine = &api.engine;
    let place = engine.capacity.streams.enter(holder.clone(), 1, engine.limits.streams_max);
    let place = place.ok_or(HttpError::Overloaded(ShedCause::Streams))?;
    let (out, answer) = Channel::new(1);
    let (api, client) = (Arc::clone(api), Client { credentials, holder });
    tokio::spawn(async move { run(&api, client, place, body, out).await });
    let mut answer = Response::new(answer);
    let content_type = HeaderValue::from_static("application/x-ndjson");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(answer)
}

/// Ends when every line is answered, or when nobody takes the answers any more.
async fn run(
    api: &Arc<Api>,
    client: Client,
    place: Place,
    body: Incoming,
    out: Sender<Bytes, StreamBroken>,
) {
    let (ahead, batches) = mpsc::channel(BATCHES_AHEAD);
    let mut writing = pin!(write(batches, out, &api.engine.limits));
    tokio::select! {
        () = &mut writing => {}
        read = read(api, client, &place, body, ahead) => if read.is_ok() {
            writing.await;
        }
        // Else what is under way is dropped: a client that breaks its body off is gone.
    }
}

/// Cuts the body into batches and sets each off as soon as there is room for it.
async fn read(
    api: &Arc<Api>,
    client: Client,
    place: &Place,
    mut body: Incoming,
    ahead: mpsc::Sender<DecidingBatch>,
) -> Result<(), StreamBroken> {
    let engine = &api.engine;
    let mut lines = Lines::new(&engine.limits);
    let (mut draining, leaving) = (pin!(engine.readiness.drained()), place.leaving());
    let mut end = None;
    while end.is_none() || lines.is_line_complete() {
        let wants_more = end.is_none() && lines.has_room();
        tokio::select! {
            biased;
            () = leaving.notified(), if end.is_none() => {
                engine.metrics.shed(ShedCause::Streams);
                end = Some(End::Error(HttpError::Overloaded(ShedCause::Streams)));
            }
            frame = body.frame(), if wants_more => end = lines.take(frame)?,
            room = ahead.reserve(), if lines.is_line_complete() => {
                let room = room.map_err(|_| StreamBroken)?;
                let deciding = decide(Arc::clone(api), client.clone(), lines.cut());
                room.send(DecidingBatch(tokio::spawn(deciding)));
            }
            () = &mut draining, if end.is_none() => end = Some(End::Error(HttpError::Draining)),
            () = sleep(engine.limits.stream_idle_timeout), if !lines.is_line_complete() => {
                let seconds = engine.limits.stream_idle_timeout.as_secs();
                end = Some(End::Error(HttpError::BodyTimeout { seconds }));
            }
        }
    }
    if let Some(End::Error(error)) = end {
        let mut last = Vec::new();
        error.line(lines.next_line, &mut last);
        let last = DecidingBatch(tokio::spawn(std::future::ready(last)));
        ahead.send(last).await.map_err(|_| StreamBroken)?;
    }
    Ok(())
}

/// Writes what each batch came to, in the order of the batches.
async fn write(
    mut batches: mpsc::Receiver<DecidingBatch>,
    mut out: Sender<Bytes, StreamBroken>,
    limits: &ServerLimits,
) {
    while let Some(mut batch) = batches.recv().await {
        let Ok(answers) = (&mut batch.0).await else { return out.abort(StreamBroken) };
        let sent = timeout(limits.stream_idle_timeout, out.send_data(answers.into())).await;
        if !matches!(sent, Ok(Ok(()))) {
            return out.abort(StreamBroken);
        }
    }
}

/// A batch at work; dropped, the work is called off.
#[derive(Debug)]
struct DecidingBatch(JoinHandle<Vec<u8>>);

impl Drop for DecidingBatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Some whole lines.
#[derive(Debug, PartialEq, Eq)]
struct Batch {
    /// The number of the first line, from 1.
    first_line: u64,
    /// Ends with a line break.
    text: Bytes,
    line_bytes_max: usize,
}

/// Answers every line of a batch that is not blank. The caller is checked again for each batch: a
/// stream may outlive its token.
async fn decide(api: Arc<Api>, client: Client, batch: Batch) -> Vec<u8> {
    let authorizer = &api.engine.authorizer;
    let caller = authorizer.caller(&client.credentials);
    let (lines, requests) = parse(&batch, |request| {
        super::may_ask(authorizer, caller.as_ref().map_err(Clone::clone)?, request)
    });
    let mut decisions = Ok(Vec::new());
    if !requests.is_empty() {
        let origin = super::origin(caller.as_ref().unwrap_or(&Caller::Unchecked));
        decisions = decide_in_slot(&api, client.holder, &origin, requests).await;
    }
    render(&lines, &decisions)
}

/// Decides a batch in a slot like any other request, which it waits for as long as it has time: the
/// client is not read on meanwhile.
async fn decide_in_slot(
    api: &Api,
    holder: Holder,
    origin: &Origin,
    requests: Vec<Request>,
) -> Result<Vec<Recorded>, HttpError> {
    let engine = &api.engine;
    let slot = engine.capacity.slots.take(holder, engine.limits.request_deadline).await;
    let _slot = slot.map_err(|NoSlot| {
        engine.metrics.shed(ShedCause::Requests);
        HttpError::Overloaded(ShedCause::Requests)
    })?;
    let deadline = Instant::now() + engine.limits.request_deadline;
    let admitted = admit(&api.gate, origin, requests, deadline);
    let admitted = timeout_at((deadline + GRACE).into(), admitted).await;
    admitted.map_err(|_| HttpError::DeadlineExceeded)
}

/// A line by its number: a request, or why it is none.
type Line = (u64, Result<(), HttpError>);

fn parse(
    batch: &Batch,
    may_ask: impl Fn(&Request) -> Result<(), HttpError>,
) -> (Vec<Line>, Vec<Request>) {
    let (mut lines, mut requests) = (Vec::new(), Vec::new());
    for (number, line) in (batch.first_line..).zip(batch.text.split(|&byte| byte == b'\n')) {
        let parsed = if line.len() > batch.line_bytes_max {
            Err(HttpError::LineTooLong { limit: batch.line_bytes_max })
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            request::parse(line).and_then(|request| {
                may_ask(&request)?;
                requests.push(request);
                Ok(())
            })
        };
        lines.push((number, parsed));
    }
    (lines, requests)
}

fn render(lines: &[Line], decisions: &Result<Vec<Recorded>, HttpError>) -> Vec<u8> {
    let decided = decisions.as_deref().unwrap_or_default();
    let mut out = Vec::with_capacity(decided.iter().map(|one| one.json.len() + 1).sum());
    let mut decided = decided.iter();
    for (number, line) in lines {
        let missing = || match decisions {
            Err(error) => error.clone(),
            Ok(_) => HttpError::internal("fewer decisions than requests"),
        };
        let decision = line.clone().and_then(|()| decided.next().ok_or_else(missing));
        match decision.and_then(super::json) {
            Ok(json) => {
                out.extend_from_slice(json);
                out.push(b'\n');
            }
            Err(error) => error.line(*number, &mut out),
        }
    }
    out
}

/// Why no more lines are read.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Body,
    Error(HttpError),
}

/// The part of a stream that has arrived and is not yet in a batch.
#[derive(Debug)]
struct Lines {
    buffer: BytesMut,
    /// Up to and with the last line break in `buffer`.
    complete: usize,
    /// The number of the first line in `buffer`, from 1.
    next_line: u64,
    /// The last line is over the limit: what is in `buffer` shows that, the rest is not kept.
    skipping: bool,
    line_bytes_max: usize,
}

impl Lines {
    fn new(limits: &ServerLimits) -> Self {
        let line_bytes_max = limits.line_bytes_max;
        Self { buffer: BytesMut::new(), complete: 0, next_line: 1, skipping: false, line_bytes_max }
    }

    fn is_line_complete(&self) -> bool {
        self.complete > 0
    }

    /// An unfinished line always has: it ends or is cut off at the limit.
    fn has_room(&self) -> bool {
        !self.is_line_complete() || self.buffer.len() < BATCH_BYTES
    }

    fn take(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Result<Option<End>, StreamBroken> {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => self.push(data),
            // Trailers say nothing.
            Some(Ok(Err(_))) => {}
            Some(Err(_)) => return Err(StreamBroken),
            None => {
                if self.buffer.len() > self.complete {
                    self.skipping = false;
                    self.push(Bytes::from_static(b"\n"));
                }
                return Ok(Some(End::Body));
            }
        }
        Ok(None)
    }

    fn push(&mut self, mut data: Bytes) {
        if self.skipping {
            let Some(end) = data.iter().position(|&byte| byte == b'\n') else { return };
            data.advance(end);
            self.skipping = false;
        }
        if let Some(last) = data.iter().rposition(|&byte| byte == b'\n') {
            self.complete = self.buffer.len() + last + 1;
        }
        self.buffer.extend_from_slice(&data);
        let telling = self.complete + self.line_bytes_max + 1;
        if self.buffer.len() > telling {
            self.buffer.truncate(telling);
            self.skipping = true;
        }
    }

    /// Takes the next lines out, up to a batch's worth.
    fn cut(&mut self) -> Batch {
        let ends = self.buffer[..self.complete].iter().enumerate();
        let ends = ends.filter(|&(_, &byte)| byte == b'\n').map(|(at, _)| at + 1);
        let (count, end) = ends.take(BATCH_LINES).fold((0, 0), |(count, _), end| (count + 1, end));
        let batch = Batch {
            first_line: self.next_line,
            text: self.buffer.split_to(end).freeze(),
            line_bytes_max: self.line_bytes_max,
        };
        self.complete -= end;
        self.next_line += count;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_breaks_the_stream_off() {
        let (ahead, batches) = mpsc::channel(1);
        let panicking = async {
            assert_eq!(1, 2, "a panic on purpose");
            Vec::new()
        };
        ahead.send(DecidingBatch(tokio::spawn(panicking))).await.expect("room");
        let (out, answer) = Channel::new(1);
        write(batches, out, &ServerLimits::DEFAULT).await;
        assert_eq!(answer.collect().await.map(drop), Err(StreamBroken));
    }

    fn lines(line_bytes_max: usize) -> Lines {
        Lines::new(&ServerLimits { line_bytes_max, ..ServerLimits::DEFAULT })
    }

    fn cut_all(lines: &mut Lines) -> Vec<(u64, Bytes)> {
        let mut batches = Vec::new();
        while lines.is_line_complete() {
            let batch = lines.cut();
            batches.push((batch.first_line, batch.text));
        }
        batches
    }

    #[test]
    fn lines_are_cut_at_line_breaks_only_and_numbered_from_one() {
        let mut lines = lines(100);
        lines.push(Bytes::from_static(b"a\nbb\nc"));
        assert_eq!(cut_all(&mut lines), [(1, Bytes::from_static(b"a\nbb\n"))]);
        lines.push(Bytes::from_static(b"c"));
        assert!(!lines.is_line_complete());
        lines.push(Bytes::from_static(b"\n"));
        assert_eq!(cut_all(&mut lines), [(3, Bytes::from_static(b"cc\n"))]);
        lines.push(Bytes::from_static(b"last"));
        assert_eq!(lines.take(None), Ok(Some(End::Body)));
        assert_eq!(cut_all(&mut lines), [(4, Bytes::from_static(b"last\n"))]);
    }

    #[test]
    fn a_batch_holds_no_more_than_its_lines() {
        let mut lines = lines(100);
        lines.push(Bytes::from("x\n".repeat(2 * BATCH_LINES + 1)));
        let numbers = cut_all(&mut lines).into_iter().map(|(first, text)| (first, text.len()));
        let width = BATCH_LINES as u64;
        assert_eq!(
            numbers.collect::<Vec<_>>(),
            [(1, 2 * BATCH_LINES), (width + 1, 2 * BATCH_LINES), (2 * width + 1, 2)]
        );
    }

    #[test]
    fn of_an_endless_line_no_more_is_kept_than_shows_it_is_too_long() {
        let mut lines = lines(10);
        lines.push(Bytes::from_static(b"ok\n"));
        for _ in 0..1_000 {
            lines.push(Bytes::from(vec![b'x'; 1_000]));
            assert!(lines.buffer.len() <= 3 + 11);
        }
        lines.push(Bytes::from_static(b"tail\nok"));
        assert_eq!(lines.take(None), Ok(Some(End::Body)));
        let texts = cut_all(&mut lines);
        assert_eq!(texts, [(1, Bytes::from_static(b"ok\nxxxxxxxxxxx\nok\n"))]);
    }

    /// Lines by number; those over the limit are told by nothing but that.
    fn told(batches: &[(u64, Bytes)], line_bytes_max: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut told = Vec::new();
        for (first, text) in batches {
            let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n');
            told.extend(
                (*first..)
                    .zip(lines.map(|line| (line.len() <= line_bytes_max).then(|| line.to_vec()))),
            );
        }
        told
    }

    #[test]
    fn however_a_body_arrives_its_lines_are_the_same() {
        const LINE_BYTES_MAX: usize = 7;
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).expect("31 bits") % end
        };
        for _ in 0..20_000 {
            let bytes = (0..below(64)).map(|_| b"\n\n{}x\xff\r "[below(8)]);
            let body: Vec<u8> = bytes.collect();
            let mut whole = lines(LINE_BYTES_MAX);
            whole.push(body.clone().into());
            assert_eq!(whole.take(None), Ok(Some(End::Body)));
            let expected = told(&cut_all(&mut whole), LINE_BYTES_MAX);

            let (mut pieces, mut rest) = (lines(LINE_BYTES_MAX), body.as_slice());
            let mut batches = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(1 + below(rest.len()));
                pieces.push(Bytes::copy_from_slice(piece));
                rest = after;
                if below(2) == 0 {
                    batches.extend(cut_all(&mut pieces));
                }
            }
            assert_eq!(pieces.take(None), Ok(Some(End::Body)));
            batches.extend(cut_all(&mut pieces));
            assert_eq!(told(&batches, LINE_BYTES_MAX), expected, "{}", body.escape_ascii());
        }
    }
}
