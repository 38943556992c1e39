//! The only place for status codes: every failure as an RFC 9457 problem.
//!
//! A detail says what was wrong and what to do. The kinds are few; each has a section in
//! `docs/HTTP.md`, to which its `type` points.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quorate_api::{Error, ErrorCode, ReplyError};
use serde::Serialize;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    BadRequest,
    Unauthorized,
    ForeignOrigin,
    NoSuchPath,
    KeyNotFound,
    EntryNotFound,
    MethodNotAllowed,
    WrongType,
    NotText,
    Refused,
    PreconditionFailed,
    TooLarge,
    KeyTooLong,
    UnsupportedEncoding,
    ForeignHost,
    IdempotencyConflict,
    Internal,
    NotReady,
    NotApplied,
    Unknown,
    Overloaded,
    Stopped,
    OutOfMemory,
}

impl Kind {
    /// Status code, name in the documentation, title.
    fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => (S::BAD_REQUEST, "bad-request", "The request is not understood"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "A password is needed"),
            Self::ForeignOrigin => {
                (S::FORBIDDEN, "foreign-origin", "Pages of other sites may not write")
            }
            Self::NoSuchPath => (S::NOT_FOUND, "no-such-path", "There is nothing at this path"),
            Self::KeyNotFound => (S::NOT_FOUND, "key-not-found", "The key does not exist"),
            Self::EntryNotFound => (S::NOT_FOUND, "entry-not-found", "The log has no such entry"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method-not-allowed", "The path has no such method")
            }
            Self::WrongType => (S::CONFLICT, "wrong-type", "The key holds another type"),
            Self::NotText => (S::CONFLICT, "not-text", "The value is not text"),
            Self::Refused => (S::CONFLICT, "refused", "The cluster refuses this change"),
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "precondition-failed", "The key has another revision")
            }
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::KeyTooLong => (S::URI_TOO_LONG, "key-too-long", "The key is too long"),
            Self::UnsupportedEncoding => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding", "The body is encoded")
            }
            Self::ForeignHost => {
                (S::MISDIRECTED_REQUEST, "foreign-host", "This node does not go by that name")
            }
            Self::IdempotencyConflict => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency-conflict",
                "The idempotency key belongs to another request",
            ),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "This is a fault of ours"),
            Self::NotReady => (S::SERVICE_UNAVAILABLE, "not-ready", "This node is not ready"),
            Self::NotApplied => (S::SERVICE_UNAVAILABLE, "not-applied", "Nothing was changed"),
            Self::Unknown => (S::SERVICE_UNAVAILABLE, "unknown", "The outcome is unknown"),
            Self::Overloaded => (S::SERVICE_UNAVAILABLE, "overloaded", "This node is overloaded"),
            Self::Stopped => (S::SERVICE_UNAVAILABLE, "stopped", "This node has stopped"),
            Self::OutOfMemory => {
                (S::INSUFFICIENT_STORAGE, "out-of-memory", "The memory limit is reached")
            }
        }
    }

    /// Whether the request's write took effect, where that is a question.
    fn outcome(self) -> Option<&'static str> {
        match self {
            Self::Unknown => Some("unknown"),
            Self::NotApplied | Self::Overloaded | Self::Stopped | Self::OutOfMemory => {
                Some("not-applied")
            }
            _ => None,
        }
    }

    /// Asking again soon is safe and may help. Never for [`Kind::Unknown`]: clients that retry by
    /// themselves would repeat a write.
    fn retry_soon(self) -> bool {
        matches!(self, Self::NotApplied | Self::Overloaded | Self::NotReady)
    }
}

/// A failure on its way to the client.
#[derive(Debug)]
pub(crate) struct Problem(Box<Content>);

#[derive(Debug)]
struct Content {
    kind: Kind,
    detail: Cow<'static, str>,
    hint: Option<String>,
    checks: Vec<Check>,
    header: Option<(HeaderName, HeaderValue)>,
}

/// One condition of readiness.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether it holds.
    pub(crate) ok: bool,
    /// What was found.
    pub(crate) detail: String,
}

