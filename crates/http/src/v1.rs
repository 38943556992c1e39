//! `/v1/kv/<key>`: raw bytes under any key, with revisions as entity tags.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use quorate_api::{Reply, limits};

use crate::condition::{self, Condition, Freshness};
use crate::door::Door;
use crate::error::{Kind, Problem};
use crate::{answer, body, idempotency, path, query};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new().route("/v1/kv/{*key}", get(read).put(put).delete(delete))
}

const PREFIX: &str = "/v1/kv/";

/// When the key expires, Unix milliseconds.
const EXPIRES_AT: HeaderName = HeaderName::from_static("quorate-expires-at-ms");

async fn read(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let key = path::rest(&head.uri, PREFIX)?;
    let consistency = query::consistency(&head.uri)?;
    let reply = door.read([b"KV.GET", key.as_slice()], consistency).await?;
    let Some(Found { value, revision, expires_at_ms }) = Found::from(reply)? else {
        if head.headers.contains_key(header::IF_MATCH) {
            return Err(condition::failed(Some(0)));
        }
        return Err(absent());
    };
    let mut response = match condition::freshness(&head.headers, revision)? {
        Freshness::Failed => return Err(condition::failed(Some(revision))),
        Freshness::NotModified => answer::empty(StatusCode::NOT_MODIFIED),
        Freshness::Send => answer::content("application/octet-stream", door.hold(value)?),
    };
    let headers = response.headers_mut();
    headers.insert(header::ETAG, condition::etag(revision));
    // Keep it, but ask each time whether it is still true.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(expires_at_ms) = expires_at_ms {
        headers.insert(EXPIRES_AT, HeaderValue::from(expires_at_ms));
    }
    Ok(response)
}

async fn put(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let key = path::rest(&head.uri, PREFIX)?;
    let ttl_ms = query::ttl_ms(&head.uri)?.unwrap_or(0).to_string();
    let idempotency = idempotency::of(&head.headers)?;
    let condition = Condition::of_put(&head.headers)?;
    check_representation(&head.headers)?;
    let Some(argument) = condition.argument() else { return Err(condition::failed(None)) };
    let held = body::read(&door, body, limits::VALUE_BYTES_MAX).await?;
    let parts = [b"KV.PUT", key.as_slice(), &held.bytes, argument.as_bytes(), ttl_ms.as_bytes()];
    match Written::from(door.write(parts, idempotency).await?)? {
        Written { done: false, revision } => Err(condition::failed(Some(revision))),
        Written { done: true, revision } => {
            let created = condition == Condition::Absent;
            let status = if created { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
            let mut response = answer::empty(status);
            response.headers_mut().insert(header::ETAG, condition::etag(revision));
            Ok(response)
        }
    }
}

async fn delete(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let key = path::rest(&head.uri, PREFIX)?;
    query::none(&head.uri)?;
    let idempotency = idempotency::of(&head.headers)?;
    let condition = Condition::of_delete(&head.headers)?;
    let Some(argument) = condition.argument() else { return Err(condition::failed(None)) };
    let parts = [b"KV.DELETE", key.as_slice(), argument.as_bytes()];
    match Written::from(door.write(parts, idempotency).await?)? {
        Written { done: true, .. } => Ok(answer::empty(StatusCode::NO_CONTENT)),
        Written { .. } if condition == Condition::None => Err(absent()),
        Written { revision, .. } => Err(condition::failed(Some(revision))),
    }
}

fn absent() -> Problem {
    Problem::new(Kind::KeyNotFound, "The key does not exist, or not any more. PUT creates it.")
}

/// A value is stored as it is sent: what would have to be undone to read it is refused.
fn check_representation(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::CONTENT_RANGE) {
        return Err(Problem::bad("A value can't be written in parts. PUT it whole."));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Problem::new(
            Kind::UnsupportedEncoding,
            "Values have no Content-Encoding: a GET would give the encoded bytes without saying \
             so. Send the bytes that you want to read, and leave the header out.",
        )),
        _ => Ok(()),
    }
}

/// What `KV.GET` found.
struct Found {
    value: Bytes,
    revision: u64,
    expires_at_ms: Option<i64>,
}

impl Found {
    fn from(reply: Reply) -> Result<Option<Self>, Problem> {
        let fields = match reply {
            Reply::Nil => return Ok(None),
            Reply::Array(fields) => <[Reply; 3]>::try_from(fields).ok(),
            _ => None,
        };
        let Some([Reply::Bulk(value), Reply::Int(revision), expiry]) = fields else {
            return Err(Problem::unexpected_reply());
        };
        let expires_at_ms = match expiry {
            Reply::Nil => None,
            Reply::Int(milliseconds) => Some(milliseconds),
            _ => return Err(Problem::unexpected_reply()),
        };
        let revision = u64::try_from(revision).map_err(|_| Problem::unexpected_reply())?;
        Ok(Some(Self { value, revision, expires_at_ms }))
    }
}

/// What `KV.PUT` and `KV.DELETE` did; the revision is the new one, or the one that stood in the way.
struct Written {
    done: bool,
    revision: u64,
}

impl Written {
    fn from(reply: Reply) -> Result<Self, Problem> {
        let Reply::Array(fields) = reply else { return Err(Problem::unexpected_reply()) };
        let [Reply::Int(done @ 0..=1), Reply::Int(revision)] = *fields else {
            return Err(Problem::unexpected_reply());
        };
        let revision = u64::try_from(revision).map_err(|_| Problem::unexpected_reply())?;
        Ok(Self { done: done == 1, revision })
    }
}
