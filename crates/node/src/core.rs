//! Everything one member holds, on its shard's thread. The rooms meet here; what is done with it in
//! which order stands in `turn`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use quorate_api::Error;
use quorate_consensus::log::HardState;
use quorate_consensus::peers::{Inbox, Peers};
use quorate_consensus::{
    Doubted, Group, GroupId, GroupRole, Index, NodeId, Output, SharedLog, SnapshotMark, Term,
};
use quorate_engine::EngineKind;
use quorate_env::disk::DirLock;
use quorate_env::{Env, Lane, Mono};

use crate::away::Away;
use crate::batch::Writes;
use crate::config::Config;
use crate::events::Events;
use crate::founding::Founding;
use crate::gather::Gather;
use crate::handover::Handover;
use crate::identity::Identity;
use crate::machine::Machine;
use crate::membership::Membership;
use crate::observer::Observer;
use crate::passing::Passing;
use crate::pulse::Pulses;
use crate::reads::Reads;
use crate::registration::Registration;
use crate::scrub::Scrub;
use crate::session::{Thread, Waiter};
use crate::silence::Silence;
use crate::snapshots::Snapshots;
use crate::stamp::StampClock;
use crate::storage::Storage;
use crate::waiting::Waiting;

/// The one group of today; nothing but this constant assumes that there is only one.
pub(crate) const GROUP: GroupId = GroupId(1);

/// The disk engine's directory, below the data directory.
pub(crate) const ENGINE_DIR: &str = "engine";

/// Election timeouts which a change of leaders may take: a vote that was split is repeated after up to
/// two, and one more is for the votes themselves.
const CHANGE_TIMEOUTS: u32 = 3;

/// What is worth waiting for where something long is at work: with all the keys there may be, it takes some ten
/// seconds.
pub(crate) const PATIENCE_TIMES: u32 = 8;

/// One member.
pub(crate) struct Core {
    pub(crate) env: Env,
    pub(crate) observer: Option<Rc<dyn Observer>>,
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    /// Held for as long as the node lives.
    pub(crate) _lock: Box<dyn DirLock>,
    pub(crate) log: SharedLog,
    /// `None` while the node waits to be added to a cluster.
    pub(crate) group: Option<Group>,
    pub(crate) machine: Machine,
    pub(crate) away: Away,
    pub(crate) out: Output,
    pub(crate) writes: Writes,
    pub(crate) gather: Gather,
    pub(crate) reads: Reads,
    pub(crate) passing: Passing,
    pub(crate) stamp: StampClock,
    /// A read waits for a stamp of at least this; 0: none does.
    pub(crate) stamp_wanted_ms: u64,
    pub(crate) housekeep: bool,
    /// Members that wait to hear of a commit index which they may not have had when it was sent last.
    pub(crate) owed: BTreeMap<NodeId, Index>,
    pub(crate) peers: Option<Rc<Peers>>,
    pub(crate) inbox: Inbox,
    pub(crate) released: Vec<Thread>,
    pub(crate) snapshots: Snapshots,
    pub(crate) scrub: Scrub,
    /// Where backups are packed: none of them keeps a snapshot waiting.
    pub(crate) backup_lane: Option<Box<dyn Lane>>,
    pub(crate) storage: Storage,
    pub(crate) membership: Membership,
    pub(crate) registration: Registration,
    pub(crate) founding: Founding,
    pub(crate) waiting: Waiting,
    pub(crate) handover: Handover,
    pub(crate) silence: Silence,
    pub(crate) events: Events,
    pub(crate) pulses: Pulses,
    pub(crate) stopped: Option<String>,
    pub(crate) waker: Option<Waker>,
    pub(crate) started_at: Mono,
    /// When a leader was last heard of (or this node led).
    pub(crate) led_at: Mono,
    /// Ticks since then; as raft does, a node that was stopped for a while does not count that time.
    pub(crate) leaderless_ticks: u32,
    pub(crate) over_memory: bool,
    pub(crate) draining: bool,
    pub(crate) forwarded: u64,
    /// What the log held at start.
    pub(crate) found_state: (HardState, Option<Doubted>),
    pub(crate) found_snapshot: Option<SnapshotMark>,
}

/// This node has stopped for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Stop(pub String);

impl Core {
    /// Where the engine's states lie, if it has any on the disk.
    pub(crate) fn engine_dir(&self) -> PathBuf {
        self.config.data_dir.join(ENGINE_DIR)
    }

