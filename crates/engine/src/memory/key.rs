//! Keys as the tree keeps them: short ones inline, and the probe that is compared with them.
//!
//! Comparing boxed keys was the first cost of the prototypes after the kernel's TCP path: each
//! comparison of a binary search followed a pointer into cold memory. 30 bytes plus a length and a tag
//! fill half a cache line, so a search touches the node and nothing else.

use std::cmp::Ordering;

use super::fingerprint::{fingerprint_of, hash_of};

/// The longest key that needs no allocation.
pub(super) const INLINE_BYTES_MAX: usize = 30;

const _: () = assert!(size_of::<Key>() == 32, "two keys fill a cache line");

/// A key inside a node. Aligned, so that none lies in two cache lines.
#[derive(Clone, Debug)]
#[repr(align(32))]
pub(super) enum Key {
    /// Up to [`INLINE_BYTES_MAX`] bytes.
    /// Invariant: `bytes` is zero from `len` on, so that padded keys compare as wholes.
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    /// Anything longer.
    Heap(Box<[u8]>),
}

impl Key {
    /// Copies `bytes`.
    pub(super) fn new(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(len) if bytes.len() <= INLINE_BYTES_MAX => Self::Inline { len, bytes: pad(bytes) },
            _ => Self::Heap(bytes.into()),
        }
    }

    /// The shortest key that is above `low` and not above `high`: what parts two neighbours.
    /// Short separators keep the upper levels inline even when the keys are long.
    pub(super) fn between(low: &Self, high: &Self) -> Self {
        let (low, high) = (low.as_slice(), high.as_slice());
        debug_assert!(low < high, "a separator parts two different keys in order");
        let common = low.iter().zip(high).take_while(|(a, b)| a == b).count();
        Self::new(high.get(..=common).unwrap_or(high))
    }

    /// The key's bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Heap(bytes) => bytes,
        }
    }

    /// The key's length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Inline { len, .. } => usize::from(*len),
            Self::Heap(bytes) => bytes.len(),
        }
    }

    /// Length of the key's own allocation in bytes; `None` when it lives in the node.
    pub(super) fn heap_len(&self) -> Option<usize> {
        match self {
            Self::Inline { .. } => None,
            Self::Heap(bytes) => Some(bytes.len()),
        }
    }
}

/// A padded key as numbers that compare like it.
pub(super) type Words = [u64; 4];

/// A key that is looked for, prepared once per operation for the comparisons on the way down.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    bytes: &'a [u8],
    /// Its first bytes, eight to a number.
    eights: [u64; 4],
    /// The same as numbers that compare like a padded key.
    words: Words,
    hash: u64,
}

impl<'a> Probe<'a> {
    /// Prepares `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let eights = eights(bytes);
        let words = words_of(&eights);
        Self { bytes, eights, words, hash: hash_of(bytes, &words) }
    }

    /// The bytes looked for.
    pub(super) fn as_slice(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first [`INLINE_BYTES_MAX`] bytes of the key looked for.
    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    /// Eight of its bytes, from `at` on, as a number that compares as they do; zeros behind its end.
    #[inline]
    pub(super) fn head(&self, at: usize) -> u64 {
        // Put together from numbers: bytes just stored would have to arrive before they can be loaded across
        // two stores.
        match self.eights.get(at / 8..) {
            Some([high, low, ..]) if at <= INLINE_BYTES_MAX - 8 => {
                let bits = at % 8 * 8;
                (high << bits) | (low >> 1 >> (63 - bits))
            }
            _ => head(self.bytes, at),
        }
    }

    /// The fingerprint of the key looked for.
    pub(super) fn fingerprint(&self) -> u8 {
        fingerprint_of(self.hash)
    }

    /// The hash of the key looked for.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// A copy to be kept in a node.
    pub(super) fn to_key(&self) -> Key {
        Key::new(self.bytes)
    }

    /// How the probe stands to `key`, in byte order.
    ///
    /// Padding with zeros keeps the order: where one key ends and the other goes on, zero meets a
    /// byte that is not smaller; should everything be equal, the lengths decide ("a" < "a\0"). This also
    /// holds for a probe longer than the padding, since only inline keys are compared that way.
    #[inline]
    pub(super) fn compare(&self, key: &Key) -> Ordering {
        match key {
            Key::Inline { len, bytes } => {
                let theirs = words(bytes);
                for (ours, theirs) in self.words.iter().zip(&theirs) {
                    if ours != theirs {
                        return ours.cmp(theirs);
                    }
                }
                self.bytes.len().cmp(&usize::from(*len))
            }
            Key::Heap(bytes) => self.bytes.cmp(bytes),
        }
    }

    /// True when the probe is `key`.
    #[inline]
    pub(super) fn is(&self, key: &Key) -> bool {
        match key {
            Key::Inline { len, bytes } => {
                self.bytes.len() == usize::from(*len) && self.words == words(bytes)
            }
            Key::Heap(bytes) => *self.bytes == **bytes,
        }
    }
}

