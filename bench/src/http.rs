//! An HTTP/1.1 connection that is kept: just enough of a client for servers that we know.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_END: &[u8] = b"\r\n\r\n";

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that belong to the present answer.
    filled: usize,
}

#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    pub(crate) fn open(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, buffer: vec![0; 4_096], filled: 0 })
    }

    /// Sends a whole request and reads its answer. One at a time, so nothing is ever left in the buffer.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request)?;
        self.filled = 0;
        let head_end = loop {
            self.read_more()?;
            let bytes = &self.buffer[..self.filled];
            if let Some(at) = bytes.windows(HEAD_END.len()).position(|it| it == HEAD_END) {
                break at;
            }
        };
        let head = parse_head(&self.buffer[..head_end])?;
        let start = head_end + HEAD_END.len();
        while !is_complete(&self.buffer[start..self.filled], head.length) {
            self.read_more()?;
        }
        Ok(Answer { status: head.status, body: &self.buffer[start..self.filled] })
    }

    fn read_more(&mut self) -> Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.filled * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => {
                self.filled += n;
                Ok(())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Bytes(usize),
    Chunked,
}

struct Head {
    status: u16,
    length: Length,
}

/// Chunks are not taken apart: only answers to set-up requests come in them, and nobody looks into those.
fn is_complete(body: &[u8], length: Length) -> bool {
    match length {
        Length::Bytes(bytes) => body.len() >= bytes,
        Length::Chunked => body.ends_with(b"\r\n0\r\n\r\n"),
    }
}

fn parse_head(bytes: &[u8]) -> Result<Head> {
    let strange = |why: &str| Error::new(ErrorKind::InvalidData, why.to_owned());
    let text = std::str::from_utf8(bytes).map_err(|_| strange("a head that is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| strange("no status"))?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => value.trim().parse().ok().map(Length::Bytes),
            "transfer-encoding" => Some(Length::Chunked),
            _ => None,
        }
    });
    match (length, status) {
        (Some(length), _) => Ok(Head { status, length }),
        (None, 204 | 304) => Ok(Head { status, length: Length::Bytes(0) }),
        (None, _) => Err(strange("an answer of unknown length")),
    }
}

/// GETs `path` on a connection of its own.
pub(crate) fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    once(port, request.as_bytes())
}

/// POSTs `body` as JSON on a connection of its own.
pub(crate) fn post(port: u16, path: &str, body: &str) -> Result<(u16, String)> {
    once(port, post_request(port, path, body).as_bytes())
}

fn once(port: u16, request: &[u8]) -> Result<(u16, String)> {
    let mut connection = Connection::open(port)?;
    let answer = connection.call(request)?;
    Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
}

pub(crate) fn post_request(port: u16, path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_say_how_long_the_body_is() {
        let head = parse_head(b"HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH: 12").unwrap();
        assert_eq!((head.status, head.length), (200, Length::Bytes(12)));
        let empty = parse_head(b"HTTP/1.1 204 No Content\r\netag: 1").unwrap();
        assert_eq!(empty.length, Length::Bytes(0));
        let chunked = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked").unwrap();
        assert!(is_complete(b"2\r\n{}\r\n0\r\n\r\n", chunked.length));
        assert!(!is_complete(b"2\r\n{}\r\n", chunked.length));
        assert!(parse_head(b"HTTP/1.1 200 OK\r\nDate: x").is_err());
        assert!(parse_head(b"gibberish").is_err());
    }
}
