//! One Raft group on this node: raft-rs behind our own boundary.
//!
//! Nobody else names raft-rs. A group has no clock, no wire and no thread: its owner feeds ticks,
//! messages and log completions, and carries out what [`Group::advance`] hands back. What is sent,
//! written and applied when is decided here:
//!
//! - a leader's messages leave before its own fsync, and it counts itself only after it;
//! - a follower's messages wait for the fsync that they promise, except heartbeat responses, which
//!   promise only a term and would otherwise stall every read behind a slow disk;
//! - committed entries come out in order, once, after the local disk has them.

mod advance;
mod compaction;
mod guard;
mod members;
mod reads;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use quorate_env::Mono;
use raft::eraftpb::{Message, MessageType};
use raft::{INVALID_ID, RawNode, StateRole};

use crate::configuration::{Change, Configuration};
use crate::lease::Lease;
use crate::log::{HardState, Log, Ticket};
use crate::observer::GroupObserver;
use crate::tail::{SharedLog, SnapshotMark, Tail};
use crate::{GroupId, Index, NodeId, Term, message};

pub use advance::LogFailed;
pub use compaction::Fetch;
pub use guard::Doubted;
pub use members::Progress;

/// How a group keeps time. The same on every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time between two calls of [`Group::tick`], at least.
    pub tick: Duration,
    /// Ticks without a leader after which a member asks for votes (up to twice that).
    pub election_ticks: u32,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: u32,
}

impl Default for Pace {
    /// A crashed leader is missed after 360 to 720 ms, so that writes resume within a second.
    fn default() -> Self {
        Self { tick: Duration::from_millis(30), election_ticks: 12, heartbeat_ticks: 3 }
    }
}

impl Pace {
    /// The shortest time after which a member looks for a new leader.
    pub fn election_timeout(&self) -> Duration {
        self.tick * self.election_ticks
    }
}

/// What a group starts from.
#[derive(Clone, Debug)]
pub struct GroupStart {
    /// Which group.
    pub group: GroupId,
    /// This node's number in it.
    pub node: NodeId,
    /// Its pace.
    pub pace: Pace,
    /// From the log.
    pub hard_state: HardState,
    /// The members at `applied`.
    pub configuration: Configuration,
    /// What the engine has applied.
    pub applied: Index,
    /// The newest snapshot file.
    pub snapshot: Option<SnapshotMark>,
    /// The tail was cut in doubt: votes only for logs that reach it.
    pub doubt: Option<Doubted>,
    /// For the election timeouts.
    pub seed: u64,
    /// When this process made sure that no other one acts for this member any more. Until an election timeout later it
    /// grants no vote, since it may have promised a leader, before it stopped, not to.
    pub since: Mono,
    /// The time.
    pub now: Mono,
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRole {
    /// Leads.
    Leader,
    /// Asks for votes.
    Candidate,
    /// Follows, or waits.
    Follower,
}

/// Why a proposal was not taken. Nothing was appended: it may be retried, here or elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Somebody else leads, or nobody.
    #[error("not the leader")]
    NotLeader,
    /// Too much is uncommitted, or leadership is being handed over.
    #[error("the group takes no proposals at the moment")]
    Busy,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// It does not fit into a segment of the log.
    #[error(
        "the entry is larger than a log segment takes; raise the segment size or write less at once"
    )]
    TooLarge,
}

/// Why a group can't start.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// An entry of the log is not one of this version.
    #[error("an entry of the log: {0}")]
    Entry(#[from] crate::codec::DecodeError),
    /// Log and snapshot do not fit together.
    #[error("raft: {0}")]
    Raft(String),
}

impl From<raft::Error> for GroupError {
    fn from(error: raft::Error) -> Self {
        Self::Raft(error.to_string())
    }
}

/// A committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Its content.
    pub body: Body,
}

/// What a committed entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The first entry of a term, or a refused change: nothing to do but to count it.
    Empty,
    /// The node room's bytes.
    Normal(Bytes),
    /// A change of members, already in force in the group.
    Change {
        /// The change with its context.
        change: Change,
        /// The members from here on.
        configuration: Configuration,
    },
}

