//! Election safety (Ongaro and Ousterhout, *In search of an understandable consensus algorithm*, 2014, figure
//! 3): at most one leader in a term; and what it rests on: a member votes once in a term, also across a
//! crash (section 5.2).

use std::collections::BTreeMap;

use quorate_consensus::{NodeId, Term};

use super::Violation;

/// Votes and leaders so far.
#[derive(Debug, Default)]
pub struct Elections {
    votes: BTreeMap<(NodeId, Term), NodeId>,
    leaders: BTreeMap<Term, NodeId>,
}

impl Elections {
    /// True when anybody was ever elected.
    pub fn any(&self) -> bool {
        !self.leaders.is_empty()
    }

    /// A vote has left `node`.
    pub fn voted(&mut self, node: NodeId, term: Term, candidate: NodeId) -> Option<Violation> {
        let first = *self.votes.entry((node, term)).or_insert(candidate);
        let evidence = || {
            format!("node {} voted for {} and {} in term {}", node.0, first.0, candidate.0, term.0)
        };
        (first != candidate).then(|| Violation::new("one vote per term", evidence()))
    }

    /// `node` leads in `term`.
    pub fn elected(&mut self, node: NodeId, term: Term) -> Option<Violation> {
        let first = *self.leaders.entry(term).or_insert(node);
        let evidence = || format!("nodes {} and {} lead in term {}", first.0, node.0, term.0);
        (first != node).then(|| Violation::new("election safety", evidence()))
    }
}
