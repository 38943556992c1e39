//! What the watchdog must know of a connection: bytes that move, and whose turn it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use quorate_api::limits;
use quorate_env::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection's figures. Shared with handlers, which are `Send`; no ordering between the fields
/// is relied upon.
#[derive(Debug, Default)]
pub(super) struct Progress {
    moved: AtomicU64,
    requests: AtomicU64,
    answering: AtomicBool,
    in_head: AtomicBool,
    wants_body: AtomicBool,
    refused_body: AtomicBool,
    lingers: AtomicBool,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sight {
    /// Bytes read and written.
    pub(super) moved: u64,
    /// Requests whose head has arrived.
    pub(super) requests: u64,
    /// Part of a head has arrived.
    pub(super) in_head: bool,
    /// The node has all it needs: the client can only wait.
    pub(super) owes_answer: bool,
}

impl Progress {
    pub(super) fn look(&self) -> Sight {
        let answering = self.answering.load(Ordering::Relaxed);
        Sight {
            moved: self.moved.load(Ordering::Relaxed),
            requests: self.requests.load(Ordering::Relaxed),
            in_head: self.in_head.load(Ordering::Relaxed),
            owes_answer: answering && !self.wants_body.load(Ordering::Relaxed),
        }
    }

    pub(super) fn request_begins(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_head.store(false, Ordering::Relaxed);
        self.wants_body.store(false, Ordering::Relaxed);
        self.answering.store(true, Ordering::Relaxed);
    }

    pub(super) fn request_ends(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    /// The connection is closed for our part, and the client's last bytes are waited for.
    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// The client may be sending what nobody will read: a body, or a head that was refused before its end.
    fn has_unread(&self) -> bool {
        self.refused_body.load(Ordering::Relaxed) || self.in_head.load(Ordering::Relaxed)
    }

    fn moves(&self, bytes: usize) {
        self.moved.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn reads(&self, bytes: usize) {
        self.moves(bytes);
        if bytes > 0 && !self.answering.load(Ordering::Relaxed) {
            self.in_head.store(true, Ordering::Relaxed);
        }
    }
}

/// A stream whose bytes are counted.
pub(super) struct WatchedStream {
    stream: Box<dyn Stream>,
    progress: Arc<Progress>,
    /// Our half is closed.
    shut: bool,
    discarded: usize,
}

impl WatchedStream {
    pub(super) fn new(stream: Box<dyn Stream>, progress: Arc<Progress>) -> Self {
        Self { stream, progress, shut: false, discarded: 0 }
    }

    /// Reads what the client still sends, up to a limit. To close with bytes unread is to reset the connection,
    /// and a reset may overtake the answer (RFC 9112, section 9.6).
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scrap = [0; 8 * 1024];
        while self.discarded < limits::HTTP_LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut scrap);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            // A client that has hung up has all that it wants.
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            self.discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }

    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.progress.moves(bytes);
        }
        written
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.progress.reads(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.shut = true;
            self.progress.lingers.store(self.progress.has_unread(), Ordering::Relaxed);
        }
        if self.progress.lingers() { self.poll_linger(cx) } else { Poll::Ready(Ok(())) }
    }
}

/// A body that says when it waits for the client.
pub(super) struct WatchedBody {
    body: Incoming,
    progress: Arc<Progress>,
    ended: bool,
}

impl WatchedBody {
    pub(super) fn new(body: Incoming, progress: Arc<Progress>) -> Self {
        Self { body, progress, ended: false }
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.progress.refused_body.store(true, Ordering::Relaxed);
        }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.progress.wants_body.store(frame.is_pending(), Ordering::Relaxed);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
