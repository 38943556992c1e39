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
/// Of what a recovered cluster was made: `1 | its id | last index | last term | the new id`.
pub(crate) const RECOVERED: &[u8] = b"recovered";

const FORMAT: u8 = 2;
/// Rows without a wish, as they were written first.
const FORMAT_WITHOUT_WISH: u8 = 1;

/// What is to become of a member without a vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It gets a vote when it has caught up; or has one.
    #[default]
    Vote,
    /// It stays a learner: a replica for reads.
    StaysLearner,
    /// It takes that member's place when it has caught up.
    Replaces(NodeId),
}

/// One member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) instance: u64,
    pub(crate) peer_addr: String,
    pub(crate) client_addr: String,
    pub(crate) wish: Wish,
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
    /// The second node has taken the first one's place.
    Succeed(NodeId, NodeId),
    /// From here on the cluster writes this format.
    Format(u64),
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
    match member.wish {
        Wish::Vote => out.push(0),
        Wish::StaysLearner => out.push(1),
        Wish::Replaces(node) => {
            out.push(2);
            put_varint(out, node.0);
        }
    }
}

fn read_member(reader: &mut Reader) -> Result<Member, DecodeError> {
    let member = read_member_without_wish(reader)?;
    let wish = match reader.u8()? {
        0 => Wish::Vote,
        1 => Wish::StaysLearner,
        2 => Wish::Replaces(NodeId(reader.varint()?)),
        other => return Err(DecodeError::Tag(other.into())),
    };
    Ok(Member { wish, ..member })
}

fn read_member_without_wish(reader: &mut Reader) -> Result<Member, DecodeError> {
    Ok(Member {
        name: reader.text()?,
        instance: reader.varint()?,
        peer_addr: reader.text()?,
        client_addr: reader.text()?,
        wish: Wish::Vote,
    })
}

impl Note {
    /// The context of a configuration entry.
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        match self {
            Self::None => out.push(0),
            Self::Put(node, member) => {
                out.push(4);
                put_varint(&mut out, node.0);
                put_member(&mut out, member);
            }
            Self::Gone(node) => {
                out.push(2);
                put_varint(&mut out, node.0);
            }
            Self::Replace(old, new, member) => {
                out.push(5);
                put_varint(&mut out, old.0);
                put_varint(&mut out, new.0);
                put_member(&mut out, member);
            }
            Self::Succeed(old, new) => {
                out.push(6);
                put_varint(&mut out, old.0);
                put_varint(&mut out, new.0);
            }
            Self::Format(format) => {
                out.push(7);
                put_varint(&mut out, *format);
            }
        }
        out.into()
    }

    /// Reads what [`Note::encode`] wrote.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let note = match reader.u8()? {
            0 => Self::None,
            1 => Self::Put(NodeId(reader.varint()?), read_member_without_wish(&mut reader)?),
            2 => Self::Gone(NodeId(reader.varint()?)),
            3 => Self::Replace(
                NodeId(reader.varint()?),
                NodeId(reader.varint()?),
                read_member_without_wish(&mut reader)?,
            ),
            4 => Self::Put(NodeId(reader.varint()?), read_member(&mut reader)?),
            5 => Self::Replace(
                NodeId(reader.varint()?),
                NodeId(reader.varint()?),
                read_member(&mut reader)?,
            ),
            6 => Self::Succeed(NodeId(reader.varint()?), NodeId(reader.varint()?)),
            7 => Self::Format(reader.varint()?),
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

    pub(crate) fn has_leavers(&self) -> bool {
        !self.gone.is_empty()
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
            Note::Succeed(old, new) => {
                self.apply(&Note::Gone(*old));
                if let Some(member) = self.present.get_mut(new) {
                    member.wish = Wish::Vote;
                }
            }
            Note::Format(_) | Note::None => {}
        }
    }

    /// Only `node` is left, under a new number; the names of all others may be given again. For a new
    /// cluster that is made of the remains of this one, whose members it will not know.
    pub(crate) fn recover(&mut self, node: NodeId) -> Option<NodeId> {
        let (successor, member) = (self.next_node(), self.present.get(&node)?.clone());
        self.gone.values_mut().for_each(String::clear);
        let others = std::mem::take(&mut self.present).into_keys();
        self.gone.extend(others.map(|node| (node, String::new())));
        self.present.insert(successor, Member { wish: Wish::Vote, ..member });
        Some(successor)
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
        let read_row = match reader.u8()? {
            FORMAT => read_member,
            FORMAT_WITHOUT_WISH => read_member_without_wish,
            other => return Err(DecodeError::Tag(other.into())),
        };
        let mut members = Self::default();
        for _ in 0..reader.count(5)? {
            let node = NodeId(reader.varint()?);
            members.present.insert(node, read_row(&mut reader)?);
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
            wish: Wish::Vote,
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
        assert_eq!(bytes.as_ref(), [2, 1, 1, 1, b'a', 7, 1, b'p', 1, b'c', 0, 1, 2, 1, b'b']);
        assert_eq!(Members::decode(bytes), Ok(members.clone()));
        let first = [1, 1, 1, 1, b'a', 7, 1, b'p', 1, b'c', 1, 2, 1, b'b'];
        assert_eq!(Members::decode(Bytes::copy_from_slice(&first)), Ok(members));
    }

    #[test]
    fn who_succeeds_another_takes_its_place() {
        let mut members = Members::default();
        members.apply(&Note::Put(NodeId(1), member("a")));
        let wish = Wish::Replaces(NodeId(1));
        members.apply(&Note::Put(NodeId(2), Member { wish, ..member("b") }));
        members.apply(&Note::Succeed(NodeId(1), NodeId(2)));
        assert!(members.has_left(NodeId(1)) && members.name_was_used("a"));
        assert_eq!(members.get(NodeId(2)), Some(&member("b")));
    }

    #[test]
    fn a_recovered_cluster_has_one_member_and_gives_names_again_but_no_numbers() {
        let mut members = Members::default();
        for (node, name) in [(1, "a"), (2, "b"), (3, "c")] {
            members.apply(&Note::Put(NodeId(node), member(name)));
        }
        members.apply(&Note::Gone(NodeId(3)));
        assert_eq!(members.recover(NodeId(2)), Some(NodeId(4)));
        assert_eq!(members.iter().map(|(node, _)| node).collect::<Vec<_>>(), [NodeId(4)]);
        assert!(!members.name_was_used("a") && !members.name_was_used("c"));
        assert_eq!(members.next_node(), NodeId(5));
        assert!(members.has_left(NodeId(2)));
    }

    #[test]
    fn a_note_comes_back_as_it_was_written() {
        let replace = Note::Replace(NodeId(1), NodeId(5), member("y"));
        let learner = Member { wish: Wish::StaysLearner, ..member("x") };
        let heir = Member { wish: Wish::Replaces(NodeId(300)), ..member("x") };
        for note in [
            Note::None,
            Note::Put(NodeId(3), member("x")),
            Note::Put(NodeId(3), learner),
            Note::Put(NodeId(3), heir),
            Note::Gone(NodeId(4)),
            replace,
            Note::Succeed(NodeId(1), NodeId(2)),
            Note::Format(9),
        ] {
            assert_eq!(Note::decode(note.encode()), Ok(note));
        }
    }
}
