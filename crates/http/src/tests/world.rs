//! A server, a fake node, and clients that write bytes.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use quorate_api::handle::{self, Requests};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::node::Node;
use super::pipe::Pipe;
use crate::{Options, Server, serve};

/// Runs `future` without any runtime: a waker that does nothing, and patience.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
    panic!("nothing happens any more");
}

/// A server in front of a node.
pub(super) struct World {
    pub(super) server: Arc<Server>,
    pub(super) node: Node,
    requests: Requests,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Node::new(), Options::new("1.2.3"))
    }

    pub(super) fn with(node: Node, options: Options) -> Self {
        let (handle, requests) = handle::channel();
        Self { server: Arc::new(Server::new(handle, options)), node, requests }
    }

    /// Runs `client` at the other end of a connection, until both it and the server have ended.
    pub(super) fn talk<T>(&mut self, client: impl AsyncFnOnce(DuplexStream) -> T) -> T {
        self.connect(async |near, server| tokio::join!(client(near), server).0)
    }

    /// As [`Self::talk`], until the client has ended.
    pub(super) fn listen<T>(&mut self, client: impl AsyncFnOnce(DuplexStream) -> T) -> T {
        self.connect(async |near, server| {
            let mut server = pin!(server);
            let mut client = pin!(client(near));
            tokio::select! {
                biased;
                told = &mut client => return told,
                () = &mut server => {}
            }
            client.await
        })
    }

    fn connect<T>(
        &mut self,
        both: impl AsyncFnOnce(DuplexStream, Pin<Box<dyn Future<Output = ()>>>) -> T,
    ) -> T {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let server = serve(Arc::clone(&self.server), Box::new(Pipe(far)));
        let conversation = both(near, Box::pin(server));
        run(async {
            tokio::select! {
                biased;
                told = conversation => told,
                () = self.node.run(&mut self.requests) => panic!("the server dropped its handle"),
            }
        })
    }

    /// Sends `bytes`, and reads until the server closes.
    pub(super) fn raw(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.talk(async |stream| {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let send = async {
                // The server may hang up before it has read all.
                if writer.write_all(bytes).await.is_ok() {
                    writer.shutdown().await.unwrap();
                }
            };
            let mut answer = Vec::new();
            let receive = reader.read_to_end(&mut answer);
            tokio::join!(send, receive).1.unwrap();
            answer
        })
    }

    /// One request with `headers` (whole lines) and `body`.
    pub(super) fn send(&mut self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:7000\r\n");
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        if !body.is_empty() {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut request = request.into_bytes();
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        let head_only = line.starts_with("HEAD ");
        Answer::all(&self.raw(&request), head_only).pop().expect("one answer")
    }

    /// One request without a body.
    pub(super) fn get(&mut self, line: &str) -> Answer {
        self.send(line, &[], b"")
    }

    /// One request with a body.
    pub(super) fn post(&mut self, line: &str, body: &str) -> Answer {
        self.send(line, &["Content-Type: application/x-www-form-urlencoded"], body.as_bytes())
    }
}

/// A body in chunks, and what lies behind it.
fn chunked(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|it| it == b"\r\n").expect("a whole chunk");
        let text = std::str::from_utf8(&bytes[..end]).unwrap();
        let length = usize::from_str_radix(text, 16).unwrap();
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 4 + length..];
        if length == 0 {
            return (body, bytes);
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// All answers in `bytes`.
    pub(super) fn all(mut bytes: &[u8], head_only: bool) -> Vec<Self> {
        let mut answers = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("a whole head");
            let head = std::str::from_utf8(&bytes[..end]).unwrap();
            let mut lines = head.lines();
            let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            let headers = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let mut answer = Self { status, headers, body: Vec::new() };
            let length = answer.header("content-length").map_or(0, |it| it.parse().unwrap());
            bytes = &bytes[end + 4..];
            if answer.header("transfer-encoding") == Some("chunked") {
                (answer.body, bytes) = chunked(bytes);
            } else if !head_only {
                answer.body = bytes[..length].to_vec();
                bytes = &bytes[length..];
            }
            answers.push(answer);
        }
        answers
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and body, for exact comparisons.
    pub(super) fn exact(&self) -> (u16, &str) {
        (self.status, self.text())
    }

    /// Asserts that this is a problem of the kind `name`, and gives its members.
    pub(super) fn problem(&self, status: u16, name: &str) -> Value {
        let members = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{members}");
        assert_eq!(members["type"], format!("/docs/HTTP.md#{name}"), "{members}");
        assert_eq!((self.status, &members["status"]), (status, &Value::from(status)), "{members}");
        assert!(members["title"].is_string() && members["detail"].is_string(), "{members}");
        members
    }
}

/// Lets everybody else run for a while.
pub(super) async fn yields(turns: usize) {
    for _ in 0..turns {
        quorate_env::tasks::yield_now().await;
    }
}
