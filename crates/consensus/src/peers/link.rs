//! Our side of a connection: dialling, and the link that keeps dialling.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use quorate_env::mux::PEER_MAGIC;
use quorate_env::{Env, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::beat::{Beat, Beats};
use super::handshake::{ACCEPTOR, DIALLER, Secret};
use super::{Doorkeeper, Event, Hello, Inbox, Kind, Lane, Purpose, Welcome, frame};
use crate::NodeId;

/// The longest message of a handshake.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 4096;
/// A handshake that takes longer is given up.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(3);
/// Of several addresses of one name, so much for each.
const ONE_OF_SEVERAL_TIME: Duration = Duration::from_secs(1);
/// Joining takes an entry through the log.
const ENROL_TIME: Duration = Duration::from_secs(30);
/// Bytes queued for a peer; beyond it frames are dropped, and Raft repeats.
const QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A queue that grew beyond this gives its memory back when it is empty.
const QUEUE_BYTES_KEPT: usize = 1024 * 1024;
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The wire failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side does not share our secret, or is no Quorate node.
    #[error("{0}")]
    Stranger(String),
    /// The other side refuses us.
    #[error("refused: {0}")]
    Refused(String),
    /// It took too long.
    #[error("timed out")]
    Slow,
}

/// A connection that was let in.
pub struct Dialled {
    /// What the acceptor said of itself.
    pub welcome: Welcome,
    /// The connection.
    pub stream: Box<dyn Stream>,
}

impl std::fmt::Debug for Dialled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialled({:?})", self.welcome)
    }
}

pub(super) fn nonce(env: &Env) -> [u64; 4] {
    [(); 4].map(|()| env.rng.next_u64())
}

pub(super) async fn put_message(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&len.to_le_bytes()[..], bytes].concat()).await
}

pub(super) async fn take_message(stream: &mut Box<dyn Stream>) -> io::Result<Bytes> {
    let len = stream.read_u32_le().await? as usize;
    if len > HANDSHAKE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}

