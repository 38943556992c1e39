//! The cluster format: what the members write, to the log, to each other and into their state.
//!
//! It is replicated state, so that all change over at the same entry. A binary works with a range of
//! formats; the cluster writes the highest that *all* members know. So during a rolling upgrade the old
//! one is written until the last member has been upgraded; then the leader raises it, and from there on a
//! binary that does not know it is refused: at its own start, and by every member it calls.

use quorate_consensus::codec::{DecodeError, Reader, put_varint};
use quorate_consensus::peers::{Card, Formats};
use quorate_consensus::{Change, MemberChange};

use crate::core::{Core, Stop};
use crate::door::is_reachable;
use crate::members::Note;

/// The formats that this version works with.
pub const FORMATS: Formats = Formats { lowest: 1, highest: 1 };

/// The record's name in the system space; without it the format is 1.
pub(crate) const RECORD: &[u8] = b"format";

/// The record's bytes.
pub(crate) fn encode(format: u64) -> bytes::Bytes {
    let mut out = Vec::new();
    put_varint(&mut out, format);
    out.into()
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode(bytes: bytes::Bytes) -> Result<u64, DecodeError> {
    let mut reader = Reader::new(bytes);
    let format = reader.varint()?;
    reader.end()?;
    Ok(format)
}

/// Why a binary that works with `formats` can't take part in a cluster of `format`.
pub(crate) fn mismatch(format: u64, formats: Formats) -> Option<String> {
    let Formats { lowest, highest } = formats;
    if format > highest {
        Some(format!(
            "the cluster writes format {format}, and this node's version knows formats up to {highest}: run a newer version"
        ))
    } else if format < lowest {
        Some(format!(
            "the cluster writes format {format}, and this node's version needs {lowest} at least: first run a \
             version that knows both on all members"
        ))
    } else {
        None
    }
}

impl Core {
    /// Why the node behind `card` can't take part.
    pub(crate) fn check_format(&self, card: &Card) -> Result<(), String> {
        mismatch(self.machine.format(), card.formats).map_or(Ok(()), Err)
    }

    /// Whether this node can go on: an entry or a snapshot may have raised the format.
    pub(crate) fn stop_unless_format_known(&self) -> Result<(), Stop> {
        mismatch(self.machine.format(), self.config.formats).map_or(Ok(()), |why| Err(Stop(why)))
    }

    /// What a member says in the handshake that it can work with.
    pub(crate) fn note_formats(&mut self, card: &Card) {
        self.membership.formats.insert(card.node, card.formats);
    }

    /// The change to the next format, once every member is there and knows it. Going back is impossible
    /// from then on, so nobody is left out who is away for a moment.
    pub(crate) fn next_format(&self) -> Option<Change> {
        let format = self.machine.format() + 1;
        let own = self.identity.node;
        let knows = |node| match self.membership.formats.get(&node) {
            _ if node == own => self.config.formats.contains(format),
            Some(formats) => is_reachable(self, node) && formats.contains(format),
            None => false,
        };
        self.machine.members().iter().all(|(node, _)| knows(node)).then(|| {
            // Of no effect but for its note: we have a vote.
            let steps = vec![MemberChange::Promote(own)];
            Change { steps, context: Note::Format(format).encode() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_from_the_lowest_to_the_highest() {
        let formats = Formats { lowest: 2, highest: 3 };
        assert!(mismatch(1, formats).unwrap().contains("needs 2 at least"));
        assert_eq!((mismatch(2, formats), mismatch(3, formats)), (None, None));
        assert!(mismatch(4, formats).unwrap().contains("formats up to 3"));
    }

    #[test]
    fn a_format_comes_back_as_it_was_written() {
        assert_eq!(decode(encode(300)), Ok(300));
        assert!(decode(bytes::Bytes::new()).is_err());
    }
}
