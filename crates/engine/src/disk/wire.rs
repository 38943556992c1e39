//! How a record's key looks in the tree on disk.
//!
//! ```text
//!   [00]                                  the meta record: what the tree holds as a whole
//!   [01][key]                             a key of up to 60,000 bytes
//!   [01][its first 60,000 bytes][00][SHA-256 of the rest]
//!                                         a longer one; the value begins with the rest, and its length
//! ```
//!
//! The tree takes keys of up to 65,535 bytes, and a user's key alone may have 65,536. Long keys sort right:
//! their common head is followed by a byte, so they stand behind the key that *is* the head and before any
//! other. Among those of one head the order is that of the digests, so they are read together and sorted.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::damage;
use crate::engine::EngineError;

/// The key of the meta record.
pub(super) const META: [u8; 1] = [0];
/// What every other key starts with.
const RECORD: u8 = 1;
/// The longest key that is stored as it is.
pub(super) const HEAD_BYTES: usize = 60_000;
/// Behind the head of a longer one: a zero and a digest.
const TAIL_BYTES: usize = 1 + 32;

const _: () = assert!(1 + HEAD_BYTES + TAIL_BYTES <= u16::MAX as usize);

/// True when `key` is stored by its digest.
pub(super) fn is_long(key: &[u8]) -> bool {
    key.len() > HEAD_BYTES
}

/// The bytes of `key` that stand in the tree as they are.
fn head(key: &[u8]) -> &[u8] {
    key.get(..HEAD_BYTES).unwrap_or(key)
}

/// True when two long keys share their head.
pub(super) fn same_head(one: &[u8], other: &[u8]) -> bool {
    head(one) == head(other)
}

/// `key` as the tree knows it.
pub(super) fn tree_key(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len().min(HEAD_BYTES + TAIL_BYTES));
    out.push(RECORD);
    out.extend_from_slice(head(key));
    if let Some(rest) = key.get(HEAD_BYTES..).filter(|rest| !rest.is_empty()) {
        out.push(0);
        out.extend_from_slice(&Sha256::digest(rest));
    }
    out
}

/// Where a visit from `key` on begins: for a long key at the first of its head.
pub(super) fn tree_from(key: &[u8]) -> Vec<u8> {
    let mut out = vec![RECORD];
    out.extend_from_slice(head(key));
    if is_long(key) {
        out.push(0);
    }
    out
}

/// Behind which a visit up to `key` (excluded; empty: none) ends: for a long key behind the last of its
/// head. What is too much is left out by the visitor.
pub(super) fn tree_to(key: &[u8]) -> Vec<u8> {
    if key.is_empty() {
        return vec![RECORD + 1];
    }
    let mut out = vec![RECORD];
    out.extend_from_slice(head(key));
    if is_long(key) {
        out.push(1);
    }
    out
}

/// The value of a long key, as it is stored.
pub(super) fn long_value(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.get(HEAD_BYTES..).unwrap_or_default();
    let length = u32::try_from(rest.len()).expect("keys are far below 4 GiB");
    let mut out = Vec::with_capacity(4 + rest.len() + value.len());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(rest);
    out.extend_from_slice(value);
    out
}

/// A stored pair as a key and a value.
pub(super) fn decode(tree_key: &[u8], value: Bytes) -> Result<(Vec<u8>, Bytes), EngineError> {
    let key = tree_key.get(1..).filter(|_| tree_key.first() == Some(&RECORD));
    let key = key.ok_or_else(|| damage("a key of no known kind"))?;
    if key.len() <= HEAD_BYTES {
        return Ok((key.to_vec(), value));
    }
    let (rest, value) = split_long(value)?;
    let mut whole = key.get(..HEAD_BYTES).unwrap_or_default().to_vec();
    whole.extend_from_slice(&rest);
    Ok((whole, value))
}

/// The value of `key` out of what is stored for it.
pub(super) fn value_of(key: &[u8], stored: Bytes) -> Result<Bytes, EngineError> {
    if !is_long(key) {
        return Ok(stored);
    }
    let (rest, value) = split_long(stored)?;
    if key.get(HEAD_BYTES..) != Some(&rest[..]) {
        return Err(damage("a long key's record holds another key"));
    }
    Ok(value)
}

fn split_long(mut stored: Bytes) -> Result<(Bytes, Bytes), EngineError> {
    let length = stored.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize);
    let length = length.filter(|length| *length <= stored.len() - 4);
    let length = length.ok_or_else(|| damage("a long key's record is too short"))?;
    let mut rest = stored.split_off(4);
    let value = rest.split_off(length);
    Ok((rest, value))
}

/// What the tree holds as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// The index of the last entry whose batch is in it.
    pub(super) applied: u64,
}

impl Meta {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = vec![1];
        out.extend_from_slice(&self.applied.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        match bytes {
            [1, applied @ ..] => {
                let applied = applied.try_into().map(u64::from_le_bytes);
                applied.map(|applied| Self { applied }).map_err(|_| damage("the meta record"))
            }
            _ => Err(damage("the meta record is of another version")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_stand_between_their_head_and_what_follows_it() {
        let head = vec![7; HEAD_BYTES];
        let long = [head.as_slice(), b"abc"].concat();
        let mut next = head.clone();
        next[HEAD_BYTES - 1] = 8;
        assert!(tree_key(&head) < tree_key(&long) && tree_key(&long) < tree_key(&next));
        assert!(tree_from(&long) <= tree_key(&long) && tree_key(&long) < tree_to(&long));
        assert_eq!(tree_key(&long).len(), 1 + HEAD_BYTES + TAIL_BYTES);
        let stored = Bytes::from(long_value(&long, b"value"));
        assert_eq!(value_of(&long, stored.clone()).unwrap(), "value");
        assert_eq!(decode(&tree_key(&long), stored.clone()).unwrap(), (long, "value".into()));
        assert!(value_of(&[head.as_slice(), b"abd"].concat(), stored).is_err());
    }

    #[test]
    fn every_key_is_behind_the_meta_record_and_comes_back() {
        for key in [&b"\0"[..], b"k", &[0xff; 100]] {
            assert!(tree_key(key).as_slice() > &META[..]);
            assert!(tree_key(key) < tree_to(b""));
            let decoded = decode(&tree_key(key), Bytes::from_static(b"v")).unwrap();
            assert_eq!(decoded, (key.to_vec(), Bytes::from_static(b"v")));
        }
        assert_eq!(Meta::decode(&Meta { applied: 7 }.encode()).unwrap(), Meta { applied: 7 });
    }
}