/// What [`Group::advance`] wants done. Reused from call to call.
#[derive(Debug, Default)]
pub struct Output {
    /// Messages, encoded, to be sent as they are.
    pub messages: Vec<Outgoing>,
    /// Entries to apply, in order.
    pub committed: Vec<Committed>,
    /// Read rounds that are over: everything committed at their start has this index or a lower one.
    pub reads: Vec<(u64, Index)>,
    /// Members that need the snapshot file; answer each with [`Group::snapshot_sent`].
    pub send_snapshot: Vec<(NodeId, SnapshotMark)>,
    /// A received snapshot was accepted: the engine must switch to it now.
    pub install: Option<SnapshotMark>,
    /// Role, term or leader have changed.
    pub role_changed: bool,
}

/// A message for another member.
#[derive(Debug)]
pub struct Outgoing {
    /// To whom.
    pub to: NodeId,
    /// True for appends, which may be large and must not delay the others.
    pub bulk: bool,
    message: Message,
}

impl Outgoing {
    /// Appends its bytes, the only copy that is made of the entries for this member.
    pub fn encode(&self, out: &mut Vec<u8>) {
        message::encode(&self.message, out);
    }
}

/// Messages that must follow a write to disk.
struct Waiting {
    ticket: Ticket,
    number: u64,
    term: Term,
    entries: bool,
    messages: Vec<Message>,
}

/// One Raft group on this node.
pub struct Group {
    raw: RawNode<Tail>,
    group: GroupId,
    node: NodeId,
    pace: Pace,
    log: SharedLog,
    waiting: VecDeque<Waiting>,
    /// A snapshot whose state the owner has, and of which raft has not heard that it is applied.
    installed: Option<Index>,
    /// The term that is on the disk.
    durable_term: Term,
    lease: Lease,
    rounds: VecDeque<reads::Round>,
    next_round: u64,
    asking: reads::Asking,
    guard: guard::Guard,
    commit_at_start: Index,
    seed: u64,
    attempts: u64,
    timeout_for: (u64, u64),
    was: (StateRole, u64, u64),
    elections_won: u64,
    /// What was committed at the start is not applied yet.
    starting: bool,
    /// How long nobody has led us while raft-rs did not count yet.
    unled_ticks: usize,
    /// The owner has more committed entries than it can apply: no more are taken in.
    crowded: bool,
    /// The last entry that was to be appended had no room in the log.
    starved: Cell<bool>,
    /// Who answered in the election timeout before this one.
    answered: Vec<NodeId>,
    observer: Option<Rc<dyn GroupObserver>>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Group({}, node {}, term {})", self.group, self.node, self.term())
    }
}

/// Bytes of entries in one append.
const APPEND_BYTES: u64 = 1024 * 1024;
/// Appends to one follower on their way.
const APPENDS_IN_FLIGHT: usize = 64;
/// Bytes proposed but not committed; beyond it proposals are [`ProposeError::Busy`].
const UNCOMMITTED_BYTES: u64 = 256 * 1024 * 1024;
/// Bytes of entries handed out for applying at once.
const COMMITTED_BYTES: u64 = 8 * 1024 * 1024;

