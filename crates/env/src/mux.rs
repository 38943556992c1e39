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

/// What a peer says first.
pub const PEER_MAGIC: [u8; 8] = *b"\xf5QUORATE";

/// A line that starts like an HTTP request is not waited for longer than this; then it is HTTP, whose
/// server answers that the URI is too long.
const FIRST_LINE_BYTES_MAX: usize = 8 * 1024;

const METHODS: [&[u8]; 9] = [
    b"GET", b"PUT", b"POST", b"HEAD", b"PATCH", b"TRACE", b"DELETE", b"CONNECT", b"OPTIONS",
];

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
    let could_be_method =
        METHODS.iter().any(|method| match first.split_at_checked(method.len()) {
            Some((head, rest)) => head == *method && rest.first().is_none_or(|byte| *byte == b' '),
            None => method.starts_with(first),
        });
    if !could_be_method {
        return Some(Protocol::Resp);
    }
    let Some(end) = first.iter().position(|byte| *byte == b'\n') else {
        return (first.len() >= FIRST_LINE_BYTES_MAX).then_some(Protocol::Http);
    };
    let line = first.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    let http = version.strip_prefix(b"HTTP/1.").is_some_and(|minor| minor.len() == 1);
    Some(if http { Protocol::Http } else { Protocol::Resp })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_request_line_is_http() {
        for line in ["GET / HTTP/1.1\r\n", "PUT /v1/kv/a HTTP/1.0\n", "DELETE /key/x HTTP/1.1\r\nHost: a"] {
            assert_eq!(decide(line.as_bytes()), Some(Protocol::Http), "{line}");
        }
    }

    #[test]
    fn an_inline_get_is_redis_though_it_begins_like_http() {
        for line in ["GET foo\r\n", "GET HTTP\r\n", "GET /x HTTP/2.0\n", "get / HTTP/1.1\r\n", "GETX", "*1\r\n", "PING\r\n"] {
            assert_eq!(decide(line.as_bytes()), Some(Protocol::Resp), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_whole_yet_is_waited_for() {
        let line = b"GET /some/where HTTP/1.1\r\n";
        for end in 1..line.len() - 1 {
            assert_eq!(decide(&line[..end]), None, "{end}");
        }
        assert_eq!(decide(&[b"GET /".as_slice(), &[b'a'; 9000]].concat()), Some(Protocol::Http));
    }

    #[test]
    fn a_peer_is_known_by_its_magic_alone() {
        for end in 1..8 {
            assert_eq!(decide(&PEER_MAGIC[..end]), None);
        }
        assert_eq!(decide(&PEER_MAGIC), Some(Protocol::Peer));
        assert_eq!(decide(b"\xf5OTHER!!"), Some(Protocol::Resp));
    }
}
