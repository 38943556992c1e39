//! The system space: what a replica knows besides the keys, in the same batches, snapshots and digest.
//!
//! ```text
//! [01][01]                        state: format, applied index, stamp, digest
//! [01][02]                        databases, see `database`
//! [01][03]                        housekeeping: tombstone floor, checkpoint, sweep
//! [01][04]                        idempotency table: count, bytes, next number
//! [01][10][db u8][bucket u16]     -> tombstone: revision u64
//! [01][11][physical db u32]       -> empty; a flushed database with records left
//! [01][12][object id u64]         -> empty; a deleted collection with elements left
//! [01][13][len u8][client][sequence u64]  -> fingerprint, stamp, number, reply; see `once`
//! [01][14][number u64]            -> stamp u64, then the key of the [13] record
//! [01][20][name]                  -> the node's own
//! ```

use quorate_engine::EngineError;

use crate::codec::Decoder;
use crate::space::{KeyBuf, SYSTEM, damaged};

/// Kinds of system records.
const STATE: u8 = 0x01;
const DATABASES: u8 = 0x02;
const HOUSEKEEPING: u8 = 0x03;
const ONCE_TABLE: u8 = 0x04;
const TOMBSTONE: u8 = 0x10;
const GARBAGE: u8 = 0x11;
const ORPHAN: u8 = 0x12;
const ONCE: u8 = 0x13;
const ONCE_ORDER: u8 = 0x14;
const NODE: u8 = 0x20;

/// The layout that this version reads and writes.
const FORMAT: u8 = 1;

fn kind(kind: u8) -> KeyBuf {
    let mut key = KeyBuf::new(SYSTEM);
    key.push(&[kind]);
    key
}

/// Key of [`State`].
pub(crate) fn state_key() -> KeyBuf {
    kind(STATE)
}

/// Key of [`crate::database::Databases`].
pub(crate) fn databases_key() -> KeyBuf {
    kind(DATABASES)
}

/// Key of [`crate::housekeep::Housekeeping`].
pub(crate) fn housekeeping_key() -> KeyBuf {
    kind(HOUSEKEEPING)
}

/// Key of [`crate::once::OnceTable`].
pub(crate) fn once_table_key() -> KeyBuf {
    kind(ONCE_TABLE)
}

/// Prefix of all tombstones.
pub(crate) fn tombstone_prefix() -> KeyBuf {
    kind(TOMBSTONE)
}

/// Key of a tombstone.
pub(crate) fn tombstone_key(db: u8, bucket: u16) -> KeyBuf {
    let mut key = kind(TOMBSTONE);
    key.push(&[db]).push(&bucket.to_be_bytes());
    key
}

/// Prefix of all flushed databases that wait for clearing.
pub(crate) fn garbage_prefix() -> KeyBuf {
    kind(GARBAGE)
}

/// Key that says that a flushed database waits for clearing.
pub(crate) fn garbage_key(physical: u32) -> KeyBuf {
    let mut key = kind(GARBAGE);
    key.push(&physical.to_be_bytes());
    key
}

/// The physical database in a garbage key.
pub(crate) fn garbage_of_key(key: &[u8]) -> Result<u32, EngineError> {
    let mut decoder = Decoder::new(key);
    let physical = decoder.u16().and_then(|_| decoder.u32());
    physical.ok_or_else(|| damaged("garbage key"))
}

/// Prefix of all deleted collections that wait for clearing.
pub(crate) fn orphan_prefix() -> KeyBuf {
    kind(ORPHAN)
}

/// Key that says that a deleted collection's elements wait for clearing.
pub(crate) fn orphan_key(object: u64) -> KeyBuf {
    let mut key = kind(ORPHAN);
    key.push(&object.to_be_bytes());
    key
}

/// The object id in an orphan's key.
pub(crate) fn object_of_orphan_key(key: &[u8]) -> Result<u64, EngineError> {
    let mut decoder = Decoder::new(key);
    let object = decoder.u16().and_then(|_| decoder.u64());
    object.ok_or_else(|| damaged("orphan key"))
}

