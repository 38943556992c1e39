//! Index: where each entry of a group stands, in memory.

use std::collections::VecDeque;

use super::batch::LogBatch;
use super::reader::Wanted;
use super::record::{HEADER_BYTES, Position};
use super::segment::{SegmentName, Segments};
use super::state::{Doubt, State};
use crate::id::{Index, Term};

/// One entry. Segment zero: handed over, but not yet given a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// Its term.
    pub(super) term: Term,
    /// Bytes of log before it, counted from an arbitrary start.
    before: u64,
    /// Its segment.
    segment: u64,
    /// Its offset there.
    offset: u32,
    /// Bytes of data.
    pub(super) data_bytes: u32,
}

impl Slot {
    /// Where it stands.
    pub(super) fn at(&self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }

    fn bytes(&self) -> u64 {
        u64::from(HEADER_BYTES) + u64::from(self.data_bytes)
    }
}

/// One group.
#[derive(Debug)]
pub(super) struct GroupIndex {
    /// After all batches that were submitted.
    pub(super) state: State,
    /// After all batches that were given a place.
    pub(super) placed: State,
    /// The index of the first slot (or of the next entry, when there is none).
    first: Index,
    slots: VecDeque<Slot>,
    bytes_end: u64,
}

impl Default for GroupIndex {
    fn default() -> Self {
        let (state, placed) = (State::default(), State::default());
        Self { state, placed, first: Index(1), slots: VecDeque::new(), bytes_end: 0 }
    }
}

impl GroupIndex {
    /// The first entry, or where the next one goes.
    pub(super) fn first(&self) -> Index {
        self.first
    }

    /// Where the next entry goes.
    pub(super) fn next(&self) -> Index {
        Index(self.first.0.saturating_add(self.slots.len() as u64))
    }

    /// The entry at `index`.
    pub(super) fn get(&self, index: Index) -> Option<&Slot> {
        self.slots.get(usize::try_from(index.0.checked_sub(self.first.0)?).ok()?)
    }

    /// The term at `index`, the purge point included.
    pub(super) fn term(&self, index: Index) -> Option<Term> {
        if index == self.state.purged.0 {
            return Some(self.state.purged.1);
        }
        self.get(index).map(|slot| slot.term)
    }

    /// Bytes of the entries behind `index`.
    pub(super) fn bytes_since(&self, index: Index) -> u64 {
        if index < self.first {
            return self.bytes_end - self.slots.front().map_or(self.bytes_end, |slot| slot.before);
        }
        self.get(index).map_or(0, |slot| self.bytes_end - slot.before - slot.bytes())
    }

    /// The entries that stand at or behind `from`, as a reader wants them.
    pub(super) fn at_or_behind(
        &self,
        from: Position,
        name: impl Fn(u64) -> Option<SegmentName>,
    ) -> Vec<Wanted> {
        // Later entries stand further on.
        let skip = self.slots.partition_point(|slot| slot.at() < from);
        let low = Index(self.first.0.saturating_add(skip as u64));
        self.wanted(low, self.next(), u64::MAX, name)
    }

    /// The entries in `low..high`, as a reader wants them: at least one, and not more than
    /// `bytes_max` of data. Ends early at one whose segment is unknown.
    pub(super) fn wanted(
        &self,
        low: Index,
        high: Index,
        bytes_max: u64,
        name: impl Fn(u64) -> Option<SegmentName>,
    ) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        let mut left = bytes_max;
        let mut index = low;
        while let Some(slot) = self.get(index).filter(|_| index < high) {
            let data_bytes = slot.data_bytes;
            if !wanted.is_empty() && u64::from(data_bytes) > left {
                break;
            }
            let Some(name) = name(slot.segment) else { break };
            left = left.saturating_sub(u64::from(data_bytes));
            let (term, place) = (slot.term, name.place(slot.offset));
            wanted.push(Wanted { index, term, place, data_bytes });
            index = index.next();
        }
        wanted
    }

    /// Puts an entry behind `index - 1`; all from `index` on goes.
    pub(super) fn append(
        &mut self,
        index: Index,
        term: Term,
        data_bytes: u32,
        at: Position,
        sink: &mut Sink<'_>,
    ) {
        self.truncate(index, sink);
        if self.slots.is_empty() {
            self.first = index;
        }
        let Position { segment, offset } = at;
        let slot = Slot { term, before: self.bytes_end, segment, offset, data_bytes };
        sink.segments.retain(segment);
        self.bytes_end = self.bytes_end.saturating_add(slot.bytes());
        self.slots.push_back(slot);
    }

    /// A batch was submitted and checked.
    pub(super) fn submitted(&mut self, batch: &LogBatch, sink: &mut Sink<'_>) {
        if let Some((index, _)) = batch.reset_to {
            self.reset(index, sink);
        }
        for entry in &batch.entries {
            let bytes = u32::try_from(entry.data.len()).unwrap_or(u32::MAX);
            self.append(entry.index, entry.term, bytes, Position::default(), sink);
        }
        self.state.apply(batch);
        self.purge(self.state.purged.0, sink);
    }

    /// The entry at `index` of `term` has been given a place, unless it was replaced meanwhile.
    pub(super) fn place(&mut self, index: Index, term: Term, at: Position, sink: &mut Sink<'_>) {
        let slot = index.0.checked_sub(self.first.0).and_then(|i| usize::try_from(i).ok());
        let slot = slot.and_then(|i| self.slots.get_mut(i));
        if let Some(slot) = slot.filter(|slot| slot.term == term) {
            sink.segments.release(slot.segment, sink.batch);
            sink.segments.retain(at.segment);
            (slot.segment, slot.offset) = (at.segment, at.offset);
        }
    }

    /// All from `index` on goes.
    pub(super) fn truncate(&mut self, index: Index, sink: &mut Sink<'_>) {
        while self.next() > index {
            let Some(slot) = self.slots.pop_back() else { break };
            self.bytes_end = slot.before;
            sink.segments.release(slot.segment, sink.batch);
        }
    }

    /// All up to `index` goes.
    pub(super) fn purge(&mut self, index: Index, sink: &mut Sink<'_>) {
        while self.first <= index {
            let Some(slot) = self.slots.pop_front() else {
                self.first = index.next();
                break;
            };
            self.first = self.first.next();
            sink.segments.release(slot.segment, sink.batch);
        }
    }

    /// All goes; the next entry is the one behind `index`.
    pub(super) fn reset(&mut self, index: Index, sink: &mut Sink<'_>) {
        self.truncate(Index(0), sink);
        self.first = index.next();
    }

    /// The tail may have gone on up to `doubt`; a doubt that reaches further stays.
    pub(super) fn raise_doubt(&mut self, doubt: Doubt) {
        let known = self.state.doubt.unwrap_or(doubt);
        self.state.doubt =
            Some(Doubt { index: known.index.max(doubt.index), term: known.term.max(doubt.term) });
    }

    /// A state found at the head of a segment: entries that it doesn't know are gone, and those that
    /// it knows but we never saw stood in segments that were dropped.
    pub(super) fn adopt(&mut self, state: State, sink: &mut Sink<'_>) {
        self.purge(state.purged.0, sink);
        self.truncate(state.last.next(), sink);
        if self.slots.is_empty() {
            self.first = state.last.next();
        }
        self.state = state;
    }
}

/// Where changes of an index are accounted for.
#[derive(Debug)]
pub(super) struct Sink<'a> {
    /// The segments that the entries stand in.
    pub(super) segments: &'a mut Segments,
    /// The batch that is the reason.
    pub(super) batch: u64,
}
