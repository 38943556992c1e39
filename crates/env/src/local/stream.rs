//! A connection within the process: two pipes, each of which a cut can hold up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::network::Wire;
use crate::net::Stream;

/// Bytes that a writer may be ahead of the reader.
const WINDOW_BYTES: usize = 64 * 1024;

/// One end.
#[derive(Debug)]
pub(super) struct LocalStream {
    wire: Arc<Wire>,
    pipe: DuplexStream,
    here: String,
    there: String,
}

/// Both ends of a new connection.
pub(super) fn pair(wire: &Arc<Wire>, here: String, there: String) -> (LocalStream, LocalStream) {
    let (pipe, other_pipe) = duplex(WINDOW_BYTES);
    let other = LocalStream {
        wire: Arc::clone(wire),
        pipe: other_pipe,
        here: there.clone(),
        there: here.clone(),
    };
    (LocalStream { wire: Arc::clone(wire), pipe, here, there }, other)
}

fn host(addr: &str) -> &str {
    addr.rsplit_once(':').map_or(addr, |(host, _)| host)
}

impl Stream for LocalStream {
    fn peer_addr(&self) -> String {
        self.there.clone()
    }

    fn local_addr(&self) -> String {
        self.here.clone()
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The cut is in the reader's way alone: a writer fills its window first, as with TCP.
        ready!(self.wire.poll_open(cx, host(&self.there), host(&self.here)));
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}
