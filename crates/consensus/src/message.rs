//! Raft messages on the wire: our own bytes, never raft-rs' protobuf (RUSTSEC-2024-0437).
//!
//! A message is `kind, from, to, term, log term, index, commit, commit term, reject hint, flags`, then
//! what its flags announce. Proposals and read requests are not messages here: they have frames of
//! their own, so that raft's silent forwarding can't be triggered from outside.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::configuration::Change;
use crate::log::LogEntry;
use crate::{Index, Term};

/// Entry kinds, as they stand in the log and on the wire.
pub(crate) mod kind {
    /// An opaque entry of the node room; empty: the leader's first of its term.
    pub(crate) const NORMAL: u8 = 0;
    /// A [`crate::configuration::Change`].
    pub(crate) const CHANGE: u8 = 1;
}

const REJECT: u8 = 1;
const CONTEXT: u8 = 1 << 1;
const ENTRIES: u8 = 1 << 2;
const REQUEST_SNAPSHOT: u8 = 1 << 3;

/// Only these travel; a snapshot is announced by its transfer.
const KINDS: [(u8, MessageType); 9] = [
    (1, MessageType::MsgAppend),
    (2, MessageType::MsgAppendResponse),
    (3, MessageType::MsgRequestVote),
    (4, MessageType::MsgRequestVoteResponse),
    (5, MessageType::MsgHeartbeat),
    (6, MessageType::MsgHeartbeatResponse),
    (7, MessageType::MsgTimeoutNow),
    (8, MessageType::MsgRequestPreVote),
    (9, MessageType::MsgRequestPreVoteResponse),
];

/// True for the kinds that travel.
pub(crate) fn travels(kind: MessageType) -> bool {
    tag(kind).is_some()
}

fn tag(kind: MessageType) -> Option<u8> {
    KINDS.iter().find(|(_, known)| *known == kind).map(|(tag, _)| *tag)
}

/// Appends `message` to `out`; nothing of a kind that does not travel.
pub(crate) fn encode(message: &Message, out: &mut Vec<u8>) {
    let Some(tag) = tag(message.get_msg_type()) else { return };
    out.push(tag);
    for number in [
        message.from,
        message.to,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ] {
        put_varint(out, number);
    }
    let mut flags = 0;
    flags |= if message.reject { REJECT } else { 0 };
    flags |= if message.context.is_empty() { 0 } else { CONTEXT };
    flags |= if message.entries.is_empty() { 0 } else { ENTRIES };
    flags |= if message.request_snapshot == 0 { 0 } else { REQUEST_SNAPSHOT };
    out.push(flags);
    if flags & CONTEXT != 0 {
        put_bytes(out, &message.context);
    }
    if flags & REQUEST_SNAPSHOT != 0 {
        put_varint(out, message.request_snapshot);
    }
    if flags & ENTRIES != 0 {
        put_varint(out, message.entries.len() as u64);
        for entry in message.get_entries() {
            encode_entry(entry, out);
        }
    }
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    put_varint(out, entry.index);
    put_varint(out, entry.term);
    let entry = to_log(entry);
    out.push(entry.kind);
    put_bytes(out, &entry.data);
}

/// Reads one message; entries share the buffer of `bytes`.
pub(crate) fn decode(bytes: Bytes) -> Result<Message, DecodeError> {
    let mut reader = Reader::new(bytes);
    let tag = reader.u8()?;
    let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == tag) else {
        return Err(DecodeError::Tag(tag.into()));
    };
    let mut message = Message::default();
    message.set_msg_type(*kind);
    message.from = reader.varint()?;
    message.to = reader.varint()?;
    message.term = reader.varint()?;
    message.log_term = reader.varint()?;
    message.index = reader.varint()?;
    message.commit = reader.varint()?;
    message.commit_term = reader.varint()?;
    message.reject_hint = reader.varint()?;
    let flags = reader.u8()?;
    message.reject = flags & REJECT != 0;
    if flags & CONTEXT != 0 {
        message.context = reader.bytes()?;
    }
    if flags & REQUEST_SNAPSHOT != 0 {
        message.request_snapshot = reader.varint()?;
    }
    if flags & ENTRIES != 0 {
        let count = reader.count(4)?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let index = Index(reader.varint()?);
            let term = Term(reader.varint()?);
            let kind = reader.u8()?;
            entries.push(from_log(&LogEntry { index, term, kind, data: reader.bytes()? })?);
        }
        message.set_entries(entries.into());
    }
    reader.end()?;
    check(&message)?;
    Ok(message)
}

