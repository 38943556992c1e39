//! WATCH: whether a key is still as it was seen.
//!
//! A key that was there is recognised by its revision, which never comes back. A key that was *absent*
//! leaves nothing to compare, so each deletion leaves a tombstone: a revision per bucket of keys. Who
//! saw the key absent at a state before the bucket's tombstone may have missed a creation and a
//! deletion, and aborts. Another key of the same bucket can cause that too, rarely; the reverse, a
//! change that goes unnoticed, can't happen.

use bytes::Bytes;
use quorate_api::Watch;
use quorate_engine::EngineError;
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::Decoder;
use crate::space::{KeyBuf, damaged};
use crate::store::Store;
use crate::system;

/// A watched key, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct WatchRef<'a> {
    /// The logical database.
    pub db: u8,
    /// The key.
    pub key: &'a [u8],
    /// Its revision when it was watched; 0 when it did not exist.
    pub revision: u64,
    /// The revision of the state in which that was read.
    pub seen: u64,
}

impl<'a> From<&'a Watch> for WatchRef<'a> {
    fn from(watch: &'a Watch) -> Self {
        Self { db: watch.db, key: &watch.key, revision: watch.revision, seen: watch.seen }
    }
}

/// The bucket of `key`: 64 Ki per logical database. By hash and not by slot, so that the keys of one
/// hash tag do not share a bucket.
#[expect(clippy::cast_possible_truncation, reason = "the low 16 bits of a hash are what is wanted")]
fn bucket(key: &[u8]) -> u16 {
    xxh3_64(key) as u16
}

/// The revision in a tombstone record.
pub(crate) fn tombstone_of(bytes: &[u8]) -> Result<u64, EngineError> {
    Decoder::new(bytes).u64().ok_or_else(|| damaged("tombstone"))
}

/// The record that remembers when a key of `key`'s bucket has gone.
pub(crate) fn tombstone_key(db: u8, key: &[u8]) -> KeyBuf {
    system::tombstone_key(db, bucket(key))
}

/// The highest revision at which a key of `key`'s bucket has gone, as far as is remembered.
fn tombstone(store: &Store, db: u8, key: &[u8]) -> Result<u64, EngineError> {
    let stored = store.engine().get(tombstone_key(db, key).as_slice())?;
    stored.map_or(Ok(0), |stored| tombstone_of(&stored))
}

/// Remembers that `key` has gone at `revision`.
pub(crate) fn bury(
    store: &mut Store,
    db: u8,
    key: &[u8],
    revision: u64,
) -> Result<(), EngineError> {
    if tombstone(store, db, key)? >= revision {
        return Ok(());
    }
    let value = Bytes::copy_from_slice(&revision.to_be_bytes());
    store.put(tombstone_key(db, key).as_slice(), value)
}

/// True when the watched key has not changed since it was seen.
pub(crate) fn holds(store: &Store, now_ms: u64, watch: WatchRef<'_>) -> Result<bool, EngineError> {
    if store.databases.get().row(watch.db).changed > watch.seen {
        return Ok(false);
    }
    let place = store.place(watch.db, watch.key);
    match store.record(&place)? {
        Some(record) if !record.expired_at(now_ms) => Ok(record.revision() == watch.revision),
        // Expired and not yet removed: it has no tombstone, but its revision says the same.
        Some(record) if record.revision() > watch.seen => Ok(false),
        _ if watch.revision != 0 => Ok(false),
        _ if watch.seen < store.housekeeping.get().floor => Ok(false),
        _ => Ok(tombstone(store, watch.db, watch.key)? <= watch.seen),
    }
}

#[cfg(test)]
mod tests;
