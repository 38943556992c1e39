//! `/v1/cluster` and `/v1/node`: who is in the cluster, and how it is; members come, go and take over.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use quorate_api::{AdminReply, AdminRequest};
use serde::Deserialize;

use crate::door::Door;
use crate::error::Problem;
use crate::status::View;
use crate::{answer, body, json, member, path, query};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/v1/node", get(node))
        .route("/v1/cluster", get(cluster))
        .route("/v1/cluster/members", post(join))
        .route("/v1/cluster/members/{*member}", axum::routing::delete(leave))
        .route("/v1/cluster/transfer", post(transfer))
}

const JOIN: &str = r#"{"addr":"host:port","id":"name"}, where id may be missing"#;
const TRANSFER: &str = r#"{"to":"name"}, or nothing for the most advanced voter"#;

async fn node(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    query::none(&uri)?;
    answer::json(&door, &View::from(&door.status().await?))
}

async fn cluster(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    query::none(&uri)?;
    match door.ask(AdminRequest::ClusterStatus).await? {
        AdminReply::Status(status) => answer::json(&door, &View::from(&*status)),
        _ => Err(Problem::unexpected_reply()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    addr: String,
    id: Option<String>,
}

async fn join(State(door): State<Arc<Door>>, body: Body) -> Result<Response, Problem> {
    let Join { addr, id } = json::read(&door, body, json::ADMIN_BYTES_MAX, JOIN).await?;
    door.change(member::join(id, addr)?).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

async fn leave(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    query::none(&head.uri)?;
    let member = path::text(path::segment(&head.uri, "/v1/cluster/members/")?)?;
    door.change(AdminRequest::Leave { member }).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    to: Option<String>,
}

async fn transfer(State(door): State<Arc<Door>>, body: Body) -> Result<Response, Problem> {
    let held = body::read(&door, body, json::ADMIN_BYTES_MAX).await?;
    let Transfer { to } =
        if held.bytes.is_empty() { Transfer::default() } else { json::parse(&held, TRANSFER)? };
    door.change(AdminRequest::Transfer { to }).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}
