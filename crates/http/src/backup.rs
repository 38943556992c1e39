//! `/v1/backup`: the whole state at one index, as a file.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use hyper::body::Frame;
use quorate_api::Backup;

use crate::door::Door;
use crate::error::Problem;
use crate::{answer, query};

/// Its routes.
pub(crate) fn routes() -> Router<Arc<Door>> {
    Router::new().route("/v1/backup", get(back_up))
}

/// The log index whose state the file holds.
const INDEX: HeaderName = HeaderName::from_static("quorate-index");

async fn back_up(State(door): State<Arc<Door>>, uri: Uri) -> Result<Response, Problem> {
    let backup = door.back_up(query::consistency(&uri)?).await?;
    let index = backup.index;
    let mut response = answer::content("application/octet-stream", Body::new(Pieces(backup)));
    let headers = response.headers_mut();
    headers.insert(INDEX, HeaderValue::from(index));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A body that is made while it is read. An error breaks the connection off: the file has no end then.
struct Pieces(Backup);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = quorate_api::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.pieces.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
