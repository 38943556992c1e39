//! What goes into the log: entries, hard states, purge points, all of one group in one batch.

use bytes::Bytes;

use super::error::SubmitError;
use super::record::record_bytes;
use super::state::State;
use crate::id::{GroupId, Index, NodeId, Term};

/// One entry. The log knows its place in the order, and nothing of what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub index: Index,
    /// The term of the leader that proposed it.
    pub term: Term,
    /// Opaque to the log.
    pub kind: u8,
    /// Opaque to the log.
    pub data: Bytes,
}

/// What Raft must not forget besides the entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term seen.
    pub term: Term,
    /// Whom this node voted for in that term; zero is nobody.
    pub vote: NodeId,
    /// The latest entry known to be committed.
    pub commit: Index,
}

/// One group's changes, in the order in which they take effect: reset, entries, hard state, purge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogBatch {
    /// Whose.
    pub group: GroupId,
    /// A snapshot was installed: all entries go, the log restarts behind this one.
    pub reset_to: Option<(Index, Term)>,
    /// Entries without gaps. The first may stand at or below the last one of the log: it and all
    /// behind it are replaced.
    pub entries: Vec<LogEntry>,
    /// The new hard state.
    pub hard_state: Option<HardState>,
    /// Entries up to this one aren't needed any more; the term is the one at that index.
    pub purge: Option<(Index, Term)>,
    /// The group's tail is not in doubt any more (all voters have reported).
    pub settle_doubt: bool,
    /// False: nobody waits for it, write it together with the next batch that somebody waits for.
    pub sync: bool,
}

impl LogBatch {
    /// What the batch takes in a segment.
    pub(super) fn bytes(&self) -> u64 {
        let plain = u64::from(self.reset_to.is_some())
            + u64::from(self.hard_state.is_some())
            + u64::from(self.purge.is_some())
            + u64::from(self.settle_doubt);
        let entries = self.entries.iter().map(|entry| record_bytes(entry.data.len() as u64));
        plain * record_bytes(0) + entries.sum::<u64>()
    }

    /// Checks that the batch continues a log in `state`.
    pub(super) fn check(&self, state: &State) -> Result<(), SubmitError> {
        let (purged, mut last) = match self.reset_to {
            Some((index, _)) => (index, index),
            None => (state.purged.0, state.last),
        };
        let out_of_order = |index| SubmitError::Order { group: self.group, index };
        for (position, entry) in self.entries.iter().enumerate() {
            let continues = entry.index == last.next();
            let replaces = position == 0 && entry.index > purged && entry.index <= last;
            if !continues && !replaces {
                return Err(out_of_order(entry.index));
            }
            last = entry.index;
        }
        match self.purge {
            Some((index, _)) if index > last => Err(out_of_order(index)),
            _ => Ok(()),
        }
    }
}