/// The eight bytes of `key` from `at` on, as a number that compares as they do.
#[inline]
pub(super) fn head(key: &[u8], at: usize) -> u64 {
    let rest = key.get(at..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(rest) {
        *to = *from;
    }
    u64::from_be_bytes(bytes)
}

/// The first bytes of `bytes`, filled up with zeros.
#[inline]
pub(super) fn pad(bytes: &[u8]) -> [u8; INLINE_BYTES_MAX] {
    let mut padded = [0; INLINE_BYTES_MAX];
    let head = bytes.get(..INLINE_BYTES_MAX).unwrap_or(bytes);
    if let Some(room) = padded.get_mut(..head.len()) {
        room.copy_from_slice(head);
    }
    padded
}

/// The first [`INLINE_BYTES_MAX`] bytes of `bytes`, eight to a number, filled up with zeros. Without a copy: that of a
/// few bytes is a call.
#[inline]
fn eights(bytes: &[u8]) -> [u64; 4] {
    let bytes = bytes.get(..INLINE_BYTES_MAX).unwrap_or(bytes);
    let (chunks, rest) = bytes.as_chunks::<8>();
    let mut eights = [0; 4];
    for (eight, chunk) in eights.iter_mut().zip(chunks) {
        *eight = u64::from_be_bytes(*chunk);
    }
    if let (Some(eight), false) = (eights.get_mut(chunks.len()), rest.is_empty()) {
        // The last eight bytes, without those that the number before has.
        let last = match bytes.last_chunk() {
            Some(last) => u64::from_be_bytes(*last),
            None => rest.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        };
        *eight = last << (8 * (8 - rest.len()));
    }
    eights
}

/// A padded key as big-endian numbers: comparing four of them in place costs a third of calling `memcmp`
/// for 30 bytes. The last two overlap, which changes no order: what they share has compared equal.
#[inline]
pub(super) fn words(padded: &[u8; INLINE_BYTES_MAX]) -> Words {
    let word = |at: usize| {
        padded.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_be_bytes(*bytes))
    };
    [word(0), word(8), word(16), word(INLINE_BYTES_MAX - 8)]
}

/// The [`words`] of a key whose first bytes are `eights`.
#[inline]
fn words_of(eights: &[u64; 4]) -> Words {
    let [first, second, third, rest] = *eights;
    [first, second, third, third << 48 | rest >> 16]
}

/// The [`words`] of the first bytes of `key`.
#[inline]
pub(super) fn words_padded(key: &[u8]) -> Words {
    words_of(&eights(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Vec<u8>> {
        let mut samples = vec![vec![], vec![0], vec![0, 0], b"a".to_vec(), b"a\0".to_vec()];
        for len in [1, 7, 8, 9, 29, 30, 31, 32, 255, 256, 300] {
            samples.push(vec![b'x'; len]);
            samples.push(vec![0; len]);
            samples.push(vec![255; len]);
            let mut last_differs = vec![b'x'; len];
            *last_differs.last_mut().unwrap() = 0;
            samples.push(last_differs);
        }
        samples
    }

    #[test]
    fn probes_compare_as_their_bytes_do() {
        for a in samples() {
            for b in samples() {
                let (probe, key) = (Probe::new(&a), Key::new(&b));
                assert_eq!(probe.compare(&key), a.cmp(&b), "{a:?} {b:?}");
                assert_eq!(probe.is(&key), a == b, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn the_words_of_a_probe_are_those_of_the_padded_key() {
        for len in 0..40 {
            let key: Vec<u8> = (1..).take(len).collect();
            assert_eq!(*Probe::new(&key).words(), words(&pad(&key)), "{len} bytes");
            assert_eq!(words_padded(&key), words(&pad(&key)), "{len} bytes");
            for at in 0..40 {
                assert_eq!(Probe::new(&key).head(at), head(&key, at), "{len} bytes, from {at} on");
            }
        }
    }

    #[test]
    fn keys_give_their_bytes_back() {
        for a in samples() {
            assert_eq!(Key::new(&a).as_slice(), a);
            assert_eq!(Probe::new(&a).to_key().as_slice(), a);
            assert_eq!(Key::new(&a).len(), a.len());
            assert_eq!(Key::new(&a).heap_len().is_some(), a.len() > INLINE_BYTES_MAX);
        }
    }

    #[test]
    fn a_separator_is_above_the_left_and_not_above_the_right() {
        for a in samples() {
            for b in samples().into_iter().filter(|b| a < *b) {
                let separator = Key::between(&Key::new(&a), &Key::new(&b));
                assert!(separator.as_slice() > a.as_slice(), "{a:?} {b:?}");
                assert!(separator.as_slice() <= b.as_slice(), "{a:?} {b:?}");
            }
        }
    }
}
