//! State: all that a group's records said, besides the entries; small enough to repeat it at the
//! head of every segment, so that no segment must be kept for a vote.

use super::batch::{HardState, LogBatch};
use super::record::{Header, Kind, u64_at};
use crate::id::{GroupId, Index, NodeId, Term};

/// Bytes of data in a [`Kind::State`] record.
pub(super) const STATE_BYTES: usize = 40;

/// The log was cut where entries may have been durable and acknowledged.
///
/// Until a leader has brought the log up to `index`, or all voters have reported, the node must
/// vote only for logs that reach (`term`, `index`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The highest entry that may have been lost.
    pub index: Index,
    /// Its term, or the highest that the node had heard of.
    pub term: Term,
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Term, vote, commit.
    pub(super) hard: HardState,
    /// The last entry that was purged, or (0, 0).
    pub(super) purged: (Index, Term),
    /// The last entry, or the purge point.
    pub(super) last: Index,
    /// The tail's doubt.
    pub(super) doubt: Option<Doubt>,
}

impl State {
    /// The log restarts behind `to`.
    pub(super) fn reset(&mut self, to: (Index, Term)) {
        self.purged = to;
        self.last = to.0;
        self.hard.commit = self.hard.commit.max(to.0);
        self.passed(to.0);
    }

    /// An entry was appended, and what stood there or behind it is gone.
    pub(super) fn append(&mut self, index: Index) {
        self.last = index;
        self.passed(index);
    }

    /// Entries up to `to` may go.
    pub(super) fn purge(&mut self, to: (Index, Term)) {
        if to.0 > self.purged.0 {
            self.purged = to;
            self.last = self.last.max(to.0);
        }
    }

    /// All of a batch.
    pub(super) fn apply(&mut self, batch: &LogBatch) {
        if let Some(to) = batch.reset_to {
            self.reset(to);
        }
        for entry in &batch.entries {
            self.append(entry.index);
        }
        if let Some(hard) = batch.hard_state {
            self.hard = hard;
        }
        if let Some(to) = batch.purge {
            self.purge(to);
        }
        if batch.settle_doubt {
            self.doubt = None;
        }
    }

    /// A leader has brought the log up to `index`.
    fn passed(&mut self, index: Index) {
        self.doubt = self.doubt.filter(|doubt| doubt.index > index);
    }

    /// Header and data of the state's record.
    pub(super) fn record(&self, group: GroupId) -> (Header, [u8; STATE_BYTES]) {
        let doubt = self.doubt.map_or((0, 0), |doubt| (doubt.index.0, doubt.term.0));
        let numbers = [self.hard.commit.0, self.purged.0.0, self.purged.1.0, doubt.0, doubt.1];
        let mut data = [0; STATE_BYTES];
        let bytes = numbers.into_iter().flat_map(u64::to_le_bytes);
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        let mut header = Header::new(Kind::State, group, self.last, self.hard.term);
        header.aux = self.hard.vote.0;
        (header, data)
    }

    /// The inverse of [`State::record`].
    pub(super) fn decode(header: &Header, data: &[u8]) -> Option<Self> {
        if data.len() != STATE_BYTES {
            return None;
        }
        let doubt = Doubt { index: Index(u64_at(data, 24)?), term: Term(u64_at(data, 32)?) };
        Some(Self {
            hard: HardState {
                term: header.term,
                vote: NodeId(header.aux),
                commit: Index(u64_at(data, 0)?),
            },
            purged: (Index(u64_at(data, 8)?), Term(u64_at(data, 16)?)),
            last: header.index,
            doubt: (doubt.index.0 > 0).then_some(doubt),
        })
    }
}
