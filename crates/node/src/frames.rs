//! What members say to each other beside Raft: forwarded writes, read requests, pulses.
//!
//! Each frame is `tag u8 | group | fields`; numbers are varints.

use bytes::Bytes;
use quorate_consensus::codec::{DecodeError, Reader, put_bytes, put_varint};
use quorate_consensus::{GroupId, Index, Term};

/// A message between members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Writes for the leader of `term`; another term refuses them.
    Forward { term: Term, number: u64, parts: Bytes },
    /// A forwarded batch was certainly not proposed.
    Refused { number: u64, why: Refusal },
    /// Which index must a read wait for? `lease`: the lease will do.
    ReadAsk { number: u64, lease: bool },
    /// The answer, with the leader's time.
    ReadAnswer { number: u64, index: Index, now_ms: u64 },
    /// A read has met a key that expires by `stamp_ms`: commit that time.
    StampAsk { stamp_ms: u64 },
    /// Once a second to everybody: the wall clock, and the digest at a checkpoint.
    Pulse {
        wall_ms: u64,
        checkpoint: Option<(Index, u64)>,
        max_memory_bytes: u64,
        lagging: bool,
        disk_delay_ms: u64,
    },
    /// An administrative request for the leader, encoded by the admin room.
    AdminAsk { number: u64, request: Bytes },
    /// You were removed from the cluster.
    Removed,
    /// A read of a member that can't follow for want of room, for the leader to execute.
    ReadPass { number: u64, part: Bytes },
    /// The answer to [`Frame::ReadPass`], true at `index`; encoded by the passing room.
    ReadPassed { number: u64, index: Index, answer: Bytes },
    /// The hash over all records at `index`.
    Scrubbed { index: Index, hash: u64 },
    /// The answer to [`Frame::AdminAsk`].
    AdminAnswer { number: u64, answer: Bytes },
}

/// Why a forwarded batch was not proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its term's leader leads no more: the next one may take it.
    NotLeader,
    /// The leader's disk is full.
    Full,
    /// The leader has too much to do.
    Busy,
    /// It does not fit into a log segment, and never will.
    TooLarge,
    /// It came behind a later one, or is malformed: it must not be sent again.
    Unusable,
}

impl Refusal {
    const ALL: [(u8, Self); 5] = [
        (1, Self::NotLeader),
        (2, Self::Full),
        (3, Self::Busy),
        (4, Self::Unusable),
        (5, Self::TooLarge),
    ];

    fn tag(self) -> u8 {
        Self::ALL.iter().find(|(_, why)| *why == self).map_or(0, |(tag, _)| *tag)
    }

    fn from_tag(tag: u8) -> Result<Self, DecodeError> {
        let found = Self::ALL.iter().find(|(known, _)| *known == tag).map(|(_, why)| *why);
        found.ok_or(DecodeError::Tag(tag.into()))
    }
}

impl Frame {
    fn tag(&self) -> u8 {
        match self {
            Self::Forward { .. } => 1,
            Self::Refused { .. } => 2,
            Self::ReadAsk { .. } => 3,
            Self::ReadAnswer { .. } => 4,
            Self::StampAsk { .. } => 5,
            Self::Pulse { .. } => 6,
            Self::AdminAsk { .. } => 7,
            Self::AdminAnswer { .. } => 8,
            Self::Removed => 9,
            Self::ReadPass { .. } => 10,
            Self::ReadPassed { .. } => 11,
            Self::Scrubbed { .. } => 12,
        }
    }

    /// Appends the bytes that travel.
    pub(crate) fn encode(&self, group: GroupId, out: &mut Vec<u8>) {
        out.push(self.tag());
        put_varint(out, group.0);
        match self {
            Self::Forward { term, number, parts } => {
                put_varint(out, term.0);
                put_varint(out, *number);
                out.extend_from_slice(parts);
            }
            Self::Removed => {}
            Self::ReadPass { number, part } => {
                put_varint(out, *number);
                out.extend_from_slice(part);
            }
            Self::ReadPassed { number, index, answer } => {
                put_varint(out, *number);
                put_varint(out, index.0);
                out.extend_from_slice(answer);
            }
            Self::Scrubbed { index, hash } => {
                put_varint(out, index.0);
                put_varint(out, *hash);
            }
            Self::Refused { number, why } => {
                put_varint(out, *number);
                out.push(why.tag());
            }
            Self::ReadAsk { number, lease } => {
                put_varint(out, *number);
                out.push(u8::from(*lease));
            }
            Self::ReadAnswer { number, index, now_ms } => {
                put_varint(out, *number);
                put_varint(out, index.0);
                put_varint(out, *now_ms);
            }
            Self::StampAsk { stamp_ms } => put_varint(out, *stamp_ms),
            Self::Pulse { wall_ms, checkpoint, max_memory_bytes, lagging, disk_delay_ms } => {
                put_varint(out, *wall_ms);
                let (index, digest) = checkpoint.unwrap_or_default();
                put_varint(out, index.0);
                put_varint(out, digest);
                put_varint(out, *max_memory_bytes);
                out.push(u8::from(*lagging));
                put_varint(out, *disk_delay_ms);
            }
            Self::AdminAsk { number, request: bytes }
            | Self::AdminAnswer { number, answer: bytes } => {
                put_varint(out, *number);
                put_bytes(out, bytes);
            }
        }
    }

