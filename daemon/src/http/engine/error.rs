//! Why a request was not carried out, in the form of Google's APIs:
//! `{"error":{"code":404,"message":"…","status":"NOT_FOUND"}}`.
//!
//! What goes out says what the caller can do. What is wrong inside goes to the log only.

use bytes::Bytes;
use hallmark_core::excerpt::Excerpt;
use http::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::exchange::Answer;
use super::exchange::JSON;
use super::exchange::answer;
use super::limits::ShedCause;
use crate::audit::AuditError;
use crate::auth::AuthError;

/// As much of a caller's text as an error repeats.
const QUOTED_CHARS_MAX: usize = 512;

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The request cannot be one. The caller is at fault.
    #[error("{0}")]
    InvalidArgument(String),
    /// Fields of the request cannot be accepted. The caller is at fault.
    #[error("{message}")]
    InvalidFields {
        /// All of it, for people.
        message: String,
        /// Field by field, for programs.
        violations: Vec<FieldViolation>,
    },
    /// The request is one, but not in the present state of the resource.
    #[error("{0}")]
    FailedPrecondition(String),
    /// Nobody said who asks, or it is not believed.
    #[error("{0}")]
    Unauthenticated(AuthError),
    /// Whoever asks may not.
    #[error("{0}")]
    PermissionDenied(String),
    /// No such path or resource.
    #[error("{0}")]
    NotFound(String),
    /// The path exists, under other methods.
    #[error("this path answers {allow} only")]
    MethodNotAllowed {
        /// The methods, joined by `, `.
        allow: String,
    },
    /// Google's service has this and Hallmark has not.
    #[error("{0}")]
    Unimplemented(String),
    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// The resource was changed since the caller read it; read again and retry.
    #[error("{0}")]
    Aborted(String),
    /// The body did not arrive in time. The caller is at fault.
    #[error("the body did not arrive within {seconds} s: send it faster or in smaller requests")]
    BodyTimeout {
        /// Seconds that the server waited.
        seconds: u64,
    },
    /// The body ended early or its framing is broken.
    #[error("the body could not be read: it ended early or its framing is broken")]
    BodyBroken,
    /// More than the limit.
    #[error("the body is larger than {limit} bytes: send fewer images in a request, or use ndjson")]
    PayloadTooLarge {
        /// Bytes.
        limit: usize,
    },
    /// More than the limit, in one line of a stream.
    #[error("the line is longer than {limit} bytes: name fewer images in a line")]
    LineTooLong {
        /// Bytes.
        limit: usize,
    },
    /// A content type or encoding that this path does not read.
    #[error("{0}")]
    UnsupportedMediaType(String),
    /// The caller has used up what it may.
    #[error("{0}")]
    ResourceExhausted(String),
    /// The caller has used up what it may write to the audit log; nothing was done.
    #[error(
        "AUDIT_LIMIT_EXCEEDED: you have used up what you may write to the audit log, and nothing goes \
         unrecorded: ask less often; the operator sets audit.principal_kib_per_second"
    )]
    AuditLimitExceeded,
    /// More work than the daemon takes at a time; nothing was done.
    #[error("the daemon is at its limit of {}: nothing was done, try again in a second", .0.name())]
    Overloaded(ShedCause),
    /// The answer cannot be held until it is taken; what was asked for was done.
    #[error(
        "the answer is too large to be held now: what was asked for was done. Ask for less at a \
         time, or again in a second"
    )]
    AnswerShed,
    /// The daemon is going away; another replica answers.
    #[error("the daemon is draining: ask another replica")]
    Draining,
    /// Something that the daemon depends on does not answer. The text is for the log.
    #[error("temporarily unavailable: the daemon's log says why, try again")]
    Unavailable {
        /// For the log.
        inside: String,
    },
    /// The answer was not there in time.
    #[error("the deadline of the request passed: try again, with fewer images if that repeats")]
    DeadlineExceeded,
    /// A fault of the daemon. The text is for the log.
    #[error("internal error: the daemon's log says what went wrong")]
    Internal {
        /// For the log.
        inside: String,
    },
}

/// One field that cannot be accepted, as in `google.rpc.BadRequest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldViolation {
    /// Dotted path; empty for the body itself.
    pub field: String,
    /// The problem, and what to do.
    pub description: String,
}

impl HttpError {
    /// A fault of the daemon; `inside` is for its log.
    pub fn internal(inside: impl Into<String>) -> Self {
        Self::Internal { inside: inside.into() }
    }

