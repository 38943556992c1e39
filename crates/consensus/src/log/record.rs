//! Records: the bytes of one thing that the log remembers, and how they prove that they are whole.
//!
//! ```text
//!  0       4       8       12 13 14 16      24      32      40      48      56     60   64
//!  +-------+-------+-------+--+--+--+-------+-------+-------+-------+-------+------+----+------+
//!  |header |data   |data   |ki|en|00| group | index | term  |  aux  | mark  | mark | 00 | data |
//!  |  crc  |  crc  | bytes |nd|tr|  |       |       |       |       |segment|offset|    | +pad |
//!  +-------+-------+-------+--+--+--+-------+-------+-------+-------+-------+------+----+------+
//! ```
//!
//! Integers are little-endian. The header's checksum covers the segment's id and salt, the record's
//! offset and bytes 4..64: bytes that were meant for another place never pass, and nobody who does
//! not know the salt can forge a record inside a value. The data's checksum stands in the header, so
//! it needs no salt of its own. Data is padded with zeros to a multiple of eight.

use crate::id::{GroupId, Index, Term};

/// Bytes of a header.
pub(super) const HEADER_BYTES: u32 = 64;
/// Records start at multiples of this.
pub(super) const ALIGN: u32 = 8;

/// A byte of the log: an offset in a segment. Ordered as the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// The segment's id; zero is before all.
    pub(super) segment: u64,
    /// The offset in its file.
    pub(super) offset: u32,
}

/// Where a record stands: what its header's checksum is salted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The position.
    pub(super) at: Position,
    /// The segment's salt.
    pub(super) salt: u64,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    /// An entry; a later one with the same or a lower index replaces this one and all behind it.
    Entry = 1,
    /// Term, vote (aux) and commit (index).
    HardState = 2,
    /// Entries up to index are not needed any more; term is the term there.
    Purge = 3,
    /// A snapshot took the place of all entries: the log is empty behind (index, term).
    Reset = 4,
    /// All that a group's other records said before: the head of a segment.
    State = 5,
    /// The end of one write: count (index) records since the offset in aux.
    End = 6,
    /// The tail is not in doubt any more.
    Settled = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entry,
            2 => Self::HardState,
            3 => Self::Purge,
            4 => Self::Reset,
            5 => Self::State,
            6 => Self::End,
            7 => Self::Settled,
            _ => return None,
        })
    }
}

/// A record without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the record says.
    pub(super) kind: Kind,
    /// The entry's kind, opaque here; zero in other records.
    pub(super) entry_kind: u8,
    /// Whose record it is; zero in [`Kind::End`].
    pub(super) group: GroupId,
    /// See [`Kind`].
    pub(super) index: Index,
    /// See [`Kind`].
    pub(super) term: Term,
    /// See [`Kind`].
    pub(super) aux: u64,
    /// Bytes of data, without padding.
    pub(super) data_bytes: u32,
    /// The data's checksum.
    pub(super) data_crc: u32,
    /// All before this position was durable when the record was written.
    pub(super) mark: Position,
}

impl Header {
    /// A header without data, to be filled in.
    pub(super) fn new(kind: Kind, group: GroupId, index: Index, term: Term) -> Self {
        Self {
            kind,
            entry_kind: 0,
            group,
            index,
            term,
            aux: 0,
            data_bytes: 0,
            data_crc: 0,
            mark: Position::default(),
        }
    }

    /// The bytes for `place`.
    pub(super) fn encode(&self, place: Place) -> [u8; HEADER_BYTES as usize] {
        let mut out = [0; HEADER_BYTES as usize];
        let fields: [&[u8]; 14] = [
            &[0; 4],
            &self.data_crc.to_le_bytes(),
            &self.data_bytes.to_le_bytes(),
            &[self.kind as u8],
            &[self.entry_kind],
            &[0; 2],
            &self.group.0.to_le_bytes(),
            &self.index.0.to_le_bytes(),
            &self.term.0.to_le_bytes(),
            &self.aux.to_le_bytes(),
            &self.mark.segment.to_le_bytes(),
            &self.mark.offset.to_le_bytes(),
            &[0; 4],
            &[],
        ];
        let bytes = fields.into_iter().flatten();
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let crc = salted_crc(place, out.split_at(4).1);
        out.iter_mut().zip(crc.to_le_bytes()).for_each(|(to, from)| *to = from);
        out
    }

    /// The header at the beginning of `bytes`, if it is whole and was meant for `place`.
    pub(super) fn decode(bytes: &[u8], place: Place) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES as usize)?;
        // Cheap tests first: a scan for headers asks this at every eighth byte of a segment.
        let kind = Kind::from_byte(*bytes.get(12)?)?;
        let zero = [*bytes.get(14)?, *bytes.get(15)?] == [0; 2] && u32_at(bytes, 60)? == 0;
        if !zero || u32_at(bytes, 0)? != salted_crc(place, bytes.get(4..)?) {
            return None;
        }
        let header = Self {
            kind,
            entry_kind: *bytes.get(13)?,
            group: GroupId(u64_at(bytes, 16)?),
            index: Index(u64_at(bytes, 24)?),
            term: Term(u64_at(bytes, 32)?),
            aux: u64_at(bytes, 40)?,
            data_bytes: u32_at(bytes, 8)?,
            data_crc: u32_at(bytes, 4)?,
            mark: Position { segment: u64_at(bytes, 48)?, offset: u32_at(bytes, 56)? },
        };
        (header.mark <= place.at).then_some(header)
    }

    /// Where the next record starts, if this one starts at `offset`.
    pub(super) fn end(&self, offset: u32) -> Option<u32> {
        let bytes = record_bytes(u64::from(self.data_bytes));
        u32::try_from(u64::from(offset) + bytes).ok()
    }
}

/// Bytes of a record with so much data, padding included.
pub(super) fn record_bytes(data_bytes: u64) -> u64 {
    let align = u64::from(ALIGN);
    u64::from(HEADER_BYTES) + data_bytes.div_ceil(align) * align
}

/// The little-endian number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The little-endian number at `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn salted_crc(place: Place, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&place.at.segment.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &place.salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &place.at.offset.to_le_bytes());
    crc32c::crc32c_append(crc, bytes)
}
