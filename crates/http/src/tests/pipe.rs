//! A connection in memory.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use quorate_env::Stream;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// The server's end.
pub(super) struct Pipe(pub(super) DuplexStream);

impl Stream for Pipe {
    fn peer_addr(&self) -> String {
        "127.0.0.1:1".to_owned()
    }
    fn local_addr(&self) -> String {
        "127.0.0.1:7000".to_owned()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
