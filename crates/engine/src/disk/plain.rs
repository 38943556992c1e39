//! Which keys have a plain record: one of which a write that replaces or removes it needs to know no more than that it
//! is there ([`crate::Engine::mark_plain`]). Ten bytes a key, where the record would take hundreds: so a write of
//! any key need not read the tree for as many keys as fit, some twenty times as many as the cache of records holds.
//!
//! A key is known by 80 bits of a keyed hash, compared with those of the twelve keys of its bucket: a key that is not
//! there is taken for one of them with a chance of 1 in 10^23, once in ten years if three billion nodes did nothing but
//! write 100,000 such keys a second. Nobody can look for two such keys: the hash is a SipHash-1-3, with a key of the
//! process's own.
//!
//! Invariant: what is in the table was marked by the last put of its key. Every put and delete passes here; those of
//! the open batch are taken in when it ends, so that it never drives out what it is about to ask for. Until then the
//! overlay, which is asked first, has the last word on their keys.

use std::hash::{BuildHasher, RandomState};

use siphasher::sip128::SipHasher13;

/// Keys of one bucket: as many as fit into two cache lines, which are fetched together.
const KEYS: usize = 12;
const WORDS: usize = 64;
const BUCKET_BYTES: usize = 128;
const TAG_WORDS: usize = 5;
const HEAD_WORDS: usize = 4;
/// Memory is taken in pieces like this.
const PAGE_BYTES: u64 = 4096;
const _: () = assert!(HEAD_WORDS + KEYS * TAG_WORDS == WORDS && WORDS * 2 == BUCKET_BYTES);
// A bit of one word each.
const _: () = assert!(KEYS <= u16::BITS as usize);
/// Changes that are looked up side by side.
const TOGETHER: usize = 16;
/// Room for so many changes of a batch is kept.
const CHANGES_KEPT: usize = 4096;

/// Bits of the keys that were marked again since the hand came by; the hand; two words that are not used; the first
/// words of all keys' tags, the second ones, and so on.
type Bucket = [u16; WORDS];
/// The first word is never 0: that is a free place.
type Tag = [u16; TAG_WORDS];

/// What a key is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    bucket: usize,
    tag: Tag,
}

/// A key that was put or deleted in the open batch, and whether its record is plain now.
#[derive(Clone, Copy, Debug)]
struct Change {
    identity: Identity,
    plain: bool,
}

/// See the file's head.
pub(super) struct PlainKeys {
    words: Vec<u16>,
    /// Where the first bucket is, so that each lies in two lines and not in three.
    start: usize,
    buckets: usize,
    hasher: SipHasher13,
    /// First bytes of keys that were ever marked: those of all others need not be looked for.
    spaces: [bool; 256],
    changes: Vec<Change>,
    /// The last of them is of what was put or deleted last.
    last_is_noted: bool,
    /// Keys that have found a free place so far.
    placed: u64,
}

fn new_hasher() -> SipHasher13 {
    let random = |n: u64| RandomState::new().hash_one(n);
    SipHasher13::new_with_keys(random(0), random(1))
}

fn tags(bucket: &Bucket) -> &[u16] {
    let [_, _, _, _, tags @ ..] = bucket;
    tags
}

fn position(bucket: &Bucket, tag: Tag) -> Option<usize> {
    let same = |at: usize| {
        tag.iter().zip(tags(bucket).chunks(KEYS)).all(|(word, words)| words.get(at) == Some(word))
    };
    let [first, ..] = tag;
    let firsts = tags(bucket).iter().take(KEYS);
    firsts.enumerate().find(|(at, word)| **word == first && same(*at)).map(|(at, _)| at)
}

fn place(bucket: &mut Bucket, at: usize, tag: Tag) {
    let [_, _, _, _, tags @ ..] = bucket;
    for (words, word) in tags.chunks_mut(KEYS).zip(tag) {
        if let Some(place) = words.get_mut(at) {
            *place = word;
        }
    }
}

/// Makes room by second chance: who was marked again since the hand came by stays for another round.
/// True when it took a free place.
fn put(bucket: &mut Bucket, tag: Tag) -> bool {
    if let Some(at) = position(bucket, tag) {
        bucket[0] |= 1 << at;
        return false;
    }
    let free = tags(bucket).iter().take(KEYS).position(|first| *first == 0);
    let at = free.unwrap_or_else(|| {
        let mut at = usize::from(bucket[1]) % KEYS;
        while bucket[0] & (1 << at) != 0 {
            bucket[0] &= !(1 << at);
            at = (at + 1) % KEYS;
        }
        bucket[1] = u16::try_from((at + 1) % KEYS).unwrap_or(0);
        at
    });
    place(bucket, at, tag);
    free.is_some()
}

