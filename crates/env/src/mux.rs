//! One port for three protocols: the first bytes of a connection decide, once.
//!
//! A peer begins with [`PEER_MAGIC`], which is not ASCII. `GET foo` (Redis' inline form) and
//! `GET /x HTTP/1.1` begin alike: a line that starts like an HTTP request is waited for, within a
//! bound, and is HTTP only if it ends in `HTTP/1.x`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::net::Stream;

#[cfg(test)]
mod tests;

/// What a peer says first.
pub const PEER_MAGIC: [u8; 8] = *b"\xf5QUORATE";

/// A line that starts like an HTTP request is not waited for longer than this; then it is HTTP, whose
/// server answers that the URI is too long.
const FIRST_LINE_BYTES_MAX: usize = 8 * 1024;

const METHODS: [&[u8]; 9] =
    [b"GET", b"PUT", b"POST", b"HEAD", b"PATCH", b"TRACE", b"DELETE", b"CONNECT", b"OPTIONS"];

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Redis protocol.
    Resp,
    /// HTTP/1.x.
    Http,
    /// Another member.
    Peer,
}

/// Decides from the first bytes; `None`: more are needed (never when there are more than 8 KiB).
pub fn decide(first: &[u8]) -> Option<Protocol> {
    let start = *first.first()?;
    if start == PEER_MAGIC[0] {
        let common = first.len().min(PEER_MAGIC.len());
        return match first.get(..common) == PEER_MAGIC.get(..common) {
            true if common == PEER_MAGIC.len() => Some(Protocol::Peer),
            true => None,
            false => Some(Protocol::Resp),
        };
    }
    // Methods are upper case by RFC 9110; an inline `get foo` need not wait.
    let could_be_method = METHODS.iter().any(|method| match first.split_at_checked(method.len()) {
        Some((head, rest)) => head == *method && rest.first().is_none_or(|byte| *byte == b' '),
        None => method.starts_with(first),
    });
    if !could_be_method {
        return Some(Protocol::Resp);
    }
    // Only so much is looked at, however much has arrived: the answer must not depend on how the network
    // cut the bytes into pieces.
    let seen = first.get(..FIRST_LINE_BYTES_MAX).unwrap_or(first);
    match seen.iter().position(|byte| *byte == b'\n') {
        Some(end) if is_request_line(seen.get(..end).unwrap_or_default()) => Some(Protocol::Http),
        Some(_) => Some(Protocol::Resp),
        None => (first.len() >= FIRST_LINE_BYTES_MAX).then_some(Protocol::Http),
    }
}

/// True for `<method> <target> HTTP/1.<digit>`; `GET HTTP/1.1` reads the key of that name.
fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.rsplit(|byte| *byte == b' ');
    let minor = words.next().and_then(|version| version.strip_prefix(b"HTTP/1."));
    minor.is_some_and(|minor| matches!(minor, [b'0'..=b'9'])) && words.count() >= 2
}

/// A connection whose first bytes were read already: they come first.
struct Replayed {
    first: Vec<u8>,
    at: usize,
    stream: Box<dyn Stream>,
}

/// Reads as much of `stream` as decides its protocol, and gives it back whole.
///
/// # Errors
/// The connection failed, or ended before it said anything.
pub async fn sniff(mut stream: Box<dyn Stream>) -> io::Result<(Protocol, Box<dyn Stream>)> {
    let mut first = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut first).await? == 0 {
            if first.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Whatever it was, the decoder says what was wrong with it.
            return Ok((Protocol::Resp, Box::new(Replayed { first, at: 0, stream })));
        }
        if let Some(protocol) = decide(&first) {
            return Ok((protocol, Box::new(Replayed { first, at: 0, stream })));
        }
        first.reserve(1024);
    }
}

impl AsyncRead for Replayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(rest) = this.first.get(this.at..).filter(|rest| !rest.is_empty()) {
            let now = rest.get(..rest.len().min(buf.remaining())).unwrap_or(rest);
            buf.put_slice(now);
            this.at += now.len();
            if this.at == this.first.len() {
                (this.first, this.at) = (Vec::new(), 0);
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Replayed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Stream for Replayed {
    fn peer_addr(&self) -> String {
        self.stream.peer_addr()
    }

    fn local_addr(&self) -> String {
        self.stream.local_addr()
    }
}
