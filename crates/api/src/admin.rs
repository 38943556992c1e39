//! What an operator may ask of a member, over any front-end.

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
    },
    /// Remove a member, by name or by address.
    Leave {
        /// Name or `host:port`.
        member: String,
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
}
