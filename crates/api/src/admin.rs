//! What an operator may ask of a member, over any front-end.

use crate::event::{Event, EventPlace};

/// A request about the group rather than about keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminRequest {
    /// Add the node that listens at `addr` as a learner, to be promoted when it has caught up.
    /// `id` is its name, where the caller knows it; otherwise the node is asked.
    Join {
        /// The node's name.
        id: Option<String>,
        /// `host:port` where it takes peers.
        addr: String,
        /// What it comes in as.
        place: Place,
    },
    /// Remove a member, by name or by address.
    Leave {
        /// Name or `host:port`.
        member: String,
        /// What about a majority that can't be reached.
        caution: Caution,
    },
    /// Give a learner a vote, as soon as it has caught up.
    Promote {
        /// Name or `host:port`.
        member: String,
    },
    /// Take a voter's vote away: it stays as a learner.
    Demote {
        /// Name or `host:port`.
        member: String,
        /// What about a majority that can't be reached.
        caution: Caution,
    },
    /// Hand leadership over, to `to` or to the most advanced voter; resolves when the new leader is known.
    Transfer {
        /// The name of the member that is to lead.
        to: Option<String>,
    },
    /// One entry of the log, readable.
    ReadLog {
        /// Its index.
        index: u64,
    },
    /// Wait until `replicas` other members have the entry at `index` durably, or `timeout_ms` is over
    /// (0: no limit).
    Wait {
        /// From [`crate::Session::seen_index`].
        index: u64,
        /// How many besides the leader.
        replicas: u64,
        /// Milliseconds.
        timeout_ms: u64,
    },
    /// The status as the leader sees it (members' progress); asks the leader where this is none.
    ClusterStatus,
    /// What has happened since, as this node tells it; waits a while for something to happen.
    Events {
        /// What the caller knows already; `None`: only say where it is now, at once, so that nothing is missed
        /// from here on.
        after: Option<EventPlace>,
    },
}

/// What a node comes in as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// As it says itself: a learner for good (`--learner`), or a voter when it has caught up.
    #[default]
    AsItWishes,
    /// A learner until somebody promotes it: a replica for reads.
    Learner,
    /// In this voter's place, which leaves in the same moment, when the new one has caught up.
    Of(String),
}

/// Whether a change may leave the cluster without a majority that can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caution {
    /// No: it is refused, with the reason.
    #[default]
    KeepMajority,
    /// Yes: nothing may be answered until members come back.
    Force,
}

/// The answer to an [`AdminRequest`].
#[derive(Clone, Debug, PartialEq)]
pub enum AdminReply {
    /// Done.
    Done,
    /// Refused with a reason that the caller can mend (unknown member, the quorum would be lost, an id
    /// used before).
    Refused(String),
    /// One log entry.
    LogEntry {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// `command`, `configuration` or `empty`.
        kind: &'static str,
        /// Its content, readable.
        data: String,
    },
    /// How many replicas have the index.
    Replicas(u64),
    /// A status.
    Status(Box<crate::Status>),
    /// What has happened, the oldest first, and where the reader is then; none: nothing has so far.
    Events {
        /// From where to ask on.
        place: EventPlace,
        /// The events.
        events: Vec<Event>,
    },
}
