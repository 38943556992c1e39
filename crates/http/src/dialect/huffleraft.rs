//! huffleraft's dialect: `/<name>/key` and `/<name>/join`, whatever the store's name is.
//!
//! It had no read over HTTP; ours answers in the shape of its writes.

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

/// Its routes. The other dialects' paths win: the router prefers what is written out.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/{name}/key", post(set))
        .route("/{name}/key/{*key}", get(read).delete(delete))
        .route("/{name}/join", post(join))
}

const PAIR: &str = r#"{"key":"...","val":"..."}"#;
const JOIN: &str = r#"{"addr":"host:port"}"#;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    key: String,
    val: String,
}

async fn set(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let idempotency = idempotency::of(&head.headers)?;
    let Pair { key, val } = json::read(&door, body, limits::COMMAND_BYTES_MAX, PAIR).await?;
    json::check_pair(&key, &val)?;
    door.write(["SET", &key, &val], idempotency).await?;
    Ok(answer::done())
}

async fn read(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    let key = path::text(path::third_segment(&uri)?)?;
    let val = super::get(&door, &key, query::loose_consistency(&uri)?).await?;
    answer::json(&door, &Pair { key, val })
}

async fn delete(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    query::none(&head.uri)?;
    let key = path::third_segment(&head.uri)?;
    door.write([b"DEL", key.as_slice()], idempotency::of(&head.headers)?).await?;
    Ok(answer::done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    addr: String,
}

async fn join(State(door): State<Arc<Door>>, uri: Uri, body: Body) -> Result<Response, Problem> {
    query::none(&uri)?;
    let Join { addr } = json::read(&door, body, json::ADMIN_BYTES_MAX, JOIN).await?;
    door.change(member::join(None, addr)?).await?;
    Ok(answer::done())
}