impl Problem {
    /// What was wrong, and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Says what was wrong and what to do.
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = detail.into();
        Self(Box::new(Content { kind, detail, hint: None, checks: Vec::new(), header: None }))
    }

    /// A request that can't be understood.
    pub(crate) fn bad(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// The node answered in a shape that its contract does not know.
    pub(crate) fn unexpected_reply() -> Self {
        let detail = "The node's answer was not understood; a write may have taken effect. Please \
                      report it.";
        Self::new(Kind::Internal, detail)
    }

    /// With a header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.header = Some((name, value));
        self
    }

    /// With the conditions of readiness.
    pub(crate) fn with_checks(mut self, checks: Vec<Check>) -> Self {
        self.0.checks = checks;
        self
    }

    /// Its kind.
    #[cfg(test)]
    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotApplied { reason, hint } => {
                let detail =
                    format!("Nothing was changed: {reason}. It is safe to send the request again.");
                let mut problem = Self::new(Kind::NotApplied, detail);
                problem.0.hint = hint;
                problem
            }
            Error::Unknown { reason } => Self::new(
                Kind::Unknown,
                format!(
                    "A write may have taken effect, or may yet: {reason}. Read before you write \
                     again, or send writes with an Idempotency-Key, which makes repeating safe."
                ),
            ),
            Error::Overloaded { reason } => Self::new(
                Kind::Overloaded,
                format!("Nothing was changed: {reason}. Send it again later, and slower."),
            ),
            Error::Stopped { reason } => Self::new(
                Kind::Stopped,
                format!(
                    "Nothing was changed: {reason}. Ask another node; this one needs a restart."
                ),
            ),
        }
    }
}

impl From<ReplyError> for Problem {
    fn from(error: ReplyError) -> Self {
        let ReplyError { code, message } = error;
        match code {
            ErrorCode::WrongType => Self::new(
                Kind::WrongType,
                "The key holds no string. Use the Redis protocol on the same port for its type, or \
                 delete the key first.",
            ),
            ErrorCode::Oom => Self::new(
                Kind::OutOfMemory,
                format!(
                    "Nothing was changed: {}. Delete keys or raise the memory limit.",
                    message.trim_end_matches('.')
                ),
            ),
            ErrorCode::Conflict => Self::new(
                Kind::IdempotencyConflict,
                "Nothing was changed: this Idempotency-Key was sent before with another request. \
                 Take a new key for each request; repeat a key only with the same request.",
            ),
            ErrorCode::NoAuth | ErrorCode::WrongPass => Self::new(Kind::Unauthorized, message)
                .with_header(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(crate::guard::CHALLENGE),
                ),
            ErrorCode::ExecAbort => Self::new(Kind::Refused, message),
            ErrorCode::Err | ErrorCode::NoProto => {
                Self::bad(format!("Nothing was changed: {message}."))
            }
        }
    }
}

/// The members of a problem, in the order of RFC 9457.
#[derive(Serialize)]
struct Members<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Check]>::is_empty")]
    checks: &'a [Check],
}

const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Content { kind, detail, hint, checks, header: extra } = *self.0;
        let (status, name, title) = kind.row();
        let members = Members {
            kind: format!("/docs/HTTP.md#{name}"),
            title,
            status: status.as_u16(),
            detail: &detail,
            outcome: kind.outcome(),
            hint: hint.as_deref(),
            checks: &checks,
        };
        // Strings and numbers only: serializing them can't fail.
        let body = serde_json::to_vec(&members).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let problem_json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem_json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if kind.retry_soon() {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        if let Some((name, value)) = extra {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 23] = [
        Kind::BadRequest,
        Kind::Unauthorized,
        Kind::ForeignOrigin,
        Kind::NoSuchPath,
        Kind::KeyNotFound,
        Kind::EntryNotFound,
        Kind::MethodNotAllowed,
        Kind::WrongType,
        Kind::NotText,
        Kind::Refused,
        Kind::PreconditionFailed,
        Kind::TooLarge,
        Kind::KeyTooLong,
        Kind::UnsupportedEncoding,
        Kind::ForeignHost,
        Kind::IdempotencyConflict,
        Kind::Internal,
        Kind::NotReady,
        Kind::NotApplied,
        Kind::Unknown,
        Kind::Overloaded,
        Kind::Stopped,
        Kind::OutOfMemory,
    ];

    #[test]
    fn every_kind_has_its_section_in_the_reference() {
        for kind in ALL {
            let (status, name, title) = kind.row();
            let heading = format!("\n### {name}\n");
            assert!(crate::index::REFERENCE.contains(&heading), "{status} {name}: {title}");
        }
    }

    #[test]
    fn an_unknown_outcome_never_invites_a_retry() {
        for kind in ALL {
            assert!(!(kind.retry_soon() && kind.outcome() == Some("unknown")), "{kind:?}");
        }
    }
}
