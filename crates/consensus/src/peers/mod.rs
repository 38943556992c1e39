//! The wire between members: framed TCP with our own codec.
//!
//! Each member dials every other one twice and only speaks on what it dialled: a *control* link for
//! what must be quick (heartbeats, votes, read requests) and a *bulk* link for what may be large
//! (appends, snapshots), so that a large entry never delays a heartbeat. The other end answers with
//! beats and nothing else, so that either one notices when the other has gone. Messages may be lost
//! when a link breaks, and overtake each other between links; Raft copes with both.

mod beat;
mod frame;
mod handshake;
mod inbox;
mod incoming;
mod link;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::{Env, Stream};

use crate::{Index, NodeId, Pace, Term};

pub use frame::{FRAME_BYTES_MAX, Kind};
pub use handshake::{Hello, Purpose, Secret, Welcome};
pub use inbox::{Event, Inbox};
pub use incoming::accept;
pub use link::{DialError, Dialled, all_addrs, dial};

/// The format of handshake and frames. A member of another format is refused.
pub const WIRE_FORMAT: u64 = 2;

/// Which of the two links to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Small and quick.
    Control,
    /// Possibly large.
    Bulk,
}

/// How many messages of a handshake `bytes` could be.
pub(crate) fn decode_handshake(bytes: &bytes::Bytes) -> usize {
    usize::from(Hello::decode(bytes.clone()).is_ok())
        + usize::from(Welcome::decode(bytes.clone()).is_ok())
}

/// How many whole frames `buffer` begins with.
pub(crate) fn decode_frames(buffer: &mut bytes::BytesMut) -> usize {
    std::iter::from_fn(|| frame::take(buffer).ok().flatten()).count()
}

/// A cluster's id: drawn at bootstrap, never changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterId(pub u64);

impl std::fmt::Display for ClusterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a node says of itself in every handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// The cluster it belongs to; 0: none yet, it waits to be added.
    pub cluster: ClusterId,
    /// Its number; 0: none yet.
    pub node: NodeId,
    /// Its name (`--id`).
    pub name: String,
    /// Drawn when its data directory was made: tells it from another node of the same name.
    pub instance: u64,
    /// Drawn when its process started: its log has not gone back since. 0: not known.
    pub run: u64,
    /// `host:port` at which peers reach it.
    pub peer_addr: String,
    /// `host:port` at which clients reach it.
    pub client_addr: String,
    /// The last entry of its log.
    pub last: (Index, Term),
    /// Its `--max-memory`.
    pub max_memory_bytes: u64,
    /// The number it had before it lost part of its log, and can't use any more; 0: none.
    pub lost_node: NodeId,
    /// Its tail was cut in doubt: its log may end below what it has acknowledged, and it knows that.
    pub in_doubt: bool,
    /// When it is added, it wants no vote.
    pub learner: bool,
    /// When it is added, it shall take the place of this member; 0: of none.
    pub replaces: NodeId,
    /// How many nodes shall found a cluster together, itself included; 0: it takes part in no founding.
    pub expect: u64,
    /// The cluster to whose founding it has committed itself for good; 0: none yet.
    pub pledge: ClusterId,
    /// The lowest and the highest cluster format that it can work with.
    pub formats: Formats,
}

/// The cluster formats that a binary can work with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Formats {
    /// The lowest.
    pub lowest: u64,
    /// The highest.
    pub highest: u64,
}

impl Formats {
    /// Whether `format` is one of them.
    pub fn contains(self, format: u64) -> bool {
        (self.lowest..=self.highest).contains(&format)
    }
}

