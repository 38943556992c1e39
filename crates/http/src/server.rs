//! The front-end as a whole: guards, then the router.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quorate_api::Handle;
use tower::ServiceExt;
use tracing::Instrument;

use crate::connection::TimeLimits;
use crate::dialect::{hraftd, huffleraft, raftkv};
use crate::door::Door;
use crate::guard::Guard;
use crate::options::Options;
use crate::{backup, cluster, events, health, index, metrics, v1};

/// Answers HTTP requests for one node; shared by all of its connections.
pub struct Server {
    guard: Guard,
    router: Router,
    pub(crate) door: Arc<Door>,
    pub(crate) time: Option<TimeLimits>,
    pub(crate) shutdown: Option<tokio::sync::watch::Receiver<bool>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl Server {
    /// A front-end of the node behind `handle`.
    pub fn new(handle: Handle, options: Options) -> Self {
        let guard = Guard::new(&options);
        let door = Arc::new(Door::new(handle, &options.version, options.pending_bytes_max));
        let router = routes().with_state(Arc::clone(&door));
        let (head, idle) = (options.head_time_max, options.idle_time_max);
        let time = options.clock.map(|clock| TimeLimits { clock, head, idle });
        Self { guard, router, door, time, shutdown: options.shutdown }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        let span = tracing::debug_span!(
            "http",
            method = %request.method(),
            path = request.uri().path(),
            traceparent = request.headers().get("traceparent").and_then(|it| it.to_str().ok()),
        );
        let mut response = self.guarded(request).instrument(span).await;
        let not_modified = response.status() == StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        if not_modified {
            // To a HEAD the router says that the body has 0 bytes: that of a GET's answer with 200 had others.
            headers.remove(header::CONTENT_LENGTH);
        }
        for (name, value) in FOR_BROWSERS {
            headers.insert(name, value);
        }
        self.door.stats.count(response.status());
        response
    }

    async fn guarded(&self, request: Request<Body>) -> Response {
        let (head, body) = request.into_parts();
        if let Err(problem) = self.guard.check(&head) {
            return problem.into_response();
        }
        let answer = self.router.clone().oneshot(Request::from_parts(head, body)).await;
        answer.unwrap_or_else(|never| match never {})
    }
}

/// A value is never taken for a page or a script, nor read by a page of another site.
const FOR_BROWSERS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

fn routes() -> Router<Arc<Door>> {
    Router::new()
        .merge(index::routes())
        .merge(v1::routes())
        .merge(backup::routes())
        .merge(cluster::routes())
        .merge(events::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(hraftd::routes())
        .merge(raftkv::routes())
        .merge(huffleraft::routes())
        .fallback(index::no_such_path)
        .method_not_allowed_fallback(index::method_not_allowed)
}
