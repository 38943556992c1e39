//! hraftd's dialect: `/key`, `/join`, `/leave`, `/status`, and its Redis fork's `/xdr/log/<index>`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use quorate_api::status::MemberStatus;
use quorate_api::{AdminReply, AdminRequest, Caution, limits};
use serde::{Deserialize, Serialize};

use crate::door::Door;
use crate::error::{Kind, Problem};
use crate::{answer, idempotency, json, member, path, query};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/key", post(set))
        .route("/key/{*key}", get(read).delete(delete))
        .route("/join", post(join))
        .route("/leave", post(leave))
        .route("/status", get(status))
        .route("/xdr/log/{index}", get(log_entry))
}

const PAIRS: &str = r#"an object of strings, like {"key":"value"}"#;
const JOIN: &str = r#"{"addr":"host:port","id":"name"}, where id may be missing"#;
const LEAVE: &str = r#"{"addr":"host:port"}"#;

async fn set(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    query::none(&head.uri)?;
    let idempotency = idempotency::of(&head.headers)?;
    let json::Pairs(pairs) = json::read(&door, body, limits::COMMAND_BYTES_MAX, PAIRS).await?;
    for (key, value) in &pairs {
        json::check_pair(key, value)?;
    }
    if pairs.is_empty() {
        return Ok(answer::done());
    }
    let arguments = pairs.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    door.write(std::iter::once("MSET").chain(arguments), idempotency).await?;
    Ok(answer::done())
}

async fn read(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    let key = path::text(path::segment(&uri, "/key/")?)?;
    let value = super::get(&door, &key, query::loose_consistency(&uri)?).await?;
    answer::json(&door, &std::collections::BTreeMap::from([(key, value)]))
}

async fn delete(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Problem> {
    let (head, _) = request.into_parts();
    query::none(&head.uri)?;
    let key = path::segment(&head.uri, "/key/")?;
    door.write([b"DEL", key.as_slice()], idempotency::of(&head.headers)?).await?;
    Ok(answer::done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    addr: String,
    id: Option<String>,
}

async fn join(State(door): State<Arc<Door>>, uri: Uri, body: Body) -> Result<Response, Problem> {
    query::none(&uri)?;
    let Join { addr, id } = json::read(&door, body, json::ADMIN_BYTES_MAX, JOIN).await?;
    door.change(member::join(id, addr)?).await?;
    Ok(answer::done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leave {
    addr: String,
}

async fn leave(State(door): State<Arc<Door>>, uri: Uri, body: Body) -> Result<Response, Problem> {
    query::none(&uri)?;
    let Leave { addr } = json::read(&door, body, json::ADMIN_BYTES_MAX, LEAVE).await?;
    if addr.is_empty() {
        return Err(Problem::bad(format!("addr is empty. Send {LEAVE}.")));
    }
    door.change(AdminRequest::Leave { member: addr, caution: Caution::KeepMajority }).await?;
    Ok(answer::done())
}

/// A node as hraftd shows it; empty strings where none is known.
#[derive(Default, Serialize)]
struct Node<'a> {
    id: &'a str,
    address: &'a str,
}

impl<'a> From<&'a MemberStatus> for Node<'a> {
    fn from(member: &'a MemberStatus) -> Self {
        Self { id: &member.id, address: &member.addr }
    }
}

#[derive(Serialize)]
struct View<'a> {
    me: Node<'a>,
    leader: Node<'a>,
    followers: Vec<Node<'a>>,
}

async fn status(State(door): State<Arc<Door>>) -> Result<Response, Problem> {
    let status = door.status().await?;
    let leads = |member: &&MemberStatus| status.leader != 0 && member.node == status.leader;
    let view = View {
        me: Node { id: &status.id, address: &status.addr },
        leader: status.members.iter().find(leads).map(Node::from).unwrap_or_default(),
        followers: status.members.iter().filter(|it| !leads(it)).map(Node::from).collect(),
    };
    answer::json(&door, &view)
}

async fn log_entry(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    let index = uri.path().strip_prefix("/xdr/log/").and_then(|index| index.parse().ok());
    let Some(index) = index else {
        return Err(Problem::bad("The index of a log entry is a number, like /xdr/log/12."));
    };
    match door.ask(AdminRequest::ReadLog { index }).await? {
        AdminReply::LogEntry { index, term, kind, data } => {
            let line = format!("i {index} t {term} t {kind} d {data}");
            Ok(answer::text(door.hold(line.into())?))
        }
        AdminReply::Refused(reason) => {
            let detail = format!("{reason}. GET /v1/node says which entries the log has.");
            Err(Problem::new(Kind::EntryNotFound, detail))
        }
        _ => Err(Problem::unexpected_reply()),
    }
}
