//! Frames: `length u32 | crc32c u32 | kind u8 | payload`, little endian; the checksum covers kind and
//! payload (TCP's own sum misses one corruption in some ten thousand).

use bytes::{Bytes, BytesMut};

use crate::codec::DecodeError;

/// A frame's payload at most: an entry with its message around it, or a snapshot chunk.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes in front of the payload.
pub(super) const HEADER_BYTES: usize = 9;

/// The tag of an empty frame that says only that its sender is there.
const BEAT: u8 = 5;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Raft message: group (varint), message.
    Raft,
    /// A chunk of a snapshot.
    Snapshot,
    /// The answer to a snapshot: arrived or not.
    SnapshotDone,
    /// The node room's own.
    Node,
}

impl Kind {
    const ALL: [(u8, Self); 4] =
        [(1, Self::Raft), (2, Self::Snapshot), (3, Self::SnapshotDone), (4, Self::Node)];

    fn tag(self) -> u8 {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or(0, |(tag, _)| *tag)
    }

    fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == tag).map(|(_, kind)| *kind)
    }
}

/// Appends a frame whose payload `write` appends. A payload over the limit is taken back: false.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES - 1]);
    out.push(kind.tag());
    write(out);
    let payload = out.len() - start - HEADER_BYTES;
    let Some(len) = u32::try_from(payload).ok().filter(|_| payload <= FRAME_BYTES_MAX) else {
        out.truncate(start);
        return false;
    };
    let sum = crc32c::crc32c(out.get(start + HEADER_BYTES - 1..).unwrap_or_default());
    if let Some(header) = out.get_mut(start..start + 8) {
        let (len_bytes, sum_bytes) = header.split_at_mut(4);
        len_bytes.copy_from_slice(&len.to_le_bytes());
        sum_bytes.copy_from_slice(&sum.to_le_bytes());
    }
    true
}

/// Appends a beat.
pub(super) fn put_beat(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&crc32c::crc32c(&[BEAT]).to_le_bytes());
    out.push(BEAT);
}

/// Takes the first frame off `buffer`, and beats before it; `None` when it has not arrived whole.
///
/// # Errors
/// The stream can't be trusted any more: close it.
pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<(Kind, Bytes)>, DecodeError> {
    while let Some((tag, payload)) = take_any(buffer)? {
        if tag == BEAT && payload.is_empty() {
            continue;
        }
        let kind = Kind::from_tag(tag).ok_or(DecodeError::Tag(tag.into()))?;
        return Ok(Some((kind, payload)));
    }
    Ok(None)
}

fn take_any(buffer: &mut BytesMut) -> Result<Option<(u8, Bytes)>, DecodeError> {
    let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, l3, s0, s1, s2, s3, tag] = *header;
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let sum = u32::from_le_bytes([s0, s1, s2, s3]);
    if len > FRAME_BYTES_MAX {
        return Err(DecodeError::Range);
    }
    let whole = HEADER_BYTES + len;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let frame = buffer.split_to(whole).freeze();
    let body = frame.slice(HEADER_BYTES - 1..);
    if crc32c::crc32c(&body) != sum {
        return Err(DecodeError::Range);
    }
    Ok(Some((tag, body.slice(1..))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_of_a_frame_are_fixed() {
        let mut out = Vec::new();
        assert!(put(&mut out, Kind::Node, |out| out.extend_from_slice(b"hi")));
        let sum = crc32c::crc32c(b"\x04hi").to_le_bytes();
        assert_eq!(out, [&[2, 0, 0, 0][..], &sum, b"\x04hi"].concat());
    }

    #[test]
    fn beats_between_frames_are_left_out() {
        let mut out = Vec::new();
        put_beat(&mut out);
        put_beat(&mut out);
        assert!(put(&mut out, Kind::Node, |out| out.extend_from_slice(b"hi")));
        put_beat(&mut out);
        let mut buffer = BytesMut::from(&out[..]);
        let hi = (Kind::Node, Bytes::from_static(b"hi"));
        assert_eq!(take(&mut buffer), Ok(Some(hi)));
        assert_eq!(take(&mut buffer), Ok(None));
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_flipped_bit_ends_the_stream() {
        let mut out = Vec::new();
        assert!(put(&mut out, Kind::Raft, |out| out.extend_from_slice(b"payload")));
        for bit in 32..out.len() * 8 {
            let mut damaged = out.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(take(&mut BytesMut::from(&damaged[..])).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn frames_come_back_however_they_are_cut(payloads: Vec<Vec<u8>>, step in 1..50_usize) {
            let mut wire = Vec::new();
            for payload in &payloads {
                prop_assert!(put(&mut wire, Kind::Snapshot, |out| out.extend_from_slice(payload)));
            }
            let mut buffer = BytesMut::new();
            let mut got = Vec::new();
            for piece in wire.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some((kind, payload)) = take(&mut buffer).unwrap() {
                    prop_assert_eq!(kind, Kind::Snapshot);
                    got.push(payload.to_vec());
                }
            }
            prop_assert_eq!(got, payloads);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = take(&mut buffer) {}
        }
    }
}
