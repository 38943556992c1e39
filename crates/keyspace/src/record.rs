//! The value of a key's record: a head that every type shares, and what the type puts behind it.
//!
//! ```text
//! [type u8][flags u8][revision u64][expire ms u64, only if flagged][payload]
//! ```
//!
//! A string's payload is its value; a collection's starts with its object id (u64).

use bytes::Bytes;
use quorate_api::Reply;
use quorate_engine::{EngineError, Found};

use crate::codec::Decoder;
use crate::copies::{COPY_BYTES_MAX, Copies};
use crate::space::damaged;
use crate::types::Kind;

/// Flag: an expiry follows the revision.
const EXPIRES: u8 = 1;
/// Where the encoding stands among the flags.
const ENCODING_SHIFT: u32 = 1;
const ENCODING_MASK: u8 = 0b11;

/// Bytes of a head without expiry.
const HEAD_BYTES: usize = 10;
/// Bytes of the expiry.
const EXPIRE_BYTES: usize = 8;

/// What OBJECT ENCODING says of a string. Quorate stores all strings alike; this only remembers how
/// Redis would have come to its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Encoding {
    /// Decided by the value: a number, a short string or a long one.
    #[default]
    Auto = 0,
    /// Never a number, like INCRBYFLOAT's result.
    Text = 1,
    /// Changed in place, by APPEND or SETRANGE.
    Raw = 2,
}

/// What every record starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The type.
    pub(crate) kind: Kind,
    /// See [`Encoding`].
    pub(crate) encoding: Encoding,
    /// When the key was last written.
    pub(crate) revision: u64,
    /// When it ceases to exist, Unix milliseconds.
    pub(crate) expire_ms: Option<u64>,
}

impl Head {
    /// Starts a record whose payload will have `payload_bytes`: the one allocation of a write.
    fn start(&self, payload_bytes: usize) -> Vec<u8> {
        let expire_bytes = if self.expire_ms.is_some() { EXPIRE_BYTES } else { 0 };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + expire_bytes + payload_bytes);
        self.put(&mut bytes);
        bytes
    }

    /// Appends it.
    pub(crate) fn put(&self, bytes: &mut Vec<u8>) {
        let expires = if self.expire_ms.is_some() { EXPIRES } else { 0 };
        bytes.push(self.kind as u8);
        bytes.push(expires | ((self.encoding as u8) << ENCODING_SHIFT));
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        if let Some(expire_ms) = self.expire_ms {
            bytes.extend_from_slice(&expire_ms.to_be_bytes());
        }
    }

    #[inline]
    fn decode(decoder: &mut Decoder<'_>) -> Option<Self> {
        let kind = Kind::from_u8(decoder.u8()?)?;
        let flags = decoder.u8()?;
        let encoding = match (flags >> ENCODING_SHIFT) & ENCODING_MASK {
            0 => Encoding::Auto,
            1 => Encoding::Text,
            2 => Encoding::Raw,
            _ => return None,
        };
        (flags >> ENCODING_SHIFT <= ENCODING_MASK).then_some(())?;
        let revision = decoder.u64()?;
        let expire_ms = if flags & EXPIRES == 0 { None } else { Some(decoder.u64()?) };
        Some(Self { kind, encoding, revision, expire_ms })
    }
}

/// The head of what the engine holds, what goes with it, and where the payload starts.
#[inline]
fn split(bytes: &[u8]) -> Option<(Head, Brief, usize)> {
    let mut decoder = Decoder::new(bytes);
    let head = Head::decode(&mut decoder)?;
    let payload = decoder.rest();
    // A collection that is too short for its object id is not read as one without.
    let object = if head.kind == Kind::String { None } else { Some(Decoder::new(payload).u64()?) };
    let brief = Brief { expire_ms: head.expire_ms, object };
    Some((head, brief, bytes.len() - payload.len()))
}

/// What a write has to know of the record that it replaces or removes: what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    expire_ms: Option<u64>,
    object: Option<u64>,
}

impl Brief {
    /// Of a record with which nothing goes: a string without an expiry.
    pub(crate) const PLAIN: Self = Self { expire_ms: None, object: None };

    /// Of a string with this head.
    pub(crate) fn of_string(head: Head) -> Self {
        Self { expire_ms: head.expire_ms, object: None }
    }

    /// Reads it from what the engine holds.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        split(bytes).map(|(_, brief, _)| brief).ok_or_else(|| damaged("record"))
    }

    /// When the record ceases to exist.
    pub(crate) fn expire_ms(&self) -> Option<u64> {
        self.expire_ms
    }

    /// True when its time has come at `now_ms`.
    pub(crate) fn expired_at(&self, now_ms: u64) -> bool {
        self.expire_ms.is_some_and(|expire_ms| expire_ms <= now_ms)
    }

    /// The collection's object id; `None` for a string.
    pub(crate) fn object(&self) -> Option<u64> {
        self.object
    }
}

/// A record, decoded in place: one that is lent by the engine, or one that is to be written.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    head: Head,
    brief: Brief,
    payload_at: usize,
    bytes: Found<'a>,
}

