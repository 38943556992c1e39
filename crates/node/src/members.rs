//! The members table: who is in the cluster, under which number, and who was.
//!
//! It is part of the replicated state (system space), changed only by configuration entries, so that
//! every member agrees on it at every index. Numbers and names are never given twice.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_consensus::NodeId;
use quorate_consensus::codec::{DecodeError, Reader, put_bytes, put_varint};

/// The record's name in the system space.
pub(crate) const RECORD: &[u8] = b"members";
/// Where the group's configuration stands in the system space.
pub(crate) const CONFIGURATION: &[u8] = b"configuration";

const FORMAT: u8 = 1;

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) instance: u64,
    pub(crate) peer_addr: String,
    pub(crate) client_addr: String,
}

/// What a configuration entry does to the table, beside the change of voters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// A node has come in, or has new addresses.
    Put(NodeId, Member),
    /// A node has left for good.
    Gone(NodeId),
    /// A node has lost part of its log and comes back under a new number.
    Replace(NodeId, NodeId, Member),
    /// Nothing but the voters has changed.
    None,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    present: BTreeMap<NodeId, Member>,
    /// Numbers and names of those who left.
    gone: BTreeMap<NodeId, String>,
}

fn put_member(out: &mut Vec<u8>, member: &Member) {
    put_bytes(out, member.name.as_bytes());
    put_varint(out, member.instance);
    put_bytes(out, member.peer_addr.as_bytes());
    put_bytes(out, member.client_addr.as_bytes());
}

fn read_member(reader: &mut Reader) -> Result<Member, DecodeError> {
    Ok(Member {
        name: reader.text()?,
        instance: reader.varint()?,
        peer_addr: reader.text()?,
        client_addr: reader.text()?,
    })
}

impl Note {
    /// The context of a configuration entry.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::None => out.push(0),
            Self::Put(node, member) => {
                out.push(1);
                put_varint(&mut out, node.0);
                put_member(&mut out, member);
            }
            Self::Gone(node) => {
                out.push(2);
                put_varint(&mut out, node.0);
            }
            Self::Replace(old, new, member) => {
                out.push(3);
                put_varint(&mut out, old.0);
                put_varint(&mut out, new.0);
                put_member(&mut out, member);
            }
        }
        out.into()
    }

    /// Reads what [`Note::encode`] wrote.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let note = match reader.u8()? {
            0 => Self::None,
            1 => Self::Put(NodeId(reader.varint()?), read_member(&mut reader)?),
            2 => Self::Gone(NodeId(reader.varint()?)),
            3 => Self::Replace(
                NodeId(reader.varint()?),
                NodeId(reader.varint()?),
                read_member(&mut reader)?,
            ),
            other => return Err(DecodeError::Tag(other.into())),
        };
        reader.end()?;
        Ok(note)
    }
}

impl Members {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Member)> {
        self.present.iter().map(|(node, member)| (*node, member))
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Member> {
        self.present.get(&node)
    }

    pub(crate) fn len(&self) -> usize {
        self.present.len()
    }

    pub(crate) fn has_left(&self, node: NodeId) -> bool {
        self.gone.contains_key(&node)
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<(NodeId, &Member)> {
        self.iter().find(|(_, member)| member.name == name)
    }

    /// By name, by peer address or by client address.
    pub(crate) fn find(&self, what: &str) -> Option<NodeId> {
        let fits = |member: &Member| {
            member.name == what || member.peer_addr == what || member.client_addr == what
        };
        self.iter().find(|(_, member)| fits(member)).map(|(node, _)| node)
    }

    /// True when a node of that name was a member once and has left.
    pub(crate) fn name_was_used(&self, name: &str) -> bool {
        self.gone.values().any(|gone| gone == name)
    }

    /// A number that was never given.
    pub(crate) fn next_node(&self) -> NodeId {
        let highest = self.present.keys().chain(self.gone.keys()).max();
        NodeId(highest.map_or(1, |node| node.0 + 1))
    }

    pub(crate) fn apply(&mut self, note: &Note) {
        match note {
            Note::Put(node, member) => {
                self.present.insert(*node, member.clone());
            }
            Note::Gone(node) => {
                if let Some(member) = self.present.remove(node) {
                    self.gone.insert(*node, member.name);
                }
            }
            Note::Replace(old, new, member) => {
                self.present.remove(old);
                // The name lives on with the new number.
                self.gone.insert(*old, String::new());
                self.present.insert(*new, member.clone());
            }
            Note::None => {}
        }
    }

    /// The record in the system space.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = vec![FORMAT];
        put_varint(&mut out, self.present.len() as u64);
        for (node, member) in &self.present {
            put_varint(&mut out, node.0);
            put_member(&mut out, member);
        }
        put_varint(&mut out, self.gone.len() as u64);
        for (node, name) in &self.gone {
            put_varint(&mut out, node.0);
            put_bytes(&mut out, name.as_bytes());
        }
        out.into()
    }

    /// Reads what [`Members::encode`] wrote.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let format = reader.u8()?;
        if format != FORMAT {
            return Err(DecodeError::Tag(format.into()));
        }
        let mut members = Self::default();
        for _ in 0..reader.count(5)? {
            let node = NodeId(reader.varint()?);
            members.present.insert(node, read_member(&mut reader)?);
        }
        for _ in 0..reader.count(2)? {
            let node = NodeId(reader.varint()?);
            members.gone.insert(node, reader.text()?);
        }
        reader.end()?;
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Member {
        Member {
            name: name.to_owned(),
            instance: 7,
            peer_addr: "p".to_owned(),
            client_addr: "c".to_owned(),
        }
    }

    #[test]
    fn numbers_and_names_are_never_given_twice() {
        let mut members = Members::default();
        members.apply(&Note::Put(NodeId(1), member("n1")));
        members.apply(&Note::Put(NodeId(2), member("n2")));
        members.apply(&Note::Gone(NodeId(2)));
        assert_eq!(members.next_node(), NodeId(3));
        assert!(members.name_was_used("n2"));
        assert!(members.has_left(NodeId(2)));
        assert_eq!(members.find("n2"), None);
    }

    #[test]
    fn the_bytes_of_the_table_are_fixed_and_come_back() {
        let mut members = Members::default();
        members.apply(&Note::Put(NodeId(1), member("a")));
        members.apply(&Note::Put(NodeId(2), member("b")));
        members.apply(&Note::Gone(NodeId(2)));
        let bytes = members.encode();
        assert_eq!(bytes.as_ref(), [1, 1, 1, 1, b'a', 7, 1, b'p', 1, b'c', 1, 2, 1, b'b']);
        assert_eq!(Members::decode(bytes), Ok(members));
    }

    #[test]
    fn a_note_comes_back_as_it_was_written() {
        let replace = Note::Replace(NodeId(1), NodeId(5), member("y"));
        for note in [Note::None, Note::Put(NodeId(3), member("x")), Note::Gone(NodeId(4)), replace]
        {
            assert_eq!(Note::decode(note.encode()), Ok(note));
        }
    }
}
