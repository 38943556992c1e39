//! Encoder: one write, as parts that stand one behind the other. Entry data is not copied here.

use std::io::IoSlice;

use bytes::Bytes;

use super::batch::{LogBatch, LogEntry};
use super::record::{Header, Kind, Place, Position, record_bytes};
use super::state::State;
use crate::id::{GroupId, Index, Term};

/// Bytes of the [`Kind::End`] record that closes every write.
pub(super) const END_BYTES: u64 = super::record::HEADER_BYTES as u64;

/// See the module.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Headers, padding and small data, in order.
    arena: Vec<u8>,
    /// Entry data, and up to where the arena goes before it.
    data: Vec<(usize, Bytes)>,
    start: Place,
    mark: Position,
    bytes: u64,
    records: u64,
}

impl Encoder {
    /// A write that starts at `start`, when all before `mark` is durable.
    pub(super) fn new(start: Place, mark: Position) -> Self {
        Self { arena: Vec::new(), data: Vec::new(), start, mark, bytes: 0, records: 0 }
    }

    /// Where the next record goes.
    ///
    /// # Panics
    /// Beyond 4 GiB; [`super::SEGMENT_BYTES_MAX`] is far below.
    pub(super) fn place(&self) -> Place {
        let offset = u64::from(self.start.at.offset) + self.bytes;
        let offset = u32::try_from(offset).expect("a segment is smaller than 4 GiB");
        Place { at: Position { segment: self.start.at.segment, offset }, salt: self.start.salt }
    }

    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A group's state, at the head of a segment.
    pub(super) fn state(&mut self, group: GroupId, state: &State) {
        let (header, data) = state.record(group);
        self.push(header, &data);
    }

    /// An entry.
    pub(super) fn entry(&mut self, group: GroupId, entry: &LogEntry) {
        let mut header = Header::new(Kind::Entry, group, entry.index, entry.term);
        header.entry_kind = entry.kind;
        header.data_bytes = u32::try_from(entry.data.len()).expect("checked by submit");
        header.data_crc = crc32c::crc32c(&entry.data);
        self.header(header);
        if !entry.data.is_empty() {
            self.data.push((self.arena.len(), entry.data.clone()));
        }
        self.pad(entry.data.len());
    }

    /// All records of a batch, in the order in which they take effect.
    pub(super) fn batch(&mut self, batch: &LogBatch) {
        let group = batch.group;
        if let Some((index, term)) = batch.reset_to {
            self.push(Header::new(Kind::Reset, group, index, term), &[]);
        }
        for entry in &batch.entries {
            self.entry(group, entry);
        }
        // Order matters: behind the entries, so that no commit index is found without its entry.
        if let Some(hard) = batch.hard_state {
            let mut header = Header::new(Kind::HardState, group, hard.commit, hard.term);
            header.aux = hard.vote.0;
            self.push(header, &[]);
        }
        if let Some((index, term)) = batch.purge {
            self.push(Header::new(Kind::Purge, group, index, term), &[]);
        }
        if batch.settle_doubt {
            self.push(Header::new(Kind::Settled, group, Index(0), Term(0)), &[]);
        }
    }

    /// The record that tells a write which ended from one which was torn.
    pub(super) fn finish(&mut self) {
        let mut header = Header::new(Kind::End, GroupId(0), Index(self.records), Term(0));
        header.aux = u64::from(self.start.at.offset);
        self.push(header, &[]);
    }

    /// The parts, one behind the other.
    pub(super) fn parts(&self) -> Vec<IoSlice<'_>> {
        let mut parts = Vec::with_capacity(2 * self.data.len() + 1);
        let mut from = 0;
        for (to, data) in &self.data {
            parts.extend(self.arena.get(from..*to).map(IoSlice::new));
            parts.push(IoSlice::new(data));
            from = *to;
        }
        parts.extend(self.arena.get(from..).map(IoSlice::new));
        parts
    }

    fn push(&mut self, mut header: Header, data: &[u8]) {
        header.data_bytes = u32::try_from(data.len()).expect("a few bytes");
        header.data_crc = crc32c::crc32c(data);
        self.header(header);
        self.arena.extend_from_slice(data);
        self.pad(data.len());
    }

    fn header(&mut self, mut header: Header) {
        header.mark = self.mark;
        let bytes = header.encode(self.place());
        self.arena.extend_from_slice(&bytes);
        self.bytes += record_bytes(u64::from(header.data_bytes));
        self.records += 1;
    }

    fn pad(&mut self, data_bytes: usize) {
        let padding = data_bytes.next_multiple_of(super::record::ALIGN as usize) - data_bytes;
        self.arena.resize(self.arena.len() + padding, 0);
    }
}