    /// Reads what [`Frame::encode`] wrote.
    pub(crate) fn decode(bytes: Bytes) -> Result<(GroupId, Self), DecodeError> {
        let mut reader = Reader::new(bytes);
        let tag = reader.u8()?;
        let group = GroupId(reader.varint()?);
        let frame = match tag {
            1 => Self::Forward {
                term: Term(reader.varint()?),
                number: reader.varint()?,
                parts: reader.rest(),
            },
            2 => Self::Refused { number: reader.varint()?, why: Refusal::from_tag(reader.u8()?)? },
            3 => Self::ReadAsk { number: reader.varint()?, lease: reader.bool()? },
            4 => Self::ReadAnswer {
                number: reader.varint()?,
                index: Index(reader.varint()?),
                now_ms: reader.varint()?,
            },
            5 => Self::StampAsk { stamp_ms: reader.varint()? },
            6 => {
                let wall_ms = reader.varint()?;
                let (index, digest) = (Index(reader.varint()?), reader.varint()?);
                Self::Pulse {
                    wall_ms,
                    checkpoint: (index.0 != 0).then_some((index, digest)),
                    max_memory_bytes: reader.varint()?,
                    lagging: reader.bool()?,
                    disk_delay_ms: reader.varint()?,
                }
            }
            7 => Self::AdminAsk { number: reader.varint()?, request: reader.bytes()? },
            8 => Self::AdminAnswer { number: reader.varint()?, answer: reader.bytes()? },
            9 => Self::Removed,
            10 => Self::ReadPass { number: reader.varint()?, part: reader.rest() },
            11 => Self::ReadPassed {
                number: reader.varint()?,
                index: Index(reader.varint()?),
                answer: reader.rest(),
            },
            12 => Self::Scrubbed { index: Index(reader.varint()?), hash: reader.varint()? },
            other => return Err(DecodeError::Tag(other.into())),
        };
        reader.end()?;
        Ok((group, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_comes_back_as_it_was_sent() {
        let frames = [
            Frame::Forward { term: Term(3), number: 9, parts: Bytes::from_static(b"parts") },
            Frame::Refused { number: 300, why: Refusal::Busy },
            Frame::ReadAsk { number: 1, lease: true },
            Frame::ReadAnswer { number: 1, index: Index(5), now_ms: 77 },
            Frame::StampAsk { stamp_ms: 1 << 40 },
            Frame::Removed,
            Frame::Pulse {
                wall_ms: 5,
                checkpoint: Some((Index(64), u64::MAX)),
                max_memory_bytes: u64::MAX,
                lagging: false,
                disk_delay_ms: 0,
            },
            Frame::Pulse {
                wall_ms: 5,
                checkpoint: None,
                max_memory_bytes: 0,
                lagging: true,
                disk_delay_ms: 1 << 20,
            },
            Frame::AdminAsk { number: 2, request: Bytes::from_static(b"r") },
            Frame::AdminAnswer { number: 2, answer: Bytes::from_static(b"a") },
            Frame::ReadPass { number: 1 << 50, part: Bytes::from_static(b"p") },
            Frame::Scrubbed { index: Index(1), hash: u64::MAX },
            Frame::ReadPassed { number: 7, index: Index(3), answer: Bytes::from_static(b"a") },
        ];
        for frame in frames {
            let mut out = Vec::new();
            frame.encode(GroupId(1), &mut out);
            assert_eq!(Frame::decode(out.into()), Ok((GroupId(1), frame)));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(Frame::decode(bytes.into()));
        }
    }
}
