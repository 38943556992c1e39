//! The machine's sockets: TCP without delay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::net::{Connecting, Listener, Net, Resolving, Stream};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

#[derive(Debug)]
pub(super) struct RealNet;

#[derive(Debug)]
struct RealListener(TcpListener);

#[derive(Debug)]
struct RealStream(TcpStream);

impl Net for RealNet {
    fn listen(&self, addr: &str) -> io::Result<Box<dyn Listener>> {
        use std::net::ToSocketAddrs as _;
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "no address of that name");
        for addr in addr.to_socket_addrs()? {
            match bind(addr) {
                Ok(listener) => return Ok(Box::new(RealListener(listener))),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn connect(&self, addr: &str) -> Connecting {
        let addr = addr.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(addr).await?;
            Ok(Box::new(RealStream::new(stream)?) as Box<dyn Stream>)
        })
    }

    fn resolve(&self, addr: &str) -> Resolving {
        let addr = addr.to_owned();
        Box::pin(async move {
            let mut found: Vec<String> = Vec::new();
            for one in tokio::net::lookup_host(addr).await? {
                let text = one.to_string();
                if !found.contains(&text) {
                    found.push(text);
                }
            }
            Ok(found)
        })
    }
}

/// `SO_REUSEADDR`, so that a restarted node gets its port back at once; it does not allow two
/// listeners on one port.
fn bind(addr: std::net::SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

impl RealStream {
    /// Replies are written once per turn: there is nothing that Nagle's algorithm could gather.
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

impl Listener for RealListener {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Stream>>> {
        loop {
            // A client that went away while it waited is no trouble of the listener's.
            match std::task::ready!(self.0.poll_accept(cx)) {
                Ok((stream, _)) => {
                    if let Ok(stream) = RealStream::new(stream) {
                        return Poll::Ready(Ok(Box::new(stream)));
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> String {
        self.0.local_addr().map(|addr| addr.to_string()).unwrap_or_default()
    }
}

impl Stream for RealStream {
    fn peer_addr(&self) -> String {
        self.0.peer_addr().map(|addr| addr.to_string()).unwrap_or_default()
    }

    fn local_addr(&self) -> String {
        self.0.local_addr().map(|addr| addr.to_string()).unwrap_or_default()
    }
}

impl AsyncRead for RealStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for RealStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
