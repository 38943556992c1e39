//! One connection: requests one after the other, until either side has had enough.

mod progress;
mod watchdog;

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use quorate_api::limits;
use quorate_env::Stream;
use tokio::sync::watch;

use crate::door::Stats;
use crate::server::Server;
use progress::{Progress, WatchedBody, WatchedStream};
pub(crate) use watchdog::TimeLimits;

/// So long a client that is answered may go on sending what nobody wants.
const LINGER_TIME: Duration = Duration::from_secs(5);

/// Serves HTTP/1.1 on `stream` until it ends: closed by the client, overdue, or shut down.
///
/// The future is to be run beside others by any executor; dropping it closes the connection, and
/// gives up the answer to the request it is in, never that request's effect.
pub async fn serve(server: Arc<Server>, stream: Box<dyn Stream>) {
    let peer = stream.peer_addr();
    let progress = Arc::new(Progress::default());
    let _open = Open::new(Arc::clone(&server.door.stats));
    let mut shut_down = pin!(shut_down(server.shutdown.clone()));
    let mut overdue = pin!(watchdog::overdue(server.time.clone(), Arc::clone(&progress)));
    let io = TokioIo::new(WatchedStream::new(stream, Arc::clone(&progress)));
    let service = service_fn(|request: Request<Incoming>| {
        progress.request_begins();
        let (server, progress) = (Arc::clone(&server), Arc::clone(&progress));
        async move {
            let request =
                request.map(|body| Body::new(WatchedBody::new(body, Arc::clone(&progress))));
            let response = server.answer(request).await;
            progress.request_ends();
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = pin!(protocol().serve_connection(io, service));
    let (mut closing, mut linger) = (false, None);
    poll_fn(|cx| {
        if !closing && shut_down.as_mut().poll(cx).is_ready() {
            closing = true;
            connection.as_mut().graceful_shutdown();
        }
        match connection.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => return Poll::Ready(()),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%peer, %error, "http connection ended");
                return Poll::Ready(());
            }
            Poll::Pending => {}
        }
        if progress.lingers() {
            // Without a clock nobody can tell how long it takes: then the answer has to take its chance.
            let Some(limits) = &server.time else { return Poll::Ready(()) };
            let end = linger.get_or_insert_with(|| limits.clock.sleep(LINGER_TIME));
            return end.as_mut().poll(cx);
        }
        overdue.as_mut().poll(cx).map(|()| tracing::debug!(%peer, "http connection overdue"))
    })
    .await;
}

fn protocol() -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .max_buf_size(limits::HTTP_HEADER_BYTES_MAX)
        // Of the system's clock, which the simulator does not have.
        .auto_date_header(false)
        // Ours is the watchdog, which asks the environment for the time.
        .header_read_timeout(None)
        // A client that has nothing more to send still waits for its answers.
        .half_close(true);
    protocol
}

/// Resolves when the signal comes; never without one.
async fn shut_down(signal: Option<watch::Receiver<bool>>) {
    if let Some(mut signal) = signal
        && signal.wait_for(|down| *down).await.is_ok()
    {
        return;
    }
    pending::<()>().await;
}

/// Counts an open connection.
struct Open(Arc<Stats>);

impl Open {
    fn new(stats: Arc<Stats>) -> Self {
        stats.connections.fetch_add(1, Ordering::Relaxed);
        Self(stats)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
