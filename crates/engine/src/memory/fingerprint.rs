//! One byte per record of a leaf: finds an exact key without touching the other keys.
//!
//! A leaf's keys fill a kilobyte that is rarely in the cache; a binary search would miss four or five
//! times. The fingerprints of a whole leaf fill half a cache line, and a wrong match (1 in 256 per
//! record) costs one comparison more. (FPTree, SIGMOD 2016, section 4.2.)

use super::key::{INLINE_BYTES_MAX, Words, words_padded};
use super::leaf::LEAF_MAX;

/// Odd, with well mixed bits (the golden ratio).
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// The fingerprint of a key. Only ever kept in memory: it may change between versions.
pub(super) fn fingerprint(key: &[u8]) -> u8 {
    fingerprint_of(hash_of(key, &words_padded(key)))
}

/// The fingerprint of the key with this hash.
pub(super) fn fingerprint_of(hash: u64) -> u8 {
    let [top, ..] = hash.to_be_bytes();
    top
}

/// The hash of `key`, whose first bytes are `words`.
pub(super) fn hash_of(key: &[u8], words: &Words) -> u64 {
    let mix = |hash: u64, word: &u64| (hash.rotate_left(23) ^ word).wrapping_mul(MIX);
    let hash = words.iter().fold(key.len() as u64, mix);
    let rest = key.get(INLINE_BYTES_MAX..).unwrap_or_default();
    let (chunks, last) = rest.as_chunks::<8>();
    let hash = chunks
        .iter()
        .map(|chunk| u64::from_le_bytes(*chunk))
        .fold(hash, |hash, word| mix(hash, &word));
    last.iter().fold(hash, |hash, byte| mix(hash, &u64::from(*byte)))
}

/// The fingerprints of a leaf, in the order of its keys. Slots past the last key hold leftovers.
#[derive(Clone, Debug)]
pub(super) struct Fingerprints([u8; LEAF_MAX]);

impl Fingerprints {
    /// For an empty leaf.
    pub(super) fn new() -> Self {
        Self([0; LEAF_MAX])
    }

    /// Sets the fingerprint at `at`.
    pub(super) fn set(&mut self, at: usize, print: u8) {
        if let Some(slot) = self.0.get_mut(at) {
            *slot = print;
        }
    }

    /// Makes room at `at` in a leaf of `len` keys (before the insertion) and fills it.
    pub(super) fn insert(&mut self, at: usize, len: usize, print: u8) {
        self.0.copy_within(at..len, at + 1);
        self.set(at, print);
    }

    /// Closes the gap at `at` in a leaf of `len` keys (before the removal).
    pub(super) fn remove(&mut self, at: usize, len: usize) {
        self.0.copy_within(at + 1..len, at);
    }

    /// The fingerprint at `at`.
    pub(super) fn at(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// The first slot that has `print` and for which `is_it` holds.
    pub(super) fn find(&self, print: u8, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let wanted = u64::from(print) * LOW_BITS;
        let (words, _) = self.0.as_chunks::<8>();
        for (nth, word) in words.iter().enumerate() {
            // Bytes that are zero here match. The subtraction may borrow into a byte above a match, which
            // then is looked at in vain; it never hides one.
            let differs = u64::from_le_bytes(*word) ^ wanted;
            let mut hits = differs.wrapping_sub(LOW_BITS) & !differs & HIGH_BITS;
            while hits != 0 {
                let at = nth * 8 + hits.trailing_zeros() as usize / 8;
                if is_it(at) {
                    return Some(at);
                }
                hits &= hits - 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_is_found_among_equal_and_neighbouring_prints() {
        for others in [0, 1, 2, 127, 128, 254, 255] {
            for print in 0..=255 {
                for at in 0..LEAF_MAX {
                    let mut prints = Fingerprints([others; LEAF_MAX]);
                    prints.set(at, print);
                    assert_eq!(prints.find(print, |slot| slot == at), Some(at));
                }
            }
        }
    }

    #[test]
    fn insert_and_remove_shift_as_a_vec_does() {
        let mut prints = Fingerprints::new();
        let mut model = Vec::new();
        for (nth, print) in (0..LEAF_MAX).zip(1..) {
            let at = (nth * 7) % (model.len() + 1);
            prints.insert(at, model.len(), print);
            model.insert(at, print);
        }
        while !model.is_empty() {
            let got: Vec<u8> = (0..model.len()).map(|at| prints.at(at)).collect();
            assert_eq!(got, model);
            let at = (model.len() * 5) % model.len().max(1);
            prints.remove(at, model.len());
            model.remove(at);
        }
    }

    #[test]
    fn similar_keys_have_different_fingerprints() {
        let mut seen = [0_u32; 256];
        for n in 0..25_600 {
            seen[usize::from(fingerprint(format!("key:{n:012}").as_bytes()))] += 1;
        }
        assert!(seen.iter().all(|n| (40..200).contains(n)), "{seen:?}");
    }
}
