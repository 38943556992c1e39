//! Successful answers, one function per shape.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;

use crate::door::Door;
use crate::error::Problem;

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 200 without a body, as hraftd and huffleraft answer writes.
pub(crate) fn done() -> Response {
    empty(StatusCode::OK)
}

/// 200 with `body` as `content_type`.
pub(crate) fn content(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// 200 with text.
pub(crate) fn text(body: impl Into<Body>) -> Response {
    content("text/plain; charset=utf-8", body)
}

/// 200 with JSON, held against the allowance for unsent answers.
///
/// # Errors
/// There is no room for it.
pub(crate) fn json(door: &Door, value: &impl Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|_| Problem::unexpected_reply())?;
    let body = door.hold(Bytes::from(body))?;
    Ok(content("application/json", body))
}
