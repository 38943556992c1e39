//! One order of opaque entries: the log, the Raft group, its peers and its snapshots.
//!
//! The only room that knows raft-rs. It never looks into an entry: what entries mean is the node
//! room's business.

pub mod codec;
pub mod configuration;
pub mod group;
pub mod id;
mod lease;
pub mod log;
mod message;
pub mod observer;
pub mod peers;
#[cfg(feature = "planted-bugs")]
pub mod planted;
pub mod snapshot;
mod tail;
pub mod untrusted;

pub use configuration::{Change, Configuration, MemberChange};
pub use group::{
    Body, Committed, Doubted, Fetch, Group, GroupError, GroupRole, GroupStart, LogFailed, Outgoing,
    Output, Pace, Progress, ProposeError,
};
pub use id::{GroupId, Index, NodeId, Term};
pub use lease::RATE_BOUND_PERCENT;
pub use tail::{SharedLog, SnapshotMark};
