//! What a node shows of itself to a judge. Nobody listens outside of the gym.

use quorate_consensus::observer::GroupObserver;
use quorate_consensus::{Index, NodeId, Term};
use quorate_keyspace::Keyspace;

/// An entry that is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its place.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// The term in which this member knew it to be committed. It was committed then, or before.
    pub known_in: Term,
}

/// Listens to the nodes of a run.
///
/// Must: change nothing; it is called in the midst of things.
pub trait Observer: GroupObserver {
    /// `node` starts from this state, or has switched to it: a snapshot's.
    fn stood(&self, node: NodeId, state: &Keyspace);
    /// `node` answers reads, and asks nobody, for its lease holds.
    fn leased(&self, node: NodeId);
    /// `node` has applied an entry.
    fn applied(&self, node: NodeId, entry: Applied, state: &Keyspace);
}
