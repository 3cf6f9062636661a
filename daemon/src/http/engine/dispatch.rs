//! One request: its route, its limits, its endpoint, its answer, its metrics.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hallmark_core::excerpt::Excerpt;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Version};
use hyper::body::{Body, Incoming};
use tokio::time::timeout_at;

use super::Engine;
use super::access::Access;
use super::access::Peer;
use super::answer_body::AnswerBody;
use super::answer_body::whole;
use super::body::Coding;
use super::error::HttpError;
use super::exchange::Exchange;
use super::exchange::Params;
use super::exchange::Written;
use super::flow::NoRoom;
use super::flow::UnderWay;
use super::holder::Holder;
use super::limits::ShedCause;
use super::pace::Pace;
use super::routes;
use super::routes::Route;
use super::server::Reach;
use super::slots::NoSlot;
use super::writing;
use crate::auth::{Caller, Credentials};
use crate::http::Api;
use crate::http::Endpoint;
use crate::http::dialect::Dialect;

/// Time past its deadline in which an endpoint that keeps deadlines itself may say so better.
pub(in crate::http) const GRACE: Duration = Duration::from_millis(250);

/// Answers one request, whatever happens.
pub(in crate::http) async fn dispatch(
    api: Arc<Api>,
    peer: Arc<Peer>,
    under_way: UnderWay,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let (engine, started) = (&*api.engine, Instant::now());
    let is_head = request.method() == Method::HEAD;
    let multiplexed = request.version() == Version::HTTP_2;
    override_method(&mut request);
    let ours = engine.browser_guard.check(&request, !engine.authorizer.guard.asks());
    let found = ours.and_then(|()| routes::find(request.method(), request.uri().path()));
    let found = found.and_then(|(route, params)| match (peer.reach, route.dialect) {
        (Reach::Everything, _) | (_, Dialect::Operations) => Ok((route, params)),
        _ => Err(HttpError::NotFound("this listener is for operations only".to_owned())),
    });
    let dialect = found.as_ref().map_or(Dialect::Unknown, |(route, _)| route.dialect);
    let access = found.as_ref().ok().map(|(route, _)| route.access);
    let answered = match found {
        // Boxed, so that an answer which nobody takes does not hold what making it needed.
        Ok((route, params)) => Box::pin(answer(&api, &peer, route, params, request, started)).await,
        Err(error) => Err(error),
    };
    let pace = pace(engine, access, answered.as_ref().err());
    let answer = answered.unwrap_or_else(|error| refusal(engine, &error));
    let answer = if is_head { without_body(answer) } else { answer };
    let answer = AnswerBody::counted(answer, under_way.flow(), multiplexed)
        .unwrap_or_else(|NoRoom| refusal(engine, &HttpError::AnswerShed));
    engine.metrics.answered(dialect, answer.status().as_u16());
    if !answer.body().is_streamed() {
        engine.metrics.took(dialect, started.elapsed());
    }
    if let Some(pace) = pace {
        pace.wait(peer.address).await;
    }
    Ok(AnswerBody::on_its_way(answer, under_way))
}

/// The pace of an answer to somebody who was not let in. Nobody is a stranger if nobody is asked who
/// they are.
fn pace<'a>(
    engine: &'a Engine,
    access: Option<Access>,
    error: Option<&HttpError>,
) -> Option<&'a Pace> {
    let refused =
        matches!(error, Some(HttpError::Unauthenticated(_) | HttpError::PermissionDenied(_)));
    match access {
        _ if !engine.authorizer.guard.asks() => None,
        Some(Access::Anybody) => Some(&engine.capacity.probes),
        Some(_) if !refused => None,
        Some(_) | None => Some(&engine.capacity.refusals),
    }
}

fn refusal(engine: &Engine, error: &HttpError) -> Response<AnswerBody> {
    match error {
        HttpError::Overloaded(cause) => engine.metrics.shed(*cause),
        HttpError::AnswerShed => engine.metrics.shed(ShedCause::AnswerBytes),
        _ => {}
    }
    whole(error.answer())
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
    api: &Arc<Api>,
    peer: &Peer,
    route: &'static Route,
    params: Params,
    mut request: Request<Incoming>,
    received: Instant,
) -> Result<Response<AnswerBody>, HttpError> {
    let credentials = peer.credentials(request.headers_mut());
    let caller = let_in(&api.engine, &credentials, route, &params).await?;
    if route.access == Access::Anybody {
        // No body is read for nobody in particular.
        let asked = Asked::new(route, Content::Json, caller, params, received);
        return carry_out(api, asked, request.map(drop), Bytes::new()).await;
    }
    let holder = peer.let_in(&caller, route.access);
    let coding = coding(request.headers())?;
    let content = content(request.headers(), route, request.body().is_end_stream())?;
    if content == Content::Lines {
        if coding == Coding::Gzip {
            let hint = "a compressed stream is not read: send it without Content-Encoding";
            return Err(HttpError::UnsupportedMediaType(hint.to_owned()));
        } else if let Some(stream) = route.stream {
            let streamed = stream(api, credentials, holder, request.into_body())?;
            return Ok(streamed.map(AnswerBody::streamed));
        } else if !request.body().is_end_stream() {
            let hint = "this path reads application/json only".to_owned();
            return Err(HttpError::UnsupportedMediaType(hint));
        }
    }
    let asked = Asked::new(route, content, caller, params, received);
    at_work(api, asked, request, coding, &holder).await
}

