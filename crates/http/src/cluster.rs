//! `/v1/cluster` and `/v1/node`: who is in the cluster, and how it is; members come, go and take over.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{delete, get, post};
use quorate_api::{AdminReply, AdminRequest, Place};
use serde::Deserialize;

use crate::door::Door;
use crate::error::Problem;
use crate::status::{ClusterView, Membership, View};
use crate::{answer, body, json, member, path, query};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/v1/node", get(node))
        .route("/v1/cluster", get(cluster))
        .route("/v1/cluster/members", get(members).post(join))
        .route("/v1/cluster/members/{member}", delete(leave))
        .route("/v1/cluster/members/{member}/promote", post(promote))
        .route("/v1/cluster/members/{member}/demote", post(demote))
        .route("/v1/cluster/members/{member}/replace", post(replace))
        .route("/v1/cluster/transfer", post(transfer))
}

const JOIN: &str =
    r#"{"addr":"host:port","id":"name","learner":false}, where all but addr may be missing"#;
const REPLACE: &str = r#"{"addr":"host:port","id":"name"}, where id may be missing"#;
const TRANSFER: &str = r#"{"to":"name"}, or nothing for the most advanced voter"#;

async fn node(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    query::none(&uri)?;
    answer::json(&door, &View::from(&door.status().await?))
}

async fn cluster(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    query::none(&uri)?;
    match door.ask(AdminRequest::ClusterStatus).await? {
        AdminReply::Status(status) => answer::json(&door, &ClusterView::from(&*status)),
        _ => Err(Problem::unexpected_reply()),
    }
}

/// The members, as the leader sees them.
async fn members(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    query::none(&uri)?;
    match door.ask(AdminRequest::ClusterStatus).await? {
        AdminReply::Status(status) => answer::json(&door, &Membership::from(&*status)),
        _ => Err(Problem::unexpected_reply()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    addr: String,
    id: Option<String>,
    #[serde(default)]
    learner: bool,
}

async fn join(State(door): State<Arc<Door>>, body: Body) -> Result<Response, Problem> {
    let Join { addr, id, learner } = json::read(&door, body, json::ADMIN_BYTES_MAX, JOIN).await?;
    let place = if learner { Place::Learner } else { Place::AsItWishes };
    door.change(member::join_as(id, addr, place)?).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// The member in a path, which may be followed by what is to be done with it.
fn member_in(uri: &Uri, action: &str) -> Result<String, Problem> {
    path::text(path::segment_before(uri, "/v1/cluster/members/", action)?)
}

async fn leave(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let caution = query::caution(&head.uri)?;
    let member = member_in(&head.uri, "")?;
    door.change(AdminRequest::Leave { member, caution }).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

async fn promote(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    query::none(&head.uri)?;
    let member = member_in(&head.uri, "/promote")?;
    door.change(AdminRequest::Promote { member }).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

async fn demote(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    let caution = query::caution(&head.uri)?;
    let member = member_in(&head.uri, "/demote")?;
    door.change(AdminRequest::Demote { member, caution }).await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replace {
    addr: String,
    id: Option<String>,
}

async fn replace(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let old = member_in(&head.uri, "/replace")?;
    let Replace { addr, id } = json::read(&door, body, json::ADMIN_BYTES_MAX, REPLACE).await?;
    door.change(member::join_as(id, addr, Place::Of(old))?).await?;
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