/// Runs `work` for at most `limit`.
pub(super) async fn within<T>(
    env: &Env,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut timer = env.clock.sleep(limit);
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        timer.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Dials `addr` and shakes hands.
///
/// # Errors
/// [`DialError`].
pub async fn dial(
    env: &Env,
    secret: &Secret,
    addr: &str,
    hello: Hello,
) -> Result<Dialled, DialError> {
    let limit = if hello.purpose == Purpose::Enrol { ENROL_TIME } else { HANDSHAKE_TIME };
    within(env, limit, dial_any(env, secret, addr, &hello)).await.unwrap_or(Err(DialError::Slow))
}

/// A name may stand for several addresses, of one machine or of many nodes: the first one that lets us in.
/// It is looked up at each attempt, for what it stands for may change.
async fn dial_any(
    env: &Env,
    secret: &Secret,
    addr: &str,
    hello: &Hello,
) -> Result<Dialled, DialError> {
    let addrs = env.net.resolve(addr).await?;
    if let [addr] = &addrs[..] {
        return dial_one(env, secret, addr, hello).await;
    }
    let mut failure =
        DialError::Io(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for addr in &addrs {
        // One that does not answer must not use the others' time up.
        let one = within(env, ONE_OF_SEVERAL_TIME, dial_one(env, secret, addr, hello)).await;
        match one.unwrap_or(Err(DialError::Slow)) {
            Ok(dialled) => return Ok(dialled),
            // What a node says tells more than that another one is not there.
            Err(error) if matches!(failure, DialError::Refused(_)) => drop(error),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn dial_one(
    env: &Env,
    secret: &Secret,
    addr: &str,
    hello: &Hello,
) -> Result<Dialled, DialError> {
    let mut stream = env.net.connect(addr).await?;
    let welcome = shake(env, secret, &mut stream, hello).await?;
    Ok(Dialled { welcome, stream })
}

/// All addresses that `addrs` stand for at the moment, each once, in order; of a name that can't be looked
/// up, the name.
pub async fn all_addrs(env: &Env, addrs: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for addr in addrs {
        let resolved = within(env, HANDSHAKE_TIME, env.net.resolve(addr)).await;
        let found = match resolved {
            Some(Ok(found)) => found,
            Some(Err(_)) | None => vec![addr.clone()],
        };
        for one in found {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all
}

async fn shake(
    env: &Env,
    secret: &Secret,
    stream: &mut Box<dyn Stream>,
    hello: &Hello,
) -> Result<Welcome, DialError> {
    let said = hello.encode(&nonce(env));
    stream.write_all(&PEER_MAGIC).await?;
    put_message(stream, &said).await?;
    let heard = take_message(stream).await?;
    let proof = take_message(stream).await?;
    if heard.is_empty() {
        return Err(DialError::Stranger(String::from_utf8_lossy(&proof).into_owned()));
    }
    if !secret.verify(ACCEPTOR, &[&said, &heard], &proof) {
        let text = "the other side has another cluster secret";
        return Err(DialError::Stranger(text.to_owned()));
    }
    let welcome =
        Welcome::decode(heard.clone()).map_err(|error| DialError::Stranger(error.to_string()))?;
    put_message(stream, &secret.prove(DIALLER, &[&said, &heard])).await?;
    let verdict = take_message(stream).await?;
    match verdict.split_first() {
        Some((1, _)) => Ok(welcome),
        Some((_, reason)) => Err(DialError::Refused(String::from_utf8_lossy(reason).into_owned())),
        None => Err(DialError::Stranger("no verdict".to_owned())),
    }
}

/// Whom a link leads to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) node: NodeId,
    pub(super) instance: u64,
    pub(super) addr: String,
    pub(super) lane: Lane,
}

/// What a link needs from its owner.
pub(super) struct Parts {
    pub(super) env: Env,
    pub(super) secret: Secret,
    pub(super) door: Rc<dyn Doorkeeper>,
    pub(super) inbox: Inbox,
    pub(super) beat_every: Duration,
}

/// A connection to one member on one lane, dialled again whenever it breaks.
pub(super) struct Link {
    to: Target,
    queue: RefCell<Vec<u8>>,
    up: Cell<bool>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Link {
    pub(super) fn new(to: Target) -> Rc<Self> {
        Rc::new(Self {
            to,
            queue: RefCell::default(),
            up: Cell::new(false),
            closed: Cell::new(false),
            waker: RefCell::default(),
        })
    }

    pub(super) fn addr(&self) -> String {
        self.to.addr.clone()
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.get()
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.borrow().len()
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    pub(super) fn push(&self, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut queue = self.queue.borrow_mut();
        if !self.up.get() || queue.len() > QUEUE_BYTES_MAX {
            return false;
        }
        let queued = frame::put(&mut queue, kind, write);
        drop(queue);
        self.wake();
        queued
    }
}

/// Dials until the link is closed.
pub(super) async fn run(link: Rc<Link>, parts: Parts) {
    let mut backoff = BACKOFF_MIN;
    let mut last_error = String::new();
    while !link.closed.get() {
        match dial_once(&link, &parts).await {
            Ok(stream) => {
                backoff = BACKOFF_MIN;
                last_error.clear();
                link.up.set(true);
                parts.inbox.push(Event::Up(link.to.node, link.to.lane));
                let ended = pump(&link, stream, Beat::new(&parts.env, parts.beat_every)).await;
                link.up.set(false);
                // What the peer will never see must not take memory for as long as it is away.
                link.queue.take();
                parts.inbox.push(Event::Down(link.to.node, link.to.lane));
                tracing::debug!(node = link.to.node.0, lane = ?link.to.lane, ?ended, "link down");
            }
            Err(error) => {
                if let DialError::Refused(reason) = &error {
                    parts.door.turned_away(reason);
                }
                let text = error.to_string();
                if text != last_error
                    && matches!(error, DialError::Refused(_) | DialError::Stranger(_))
                {
                    tracing::warn!(
                        node = link.to.node.0,
                        addr = link.to.addr,
                        error = text,
                        "peer does not let us in"
                    );
                }
                last_error = text;
            }
        }
        let jitter = Duration::from_millis(parts.env.rng.below(20));
        parts.env.clock.sleep(backoff + jitter).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

async fn dial_once(link: &Link, parts: &Parts) -> Result<Box<dyn Stream>, DialError> {
    let purpose = match link.to.lane {
        Lane::Control => Purpose::Control,
        Lane::Bulk => Purpose::Bulk,
    };
    let card = parts.door.card();
    let hello = Hello { purpose, card, to: link.to.node, to_instance: link.to.instance };
    let dialled = dial(&parts.env, &parts.secret, &link.to.addr, hello).await?;
    let Welcome { card, wall_ms } = &dialled.welcome;
    let mut card = card.clone();
    if card.node.0 == 0 {
        // It said so before we told it who it is.
        card.node = link.to.node;
    }
    parts.door.met(&card, *wall_ms).map_err(DialError::Refused)?;
    Ok(dialled.stream)
}

/// Writes what is queued, one write for all that has gathered, until the connection breaks.
async fn pump(link: &Link, stream: Box<dyn Stream>, beat: Beat) -> io::Result<()> {
    let mut pump = Pump { stream, beat, beats: Beats::new(), sending: Vec::new(), sent: 0 };
    poll_fn(|cx| {
        if link.closed.get() {
            return Poll::Ready(Ok(()));
        }
        pump.listen(cx)?;
        while let Poll::Ready(due) = pump.beat.poll(cx) {
            due?;
            let mut queue = link.queue.borrow_mut();
            if pump.is_idle() && queue.is_empty() {
                frame::put_beat(&mut queue);
            }
        }
        while pump.send(cx)? {
            std::mem::swap(&mut pump.sending, &mut link.queue.borrow_mut());
            if pump.sending.is_empty() {
                break;
            }
        }
        *link.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

/// A connection that is up.
struct Pump {
    stream: Box<dyn Stream>,
    beat: Beat,
    beats: Beats,
    sending: Vec<u8>,
    sent: usize,
}

impl Pump {
    fn is_idle(&self) -> bool {
        self.sent >= self.sending.len()
    }

    /// Hears that the acceptor is there: it says nothing else.
    fn listen(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut heard = [0_u8; 64];
        loop {
            let mut buffer = ReadBuf::new(&mut heard);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                Poll::Ready(Ok(())) => self.beats.take(buffer.filled())?,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
            self.beat.heard();
        }
    }

    /// Writes on; true when all is written.
    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while !self.is_idle() {
            let rest = self.sending.get(self.sent..).unwrap_or_default();
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => self.sent += n,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
            self.beat.spoke();
        }
        self.sending.clear();
        self.sending.shrink_to(QUEUE_BYTES_KEPT);
        self.sent = 0;
        Ok(true)
    }
}
