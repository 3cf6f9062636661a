//! One request: its route, its limits, its endpoint, its answer, its metrics.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{Either, Full, channel::Channel};
use hyper::body::{Body, Incoming};
use tokio::time::timeout_at;

use super::access::{Access, Peer};
use super::body::Coding;
use super::error::HttpError;
use super::exchange::{Answer, Exchange, Params};
use super::routes::{self, Route};
use super::server::Reach;
use super::{Doors, Endpoint, body, writing};
use crate::auth::{Caller, Credentials};
use crate::metrics::http::{Door, ShedCause};

/// The body of an answer: whole, or a stream that may break off.
pub(super) type AnswerBody = Either<Full<Bytes>, Channel<Bytes, StreamBroken>>;

/// A stream ends before it is done; the client sees that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was broken off")]
pub(super) struct StreamBroken;

/// How long past its deadline an endpoint that keeps deadlines itself has to say so better.
pub(super) const GRACE: Duration = Duration::from_millis(250);

/// Answers one request, whatever happens.
pub(super) async fn dispatch(
    doors: Arc<Doors>,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let started = Instant::now();
    let is_head = request.method() == Method::HEAD;
    override_method(&mut request);
    let ours = doors.browser_guard.check(&request, !doors.guard.asks());
    let found = ours.and_then(|()| routes::find(request.method(), request.uri().path()));
    let found = found.and_then(|(route, params)| match (peer.reach, route.door) {
        (Reach::Everything, _) | (_, Door::Operations) => Ok((route, params)),
        _ => Err(HttpError::NotFound("this listener is for operations only".to_owned())),
    });
    let door = found.as_ref().map_or(Door::Unknown, |(route, _)| route.door);
    let answered = match found {
        Ok((route, params)) => answer(&doors, &peer, route, params, request, started).await,
        Err(error) => Err(error),
    };
    let answer = answered.unwrap_or_else(|error| {
        if let HttpError::Overloaded(cause) = &error {
            doors.metrics.shed(*cause);
        }
        error.answer().map(Either::Left)
    });
    doors.metrics.answered(door, answer.status().as_u16());
    if matches!(answer.body(), Either::Left(_)) {
        doors.metrics.took(door, started.elapsed());
    }
    Ok(if is_head { without_body(answer) } else { answer })
}