fn remove(bucket: &mut Bucket, tag: Tag) {
    if let Some(at) = position(bucket, tag) {
        bucket[0] &= !(1 << at);
        place(bucket, at, [0; TAG_WORDS]);
    }
}

impl PlainKeys {
    /// Of as many keys as fit into `bytes`. Memory that was never used is not taken.
    pub(super) fn new(bytes: u64) -> Self {
        let buckets = usize::try_from(bytes).unwrap_or(usize::MAX) / BUCKET_BYTES;
        let buckets = buckets.max(1);
        let words = vec![0_u16; (buckets + 1) * WORDS];
        let start = words.as_ptr().align_offset(BUCKET_BYTES).min(WORDS);
        Self {
            words,
            start,
            buckets,
            hasher: new_hasher(),
            spaces: [false; 256],
            changes: Vec::new(),
            last_is_noted: false,
            placed: 0,
        }
    }

    fn identity(&self, key: &[u8]) -> Identity {
        let hash = self.hasher.hash(key);
        let place = (u128::from(hash.h1) * self.buckets as u128) >> 64;
        let [a, b, c, d, e, f, g, h] = hash.h2.to_le_bytes();
        let [i, j, ..] = hash.h1.to_le_bytes();
        let words = [[a, b], [c, d], [e, f], [g, h], [i, j]];
        let [first, rest @ ..] = words.map(u16::from_le_bytes);
        let [second, third, fourth, fifth] = rest;
        Identity {
            bucket: usize::try_from(place).unwrap_or(0),
            tag: [first.max(1), second, third, fourth, fifth],
        }
    }

    fn bucket(&self, at: usize) -> Option<&Bucket> {
        let (buckets, _) = self.words.get(self.start..)?.as_chunks();
        buckets.get(at)
    }

    fn bucket_mut(&mut self, at: usize) -> Option<&mut Bucket> {
        let (buckets, _) = self.words.get_mut(self.start..)?.as_chunks_mut();
        buckets.get_mut(at)
    }

    fn may_have(&self, key: &[u8]) -> bool {
        key.first().and_then(|space| self.spaces.get(usize::from(*space))) == Some(&true)
    }

