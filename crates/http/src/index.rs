//! What is here: the index at `/`, the OpenAPI document, the reference, and answers to wrong paths.

use std::future::{Ready, ready};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use axum::routing::get;
use serde_json::json;

use crate::answer;
use crate::door::Door;
use crate::error::{Kind, Problem};

/// The reference for users, to whose sections problems point.
pub(crate) const REFERENCE: &str = include_str!("../../../docs/HTTP.md");

/// The machine-readable interface; [`VERSION_MARK`] stands for our version.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");
const VERSION_MARK: &str = "@VERSION@";

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new()
        .route("/", get(index))
        .route("/openapi.json", get(openapi))
        .route("/docs/HTTP.md", get(reference))
        // Without it, a path of ours that does not exist yet would be a huffleraft store named "v1".
        .route("/v1/{*rest}", axum::routing::any(no_such_path))
}

fn index(State(door): State<Arc<Door>>) -> Ready<Result<Response, Problem>> {
    ready(answer::json(
        &door,
        &json!({
            "name": "quorate",
            "version": &*door.version,
            "links": {
                "kv": "/v1/kv/{key}",
                "cluster": "/v1/cluster",
                "members": "/v1/cluster/members",
                "node": "/v1/node",
                "livez": "/livez",
                "readyz": "/readyz?verbose",
                "metrics": "/metrics",
                "openapi": "/openapi.json",
                "reference": "/docs/HTTP.md",
            },
        }),
    ))
}

fn openapi(State(door): State<Arc<Door>>) -> Ready<Response> {
    let document = OPENAPI.replace(VERSION_MARK, &door.version);
    ready(answer::content("application/json", document))
}

fn reference() -> Ready<Response> {
    ready(answer::content("text/markdown; charset=utf-8", REFERENCE))
}

/// Nothing is there.
#[expect(clippy::needless_pass_by_value, reason = "what the router hands to a handler")]
pub(crate) fn no_such_path(uri: Uri) -> Ready<Problem> {
    let detail = format!("There is nothing at {}. GET / lists what there is.", uri.path());
    ready(Problem::new(Kind::NoSuchPath, detail))
}

/// Something is there, but not for this method; the router adds `Allow`.
#[expect(clippy::needless_pass_by_value, reason = "what the router hands to a handler")]
pub(crate) fn method_not_allowed(method: Method, uri: Uri) -> Ready<Problem> {
    let path = uri.path();
    let detail = format!("{method} is no method of {path}. Use one that the header Allow lists.");
    ready(Problem::new(Kind::MethodNotAllowed, detail))
}