    /// True when the engine keeps its data itself; otherwise snapshots and the log do.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.config.cellar.kind() == EngineKind::Disk
    }

    /// What this node can hold: a disk engine's memory does not grow with its data.
    pub(crate) fn own_memory_limit(&self) -> u64 {
        if self.is_on_disk() { u64::MAX } else { self.config.max_memory_bytes }
    }

    /// Lets the turn run once more.
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn now(&self) -> Mono {
        self.env.clock.now()
    }

    /// True when this node leads and has applied an entry of its own term: before that it knows
    /// neither what is committed nor the highest stamp.
    pub(crate) fn is_leading(&self) -> bool {
        self.group.as_ref().is_some_and(|group| {
            group.role() == GroupRole::Leader && self.machine.applied_term() == group.term()
        })
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.group.as_ref().and_then(Group::leader)
    }

    pub(crate) fn term(&self) -> Term {
        self.group.as_ref().map_or(Term(0), Group::term)
    }

    /// The client address of the leader, for hints.
    pub(crate) fn leader_addr(&self) -> Option<String> {
        let leader = self.leader()?;
        self.machine.members().get(leader).map(|member| member.client_addr.clone())
    }

    /// True when no leader has been known for longer than a change of leaders takes.
    pub(crate) fn is_leaderless(&self) -> bool {
        self.leaderless_ticks >= self.config.pace.election_ticks.saturating_mul(CHANGE_TIMEOUTS)
    }

    /// How long a command that was sent nowhere yet may wait. While leaders change: for the next one.
    /// Where none has come for long, no majority can be reached, most likely: only as long as an
    /// election takes that was about to succeed.
    pub(crate) fn patience(&self) -> Duration {
        let patience = self.long_patience();
        if self.is_leaderless() {
            patience.min(self.config.pace.election_timeout())
        } else {
            patience
        }
    }

    /// How long a command may wait that may have taken effect. Behind a long entry longer: it is known then what is
    /// waited for, and that it ends.
    pub(crate) fn long_patience(&self) -> Duration {
        let times = if self.away.is_busy() { PATIENCE_TIMES } else { 1 };
        self.config.patience.saturating_mul(times)
    }

    /// Why nothing can be done at the moment.
    pub(crate) fn no_leader(&self) -> Error {
        let reason = match (&self.group, self.leader()) {
            (None, _) => "this node is in no cluster yet",
            (_, None) => "no leader is known; a majority of the voters may be unreachable",
            (_, Some(_)) => "the leader can't be reached from this node, or has no majority",
        };
        Error::NotApplied { reason: reason.into(), hint: self.leader_addr() }
    }

    /// True when this node's disk has no room for another entry, neither its clients' nor the leader's, or for the state
    /// that the leader sends.
    pub(crate) fn lacks_room(&self) -> bool {
        self.is_engine_full()
            || self.group.as_ref().is_some_and(Group::lacks_room)
            || (!self.is_leading() && self.snapshots.lacks_room(self.now()))
    }

    /// Why a follower without room refuses what it could not see through.
    pub(crate) fn no_room(&self, what: &str) -> Error {
        let reason = format!(
            "the disk of this node is full, so {what}; free space on it, or ask another node"
        );
        Error::NotApplied { reason: reason.into(), hint: self.leader_addr() }
    }

    /// Answers `waiter`, and remembers its session when held commands can go on.
    pub(crate) fn answer(&mut self, waiter: Waiter, answer: quorate_api::Answer) {
        let index = self.machine.applied().0;
        self.released.extend(waiter.answer(answer, index));
    }

    pub(crate) fn answer_all(&mut self, waiters: Vec<Waiter>, error: &Error) {
        for waiter in waiters {
            self.answer(waiter, Err(error.clone()));
        }
    }

    /// Stops this node for good: what was certainly not proposed is told apart from what may have been.
    pub(crate) fn stop(&mut self, reason: String) {
        if self.stopped.is_some() {
            return;
        }
        tracing::warn!(node = self.identity.name, %reason, "stopped");
        let stopped = Error::Stopped { reason: reason.clone().into() };
        let unknown = Error::unknown(format!("this node stopped: {reason}"));
        while let Some(batch) = self.writes.pop() {
            self.answer_all(batch.waiters, &stopped);
        }
        for proposed in std::mem::take(&mut self.writes.proposed) {
            self.answer_all(proposed.waiters, &unknown);
        }
        for sent in self.writes.take_sent(|_| true) {
            self.answer_all(sent.batch.waiters, &unknown);
        }
        // A read that gets no answer has changed nothing.
        let mut reads = self.reads.take_overdue(Mono(Duration::MAX));
        reads.extend(self.storage.take_cold(|_| true));
        for batch in reads {
            self.answer_all(batch.waiters, &stopped);
        }
        self.membership.fail_all(&unknown);
        for transfer in std::mem::take(&mut self.handover.transfers) {
            // It may have gone.
            drop(transfer.asker.send(Err(unknown.clone())));
        }
        self.events.fail_all(&stopped);
        if let Some(peers) = &self.peers {
            peers.keep(&[]);
        }
        self.stopped = Some(reason);
    }
}