    /// An operation that was done, and could not be recorded.
    pub fn unrecorded(what: &str, error: &AuditError) -> Self {
        match error {
            AuditError::LimitExceeded { .. } => Self::AuditLimitExceeded,
            error => {
                let inside = format!("{what} that could not be recorded: {error}");
                Self::Unavailable { inside }
            }
        }
    }

    /// A body that is not the JSON it should be.
    pub fn json(error: &serde_json::Error) -> Self {
        // The error may quote the body, at any length and with anything in it.
        let error = error.to_string();
        let shown = Excerpt::<QUOTED_CHARS_MAX>(&error);
        Self::InvalidArgument(format!("the body is not the JSON expected: {shown}"))
    }

    /// HTTP status and the status word of Google's APIs.
    pub fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidArgument(_) | Self::InvalidFields { .. } | Self::BodyBroken => {
                (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT")
            }
            Self::FailedPrecondition(_) => (StatusCode::BAD_REQUEST, "FAILED_PRECONDITION"),
            Self::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
            Self::PermissionDenied(_) => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "NOT_FOUND"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "UNIMPLEMENTED"),
            Self::Unimplemented(_) => (StatusCode::NOT_IMPLEMENTED, "UNIMPLEMENTED"),
            Self::AlreadyExists(_) => (StatusCode::CONFLICT, "ALREADY_EXISTS"),
            Self::Aborted(_) => (StatusCode::CONFLICT, "ABORTED"),
            Self::BodyTimeout { .. } => (StatusCode::REQUEST_TIMEOUT, "DEADLINE_EXCEEDED"),
            Self::PayloadTooLarge { .. } | Self::LineTooLong { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "INVALID_ARGUMENT")
            }
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "INVALID_ARGUMENT")
            }
            Self::ResourceExhausted(_) | Self::AuditLimitExceeded => {
                (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED")
            }
            Self::Overloaded(_) | Self::AnswerShed | Self::Draining | Self::Unavailable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE")
            }
            Self::DeadlineExceeded => (StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED"),
            Self::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        }
    }

    /// The error as an answer. Writes the log's part to the log.
    pub fn answer(&self) -> Answer {
        self.log();
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut answer = answer(self.status().0, JSON, Bytes::from(body));
        self.add_headers(answer.headers_mut());
        answer
    }

    /// The error as one line of a stream, naming the line (from 1) that it answers.
    pub(in crate::http) fn line(&self, line: u64, out: &mut Vec<u8>) {
        self.log();
        let body = ErrorBody { line: Some(line), ..self.body() };
        out.extend(serde_json::to_vec(&body).unwrap_or_default());
        out.push(b'\n');
    }

    fn body(&self) -> ErrorBody {
        let (status, word) = self.status();
        let details = match self {
            Self::InvalidFields { violations, .. } if !violations.is_empty() => {
                vec![BadRequest { kind: BAD_REQUEST, field_violations: violations.clone() }]
            }
            _ => Vec::new(),
        };
        let message = self.to_string();
        let error = ErrorObject { code: status.as_u16(), message, status: word, details };
        ErrorBody { error, line: None }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::MethodNotAllowed { allow } => {
                if let Ok(allow) = HeaderValue::from_str(allow) {
                    headers.insert(ALLOW, allow);
                }
            }
            Self::Overloaded(_)
            | Self::AnswerShed
            | Self::Draining
            | Self::Unavailable { .. }
            | Self::AuditLimitExceeded => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 6750 §3: no error where nothing was sent.
            Self::Unauthenticated(error) => {
                let challenge = match error {
                    AuthError::Missing => r#"Bearer realm="hallmark""#,
                    _ => r#"Bearer realm="hallmark", error="invalid_token""#,
                };
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            // The rest of the body is not worth reading.
            Self::PayloadTooLarge { .. } | Self::BodyTimeout { .. } | Self::BodyBroken => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
    }

    fn log(&self) {
        match self {
            Self::Internal { inside } => tracing::error!("internal error: {inside}"),
            Self::Unavailable { inside } => tracing::warn!("unavailable: {inside}"),
            _ => {}
        }
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: ErrorObject,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
}

#[derive(Serialize)]
struct ErrorObject {
    code: u16,
    message: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<BadRequest>,
}

/// The type of the one kind of details that errors carry.
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BadRequest {
    #[serde(rename = "@type")]
    kind: &'static str,
    field_violations: Vec<FieldViolation>,
}