/// Reads the body, then takes a slot: whoever sends slowly holds none. Operations need none, so
/// that a daemon with much to do can still be looked at.
async fn at_work(
    api: &Arc<Api>,
    mut asked: Asked,
    request: Request<Incoming>,
    coding: Coding,
    holder: &Holder,
) -> Result<Response<AnswerBody>, HttpError> {
    let engine = &api.engine;
    let (head, incoming) = request.into_parts();
    let read = engine.capacity.bodies.read(incoming, coding, holder).await?;
    if asked.content == Content::Form && !read.bytes.trim_ascii_start().starts_with(b"{") {
        return Err(unread(FORM));
    }
    let request = Request::from_parts(head, ());
    if asked.route.dialect == Dialect::Operations {
        return carry_out(api, asked, request, read.bytes).await;
    }
    let slot = engine.capacity.slots.take(holder.clone(), engine.limits.slot_patience).await;
    if let Err(NoSlot) = slot {
        let overloaded = HttpError::Overloaded(ShedCause::Requests);
        asked.endpoint = asked.route.denial.ok_or(overloaded)?;
        engine.metrics.shed(ShedCause::Requests);
    }
    let answer = carry_out(api, asked, request, read.bytes).await;
    drop((slot, read.share));
    answer
}

/// The parts of a request that are known before its body is read.
struct Asked {
    route: &'static Route,
    endpoint: Endpoint,
    content: Content,
    caller: Caller,
    params: Params,
    received: Instant,
}

impl Asked {
    fn new(
        route: &'static Route,
        content: Content,
        caller: Caller,
        params: Params,
        received: Instant,
    ) -> Self {
        Self { route, endpoint: route.endpoint, content, caller, params, received }
    }
}

/// Asks who it is and whether they may. A refused write is recorded.
async fn let_in(
    engine: &Engine,
    credentials: &Credentials,
    route: &Route,
    params: &Params,
) -> Result<Caller, HttpError> {
    let caller = engine.authorizer.caller(credentials);
    if route.access == Access::Anybody {
        return Ok(caller.unwrap_or(Caller::Unchecked));
    }
    let refused = match &caller {
        Ok(caller) => engine.authorizer.let_in(caller, route, params).await.err(),
        Err(error) => Some(error.clone()),
    };
    let Some(error) = refused else { return caller };
    if route.access.writes() {
        let deadline = Instant::now() + engine.limits.request_deadline;
        engine.write_log.refused(route, params, caller.as_ref().ok(), &error, deadline).await;
    }
    Err(error)
}

async fn carry_out(
    api: &Arc<Api>,
    asked: Asked,
    request: Request<()>,
    body: Bytes,
) -> Result<Response<AnswerBody>, HttpError> {
    let Asked { route, endpoint, caller, params, received, .. } = asked;
    let (head, ()) = request.into_parts();
    let deadline = Instant::now() + api.engine.limits.request_deadline;
    let exchange = Exchange {
        method: head.method,
        uri: head.uri,
        params,
        headers: head.headers,
        caller,
        body,
        received,
        deadline,
    };
    let latest = (deadline + GRACE).into();
    let replied = match route.access.writes() {
        true => {
            // Goes on where nobody waits for it any more: it must be recorded.
            let write = tokio::spawn(writing::write(Arc::clone(api), route, exchange));
            let written = timeout_at(latest, write).await;
            written
                .map(|ended| ended.unwrap_or_else(|_| Err(HttpError::internal("a write panicked"))))
        }
        false => {
            let answered = timeout_at(latest, caught(endpoint(api, exchange))).await;
            answered.map(|answered| answered.map(|Written { answer, .. }| answer))
        }
    };
    replied.unwrap_or(Err(HttpError::DeadlineExceeded)).map(whole)
}

/// A panic of an endpoint is an answer of 500, not the end of the connection and of the other
/// requests on it.
pub(in crate::http) async fn caught(
    reply: impl Future<Output = Result<Written, HttpError>>,
) -> Result<Written, HttpError> {
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

/// The compression of the body. Google's Java clients send gzip.
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

/// The type of the body. A body of no type is refused, because a web page can make a browser send
/// such a body to any address without asking; so is a write without a body that does not say what
/// it is.
fn content(headers: &HeaderMap, route: &Route, is_empty: bool) -> Result<Content, HttpError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        let needed = !is_empty || (route.access.writes() && route.method != Method::DELETE);
        return if needed { Err(unread(b"a body of no type")) } else { Ok(Content::Json) };
    };
    if headers.get_all(CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(unread(b"a body of two types"));
    }
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
    let essence = essence.escape_ascii().to_string();
    let essence = Excerpt::<128>(&essence);
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
    Response::from_parts(head, AnswerBody::empty())
}