/// Google's clients for platforms that cannot send every method send `POST` and say which they
/// mean. Which route it is, and so who may use it, is found by what is meant.
fn override_method(request: &mut Request<Incoming>) {
    const MEANT: [Method; 4] = [Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
    if request.method() != Method::POST {
        return;
    }
    let header = request.headers().get("x-http-method-override");
    let meant = header.and_then(|named| {
        MEANT.into_iter().find(|method| named.as_bytes() == method.as_str().as_bytes())
    });
    if let Some(meant) = meant {
        *request.method_mut() = meant;
    }
}

async fn answer(
    doors: &Arc<Doors>,
    peer: &Peer,
    route: &'static Route,
    params: Params,
    mut request: Request<Incoming>,
    received: Instant,
) -> Result<Response<AnswerBody>, HttpError> {
    let credentials = peer.credentials(request.headers_mut());
    let caller = let_in(doors, &credentials, route, &params).await?;
    let is_empty = request.body().is_end_stream();
    let coding = coding(request.headers())?;
    let content = content(request.headers(), route, is_empty)?;
    if content == Content::Lines {
        if coding == Coding::Gzip {
            let hint = "a compressed stream is not read: send it without Content-Encoding";
            return Err(HttpError::UnsupportedMediaType(hint.to_owned()));
        } else if let Some(stream) = route.stream {
            return Ok(stream(doors, credentials, request.into_body())?.map(Either::Right));
        } else if !is_empty {
            let hint = "this path reads application/json only".to_owned();
            return Err(HttpError::UnsupportedMediaType(hint));
        }
    }
    let asked = Asked { route, endpoint: route.endpoint, content, caller, params, received };
    if route.door == Door::Operations {
        return whole(doors, asked, request).await;
    }
    match (doors.start_work(), route.denial) {
        (Ok(_working), _) => whole(doors, asked, request).await,
        (Err(overloaded), None) => Err(overloaded),
        (Err(overloaded), Some(endpoint)) => {
            let _place = doors.denials.try_acquire().map_err(|_| overloaded)?;
            doors.metrics.shed(ShedCause::Requests);
            whole(doors, Asked { endpoint, ..asked }, request).await
        }
    }
}

/// What is known of a request before its body is read.
struct Asked {
    route: &'static Route,
    endpoint: Endpoint,
    content: Content,
    caller: Caller,
    params: Params,
    received: Instant,
}

/// Asks who it is and whether they may. A refused write is recorded.
async fn let_in(
    doors: &Doors,
    credentials: &Credentials,
    route: &Route,
    params: &Params,
) -> Result<Caller, HttpError> {
    let caller = doors.caller(credentials);
    if route.access == Access::Anybody {
        return Ok(caller.unwrap_or(Caller::Anybody));
    }
    let refused = match &caller {
        Ok(caller) => doors.let_in(caller, route, params).await.err(),
        Err(error) => Some(error.clone()),
    };
    let Some(error) = refused else { return caller };
    if route.access.writes() {
        doors.record_refusal(route, params, caller.as_ref().ok(), &error).await;
    }
    Err(error)
}

async fn whole(
    doors: &Arc<Doors>,
    asked: Asked,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, HttpError> {
    let Asked { route, endpoint, content, caller, params, received } = asked;
    let (head, incoming) = request.into_parts();
    let coding = coding(&head.headers)?;
    let read = body::read(incoming, coding, &doors.limits, &doors.body_bytes).await?;
    if content == Content::Form && !read.bytes.trim_ascii_start().starts_with(b"{") {
        return Err(unread(FORM));
    }
    let deadline = Instant::now() + doors.limits.request_deadline;
    let exchange = Exchange {
        method: head.method,
        uri: head.uri,
        params,
        headers: head.headers,
        caller,
        body: read.bytes,
        received,
        deadline,
    };
    let latest = (deadline + GRACE).into();
    let replied = match route.access.writes() {
        true => {
            // Goes on where nobody waits for it any more: it must be recorded.
            let write = tokio::spawn(writing::write(Arc::clone(doors), route, exchange));
            let written = timeout_at(latest, write).await;
            written
                .map(|ended| ended.unwrap_or_else(|_| Err(HttpError::internal("a write panicked"))))
        }
        false => timeout_at(latest, caught(endpoint(doors, exchange))).await,
    };
    drop(read.share);
    replied.unwrap_or(Err(HttpError::DeadlineExceeded)).map(|answer| answer.map(Either::Left))
}

/// A panic of an endpoint is an answer of 500, not the end of the connection and of the other
/// requests on it.
pub(super) async fn caught(
    reply: impl Future<Output = Result<Answer, HttpError>>,
) -> Result<Answer, HttpError> {
    let mut reply = pin!(reply);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| reply.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(HttpError::internal("an endpoint panicked"))))
    })
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Json,
    /// JSON that is said to be a form.
    Form,
    Lines,
}

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// How the body is compressed. Google's Java clients send gzip.
fn coding(headers: &HeaderMap) -> Result<Coding, HttpError> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    match (codings.next().map(HeaderValue::as_bytes), codings.next()) {
        (None | Some(b"identity"), None) => Ok(Coding::Identity),
        (Some(b"gzip"), None) => Ok(Coding::Gzip),
        _ => Err(HttpError::UnsupportedMediaType(
            "of compressed bodies gzip is read: send it so, or without Content-Encoding".to_owned(),
        )),
    }
}

/// What the body is. One of no type is refused, because a web page can make a browser send such a
/// body to any address without asking; so is a write without a body that does not say what it is.
fn content(headers: &HeaderMap, route: &Route, is_empty: bool) -> Result<Content, HttpError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        let needed = !is_empty || (route.access.writes() && route.method != Method::DELETE);
        return if needed { Err(unread(b"a body of no type")) } else { Ok(Content::Json) };
    };
    let value = value.as_bytes();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is = |known: &[u8]| essence.eq_ignore_ascii_case(known);
    if is(b"application/x-ndjson") {
        Ok(Content::Lines)
    } else if is(b"application/json") || (is_empty && !route.access.writes()) {
        Ok(Content::Json)
    } else if is(FORM) && route.reads_forms {
        Ok(Content::Form)
    } else {
        Err(unread(essence))
    }
}

fn unread(essence: &[u8]) -> HttpError {
    let essence: String = essence.escape_ascii().to_string().chars().take(128).collect();
    HttpError::UnsupportedMediaType(format!(
        "`{essence}` is not read here: send JSON with Content-Type: application/json"
    ))
}

/// The answer to `HEAD`: as to `GET`, its length included, and no body.
fn without_body(answer: Response<AnswerBody>) -> Response<AnswerBody> {
    let (mut head, body) = answer.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Either::Left(Full::default()))
}

impl Doors {
    /// Takes the place of one request at work, or says that there is none left.
    fn start_work(&self) -> Result<impl Drop + use<'_>, HttpError> {
        let permit =
            self.in_flight.try_acquire().map_err(|_| HttpError::Overloaded(ShedCause::Requests))?;
        self.metrics.in_flight.inc();
        Ok(Working { doors: self, _permit: permit })
    }
}

struct Working<'a> {
    doors: &'a Doors,
    _permit: tokio::sync::SemaphorePermit<'a>,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.doors.metrics.in_flight.dec();
    }
}
