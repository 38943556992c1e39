//! Leader completeness (Raft, figure 3): what was committed in a term is in the log of every later leader.

use std::collections::BTreeMap;

use quorate_consensus::{Index, NodeId, Term};

use super::Violation;

/// What is known to be committed, because somebody has applied it: each entry's term, and the earliest term in
/// which it was known. (Not the same: an entry of an old leader may be committed by a later one, and who is
/// elected in a term between the two, by votes that came late, need not have it.)
#[derive(Debug, Default)]
pub struct Committed {
    entries: BTreeMap<Index, (Term, Term)>,
}

impl Committed {
    /// Somebody whose term is `known_in` has applied the entry at `index`.
    pub fn applied(&mut self, index: Index, term: Term, known_in: Term) {
        let known = self.entries.entry(index).or_insert((term, known_in));
        known.1 = known.1.min(known_in);
    }

    /// `node` leads in `term`. By log matching, its entry at the highest committed index vouches for those
    /// before; what it has no term for is behind its snapshot, or missing at the end.
    pub fn elected(
        &self,
        node: NodeId,
        term: Term,
        term_at: &dyn Fn(Index) -> Option<Term>,
    ) -> Option<Violation> {
        let mut entries = self.entries.iter().rev();
        let (index, (of, _)) = entries.find(|(_, (_, known_in))| *known_in < term)?;
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