/// Decides about handshakes; implemented by the node room.
pub trait Doorkeeper {
    /// This node's card, as of now.
    fn card(&self) -> Card;
    /// Whether the peer behind `hello`, whose secret is proved, may speak to us, or why not, for the
    /// peer's log. May make this node, if it waits to be added, the member that the peer says it is:
    /// the future resolves when that is durable.
    fn admit(&self, hello: Hello) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>>;
    /// Whether a peer that was let in may still speak to us; asked whenever it has said something. If not, the
    /// connection ends, and the peer learns why when it dials again.
    fn listens_to(&self, node: NodeId) -> bool;
    /// What a peer said of itself when we dialled it and it let us in.
    ///
    /// # Errors
    /// Why we do not speak to it; the connection is closed.
    fn met(&self, card: &Card, wall_ms: u64) -> Result<(), String>;
    /// A peer whose secret is proved does not let us in; `reason` is its word.
    fn turned_away(&self, reason: &str);
    /// A request to be added, from a node that is in no cluster; answers through the returned future.
    fn enrol(&self, card: Card) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>>;
}

/// The links to all other members.
pub struct Peers {
    env: Env,
    secret: Secret,
    door: Rc<dyn Doorkeeper>,
    inbox: Inbox,
    beat_every: Duration,
    links: RefCell<BTreeMap<(NodeId, Lane), Rc<link::Link>>>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Peers({} links)", self.links.borrow().len())
    }
}

impl Peers {
    /// No links yet. A member that is not heard for some election timeouts is taken for gone.
    pub fn new(
        env: Env,
        secret: Secret,
        door: Rc<dyn Doorkeeper>,
        inbox: Inbox,
        pace: Pace,
    ) -> Rc<Self> {
        let beat_every = pace.election_timeout();
        Rc::new(Self { env, secret, door, inbox, beat_every, links: RefCell::default() })
    }

    /// Keeps links to exactly these members (number, instance, address); this node is not among them.
    pub fn keep(&self, members: &[(NodeId, u64, String)]) {
        let mut links = self.links.borrow_mut();
        links.retain(|(node, _), link| {
            let kept =
                members.iter().any(|(member, _, addr)| member == node && *addr == link.addr());
            if !kept {
                link.close();
            }
            kept
        });
        for (node, instance, addr) in members {
            for lane in [Lane::Control, Lane::Bulk] {
                links.entry((*node, lane)).or_insert_with(|| {
                    let to =
                        link::Target { node: *node, instance: *instance, addr: addr.clone(), lane };
                    let link = link::Link::new(to);
                    let parts = link::Parts {
                        env: self.env.clone(),
                        secret: self.secret.clone(),
                        door: Rc::clone(&self.door),
                        inbox: self.inbox.clone(),
                        beat_every: self.beat_every,
                    };
                    self.env.tasks.spawn(Box::pin(link::run(Rc::clone(&link), parts)));
                    link
                });
            }
        }
    }

    /// Queues a frame; `write` appends its payload. False when the link is down or its queue is full:
    /// then nothing was queued, and the peer will never see it.
    pub fn send(
        &self,
        to: NodeId,
        lane: Lane,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let links = self.links.borrow();
        links.get(&(to, lane)).is_some_and(|link| link.push(kind, write))
    }

    /// True when the link to `to` is up.
    pub fn is_up(&self, to: NodeId, lane: Lane) -> bool {
        self.links.borrow().get(&(to, lane)).is_some_and(|link| link.is_up())
    }

    /// Bytes queued for `to`, for flow control of snapshots.
    pub fn queued_bytes(&self, to: NodeId, lane: Lane) -> usize {
        self.links.borrow().get(&(to, lane)).map_or(0, |link| link.queued_bytes())
    }

    /// Serves a connection that a peer has opened; resolves when it ends.
    pub async fn serve(&self, stream: Box<dyn Stream>) {
        let Self { env, secret, door, inbox, beat_every, .. } = self;
        accept(env, secret, &**door, inbox, *beat_every, stream).await;
    }

    /// Asks the node at `addr` for its card, or to let us in (`Purpose::Enrol`).
    ///
    /// # Errors
    /// It can't be reached, or refuses.
    pub async fn ask(&self, addr: &str, purpose: Purpose) -> Result<Welcome, DialError> {
        let hello = Hello::to_anyone(self.door.card(), purpose);
        let dialled = dial(&self.env, &self.secret, addr, hello).await?;
        Ok(dialled.welcome)
    }
}
