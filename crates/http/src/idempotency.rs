//! The `Idempotency-Key` header: a write that carries one takes effect once, however often it is sent.

use axum::http::HeaderMap;
use bytes::Bytes;
use quorate_api::{Idempotency, limits};

use crate::error::Problem;

/// The header's name.
const NAME: &str = "idempotency-key";

/// The write's name, where the client gave it one.
///
/// # Errors
/// Empty, too long, or given twice.
pub(crate) fn of(headers: &HeaderMap) -> Result<Option<Idempotency>, Problem> {
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Problem::bad("There are two Idempotency-Key headers. Send one."));
    }
    let limit = limits::IDEMPOTENCY_KEY_BYTES_MAX;
    if value.is_empty() || value.len() > limit {
        let detail = format!("An Idempotency-Key has 1 to {limit} bytes. A UUID will do.");
        return Err(Problem::bad(detail));
    }
    // A key names one request, so there is no sequence within it.
    Ok(Some(Idempotency { client: Bytes::copy_from_slice(value.as_bytes()), sequence: 0 }))
}