    /// True when the record of `key` was plain when the last batch ended. False says nothing.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.may_have(key) && {
            let Identity { bucket, tag } = self.identity(key);
            self.bucket(bucket).is_some_and(|bucket| position(bucket, tag).is_some())
        }
    }

    /// `key` was put or deleted.
    pub(super) fn change(&mut self, key: &[u8]) {
        self.last_is_noted = self.may_have(key);
        if self.last_is_noted {
            let identity = self.identity(key);
            self.changes.push(Change { identity, plain: false });
        }
    }

    /// What was put last, at `key`, is plain.
    pub(super) fn mark(&mut self, key: &[u8]) {
        let space = key.first().and_then(|at| self.spaces.get_mut(usize::from(*at)));
        // The empty key is of no space, and never known.
        let Some(space) = space else { return };
        *space = true;
        if !self.last_is_noted {
            self.change(key);
        }
        let identity = cfg!(debug_assertions).then(|| self.identity(key));
        if let Some(last) = self.changes.last_mut() {
            assert!(
                identity.is_none_or(|identity| identity == last.identity),
                "only what was put last can be marked"
            );
            last.plain = true;
        }
    }

    /// The batch ends.
    pub(super) fn end_batch(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        for changes in changes.chunks(TOGETHER) {
            // They come from memory side by side: each is used only below.
            let bits = |change: &Change| self.bucket(change.identity.bucket).map_or(0, |it| it[0]);
            std::hint::black_box(changes.iter().map(bits).fold(0, |all, bits| all | bits));
            for Change { identity, plain } in changes {
                let Some(bucket) = self.bucket_mut(identity.bucket) else { continue };
                if *plain {
                    let placed = put(bucket, identity.tag);
                    self.placed += u64::from(placed);
                } else {
                    remove(bucket, identity.tag);
                }
            }
        }
        self.changes = changes;
        self.changes.clear();
        self.changes.shrink_to(CHANGES_KEPT);
        self.last_is_noted = false;
    }

    /// Forgets everything: nobody is known by another key's hash. What is left in the table is driven out in time.
    pub(super) fn clear(&mut self) {
        self.hasher = new_hasher();
        self.changes.clear();
        self.last_is_noted = false;
    }

    /// Bytes of the table that were ever used, at most.
    pub(super) fn bytes(&self) -> u64 {
        let all = (self.words.len() * size_of::<u16>()) as u64;
        all.min(self.placed.saturating_mul(PAGE_BYTES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> [u8; 5] {
        let [a, b, c, d] = n.to_be_bytes();
        [7, a, b, c, d]
    }

    fn mark(keys: &mut PlainKeys, all: impl Iterator<Item = u32>) {
        for n in all {
            keys.change(&key(n));
            keys.mark(&key(n));
        }
        keys.end_batch();
    }

    #[test]
    fn what_was_marked_is_known_from_the_end_of_its_batch_until_it_is_changed() {
        let mut keys = PlainKeys::new(64 * 1024);
        keys.change(&key(1));
        keys.mark(&key(1));
        assert!(!keys.has(&key(1)), "the batch is open");
        keys.end_batch();
        assert!(keys.has(&key(1)));
        assert!(!keys.has(&key(2)) && !keys.has(b"") && !keys.has(b"other"));
        keys.change(&key(1));
        assert!(keys.has(&key(1)), "the batch is open");
        keys.end_batch();
        assert!(!keys.has(&key(1)));
        // The last change counts.
        mark(&mut keys, [3, 4].into_iter());
        for n in [3, 4] {
            keys.change(&key(n));
        }
        keys.change(&key(4));
        keys.mark(&key(4));
        keys.end_batch();
        assert!(!keys.has(&key(3)) && keys.has(&key(4)));
    }

    #[test]
    fn a_mark_belongs_to_the_put_before_it_and_to_no_earlier_one() {
        let mut keys = PlainKeys::new(64 * 1024);
        mark(&mut keys, [1].into_iter());
        keys.change(&key(1));
        // Of a space of which nothing was marked before.
        keys.change(b"other");
        keys.mark(b"other");
        keys.end_batch();
        assert!(!keys.has(&key(1)) && keys.has(b"other"));
    }

    #[test]
    fn the_empty_key_is_never_known_and_marks_no_other() {
        let mut keys = PlainKeys::new(64 * 1024);
        mark(&mut keys, [1].into_iter());
        keys.change(&key(1));
        keys.change(b"");
        keys.mark(b"");
        keys.end_batch();
        assert!(!keys.has(b"") && !keys.has(&key(1)));
    }

    #[test]
    fn memory_counts_as_it_is_used() {
        let mut keys = PlainKeys::new(1 << 30);
        assert_eq!(keys.bytes(), 0);
        mark(&mut keys, 0..100);
        assert!((100 * 128..=100 * PAGE_BYTES).contains(&keys.bytes()));
        let mut keys = PlainKeys::new(64 * 1024);
        mark(&mut keys, 0..10_000);
        assert!((64 * 1024..66 * 1024).contains(&keys.bytes()), "{}", keys.bytes());
    }

    #[test]
    fn it_keeps_what_fits_and_rather_what_is_written_again() {
        // Room for 12,288 keys.
        let mut keys = PlainKeys::new(128 * 1024);
        let known = |keys: &PlainKeys, all: std::ops::Range<u32>| {
            all.filter(|n| keys.has(&key(*n))).count()
        };
        mark(&mut keys, 0..5_000);
        assert!(known(&keys, 0..5_000) > 4_900, "{}", known(&keys, 0..5_000));
        for round in 1..20 {
            mark(&mut keys, round * 5_000..(round + 1) * 5_000);
            mark(&mut keys, 0..2_000);
        }
        assert!(known(&keys, 0..2_000) > 1_800, "{}", known(&keys, 0..2_000));
        let all = known(&keys, 0..100_000);
        assert!((11_000..=12_288).contains(&all), "{all}");
        keys.clear();
        assert_eq!(known(&keys, 0..100_000), 0);
        mark(&mut keys, 0..5_000);
        assert!(known(&keys, 0..5_000) > 4_000, "what was there before gives way");
    }

    #[test]
    fn with_hardly_any_memory_it_forgets_and_makes_nothing_up() {
        let mut keys = PlainKeys::new(1);
        mark(&mut keys, 0..100);
        assert_eq!((0..200).filter(|n| keys.has(&key(*n))).count(), 12);
        assert_eq!((100..200).filter(|n| keys.has(&key(*n))).count(), 0);
    }
}
