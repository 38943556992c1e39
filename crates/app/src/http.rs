//! A small HTTP client for `/v1`: one request per connection, JSON both ways.

use std::time::Duration;

use quorate_env::Env;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A change of members takes an entry through the log, or waits for an election.
const PATIENCE: Duration = Duration::from_secs(40);
/// No answer of `/v1/cluster` is larger.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where to ask, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// `host:port`.
    pub(crate) addr: String,
    /// The nodes' password.
    pub(crate) password: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body; null where there is none.
    pub(crate) body: Value,
}

impl Server {
    /// Sends `METHOD /path`, with `body` where it is not null.
    ///
    /// # Errors
    /// There is no answer, or none that says "done"; the text says why.
    pub(crate) async fn ask(&self, env: &Env, line: &str, body: &Value) -> Result<Value, String> {
        let asked = tokio::time::timeout(PATIENCE, self.exchange(env, line, body)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(text)) => return Err(format!("{}: {text}", self.addr)),
            Err(_) => {
                return Err(format!("{}: no answer within {} s", self.addr, PATIENCE.as_secs()));
            }
        };
        if (200..300).contains(&answer.status) {
            return Ok(answer.body);
        }
        let detail = answer.body.get("detail").and_then(Value::as_str).unwrap_or("no reason given");
        let advice = match answer.status {
            401 => " Give the file with the nodes' password as --password-file.",
            421 => {
                " Start that node with --http-host and this name, or give its IP address as --addr."
            }
            _ => "",
        };
        Err(format!("{}: {detail}{advice}", self.addr))
    }

    async fn exchange(&self, env: &Env, line: &str, body: &Value) -> Result<Answer, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut stream = env.net.connect(&self.addr).await.map_err(text)?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut request =
            format!("{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.addr);
        if let Some(password) = &self.password {
            let credentials = base64(format!("quorate:{password}").as_bytes());
            request.push_str(&format!("Authorization: Basic {credentials}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut bytes = Vec::new();
        let mut limited = stream.take(ANSWER_BYTES_MAX as u64);
        limited.read_to_end(&mut bytes).await.map_err(text)?;
        parse(&bytes).ok_or_else(|| {
            "this is no answer over HTTP; give the address at which the node listens for HTTP clients".to_owned()
        })
    }
}

/// Reads an answer with a length, or one that ends with the connection.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    if !words.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = words.next()?.parse().ok()?;
    let body = bytes.get(end + 4..)?;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") && value.trim().parse() != Ok(body.len()) {
            return None;
        }
    }
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
    Some(Answer { status, body })
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for at in 0..4 {
            let letter =
                LETTERS.get((bits >> (18 - 6 * at) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if at > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

/// A name within a path.
pub(crate) fn segment(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_and_without_a_body() {
        let parsed = parse(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}").unwrap();
        assert_eq!((parsed.status, &parsed.body["a"]), (200, &Value::from(1)));
        let empty = parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((empty.status, empty.body), (204, Value::Null));
    }

    #[test]
    fn what_is_cut_off_or_no_http_is_no_answer() {
        for bytes in [&b"-ERR unknown command\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n", b""] {
            assert_eq!(parse(bytes), None);
        }
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}"), None);
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn names_in_paths_are_encoded() {
        assert_eq!(segment("n 4/x"), "n%204%2Fx");
        assert_eq!(segment("[::1]:7400"), "[::1]:7400");
    }
}
