//! Nanoseconds per command of the front-end alone: decode, look up, submit, take the answer, encode.
//! The member answers at once and the socket is a loop in memory. Under `cargo test` a few rounds
//! only, so that this never rots.
//!
//! `cargo bench -p quorate-resp`

#![allow(clippy::indexing_slicing, reason = "a benchmark is test code")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::future::Future;
use std::hint::black_box;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use quorate_api::api::Administering;
use quorate_api::{
    AdminRequest, Answer, Api, Call, Consistency, Reply, Session, Status, Transaction,
};
use quorate_env::Stream;
use quorate_resp::decode::{Decoder, Trust};
use quorate_resp::{Options, Server, serve};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Answers at once, always the same.
struct Member(Reply);

struct Answers {
    reply: Reply,
    queue: VecDeque<Answer>,
}

impl Session for Answers {
    fn submit(&mut self, call: Call<'_>) {
        black_box(call);
        self.queue.push_back(Ok(self.reply.clone()));
    }
    fn transact(&mut self, transaction: Transaction) {
        self.queue.push_back(Ok(Reply::Array(vec![Reply::Ok; transaction.calls.len()])));
    }
    fn poll_answer(&mut self, _: &mut Context<'_>) -> Poll<Answer> {
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
    fn outstanding(&self) -> usize {
        self.queue.len()
    }
    fn set_consistency(&mut self, _: Option<Consistency>) {}
    fn seen_index(&self) -> u64 {
        0
    }
}

impl Api for Member {
    fn open(&self) -> Box<dyn Session> {
        Box::new(Answers { reply: self.0.clone(), queue: VecDeque::new() })
    }
    fn status(&self) -> Status {
        Status::default()
    }
    fn administer(&self, _: AdminRequest) -> Administering {
        Box::pin(std::future::pending())
    }
}

/// Delivers the same bytes again and again, one round per turn, and swallows what it is sent.
struct Loop {
    bytes: Vec<u8>,
    at: usize,
    rounds: usize,
    paused: bool,
}

impl AsyncRead for Loop {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.paused) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rounds == 0 {
            return Poll::Ready(Ok(()));
        }
        let end = self.bytes.len().min(self.at + buf.remaining());
        buf.put_slice(&self.bytes[self.at..end]);
        self.at = end % self.bytes.len();
        if self.at == 0 {
            self.rounds -= 1;
            self.paused = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Loop {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(bytes).len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Stream for Loop {
    fn peer_addr(&self) -> String {
        String::new()
    }
    fn local_addr(&self) -> String {
        String::new()
    }
}

fn encode(command: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        bytes.extend(format!("${}\r\n", part.len()).bytes());
        bytes.extend_from_slice(part);
        bytes.extend(b"\r\n");
    }
    bytes
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// Serves `commands` commands, `pipeline` at a time, and returns nanoseconds per command.
fn connection(command: &[&[u8]], reply: Reply, pipeline: usize, commands: usize) -> f64 {
    let env = support::env::fake(Arc::new(support::FakeClock::default()));
    let server = Server::new(Rc::new(Member(reply)), env, Options::default());
    let bytes = encode(command).repeat(pipeline);
    let rounds = commands / pipeline;
    let stream = Box::new(Loop { bytes, at: 0, rounds, paused: false });
    let elapsed = seconds(|| {
        let mut task = pin!(serve(Rc::clone(&server), stream));
        while task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {}
    });
    assert_eq!(server.stats().commands, (rounds * pipeline) as u64);
    elapsed * 1e9 / (rounds * pipeline) as f64
}

fn decoder(command: &[&[u8]], commands: usize) -> f64 {
    let bytes = encode(command);
    let (mut decoder, mut spans) = (Decoder::new(), Vec::new());
    let elapsed = seconds(|| {
        for _ in 0..commands {
            let decoded = decoder.decode(black_box(&bytes), &mut spans, Trust::Known);
            black_box((decoded.is_ok(), &spans));
        }
    });
    elapsed * 1e9 / commands as f64
}

/// The best of some runs: what disturbs a run only ever makes it slower.
fn least(run: impl Fn() -> f64) -> f64 {
    (0..5).map(|_| run()).fold(f64::INFINITY, f64::min)
}

#[expect(clippy::print_stdout, reason = "a benchmark shows its figures")]
fn main() {
    let commands = if std::env::args().any(|arg| arg == "--bench") { 2_000_000 } else { 2_000 };
    let set: &[&[u8]] = &[b"SET", b"key:000000000042", &[b'x'; 32]];
    let get: &[&[u8]] = &[b"GET", b"key:000000000042"];
    println!("decode SET               {:8.1} ns", least(|| decoder(set, commands)));
    println!("decode GET               {:8.1} ns", least(|| decoder(get, commands)));
    for pipeline in [1, 16, 256] {
        let value = || Reply::Bulk(Bytes::from_static(&[b'x'; 32]));
        let figures = [
            ("SET", least(|| connection(set, Reply::Ok, pipeline, commands))),
            ("GET", least(|| connection(get, value(), pipeline, commands))),
            ("PING", least(|| connection(&[b"PING"], Reply::Ok, pipeline, commands))),
        ];
        for (name, figure) in figures {
            println!("{name:4} at pipeline {pipeline:3}     {figure:8.1} ns");
        }
    }
}
