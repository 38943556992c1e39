//! What a node shows of itself to a judge. Nobody listens outside of the gym.

use quorate_consensus::observer::GroupObserver;
use quorate_consensus::{Index, NodeId, Term};
use quorate_keyspace::Keyspace;

/// Listens to the nodes of a run.
///
/// Must: change nothing; it is called in the midst of things.
pub trait Observer: GroupObserver {
    /// `node` starts from this state, or has switched to it: a snapshot's.
    fn stood(&self, node: NodeId, state: &Keyspace);
    /// `node` has applied the entry at `index`, of `term`.
    fn applied(&self, node: NodeId, index: Index, term: Term, state: &Keyspace);
}
