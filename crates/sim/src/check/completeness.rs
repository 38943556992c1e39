//! Leader completeness (Raft, figure 3): what was committed in a term is in the log of every later leader.

use std::collections::BTreeMap;

use quorate_consensus::{Index, NodeId, Term};

use super::Violation;

/// What is known to be committed, because somebody has applied it.
#[derive(Debug, Default)]
pub struct Committed {
    terms: BTreeMap<Index, Term>,
}

impl Committed {
    /// Somebody has applied the entry at `index`.
    pub fn applied(&mut self, index: Index, term: Term) {
        self.terms.insert(index, term);
    }

    /// `node` leads in `term`. By log matching, its entry at the highest committed index vouches for those
    /// before; what it has no term for is behind its snapshot, or missing at the end.
    pub fn elected(
        &self,
        node: NodeId,
        term: Term,
        term_at: &dyn Fn(Index) -> Option<Term>,
    ) -> Option<Violation> {
        let (index, of) = self.terms.iter().rev().find(|(_, of)| **of < term)?;
        let found = term_at(*index);
        let lacks = found.map_or_else(|| term_at(index.next()).is_none(), |found| found != *of);
        let evidence = || {
            let (node, term, of) = (node.0, term.0, of.0);
            format!(
                "node {node} leads in term {term} without entry {index} of term {of}: {found:?}"
            )
        };
        lacks.then(|| Violation::new("leader completeness", evidence()))
    }
}
