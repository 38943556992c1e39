//! A world of one thread: a fake member, a clock that stands still, pipes for sockets, and turns
//! that are given by hand until nobody wants one any more.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    reason = "test code that clippy does not recognise as such"
)]

pub mod env;
pub mod fake;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use quorate_env::Stream;
use quorate_resp::{Options, Server, serve};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

pub use env::FakeClock;
pub use fake::Fake;

/// Bytes that a pipe holds in either direction.
pub const PIPE_BYTES: usize = 64 * 1024;

/// One end of a pipe, as a server sees a socket.
pub struct Pipe {
    inner: DuplexStream,
    peer: String,
}

impl Pipe {
    /// Both ends of a pipe that holds so many bytes.
    pub fn pair(bytes: usize) -> (Self, Self) {
        let (one, other) = tokio::io::duplex(bytes);
        let end = |inner| Self { inner, peer: "10.0.0.9:5001".to_owned() };
        (end(one), end(other))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Stream for Pipe {
    fn peer_addr(&self) -> String {
        self.peer.clone()
    }
    fn local_addr(&self) -> String {
        "10.0.0.1:7000".to_owned()
    }
}

/// Says that a turn is wanted.
#[derive(Default)]
struct Flag {
    is_set: AtomicBool,
    wakes: AtomicUsize,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, Ordering::SeqCst);
        self.wakes.fetch_add(1, Ordering::SeqCst);
    }
}

/// A connection: the server's future and the client's end.
struct Link {
    task: Option<Pin<Box<dyn Future<Output = ()>>>>,
    flag: Arc<Flag>,
    client: Option<DuplexStream>,
}

/// A server with its connections.
pub struct World {
    pub fake: Rc<Fake>,
    pub clock: Arc<FakeClock>,
    pub server: Rc<Server>,
    links: Vec<Link>,
    /// Turns given so far.
    pub turns: usize,
}

impl World {
    pub fn new(options: Options) -> Self {
        let fake = Rc::new(Fake::default());
        let clock = Arc::new(FakeClock::default());
        let api: Rc<dyn quorate_api::Api> = Rc::new(fake::Door(Rc::clone(&fake)));
        let server = Server::new(api, env::fake(Arc::clone(&clock)), options);
        Self { fake, clock, server, links: Vec::new(), turns: 0 }
    }

    /// Opens a connection and returns its number.
    pub fn connect(&mut self) -> usize {
        self.connect_with(PIPE_BYTES)
    }

    /// Opens a connection whose pipe holds so many bytes.
    pub fn connect_with(&mut self, bytes: usize) -> usize {
        let (client, inner) = tokio::io::duplex(bytes);
        let peer = format!("10.0.0.9:{}", 5001 + self.links.len());
        let task = Box::pin(serve(Rc::clone(&self.server), Box::new(Pipe { inner, peer })));
        let flag = Arc::new(Flag { is_set: AtomicBool::new(true), ..Flag::default() });
        self.links.push(Link { task: Some(task), flag, client: Some(client) });
        self.settle();
        self.links.len() - 1
    }

    /// Gives turns until nobody wants one.
    pub fn settle(&mut self) {
        let mut gave = true;
        while gave {
            gave = false;
            for link in &mut self.links {
                let Some(task) = &mut link.task else { continue };
                if !link.flag.is_set.swap(false, Ordering::SeqCst) {
                    continue;
                }
                gave = true;
                self.turns += 1;
                assert!(self.turns < 10_000_000, "a connection spins");
                let waker = Waker::from(Arc::clone(&link.flag));
                if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    link.task = None;
                }
            }
        }
    }

    /// True when the server has closed the connection.
    pub fn is_closed(&self, at: usize) -> bool {
        self.links[at].task.is_none()
    }

    /// Sends as much of `bytes` as is taken, and returns how much that was. Replies are not read.
    pub fn push(&mut self, at: usize, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let Some(client) = &mut self.links[at].client else { break };
            let mut cx = Context::from_waker(Waker::noop());
            match Pin::new(client).poll_write(&mut cx, &bytes[sent..]) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(_)) => break,
                Poll::Pending => {
                    let before = self.turns;
                    self.settle();
                    if before == self.turns {
                        break;
                    }
                }
            }
        }
        self.settle();
        sent
    }

    /// Sends all of `bytes` and returns what came back in the meantime.
    pub fn send(&mut self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let (mut sent, mut received) = (0, Vec::new());
        while sent < bytes.len() {
            let pushed = self.push(at, &bytes[sent..]);
            let more = self.receive(at);
            if pushed == 0 && more.is_empty() {
                break;
            }
            sent += pushed;
            received.extend(more);
        }
        received.extend(self.receive(at));
        received
    }

    /// What has come back.
    pub fn receive(&mut self, at: usize) -> Vec<u8> {
        let mut received = Vec::new();
        loop {
            let some = self.receive_some(at, PIPE_BYTES);
            if some.is_empty() {
                return received;
            }
            received.extend(some);
        }
    }

    /// At most `most` bytes of what has come back.
    pub fn receive_some(&mut self, at: usize, most: usize) -> Vec<u8> {
        self.settle();
        let mut bytes = vec![0; most];
        let Some(client) = &mut self.links[at].client else { return Vec::new() };
        let mut buf = ReadBuf::new(&mut bytes);
        let mut cx = Context::from_waker(Waker::noop());
        let read = Pin::new(client).poll_read(&mut cx, &mut buf);
        let count = if read.is_ready() { buf.filled().len() } else { 0 };
        bytes.truncate(count);
        self.settle();
        bytes
    }

    /// The client stops sending, but goes on reading.
    pub fn half_close(&mut self, at: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(client) = &mut self.links[at].client {
            assert!(Pin::new(client).poll_shutdown(&mut cx).is_ready());
        }
        self.settle();
    }

    /// The client goes away.
    pub fn hang_up(&mut self, at: usize) {
        self.links[at].client = None;
        self.settle();
    }

    /// Lets time pass.
    pub fn advance_ms(&mut self, ms: u64) {
        self.clock.advance_ms(ms);
        self.settle();
    }

    /// Lets the node answer `count` commands that it has held back.
    pub fn release(&mut self, count: usize) {
        self.fake.release(count);
        self.settle();
    }
}