impl Group {
    /// Starts the group on this node.
    ///
    /// # Errors
    /// The log can't be read, or does not fit to the snapshot.
    pub fn start(start: &GroupStart, log: SharedLog) -> Result<Self, GroupError> {
        let hard_state = to_raft(start.hard_state, start.applied);
        let mut tail =
            Tail::new(start.group, SharedLog::clone(&log), hard_state, start.configuration.clone());
        tail.snapshot.clone_from(&start.snapshot);
        tail.load(start.applied.max(start.hard_state.commit))?;
        let config = raft::Config {
            id: start.node.0,
            election_tick: start.pace.election_ticks as usize,
            heartbeat_tick: start.pace.heartbeat_ticks as usize,
            applied: start.applied.0,
            max_size_per_msg: APPEND_BYTES,
            max_inflight_msgs: APPENDS_IN_FLIGHT,
            check_quorum: true,
            pre_vote: true,
            skip_bcast_commit: true,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            max_committed_size_per_ready: COMMITTED_BYTES,
            ..raft::Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config, tail, &logger).map_err(GroupError::from)?;
        let doubt = start.doubt;
        #[cfg(feature = "planted-bugs")]
        let doubt = doubt.filter(|_| !crate::planted::is(crate::planted::Planted::DoubtIgnored));
        let mut group = Self {
            raw,
            group: start.group,
            node: start.node,
            pace: start.pace,
            log,
            waiting: VecDeque::new(),
            installed: None,
            durable_term: start.hard_state.term,
            lease: Lease::new(start.pace.tick, start.pace.election_ticks),
            rounds: VecDeque::new(),
            next_round: 1,
            asking: reads::Asking::default(),
            guard: guard::Guard::new(doubt, start.since + start.pace.election_timeout()),
            commit_at_start: start.hard_state.commit,
            seed: start.seed,
            attempts: 0,
            timeout_for: (u64::MAX, 0),
            was: (StateRole::Follower, 0, 0),
            elections_won: 0,
            starting: true,
            unled_ticks: whole_ticks(start.now.since(start.since), start.pace.tick),
            crowded: false,
            starved: Cell::new(false),
            answered: Vec::new(),
            observer: None,
        };
        group.redraw_timeout();
        Ok(group)
    }

    /// A member that is alone leads at once: nobody else could win, and waiting for a timeout would only
    /// delay the first command. Not before it has applied what is committed: raft-rs reads all of that
    /// at once before it asks for votes.
    fn lead_alone(&mut self) -> Result<(), LogFailed> {
        let log = &self.raw.raft.raft_log;
        if !self.starting || log.applied < log.committed {
            return Ok(());
        }
        self.starting = false;
        self.count_unled();
        if self.is_alone() && !self.is_in_doubt() {
            self.raw.campaign().map_err(|error| LogFailed(error.to_string()))?;
        }
        Ok(())
    }

    /// What has passed since the start counts for the first election timeout: members that are started together would wait
    /// for it once more behind their replay, and nobody is served meanwhile.
    fn count_unled(&mut self) {
        let raft = &mut self.raw.raft;
        // With a leader the same ticks stand for our promise to it, which begins anew with each of its messages.
        if raft.leader_id != INVALID_ID {
            return;
        }
        let timeout = raft.randomized_election_timeout();
        // Those who are ready together must not ask together: of what was drawn to keep them apart, some is left.
        let left = 1 + timeout.saturating_sub(self.pace.election_ticks as usize) / 4;
        raft.election_elapsed = self.unled_ticks.min(timeout.saturating_sub(left));
    }

    /// Shows what happens from here on to `observer`.
    pub fn observe(&mut self, observer: Rc<dyn GroupObserver>) {
        self.observer = Some(observer);
    }

    /// Lets one tick pass.
    pub fn tick(&mut self) {
        // See `lead_alone`: nobody asks for votes before that. And until the log has restarted behind a
        // snapshot, raft-rs would look for the entries below it, and panic.
        if self.starting || self.installed.is_some() {
            let is_led = self.raw.raft.leader_id != INVALID_ID;
            self.unled_ticks = if is_led { 0 } else { self.unled_ticks.saturating_add(1) };
            return;
        }
        // raft-rs lets a sole voter win at once, and then asserts that its log is persisted.
        if self.is_alone() && !self.waiting.is_empty() && self.role() != GroupRole::Leader {
            return;
        }
        self.ask_everybody();
        let answered = self.answering();
        if self.raw.tick() && self.raw.raft.state != StateRole::Leader {
            self.attempts += 1;
        }
        self.keep_answered(answered);
        self.redraw_timeout();
    }

