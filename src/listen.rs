//! Listeners: which protocols a port takes, and what becomes of a connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quorate_env::mux::{Protocol, sniff};
use quorate_env::{Env, Listener, Stream};
use quorate_node::Node;

/// A port and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `host:port`; port 0 picks a free one.
    pub addr: String,
    /// What it takes.
    pub protocols: Vec<Protocol>,
}

impl Listen {
    /// Redis clients, HTTP clients and peers; the first bytes of a connection tell which it is.
    pub fn all(addr: impl Into<String>) -> Self {
        Self::only(addr, [Protocol::Resp, Protocol::Http, Protocol::Peer])
    }

    /// Only these.
    pub fn only(addr: impl Into<String>, protocols: impl IntoIterator<Item = Protocol>) -> Self {
        Self { addr: addr.into(), protocols: protocols.into_iter().collect() }
    }

    /// True when it takes `protocol`.
    pub fn takes(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }
}

/// Who serves what.
#[derive(Clone)]
pub(crate) struct Fronts {
    pub(crate) node: Node,
    pub(crate) resp: Rc<quorate_resp::Server>,
    pub(crate) http: Arc<quorate_http::Server>,
    /// HTTP connections that are open.
    pub(crate) http_open: Rc<Cell<usize>>,
}

/// After a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection that says nothing for so long is closed; one that has spoken stays.
const FIRST_BYTES_TIME: Duration = Duration::from_secs(60);

/// Accepts connections for ever.
pub(crate) async fn accept(
    env: Env,
    listen: Listen,
    mut listener: Box<dyn Listener>,
    fronts: Fronts,
) {
    loop {
        match poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(stream) => {
                let connection = serve(env.clone(), listen.clone(), stream, fronts.clone());
                env.tasks.spawn(Box::pin(connection));
            }
            Err(error) => {
                tracing::warn!(%error, addr = listen.addr, "a connection could not be accepted");
                env.clock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(env: Env, listen: Listen, stream: Box<dyn Stream>, fronts: Fronts) {
    let (protocol, stream) = match listen.protocols.as_slice() {
        [only] => (*only, stream),
        _ => match first_bytes(&env, stream).await {
            Some(sniffed) => sniffed,
            None => return,
        },
    };
    if !listen.takes(protocol) {
        return tracing::debug!(?protocol, addr = listen.addr, "not a protocol of this port");
    }
    match protocol {
        Protocol::Resp => quorate_resp::serve(fronts.resp, stream).await,
        Protocol::Http => {
            let open = fronts.http_open;
            open.set(open.get() + 1);
            quorate_http::serve(fronts.http, stream).await;
            open.set(open.get() - 1);
        }
        Protocol::Peer => fronts.node.serve_peer(stream).await,
    }
}

async fn first_bytes(env: &Env, stream: Box<dyn Stream>) -> Option<(Protocol, Box<dyn Stream>)> {
    let mut timer = env.clock.sleep(FIRST_BYTES_TIME);
    let mut sniffing = std::pin::pin!(sniff(stream));
    poll_fn(|cx| {
        if let std::task::Poll::Ready(sniffed) = sniffing.as_mut().poll(cx) {
            return std::task::Poll::Ready(sniffed.ok());
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}