/// Key of a request's stored reply.
///
/// # Panics
/// When the client's name is longer than [`quorate_api::limits::IDEMPOTENCY_KEY_BYTES_MAX`].
pub(crate) fn once_key(client: &[u8], sequence: u64) -> KeyBuf {
    let len = u8::try_from(client.len()).expect("front-ends refuse longer idempotency keys");
    let mut key = kind(ONCE);
    key.push(&[len]).push(client).push(&sequence.to_be_bytes());
    key
}

/// Prefix of the idempotency table's order.
pub(crate) fn once_order_prefix() -> KeyBuf {
    kind(ONCE_ORDER)
}

/// Key of the idempotency table's entry `number`.
pub(crate) fn once_order_key(number: u64) -> KeyBuf {
    let mut key = kind(ONCE_ORDER);
    key.push(&number.to_be_bytes());
    key
}

/// Key of a record of the node's own.
pub(crate) fn node_key(name: &[u8]) -> KeyBuf {
    let mut key = kind(NODE);
    key.push(name);
    key
}

/// What every entry changes: written once per entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// Index of the last entry applied.
    pub(crate) applied: u64,
    /// Its stamp.
    pub(crate) stamp_ms: u64,
    /// The digest after it.
    pub(crate) digest: u64,
}

impl State {
    /// The bytes of the record: format, applied, stamp, digest.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25);
        bytes.push(FORMAT);
        for word in [self.applied, self.stamp_ms, self.digest] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    /// The reverse of [`State::encode`].
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let mut decoder = Decoder::new(bytes);
        let format = decoder.u8().ok_or_else(|| damaged("state record"))?;
        if format != FORMAT {
            let text = format!("record format {format}, this version knows only {FORMAT}");
            return Err(EngineError::Damage(text));
        }
        let state = (|| {
            let state =
                Self { applied: decoder.u64()?, stamp_ms: decoder.u64()?, digest: decoder.u64()? };
            decoder.is_empty().then_some(state)
        })();
        state.ok_or_else(|| damaged("state record"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_documented_bytes() {
        let keys: [(KeyBuf, &[u8]); 10] = [
            (state_key(), b"\x01\x01"),
            (databases_key(), b"\x01\x02"),
            (housekeeping_key(), b"\x01\x03"),
            (once_table_key(), b"\x01\x04"),
            (tombstone_key(3, 0x0102), b"\x01\x10\x03\x01\x02"),
            (garbage_key(5), b"\x01\x11\0\0\0\x05"),
            (orphan_key(5), b"\x01\x12\0\0\0\0\0\0\0\x05"),
            (once_key(b"me", 5), b"\x01\x13\x02me\0\0\0\0\0\0\0\x05"),
            (once_order_key(5), b"\x01\x14\0\0\0\0\0\0\0\x05"),
            (node_key(b"members"), b"\x01\x20members"),
        ];
        for (key, bytes) in keys {
            assert_eq!(key.as_slice(), bytes);
        }
    }

    #[test]
    fn ids_come_back_from_their_keys() {
        assert_eq!(garbage_of_key(garbage_key(7).as_slice()).unwrap(), 7);
        assert_eq!(object_of_orphan_key(orphan_key(7).as_slice()).unwrap(), 7);
        assert!(garbage_of_key(b"\x01\x11\0").is_err());
        assert!(object_of_orphan_key(b"\x01").is_err());
    }

    #[test]
    fn the_state_record_has_its_documented_bytes() {
        let state = State { applied: 1, stamp_ms: 2, digest: 3 };
        let bytes = state.encode();
        assert_eq!(bytes, b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03");
        assert_eq!(State::decode(&bytes).unwrap(), state);
    }

    #[test]
    fn a_state_record_of_another_format_is_refused_by_name() {
        let refused = State::decode(b"\x02").unwrap_err().to_string();
        assert!(refused.contains("record format 2"), "{refused}");
        assert!(State::decode(b"\x01\0").is_err());
    }
}
