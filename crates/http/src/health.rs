//! `/livez` and `/readyz`, for whoever restarts processes and sends them traffic.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use quorate_api::status::Role;
use quorate_api::{Consistency, Error, Status};

use crate::answer;
use crate::door::Door;
use crate::error::{Check, Kind, Problem};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz))
}

/// Entries that a ready node may have left to apply: it applies thousands while one request is under
/// way, and a linearizable read waits for the rest anyhow.
const APPLY_LAG_MAX: u64 = 10_000;

/// Needs no quorum. Fails when only a restart can help; an overloaded node lives.
async fn livez(State(door): State<Arc<Door>>) -> Result<Response, Problem> {
    match door.status().await {
        Ok(Status { role: Role::Stopped, stopped, .. }) => Err(gone(stopped).into()),
        Err(error @ Error::Stopped { .. }) => Err(error.into()),
        Ok(_) | Err(_) => Ok(answer::text("ok\n")),
    }
}

fn gone(why: Option<String>) -> Error {
    Error::Stopped { reason: why.unwrap_or_else(|| "this node has stopped".to_owned()).into() }
}

async fn readyz(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    let mut checks = checks(&door.status().await?);
    if checks.iter().all(|check| check.ok) {
        let current = current(&door).await;
        if !current.ok {
            checks.retain(|check| check.name != "writable");
            checks.push(no_writes());
        }
        checks.push(current);
    }
    let failed: Vec<&str> =
        checks.iter().filter(|check| !check.ok).map(|check| check.detail.as_str()).collect();
    if !failed.is_empty() {
        let detail = format!("{}. Send requests to another node meanwhile.", failed.join("; "));
        return Err(Problem::new(Kind::NotReady, detail).with_checks(checks));
    }
    let verbose = uri
        .query()
        .is_some_and(|query| query.split('&').any(|it| it.split('=').next() == Some("verbose")));
    if !verbose {
        return Ok(answer::text("ok\n"));
    }
    let lines = checks.iter().map(|check| format!("[+] {}: {}\n", check.name, check.detail));
    Ok(answer::text(lines.chain(["ok\n".to_owned()]).collect::<String>()))
}

/// Whether `-OOM` is the answer to writes that grow the data, as the node judges it.
fn is_over_memory(status: &Status) -> bool {
    let max = status.max_memory_bytes;
    status.engine == "memory" && max > 0 && status.engine_memory_bytes > max
}

/// Whether a read that sees every write acknowledged so far is answered here: a node that was restarted does not know
/// by itself how much it has missed.
async fn current(door: &Door) -> Check {
    let (ok, detail) = match door.read(["GET", ""], Consistency::Linearizable).await {
        Ok(_) => (true, "reads see every write".to_owned()),
        Err(problem) => {
            (false, format!("a linearizable read was not served: {}", problem.detail()))
        }
    };
    Check { name: "current", ok, detail }
}

/// Nobody is there who would take a write.
fn no_writes() -> Check {
    let detail = "writes are not accepted: they need a leader and a majority".to_owned();
    Check { name: "writable", ok: false, detail }
}

fn checks(status: &Status) -> Vec<Check> {
    let check = |name, ok, detail| Check { name, ok, detail };
    let running = match (status.role, &status.stopped) {
        (Role::Stopped, why) => {
            let why = why.as_deref().unwrap_or("no reason is known");
            check("running", false, format!("this node has stopped: {why}"))
        }
        _ => check("running", true, "running".to_owned()),
    };
    let member = match status.role {
        Role::Waiting => check(
            "member",
            false,
            "this node is in no cluster yet; its log says what it waits for".to_owned(),
        ),
        role => check("member", true, role.as_str().to_owned()),
    };
    let leader = if status.leader == 0 {
        check("leader", false, "no leader is known".to_owned())
    } else {
        let id = crate::status::leader(status).map(|leader| leader.id.as_str());
        check("leader", true, id.unwrap_or("known").to_owned())
    };
    let lag = status.commit.saturating_sub(status.applied);
    let caught_up = if let (Some(why), false) = (&status.read_only, status.role == Role::Leader) {
        check("caught-up", false, format!("this node can't follow the leader: {why}"))
    } else if lag <= APPLY_LAG_MAX {
        check("caught-up", true, format!("{lag} entries to apply"))
    } else {
        check("caught-up", false, format!("this node still has {lag} entries to apply"))
    };
    // A full disk stops writes, not reads: to be seen, but no reason to send reads elsewhere.
    let writable = match &status.read_only {
        None if is_over_memory(status) => {
            "writes that grow the data are refused: the memory limit is reached".to_owned()
        }
        None => "writes are accepted".to_owned(),
        Some(why) => format!("reads only: {why}"),
    };
    let writable = if leader.ok && member.ok && running.ok {
        check("writable", true, writable)
    } else {
        no_writes()
    };
    vec![running, member, leader, caught_up, writable]
}
