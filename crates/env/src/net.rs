//! Wire: listeners and byte streams.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

/// One connection: tokio's poll-style I/O traits, which need no runtime of their own.
///
/// Must: a read of zero bytes into a non-empty buffer means that the other side has closed.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {
    /// The other side as `host:port`, for logs and CLIENT LIST.
    fn peer_addr(&self) -> String;
    /// This side as `host:port`.
    fn local_addr(&self) -> String;
}

impl Stream for Box<dyn Stream> {
    fn peer_addr(&self) -> String {
        (**self).peer_addr()
    }
    fn local_addr(&self) -> String {
        (**self).local_addr()
    }
}

/// A bound port.
pub trait Listener {
    /// The next connection.
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>>;
    /// The bound address as `host:port` (the real port, when 0 was asked for).
    fn local_addr(&self) -> String;
}

/// The future of a connection attempt.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>>>>;

/// The future of a look-up.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<String>>>>>;

/// Opens listeners and connections.
pub trait Net: Send + Sync {
    /// Binds `addr` (`host:port`; port 0 picks a free one).
    ///
    /// # Errors
    /// The address is taken, not ours, or not an address.
    fn listen(&self, addr: &str) -> io::Result<Box<dyn Listener>>;
    /// Connects to `addr` (`host:port`; names are resolved at each call).
    fn connect(&self, addr: &str) -> Connecting;
    /// The addresses that `addr` (`host:port`) stands for at the moment: of a name there may be several. An
    /// address stands for itself.
    fn resolve(&self, addr: &str) -> Resolving {
        let addr = addr.to_owned();
        Box::pin(std::future::ready(Ok(vec![addr])))
    }
}
