//! Records that were read or written lately, by key: what makes a hot GET as fast as in memory.
//!
//! Invariant: a cached record is always the present one. Every put and delete passes here, and what was
//! read elsewhere is let in only while it can't be out of date.

use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a record costs besides its bytes: its slot, its handle, two allocations.
const OVERHEAD_BYTES: u64 = 160;
/// Room is made at once for records of this size, so that the tables never grow in the middle of a command.
const EXPECTED_BYTES: u64 = 384;
/// A record may take this share of the cache.
const SHARE: u64 = 16;
/// A value this short may be a slice of a block of the tree, which it would keep alive.
const COPIED_BYTES: usize = 4096;

/// Hashes keys with a seed of the process, so that nobody can choose keys which collide.
#[derive(Clone)]
struct Seeded(u64);

impl BuildHasher for Seeded {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0)
    }
}

struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length of a slice: the bytes that follow tell as much.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Box<[u8]>, Option<Bytes>> for Weigh {
    fn weight(&self, key: &Box<[u8]>, value: &Option<Bytes>) -> u64 {
        (key.len() + value.as_ref().map_or(0, Bytes::len)) as u64 + OVERHEAD_BYTES
    }
}

type Records =
    Cache<Box<[u8]>, Option<Bytes>, Weigh, Seeded, DefaultLifecycle<Box<[u8]>, Option<Bytes>>>;

/// The cache.
pub(super) struct RecordCache {
    records: Records,
    value_bytes_max: usize,
}

impl RecordCache {
    /// A cache of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let expected = usize::try_from(bytes / EXPECTED_BYTES).unwrap_or(usize::MAX).max(1);
        let seed = Seeded(RandomState::new().hash_one(0));
        let mut records = Cache::with(expected, bytes, Weigh, seed, DefaultLifecycle::default());
        records.reserve(expected);
        Self { records, value_bytes_max: usize::try_from(bytes / SHARE).unwrap_or(usize::MAX) }
    }

    /// What is known of `key`: its value, or that it is absent (`Some(None)`).
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.records.get(key)
    }

    /// True when `key` is known.
    pub(super) fn knows(&self, key: &[u8]) -> bool {
        self.records.contains_key(key)
    }

    /// `key` has from now on the value that `value` gives, which is `len` long. What nobody has asked for is not let in:
    /// a load of new keys would drive out what is read, and lies in the overlay for a while anyway.
    pub(super) fn put(&mut self, key: &[u8], len: usize, value: impl FnOnce() -> Bytes) {
        // Records without a value are indexes: they are looked through, never looked up.
        if len > 0
            && len <= self.value_bytes_max
            && let Some(mut known) = self.records.get_mut(key)
            && known.is_some()
        {
            *known = Some(value());
            return;
        }
        self.forget(key);
    }

    /// Nothing is known of `key` any more.
    pub(super) fn forget(&mut self, key: &[u8]) {
        self.records.remove(key);
    }

    /// What was read of `key` from the tree.
    pub(super) fn admit(&mut self, key: Box<[u8]>, value: Option<Bytes>) {
        let value = value.map(|value| {
            if value.len() < COPIED_BYTES { Bytes::copy_from_slice(&value) } else { value }
        });
        if value.as_ref().is_none_or(|value| value.len() <= self.value_bytes_max) {
            self.records.insert(key, value);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.records.clear();
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.records.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &mut RecordCache, key: &[u8], value: &Bytes) {
        cache.put(key, value.len(), || value.clone());
    }

    #[test]
    fn a_record_is_known_until_it_is_forgotten() {
        let mut cache = RecordCache::new(1024 * 1024);
        let value = Bytes::from_static(b"value");
        put(&mut cache, b"k", &value);
        assert_eq!(cache.get(b"k"), None, "nobody has asked for it");
        cache.admit((*b"k").into(), Some(value.clone()));
        assert_eq!(cache.get(b"k"), Some(&Some(value)));
        let longer = Bytes::from_static(b"longer value");
        put(&mut cache, b"k", &longer);
        assert_eq!(cache.get(b"k"), Some(&Some(longer.clone())));
        cache.admit((*b"absent").into(), None);
        assert_eq!((cache.get(b"absent"), cache.get(b"other")), (Some(&None), None));
        put(&mut cache, b"absent", &longer);
        assert!(!cache.knows(b"absent"), "what was known is wrong");
        cache.forget(b"k");
        assert!(!cache.knows(b"k"));
        cache.admit((*b"k").into(), Some(longer));
        put(&mut cache, b"k", &Bytes::new());
        assert!(!cache.knows(b"k"), "an index record is not kept, and what was known is wrong");
    }

    #[test]
    fn it_keeps_to_its_size_and_to_what_is_asked_for() {
        let mut cache = RecordCache::new(1024 * 1024);
        let value = Bytes::from(vec![1; 1000]);
        for n in 0..100_000_u32 {
            cache.admit(Box::from(n.to_be_bytes()), Some(value.clone()));
            assert!(cache.bytes() <= 1024 * 1024);
            if n > 0 {
                cache.get(&0_u32.to_be_bytes());
            }
        }
        assert!(cache.knows(&0_u32.to_be_bytes()), "what is asked for stays");
        put(&mut cache, &0_u32.to_be_bytes(), &Bytes::from(vec![1; 100_000]));
        assert!(!cache.knows(&0_u32.to_be_bytes()), "too large now");
    }
}
