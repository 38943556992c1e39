//! The state digest: a rolling hash over every put and delete of every batch, in their order.
//!
//! Replicas compare it at the same index. It proves that they wrote the same; a scrub that re-reads
//! content is what proves that they can still read it.

use xxhash_rust::xxh3::xxh3_64;

/// Numbers of the operations; part of the digest and so of the format.
const PUT: u64 = 1;
const DELETE: u64 = 2;
const ENTRY: u64 = 3;

/// The hash so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Digest {
    /// Goes on from a stored value.
    pub(crate) fn new(value: u64) -> Self {
        Self(value)
    }

    /// Its value.
    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// A record was put.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.chain(PUT, xxh3_64(key), xxh3_64(value));
    }

    /// A record was deleted.
    pub(crate) fn delete(&mut self, key: &[u8]) {
        self.chain(DELETE, xxh3_64(key), 0);
    }

    /// An entry ended.
    pub(crate) fn entry(&mut self, index: u64, stamp_ms: u64) {
        self.chain(ENTRY, index, stamp_ms);
    }

    /// One block of fixed size per operation: cheaper than a keyed hash over long values, whose key
    /// schedule XXH3 derives anew each time.
    fn chain(&mut self, operation: u64, first: u64, second: u64) {
        let mut block = [0; 32];
        let words = [self.0, operation, first, second];
        for (room, word) in block.chunks_exact_mut(8).zip(words) {
            room.copy_from_slice(&word.to_le_bytes());
        }
        self.0 = xxh3_64(&block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key, and its value unless it is deleted.
    type Step = (&'static [u8], Option<&'static [u8]>);

    fn digest_of(steps: &[Step]) -> u64 {
        let mut digest = Digest::default();
        for (key, value) in steps {
            match value {
                Some(value) => digest.put(key, value),
                None => digest.delete(key),
            }
        }
        digest.value()
    }

    #[test]
    fn the_digest_has_its_documented_value() {
        let mut digest = Digest::default();
        digest.put(b"k", b"v");
        digest.delete(b"k");
        digest.entry(1, 1_000);
        assert_eq!(digest.value(), 0x86ac_b14e_bdd8_7747);
    }

    #[test]
    fn order_keys_values_and_kind_all_count() {
        let reference = digest_of(&[(b"a", Some(b"1")), (b"b", Some(b"2"))]);
        let others: [&[Step]; 5] = [
            &[(b"b", Some(b"2")), (b"a", Some(b"1"))],
            &[(b"a", Some(b"1")), (b"b", Some(b"3"))],
            &[(b"a", Some(b"1")), (b"c", Some(b"2"))],
            &[(b"a", Some(b"1")), (b"b", None)],
            &[(b"a", Some(b"1"))],
        ];
        for other in others {
            assert_ne!(digest_of(other), reference, "{other:?}");
        }
    }
}
