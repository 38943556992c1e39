//! Log matching (Raft, figure 3): entries of the same index and term have the same content, and so do all
//! before them; which follows when each also names the same predecessor.

use std::collections::BTreeMap;

use quorate_consensus::observer::Appended;
use quorate_consensus::{Index, Term};

use super::Violation;

/// Entries so far, by index and term: the predecessor's term, where it was known, and a checksum.
#[derive(Debug, Default)]
pub struct Logs {
    entries: BTreeMap<(Index, Term), (Option<Term>, u32)>,
}

impl Logs {
    /// An entry enters a log.
    pub fn appended(&mut self, entry: Appended) -> Option<Violation> {
        let Appended { index, term, before, print } = entry;
        let known = self.entries.entry((index, term)).or_insert((before, print));
        known.0 = known.0.or(before);
        let differs = known.1 != print || before.is_some_and(|before| known.0 != Some(before));
        let evidence =
            || format!("two entries at {index} of term {}: {known:?}, {entry:?}", term.0);
        differs.then(|| Violation::new("log matching", evidence()))
    }
}
