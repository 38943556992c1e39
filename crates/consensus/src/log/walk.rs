//! Walk: reads the bytes of one segment, record by record, and looks at what lies behind the first
//! place where there is none.

use super::record::{ALIGN, HEADER_BYTES, Header, Kind, Place, Position};
use super::state::State;

/// Disks keep or lose a write in blocks of at least this size.
pub(super) const BLOCK_BYTES: u32 = 512;

/// A valid record and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// Its offset.
    pub(super) offset: u32,
    /// Its header.
    pub(super) header: Header,
    /// Its data, if it is a [`Kind::State`].
    pub(super) state: Option<State>,
}

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// The segment's id.
    pub(super) segment: u64,
    /// Records one behind the other, each valid.
    pub(super) records: Vec<Located>,
    /// Where they end.
    pub(super) stop: u32,
    /// What lies there.
    pub(super) tail: Tail,
}

/// What lies where a segment's valid records end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// The header there, if it is whole (then the data behind it is not).
    pub(super) broken: Option<Header>,
    /// Valid headers further on.
    pub(super) behind: Vec<Header>,
    /// Where the last byte that isn't zero ends; None when all are zero.
    pub(super) nonzero_end: Option<u32>,
    /// Some block of what is missing is all zero: as a lost write leaves it, and no flipped bit.
    pub(super) lost_block: bool,
}

impl Walk {
    /// Walks through `bytes`, a segment's file, from `start`; `end` is where its records must end,
    /// if that is known.
    pub(super) fn new(bytes: &[u8], start: Place, end: Option<u32>) -> Self {
        let limit = end.unwrap_or_else(|| u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let bytes = bytes.get(..limit as usize).unwrap_or(bytes);
        let mut place = start;
        let mut records = Vec::new();
        let mut broken = None;
        while let Some(header) = header_at(bytes, place) {
            let Some(record) = whole(bytes, place.at.offset, header) else {
                broken = Some(header);
                break;
            };
            let Some(next) = header.end(place.at.offset) else { break };
            records.push(record);
            place.at.offset = next;
        }
        #[cfg(feature = "planted-bugs")]
        if let Some(header) = broken.filter(|header| is_torn_entry(bytes, place, header))
            && let Some(next) = header.end(place.at.offset)
        {
            records.push(Located { offset: place.at.offset, header, state: None });
            place.at.offset = next;
            broken = None;
        }
        let tail = Tail { broken, ..Tail::look(bytes, place) };
        Self { segment: start.at.segment, records, stop: place.at.offset, tail }
    }

    /// The durable marks in all valid headers.
    pub(super) fn marks(&self) -> impl Iterator<Item = Position> {
        let records = self.records.iter().map(|record| record.header.mark);
        let tail = self.tail.behind.iter().chain(&self.tail.broken).map(|header| header.mark);
        records.chain(tail)
    }

    /// True when there is at least one header that once was written by us.
    pub(super) fn has_content(&self) -> bool {
        !self.records.is_empty() || self.tail.broken.is_some() || !self.tail.behind.is_empty()
    }
}

impl Tail {
    fn look(bytes: &[u8], stop: Place) -> Self {
        let rest = bytes.get(stop.at.offset as usize..).unwrap_or_default();
        let Some(nonzero) = last_nonzero(rest) else { return Self::default() };
        let end = stop.at.offset + u32::try_from(nonzero).unwrap_or(u32::MAX - stop.at.offset) + 1;
        let mut behind = Vec::new();
        let mut first_behind = None;
        let mut place = stop;
        place.at.offset += ALIGN;
        while place.at.offset < end {
            let mut step = ALIGN;
            if let Some(header) = header_at(bytes, place) {
                behind.push(header);
                first_behind.get_or_insert(place.at.offset);
                if whole(bytes, place.at.offset, header).is_some() {
                    // Over the data of a whole record: its bytes are not ours to interpret.
                    step = header.end(place.at.offset).map_or(ALIGN, |next| next - place.at.offset);
                }
            }
            let Some(next) = place.at.offset.checked_add(step) else { break };
            place.at.offset = next;
        }
        let missing = stop.at.offset..first_behind.unwrap_or(end);
        let lost_block = lost_block(bytes, missing);
        Self { broken: None, behind, nonzero_end: Some(end), lost_block }
    }
}

/// Where the last byte that isn't zero is. Block by block first: most of a segment is zero, and a
/// comparison of blocks is quick in a debug build, too, where going byte by byte takes seconds.
fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let blocks = bytes.rchunks(ZEROS.len());
    let skipped: usize = blocks.take_while(|block| ZEROS.starts_with(block)).map(<[u8]>::len).sum();
    bytes.get(..bytes.len() - skipped)?.iter().rposition(|byte| *byte != 0)
}

/// True when `missing` touches a block that is all zero (from the start of `missing` on).
fn lost_block(bytes: &[u8], missing: std::ops::Range<u32>) -> bool {
    let mut from = missing.start;
    while from < missing.end {
        let to = (from / BLOCK_BYTES + 1).saturating_mul(BLOCK_BYTES);
        let to = to.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        match bytes.get(from as usize..to as usize) {
            Some(block) if !block.is_empty() && block.iter().all(|byte| *byte == 0) => return true,
            Some(block) if !block.is_empty() => from = to,
            _ => return false,
        }
    }
    false
}

fn header_at(bytes: &[u8], place: Place) -> Option<Header> {
    Header::decode(bytes.get(place.at.offset as usize..)?, place)
}

/// True when the entry at `place` is the last thing in `bytes`, and planted to be taken for whole.
#[cfg(feature = "planted-bugs")]
fn is_torn_entry(bytes: &[u8], place: Place, header: &Header) -> bool {
    let end = Tail::look(bytes, place).nonzero_end.unwrap_or(0);
    let last =
        header.end(place.at.offset).is_some_and(|it| end <= it && it as usize <= bytes.len());
    last && header.kind == Kind::Entry
        && crate::planted::is(crate::planted::Planted::TornTailAccepted)
}

/// The record of `header`, if its data is whole as well.
fn whole(bytes: &[u8], offset: u32, header: Header) -> Option<Located> {
    let data = bytes.get((offset + HEADER_BYTES) as usize..)?;
    let data = data.get(..header.data_bytes as usize)?;
    if header.end(offset)? as usize > bytes.len() || crc32c::crc32c(data) != header.data_crc {
        return None;
    }
    let state = match header.kind {
        Kind::State => Some(State::decode(&header, data)?),
        Kind::Entry => None,
        Kind::HardState | Kind::Purge | Kind::Reset | Kind::End | Kind::Settled => {
            data.is_empty().then_some(None)?
        }
    };
    Some(Located { offset, header, state })
}

#[cfg(test)]
mod tests {
    use super::last_nonzero;

    #[test]
    fn the_last_byte_that_is_not_zero_is_found_wherever_the_blocks_begin() {
        for len in [0, 1, 4095, 4096, 4097, 8192, 10_000] {
            let mut bytes = vec![0; len];
            assert_eq!(last_nonzero(&bytes), None, "{len}");
            for at in [0, 1, 4095, 4096, 5903, 5904, 9_999].into_iter().filter(|at| *at < len) {
                bytes[at] = 1;
                assert_eq!(last_nonzero(&bytes), Some(at), "{len}");
            }
        }
    }
}
