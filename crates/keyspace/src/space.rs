//! The key of every record: five spaces, told apart by the first byte.
//!
//! ```text
//! 0x01 system   [01][kind u8][...]                                       see `system`
//! 0x02 meta     [02][physical db u32][user key]                          -> record
//! 0x03 sub      [03][object id u64][...]                                 -> a collection's element
//! 0x04 slot     [04][physical db u32][slot u16][hash48][user key]        -> empty
//! 0x05 expiry   [05][expire ms u64][physical db u32][user key]           -> empty
//! ```
//!
//! Integers are big endian, so that byte order is number order. With a user key of 16 bytes none of
//! these is longer than 30 bytes, which the memory engine stores inline.

use quorate_engine::EngineError;

use crate::codec::Decoder;

/// Records of the replica itself, untouched by FLUSHALL.
pub(crate) const SYSTEM: u8 = 0x01;
/// One record per user key.
pub(crate) const META: u8 = 0x02;
/// Elements of collections.
pub(crate) const SUB: u8 = 0x03;
/// The keys of a database by hash slot and hash.
pub(crate) const SLOT: u8 = 0x04;
/// The keys with an expiry by time.
pub(crate) const EXPIRY: u8 = 0x05;

/// Bytes that a [`KeyBuf`] holds without an allocation.
const INLINE_BYTES: usize = 56;

/// A record's key under construction: on the stack while it is short, so that encoding a key on the
/// hot path allocates nothing.
#[derive(Debug)]
pub(crate) struct KeyBuf {
    inline: [u8; INLINE_BYTES],
    len: usize,
    heap: Vec<u8>,
}

impl KeyBuf {
    /// A key in `space`.
    pub(crate) fn new(space: u8) -> Self {
        let mut key = Self { inline: [0; INLINE_BYTES], len: 0, heap: Vec::new() };
        key.push(&[space]);
        key
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> &mut Self {
        let end = self.len + bytes.len();
        if self.heap.is_empty() {
            if let Some(room) = self.inline.get_mut(self.len..end) {
                room.copy_from_slice(bytes);
                self.len = end;
                return self;
            }
            self.heap.reserve_exact(end);
            self.heap.extend_from_slice(self.inline.get(..self.len).unwrap_or_default());
        }
        self.heap.extend_from_slice(bytes);
        self.len = end;
        self
    }

    /// The key.
    pub(crate) fn as_slice(&self) -> &[u8] {
        if self.heap.is_empty() {
            self.inline.get(..self.len).unwrap_or_default()
        } else {
            &self.heap
        }
    }

    /// The first key behind all keys that start with this one.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut end = self.as_slice().to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        end
    }
}

/// The record of `key`.
pub(crate) fn meta(physical: u32, key: &[u8]) -> KeyBuf {
    let mut buf = KeyBuf::new(META);
    buf.push(&physical.to_be_bytes()).push(key);
    buf
}

/// Element `rest` of the collection `object`; with an empty `rest` the prefix of all of them.
pub(crate) fn sub(object: u64, rest: &[u8]) -> KeyBuf {
    let mut buf = KeyBuf::new(SUB);
    buf.push(&object.to_be_bytes()).push(rest);
    buf
}

/// The slot index's entry of `key` at `position` (see [`crate::slot::position`]).
pub(crate) fn slot(physical: u32, position: u64, key: &[u8]) -> KeyBuf {
    let mut buf = KeyBuf::new(SLOT);
    buf.push(&physical.to_be_bytes()).push(&position.to_be_bytes()).push(key);
    buf
}

/// All of the slot index of one database.
pub(crate) fn slot_prefix(physical: u32) -> KeyBuf {
    let mut buf = KeyBuf::new(SLOT);
    buf.push(&physical.to_be_bytes());
    buf
}

/// The expiry index's entry of `key`.
pub(crate) fn expiry(expire_ms: u64, physical: u32, key: &[u8]) -> KeyBuf {
    let mut buf = KeyBuf::new(EXPIRY);
    buf.push(&expire_ms.to_be_bytes()).push(&physical.to_be_bytes()).push(key);
    buf
}

/// The first possible key of the expiry index at `expire_ms`.
pub(crate) fn expiry_from(expire_ms: u64) -> KeyBuf {
    let mut buf = KeyBuf::new(EXPIRY);
    buf.push(&expire_ms.to_be_bytes());
    buf
}

/// The user key in a meta record's key.
pub(crate) fn user_key_of_meta(record: &[u8]) -> Result<&[u8], EngineError> {
    let mut decoder = Decoder::new(record);
    let decoded = (|| {
        (decoder.u8()? == META).then_some(())?;
        decoder.u32()?;
        Some(decoder.rest())
    })();
    decoded.ok_or_else(|| damaged("meta key"))
}

/// Position and user key in a slot index entry's key.
pub(crate) fn parts_of_slot(record: &[u8]) -> Result<(u64, &[u8]), EngineError> {
    let mut decoder = Decoder::new(record);
    let decoded = (|| {
        (decoder.u8()? == SLOT).then_some(())?;
        decoder.u32()?;
        Some((decoder.u64()?, decoder.rest()))
    })();
    decoded.ok_or_else(|| damaged("slot index key"))
}

/// Expiry, physical database and user key in an expiry index entry's key.
pub(crate) fn parts_of_expiry(record: &[u8]) -> Result<(u64, u32, &[u8]), EngineError> {
    let mut decoder = Decoder::new(record);
    let decoded = (|| {
        (decoder.u8()? == EXPIRY).then_some(())?;
        Some((decoder.u64()?, decoder.u32()?, decoder.rest()))
    })();
    decoded.ok_or_else(|| damaged("expiry index key"))
}

/// A record that no version of this code has written.
pub(crate) fn damaged(what: &str) -> EngineError {
    EngineError::Damage(format!("malformed {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::position;

    #[test]
    fn keys_have_their_documented_bytes() {
        assert_eq!(meta(7, b"foo").as_slice(), b"\x02\0\0\0\x07foo");
        assert_eq!(sub(0x0102, b"f").as_slice(), b"\x03\0\0\0\0\0\0\x01\x02f");
        assert_eq!(
            slot(7, position(b"foo"), b"foo").as_slice(),
            b"\x04\0\0\0\x07\x2f\x96\x5f\x64\x07\x7e\x7d\x8afoo".as_slice()
        );
        assert_eq!(
            expiry(0x0102_0304, 7, b"foo").as_slice(),
            b"\x05\0\0\0\0\x01\x02\x03\x04\0\0\0\x07foo"
        );
    }

    #[test]
    fn keys_of_a_16_byte_user_key_fit_inline_in_the_engine() {
        let key = [b'k'; 16];
        for buf in [meta(0, &key), slot(0, 0, &key), expiry(0, 0, &key)] {
            assert!(buf.as_slice().len() <= 30);
        }
    }

    #[test]
    fn a_long_key_spills_without_losing_a_byte() {
        for len in 0..300 {
            let key: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            let buf = meta(0x0102_0304, &key);
            assert_eq!(buf.as_slice(), [b"\x02\x01\x02\x03\x04", key.as_slice()].concat());
            assert_eq!(user_key_of_meta(buf.as_slice()).unwrap(), key);
        }
    }

    #[test]
    fn the_end_of_a_prefix_is_behind_all_its_keys_and_before_the_next() {
        assert_eq!(meta(7, b"").end(), b"\x02\0\0\0\x08");
        assert_eq!(meta(u32::MAX, b"").end(), b"\x03");
        assert_eq!(meta(0xff, b"").end(), b"\x02\0\0\x01");
    }
}
