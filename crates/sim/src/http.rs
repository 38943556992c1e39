//! Just enough of HTTP/1.1 for a client: requests out, responses in.

use crate::resp::Malformed;

/// A request without what every request has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `PUT`, `DELETE`.
    pub method: &'static str,
    /// The path, with its query.
    pub path: String,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Request {
    /// Appends it, for the node that goes by the name of `host`.
    pub fn encode(&self, host: &str, into: &mut Vec<u8>) {
        into.extend(format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.path).bytes());
        for (name, value) in &self.headers {
            into.extend(format!("{name}: {value}\r\n").bytes());
        }
        into.extend(format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body).bytes());
    }
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The number in the entity tag.
    pub revision: Option<u64>,
    /// The body; text, for all that we send is.
    pub body: String,
}

impl Response {
    /// The text field of a JSON body, without a parser: our fields have no quotes in them.
    pub fn field(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("\"{name}\":\""))?;
        rest.split_once('"').map(|(field, _)| field)
    }
}

/// Bytes of one response that a reader is ready to hold.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Makes responses of bytes that arrive in pieces.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// Takes what has arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next response, when it is complete.
    ///
    /// # Errors
    /// [`Malformed`]; the connection is then good for nothing.
    pub fn next_response(&mut self) -> Result<Option<Response>, Malformed> {
        if self.bytes.len() > RESPONSE_BYTES_MAX {
            return Err(Malformed);
        }
        let end = self.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let Some(end) = end else { return Ok(None) };
        let head = self.bytes.get(..end).and_then(|head| std::str::from_utf8(head).ok());
        let (mut response, body_bytes) = parse_head(head.ok_or(Malformed)?)?;
        let body = end + 4..end + 4 + body_bytes;
        let Some(bytes) = self.bytes.get(body.clone()) else { return Ok(None) };
        response.body = String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)?;
        drop(self.bytes.drain(..body.end));
        Ok(Some(response))
    }
}

/// A response without its body, and the body's length.
fn parse_head(head: &str) -> Result<(Response, usize), Malformed> {
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or(Malformed)?;
    let status = status.get(..3).and_then(|code| code.parse().ok()).ok_or(Malformed)?;
    let (mut revision, mut body_bytes) = (None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(Malformed)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "etag" => {
                let tag = value.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                revision = Some(tag.and_then(|tag| tag.parse().ok()).ok_or(Malformed)?);
            }
            "content-length" => body_bytes = Some(value.parse().map_err(|_| Malformed)?),
            // We ask for nothing that is not known whole.
            "transfer-encoding" => return Err(Malformed),
            _ => {}
        }
    }
    let bodiless = matches!(status, 204 | 304);
    let body_bytes = if bodiless { 0 } else { body_bytes.ok_or(Malformed)? };
    Ok((Response { status, revision, body: String::new() }, body_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_survive_any_cut() {
        let bytes = b"HTTP/1.1 200 OK\r\nETag: \"77\"\r\nContent-Length: 3\r\n\r\nabc\
            HTTP/1.1 204 No Content\r\netag: \"78\"\r\n\r\n\
            HTTP/1.1 503 Service Unavailable\r\ncontent-length: 25\r\n\r\n{\"outcome\":\"not-applied\"}";
        for step in 1..bytes.len() {
            let (mut reader, mut read) = (Reader::default(), Vec::new());
            for piece in bytes.chunks(step) {
                reader.feed(piece);
                while let Some(response) = reader.next_response().unwrap() {
                    read.push(response);
                }
            }
            let found: Vec<_> = read.iter().map(|it| (it.status, it.revision)).collect();
            assert_eq!(found, [(200, Some(77)), (204, Some(78)), (503, None)]);
            assert_eq!(read[0].body, "abc");
            assert_eq!(read[2].field("outcome"), Some("not-applied"));
        }
    }

    #[test]
    fn malformed_bytes_are_refused() {
        for bytes in
            ["HTTP/2 200\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200\r\netag: x\r\n\r\n"]
        {
            let mut reader = Reader::default();
            reader.feed(bytes.as_bytes());
            assert_eq!(reader.next_response(), Err(Malformed), "{bytes:?}");
        }
    }
}