/// What raft-rs takes for granted and would panic on.
fn check(message: &Message) -> Result<(), DecodeError> {
    if message.term == 0 || message.from == 0 {
        return Err(DecodeError::Range);
    }
    let mut expected = message.index;
    for entry in message.get_entries() {
        expected = expected.checked_add(1).ok_or(DecodeError::Range)?;
        if entry.index != expected || entry.term == 0 || entry.term > message.term {
            return Err(DecodeError::Range);
        }
    }
    Ok(())
}

/// A log entry as raft-rs wants it. A change is rebuilt as the protobuf that raft-rs parses, from
/// steps which we have checked.
pub(crate) fn from_log(entry: &LogEntry) -> Result<Entry, DecodeError> {
    let mut out = Entry { index: entry.index.0, term: entry.term.0, ..Entry::default() };
    match entry.kind {
        kind::NORMAL => out.data = entry.data.clone(),
        kind::CHANGE => {
            let change = Change::decode(entry.data.clone())?;
            out.set_entry_type(EntryType::EntryConfChangeV2);
            // Writing to memory fails only for a message that is not initialized, which proto3 has not.
            out.data = change.to_raft().write_to_bytes().unwrap_or_default().into();
            // Our own bytes travel in the context: `to_log` gives them back unchanged.
            out.context = entry.data.clone();
        }
        other => return Err(DecodeError::Tag(other.into())),
    }
    Ok(out)
}

/// raft-rs' entry as it goes to the log and to the wire.
pub(crate) fn to_log(entry: &Entry) -> LogEntry {
    let (kind, data) = match entry.get_entry_type() {
        EntryType::EntryNormal => (kind::NORMAL, entry.data.clone()),
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
            (kind::CHANGE, entry.context.clone())
        }
    };
    LogEntry { index: Index(entry.index), term: Term(entry.term), kind, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;
    use crate::configuration::MemberChange;
    use proptest::prelude::*;

    fn append() -> Message {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgAppend);
        (message.from, message.to, message.term) = (1, 2, 7);
        (message.log_term, message.index, message.commit) = (6, 40, 39);
        let change = Change {
            steps: vec![MemberChange::Promote(NodeId(3))],
            context: Bytes::from_static(b"ctx"),
        };
        let entry = |index, kind, data| {
            from_log(&LogEntry { index: Index(index), term: Term(7), kind, data }).unwrap()
        };
        let entries = vec![
            entry(41, kind::NORMAL, Bytes::from_static(b"abc")),
            entry(42, kind::CHANGE, change.encode()),
        ];
        message.set_entries(entries.into());
        message
    }

    #[test]
    fn an_append_comes_back_as_it_was_sent() {
        let mut bytes = Vec::new();
        encode(&append(), &mut bytes);
        assert_eq!(decode(bytes.into()), Ok(append()));
    }

    #[test]
    fn the_bytes_of_an_append_are_fixed() {
        let mut bytes = Vec::new();
        encode(&append(), &mut bytes);
        let golden = [
            &[1_u8, 1, 2, 7, 6, 40, 39, 0, 0, 4, 2][..],
            &[41, 7, 0, 3, b'a', b'b', b'c'],
            &[42, 7, 1, 6, 1, 2, 3, b'c', b't', b'x'],
        ];
        assert_eq!(bytes, golden.concat());
    }

    #[test]
    fn a_gap_between_entries_is_refused() {
        let mut message = append();
        message.index = 12;
        let mut bytes = Vec::new();
        encode(&message, &mut bytes);
        assert_eq!(decode(bytes.into()), Err(DecodeError::Range));
    }

    #[test]
    fn a_proposal_does_not_travel() {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        assert!(!travels(message.get_msg_type()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(decode(bytes.into()));
        }

        #[test]
        fn a_damaged_append_never_panics(at in 0..40_usize, byte: u8) {
            let mut bytes = Vec::new();
            encode(&append(), &mut bytes);
            if let Some(target) = bytes.get_mut(at) { *target = byte; }
            drop(decode(bytes.into()));
        }
    }
}
