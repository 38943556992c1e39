//! The other side's connections: the handshake's second half, then frames into the inbox.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use quorate_env::mux::PEER_MAGIC;
use quorate_env::{Env, Stream};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::beat::Beat;
use super::handshake::{ACCEPTOR, DIALLER, Secret};
use super::inbox::Freight;
use super::link::{HANDSHAKE_TIME, nonce, put_message, take_message, within};
use super::{Doorkeeper, Event, Hello, Inbox, Kind, Purpose, Welcome, frame};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// How much is read at once where frames are large.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// Serves one connection until it ends; `beat_every` is how often either end says something.
pub async fn accept(
    env: &Env,
    secret: &Secret,
    door: &dyn Doorkeeper,
    inbox: &Inbox,
    beat_every: Duration,
    mut stream: Box<dyn Stream>,
) {
    let addr = stream.peer_addr();
    let shaken = within(env, HANDSHAKE_TIME, shake(env, secret, door, &mut stream)).await;
    let hello = match shaken {
        Some(Ok(Some(hello))) => hello,
        Some(Ok(None)) => return,
        Some(Err(error)) => return tracing::debug!(%addr, %error, "handshake failed"),
        None => return tracing::debug!(%addr, "handshake timed out"),
    };
    match hello.purpose {
        Purpose::Control | Purpose::Bulk => {
            let beat = Beat::new(env, beat_every);
            if let Err(error) = read_frames(door, inbox, &hello, beat, stream).await {
                tracing::debug!(from = hello.card.node.0, %error, "peer connection ended");
            }
        }
        Purpose::Enrol => {
            let verdict = match door.enrol(hello.card).await {
                Ok(()) => vec![1],
                Err(reason) => [&[0][..], reason.as_bytes()].concat(),
            };
            if let Err(error) = put_message(&mut stream, &verdict).await {
                tracing::debug!(%addr, %error, "the node that asked to be added has gone");
            }
        }
        Purpose::Probe => {}
    }
}

/// The handshake; `None` when the peer was refused.
async fn shake(
    env: &Env,
    secret: &Secret,
    door: &dyn Doorkeeper,
    stream: &mut Box<dyn Stream>,
) -> io::Result<Option<Hello>> {
    let mut magic = [0; PEER_MAGIC.len()];
    stream.read_exact(&mut magic).await?;
    let said = take_message(stream).await?;
    let hello = match Hello::decode(said.clone()) {
        Ok(hello) if magic == PEER_MAGIC => hello,
        Ok(_) => return Ok(None),
        Err(error) => {
            // An empty welcome, then the reason: readable for every format to come.
            put_message(stream, b"").await?;
            put_message(stream, error.to_string().as_bytes()).await?;
            return Ok(None);
        }
    };
    let welcome = Welcome { card: door.card(), wall_ms: env.clock.wall_ms() };
    let ours = welcome.encode(&nonce(env));
    put_message(stream, &ours).await?;
    put_message(stream, &secret.prove(ACCEPTOR, &[&said, &ours])).await?;
    let proof = take_message(stream).await?;
    if !secret.verify(DIALLER, &[&said, &ours], &proof) {
        let reason = "\0this node has another cluster secret";
        put_message(stream, reason.as_bytes()).await?;
        return Ok(None);
    }
    let verdict = match hello.purpose {
        Purpose::Control | Purpose::Bulk => door.admit(hello.clone()).await,
        Purpose::Probe => Ok(()),
        // The verdict follows when the entry is committed.
        Purpose::Enrol => return Ok(Some(hello)),
    };
    match verdict {
        Ok(()) => put_message(stream, &[1]).await?,
        Err(reason) => {
            put_message(stream, &[&[0][..], reason.as_bytes()].concat()).await?;
            stream.shutdown().await?;
            return Ok(None);
        }
    }
    Ok(Some(hello))
}

async fn read_frames(
    door: &dyn Doorkeeper,
    inbox: &Inbox,
    hello: &Hello,
    beat: Beat,
    stream: Box<dyn Stream>,
) -> io::Result<()> {
    let from = hello.card.node;
    let buffer = BytesMut::with_capacity(READ_BYTES);
    let unsent = Vec::new();
    let (freight, frame_bytes) = (Freight::Messages, 0);
    let mut incoming = Incoming { stream, buffer, frame_bytes, freight, beat, unsent };
    loop {
        loop {
            match frame::take(&mut incoming.buffer) {
                Ok(Some((kind, payload))) => {
                    incoming.frame_bytes = payload.len();
                    if kind == Kind::Snapshot {
                        incoming.freight = Freight::Snapshots;
                    }
                    inbox.push(Event::Frame { from, kind, payload });
                }
                Ok(None) => break,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        if poll_fn(|cx| incoming.poll(inbox, cx)).await? == 0 {
            return Ok(());
        }
        if !door.listens_to(from) {
            return Err(io::Error::other("nobody listens to this node any more"));
        }
    }
}

/// A connection that brings frames, and on which we say nothing but that we are here.
struct Incoming {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    /// Of the last frame: the next one is about as large, and a buffer that grows meanwhile is copied.
    frame_bytes: usize,
    freight: Freight,
    beat: Beat,
    unsent: Vec<u8>,
}

impl Incoming {
    /// Reads into the buffer; 0 is the end.
    fn poll(&mut self, inbox: &Inbox, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if inbox.poll_room(self.freight, cx).is_pending() {
            // It is we who do not listen.
            self.beat.heard();
        } else if let Poll::Ready(read) = self.poll_read(cx) {
            self.beat.heard();
            return Poll::Ready(read);
        }
        while let Poll::Ready(due) = self.beat.poll(cx) {
            due?;
            // One that the other side has not taken yet says as much.
            if self.unsent.is_empty() {
                frame::put_beat(&mut self.unsent);
            }
        }
        self.send(cx)?;
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            let frame = (self.frame_bytes + self.frame_bytes / 4).min(READ_BYTES_MAX);
            self.buffer.reserve(READ_BYTES.max(frame));
        }
        pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }

    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => drop(self.unsent.drain(..n)),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}
