//! State machine safety (Raft, figure 3): at each index all members apply the same entry and hold the same
//! state.
//!
//! The node's own rolling digest is compared at every index; a hash over all records, which a
//! digest of changes can't replace, at every 16th (in one seed of 20 at every one), and where a snapshot takes the
//! state's place.

use std::collections::BTreeMap;

use quorate_consensus::{Index, NodeId, Term};

use super::Violation;

/// What members hold at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The digest of all changes.
    pub digest: u64,
    /// The hash of all records, where it was taken.
    pub content: Option<u64>,
}

/// Who was first to hold a state.
#[derive(Clone, Copy, Debug)]
struct First {
    node: NodeId,
    state: State,
}

/// The states so far.
#[derive(Debug, Default)]
pub struct Machines {
    terms: BTreeMap<Index, Term>,
    states: BTreeMap<Index, First>,
    /// The index that a member has applied last, since it started or got a snapshot.
    applied: BTreeMap<NodeId, Index>,
}

impl Machines {
    /// `node` starts from a state, or has switched to it.
    pub fn stood(&mut self, node: NodeId, index: Index, state: State) -> Option<Violation> {
        self.applied.insert(node, index);
        self.compare(node, index, state)
    }

    /// `node` has applied the entry at `index`.
    pub fn applied(
        &mut self,
        node: NodeId,
        index: Index,
        term: Term,
        state: State,
    ) -> Option<Violation> {
        let last = self.applied.insert(node, index);
        if last.is_some_and(|last| last.next() != index) {
            let evidence = format!("node {} applied {index} behind {last:?}", node.0);
            return Some(Violation::new("state machine safety", evidence));
        }
        let first = *self.terms.entry(index).or_insert(term);
        if first != term {
            let evidence =
                format!("entries of terms {} and {} applied at {index}", first.0, term.0);
            return Some(Violation::new("state machine safety", evidence));
        }
        self.compare(node, index, state)
    }

    fn compare(&mut self, node: NodeId, index: Index, state: State) -> Option<Violation> {
        let first = self.states.entry(index).or_insert(First { node, state });
        first.state.content = first.state.content.or(state.content);
        let differs = first.state.digest != state.digest
            || state.content.is_some_and(|content| first.state.content != Some(content));
        let evidence = || {
            format!(
                "at {index} node {} holds {state:x?}, but node {} {:x?}",
                node.0, first.node.0, first.state
            )
        };
        differs.then(|| Violation::new("state machine safety", evidence()))
    }
}