    /// raft-rs draws its election timeout from the thread's rng at every reset; a run that shall
    /// repeat needs it derived from what the run is made of.
    fn redraw_timeout(&mut self) {
        let key = (self.raw.raft.term, self.attempts);
        let ticks = u64::from(self.pace.election_ticks);
        let mixed = mix(self.seed ^ mix(self.node.0 ^ mix(key.0 ^ mix(key.1))));
        let timeout = usize::try_from(ticks + mixed % ticks).unwrap_or(usize::MAX);
        if key != self.timeout_for || self.raw.raft.randomized_election_timeout() != timeout {
            self.timeout_for = key;
            self.raw.raft.set_randomized_election_timeout(timeout);
        }
    }

    /// Takes a message from a peer. A message that can't be used is dropped: Raft repeats.
    ///
    /// # Errors
    /// The bytes are not a message, or not from who sent them.
    pub fn step(
        &mut self,
        from: NodeId,
        bytes: Bytes,
        now: Mono,
    ) -> Result<(), crate::codec::DecodeError> {
        let mut message = message::decode(bytes)?;
        if message.get_msg_type() == MessageType::MsgHeartbeat {
            // Only a hint, and fatal to raft-rs beyond our log: a leader may remember more of us than a
            // tail which was cut in doubt still holds.
            message.commit = message.commit.min(self.raw.raft.raft_log.last_index());
        }
        #[cfg(feature = "planted-bugs")]
        {
            crate::planted::note_time(now);
            if message.get_msg_type() == MessageType::MsgHeartbeat
                && crate::planted::is(crate::planted::Planted::ApplyBeforeCommit)
            {
                message.commit = self.raw.raft.raft_log.last_index();
            }
        }
        if message.from != from.0 || message.to != self.node.0 {
            return Err(crate::codec::DecodeError::Range);
        }
        let early =
            message.get_msg_type() == MessageType::MsgTimeoutNow && self.installed.is_some();
        let let_in = !early && self.guard.lets_in(&message, self.raw.raft.state, now);
        if let_in && self.has_room_for(&message) {
            self.note_answer(&message);
            if let Err(error) = self.raw.step(message) {
                tracing::debug!(%error, from = from.0, "message not taken");
            }
            self.redraw_timeout();
        }
        Ok(())
    }

    /// A follower without room drops appends before they enter raft: what entered must be written.
    fn has_room_for(&self, message: &Message) -> bool {
        let bytes: usize =
            message.entries.iter().map(|entry| entry.data.len() + ENTRY_OVERHEAD).sum();
        let mut log = self.log.borrow_mut();
        // What one segment can't hold is written in pieces: it must not be refused for ever.
        let piece = (bytes as u64).min(log.batch_bytes_max() / 2);
        if bytes == 0 || self.crowded {
            return bytes == 0;
        }
        let fits = log.has_room(piece);
        self.starved.set(!fits);
        fits
    }

    /// Whether the owner has more committed entries than it can apply at the moment: then appends are
    /// dropped and proposals refused, as without room in the log.
    pub fn set_crowded(&mut self, crowded: bool) {
        self.crowded = crowded;
    }

    /// Proposes an entry of the node room's bytes; it is appended at the index and term returned, or,
    /// on an error, not at all.
    ///
    /// # Errors
    /// [`ProposeError`].
    pub fn propose(&mut self, data: Vec<u8>) -> Result<(Index, Term), ProposeError> {
        self.check_leading()?;
        let bytes = (data.len() + ENTRY_OVERHEAD) as u64;
        if bytes > self.log.borrow().batch_bytes_max() {
            return Err(ProposeError::TooLarge);
        }
        if !self.log.borrow_mut().has_room(bytes) {
            self.starved.set(true);
            return Err(no_room(&self.log.borrow()));
        }
        self.starved.set(false);
        let place = (Index(self.raw.raft.raft_log.last_index() + 1), self.term());
        self.raw.propose(Vec::new(), data).map_err(|_| ProposeError::Busy)?;
        assert_eq!(
            self.raw.raft.raft_log.last_index(),
            place.0.0,
            "a proposal is appended at once"
        );
        Ok(place)
    }

