//! raft-kv-example's dialect: `/keys/<k>/` and `/cluster/join/`; the slash at the end may be missing.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use quorate_api::limits;
use serde::{Deserialize, Serialize};

use crate::door::Door;
use crate::error::Problem;
use crate::{answer, idempotency, json, member, path, query};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/keys/{*key}", get(read).post(set))
        .route("/cluster/join", post(join))
        .route("/cluster/join/", post(join))
}

const VALUE: &str = r#"{"value":"..."}"#;
const JOIN: &str = r#"{"address":"host:port"}"#;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: String,
}

async fn set(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let key = path::segment_then_slash(&head.uri, "/keys/")?;
    let idempotency = idempotency::of(&head.headers)?;
    let pair: Value = json::read(&door, body, limits::COMMAND_BYTES_MAX, VALUE).await?;
    json::check_value(&pair.value)?;
    let answer = answer::json(&door, &pair)?;
    door.write([b"SET", key.as_slice(), pair.value.as_bytes()], idempotency).await?;
    Ok(answer)
}

async fn read(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    let key = path::text(path::segment_then_slash(&uri, "/keys/")?)?;
    let value = super::get(&door, &key, query::loose_consistency(&uri)?).await?;
    answer::json(&door, &Value { value })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    address: String,
}

async fn join(State(door): State<Arc<Door>>, uri: Uri, body: Body) -> Result<Response, Problem> {
    query::none(&uri)?;
    let Join { address } = json::read(&door, body, json::ADMIN_BYTES_MAX, JOIN).await?;
    door.change(member::join(None, address)?).await?;
    Ok(answer::content("application/json", "{}"))
}