impl Record<'static> {
    /// A record whose payload of `payload_bytes` is appended by `fill`.
    pub(crate) fn build(head: Head, payload_bytes: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = head.start(payload_bytes);
        let payload_at = bytes.len();
        fill(&mut bytes);
        debug_assert_eq!(bytes.len(), payload_at + payload_bytes, "the payload's announced length");
        let object = (head.kind != Kind::String)
            .then(|| Decoder::new(bytes.get(payload_at..).unwrap_or_default()).u64());
        Self {
            head,
            brief: Brief { expire_ms: head.expire_ms, object: object.flatten() },
            payload_at,
            bytes: Found::Given(bytes.into()),
        }
    }

    /// A record with this payload.
    pub(crate) fn new(head: Head, payload: &[u8]) -> Self {
        Self::build(head, payload.len(), |bytes| bytes.extend_from_slice(payload))
    }
}

impl<'a> Record<'a> {
    /// Decodes what the engine holds.
    pub(crate) fn decode(bytes: Found<'a>) -> Result<Self, EngineError> {
        let (head, brief, payload_at) = split(&bytes).ok_or_else(|| damaged("record"))?;
        Ok(Self { head, brief, payload_at, bytes })
    }

    /// The record to keep while the engine changes. Copies a small one.
    pub(crate) fn into_owned(self) -> Record<'static> {
        let Self { head, brief, payload_at, bytes } = self;
        Record { head, brief, payload_at, bytes: Found::Given(bytes.into_bytes()) }
    }

    /// What a write that replaces it has to know.
    pub(crate) fn brief(&self) -> &Brief {
        &self.brief
    }

    /// Its head.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Its type.
    pub(crate) fn kind(&self) -> Kind {
        self.head.kind
    }

    /// When it was last written.
    pub(crate) fn revision(&self) -> u64 {
        self.head.revision
    }

    /// When it ceases to exist.
    pub(crate) fn expire_ms(&self) -> Option<u64> {
        self.brief.expire_ms()
    }

    /// True when its time has come at `now_ms`.
    pub(crate) fn expired_at(&self, now_ms: u64) -> bool {
        self.brief.expired_at(now_ms)
    }

    /// What the type put behind the head.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload_at..).unwrap_or_default()
    }

    /// The payload as a reply. A small one that the engine lends is copied: that costs less than counting
    /// one more owner of a value whose counter is in no cache.
    pub(crate) fn reply(&self, copies: &Copies) -> Reply {
        match &self.bytes {
            Found::Small(_) | Found::Lent(_) if self.payload().len() <= COPY_BYTES_MAX => {
                Reply::Bulk(copies.copy(self.payload()))
            }
            _ => Reply::Bulk(self.value()),
        }
    }

    /// The payload to keep. Copies a small one.
    pub(crate) fn value(&self) -> Bytes {
        match &self.bytes {
            Found::Small(_) => Bytes::copy_from_slice(self.payload()),
            Found::Lent(bytes) => bytes.slice(self.payload_at..),
            Found::Given(bytes) => bytes.slice(self.payload_at..),
        }
    }

    /// The bytes for the engine.
    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into_bytes()
    }

    /// The same payload under another head.
    pub(crate) fn with_head(&self, head: Head) -> Record<'static> {
        Record::new(head, self.payload())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(expire_ms: Option<u64>, encoding: Encoding) -> Head {
        Head { kind: Kind::String, encoding, revision: 0x0102, expire_ms }
    }

    #[test]
    fn a_string_record_has_its_documented_bytes() {
        let plain = Record::new(head(None, Encoding::Auto), b"hi").into_bytes();
        assert_eq!(plain.as_ref(), b"\x01\x00\0\0\0\0\0\0\x01\x02hi");
        let expiring = Record::new(head(Some(0x0304), Encoding::Raw), b"hi").into_bytes();
        assert_eq!(expiring.as_ref(), b"\x01\x05\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\x03\x04hi");
        let text = Record::new(head(None, Encoding::Text), b"").into_bytes();
        assert_eq!(text.as_ref(), b"\x01\x02\0\0\0\0\0\0\x01\x02");
    }

    #[test]
    fn a_record_comes_back_and_its_value_shares_the_bytes() {
        for expire_ms in [None, Some(u64::MAX)] {
            let bytes = Record::new(head(expire_ms, Encoding::Auto), b"value").into_bytes();
            let record = Record::decode(Found::Lent(&bytes)).unwrap();
            assert_eq!(*record.head(), head(expire_ms, Encoding::Auto));
            assert_eq!(record.payload(), b"value");
            let offset = bytes.len() - 5;
            assert_eq!(record.value().as_ptr(), bytes[offset..].as_ptr());
        }
    }

    #[test]
    fn malformed_records_are_damage() {
        let malformed: [&[u8]; 6] = [
            b"",
            b"\x01",
            b"\x01\x00\0\0\0\0\0\0\x01",
            b"\x01\x01\0\0\0\0\0\0\x01\x02\0\0",
            b"\x63\x00\0\0\0\0\0\0\x01\x02",
            b"\x01\x08\0\0\0\0\0\0\x01\x02",
        ];
        for bytes in malformed {
            let decoded = Record::decode(Found::Given(Bytes::copy_from_slice(bytes)));
            assert!(matches!(decoded, Err(EngineError::Damage(_))), "{bytes:?}");
        }
    }

    #[test]
    fn a_key_expires_at_its_very_millisecond() {
        let record = Record::new(head(Some(100), Encoding::Auto), b"");
        assert!(!record.expired_at(99));
        assert!(record.expired_at(100));
    }
}