    /// Whether a proposal of ordinary size would be taken now. One of `bytes`, if it is larger, may be refused for want of
    /// room on the disk still; but not because the log's next segment is still being made.
    ///
    /// # Errors
    /// Why not.
    pub fn accepts(&self, bytes: usize) -> Result<(), ProposeError> {
        self.check_leading()?;
        if self.crowded {
            return Err(ProposeError::Busy);
        }
        let mut log = self.log.borrow_mut();
        let ordinary = ORDINARY_BYTES.min(log.batch_bytes_max() / 4);
        if !log.has_room(ordinary) {
            self.starved.set(true);
            return Err(no_room(&log));
        }
        let bytes = (bytes + ENTRY_OVERHEAD) as u64;
        // What no segment can hold is not waited for: it will be refused as such.
        let waits =
            bytes + ordinary <= log.batch_bytes_max() && !log.fits(bytes) && !log.is_disk_full();
        if waits { Err(ProposeError::Busy) } else { Ok(()) }
    }

    /// True when this node's disk is full: nothing can be proposed here, and nothing received.
    pub fn lacks_room(&self) -> bool {
        let log = self.log.borrow();
        let some = (2 * ORDINARY_BYTES).min(log.batch_bytes_max() / 2);
        log.is_disk_full() && (self.starved.get() || !log.fits(some))
    }

    fn check_leading(&self) -> Result<(), ProposeError> {
        if self.role() != GroupRole::Leader {
            return Err(ProposeError::NotLeader);
        }
        if self.raw.raft.lead_transferee.is_some() {
            return Err(ProposeError::Busy);
        }
        Ok(())
    }

    /// True while an entry is on its way to the local disk: the next one waits, so that batches form.
    pub fn is_writing(&self) -> bool {
        self.waiting.iter().any(|waiting| waiting.entries)
    }

    /// What this member is doing.
    pub fn role(&self) -> GroupRole {
        match self.raw.raft.state {
            StateRole::Leader => GroupRole::Leader,
            StateRole::Candidate | StateRole::PreCandidate => GroupRole::Candidate,
            StateRole::Follower => GroupRole::Follower,
        }
    }

    /// The current term.
    pub fn term(&self) -> Term {
        Term(self.raw.raft.term)
    }

    /// The leader, where one is known.
    pub fn leader(&self) -> Option<NodeId> {
        Some(NodeId(self.raw.raft.leader_id)).filter(|leader| leader.0 != 0)
    }

    /// The highest index known to be committed.
    pub fn commit(&self) -> Index {
        Index(self.raw.raft.raft_log.committed)
    }

    /// The last entry of the log, durable or not yet, and its term.
    pub fn last(&self) -> (Index, Term) {
        let log = &self.raw.raft.raft_log;
        (Index(log.last_index()), Term(log.last_term()))
    }

    /// The first index in the log.
    pub fn first(&self) -> Index {
        Index(self.raw.raft.raft_log.first_index())
    }

    /// The term of the entry at `index`, where the log still knows it.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.raw.raft.raft_log.term(index.0).ok().filter(|term| *term != 0).map(Term)
    }

    /// The pace.
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Elections won since the start.
    pub fn elections_won(&self) -> u64 {
        self.elections_won
    }
}

/// No room may also mean that the next segment is still being made.
fn no_room(log: &Log) -> ProposeError {
    if log.is_disk_full() { ProposeError::Full } else { ProposeError::Busy }
}

/// What must fit for the node to take writes at all.
const ORDINARY_BYTES: u64 = 2 * 1024 * 1024;
/// Record header and Raft's own share, generously.
const ENTRY_OVERHEAD: usize = 128;

/// A snapshot may be ahead of the commit index that the log remembers.
fn to_raft(state: HardState, applied: Index) -> raft::eraftpb::HardState {
    raft::eraftpb::HardState {
        term: state.term.0,
        vote: state.vote.0,
        commit: state.commit.0.max(applied.0),
        ..Default::default()
    }
}

fn whole_ticks(time: Duration, tick: Duration) -> usize {
    usize::try_from(time.as_nanos() / tick.as_nanos().max(1)).unwrap_or(usize::MAX)
}

/// splitmix64's finalizer.
fn mix(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
