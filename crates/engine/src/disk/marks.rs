//! What a write that replaces or removes a record needs to know of it, without the record: that it is plain, which is to
//! say that nothing goes with it ([`crate::Engine::mark_plain`]), or that there is none. Ten bytes a key, where the record
//! would take hundreds: so a write of any key need not read the tree for as many keys as fit, some twenty times as many as
//! the cache of records holds.
//!
//! A key is known by 80 bits of a keyed hash, compared with those of the twelve keys of its bucket: a key that has no
//! mark is taken for one of them with a chance of 1 in 10^23, once in ten years if three billion nodes did nothing but
//! write 100,000 such keys a second. Nobody can look for two such keys: the hash is a SipHash-1-3, with a key of the
//! process's own.
//!
//! Invariant: a mark is of the last put of its key, or nothing was put since the key was found absent. Every put and
//! delete passes here; those of the open batch are taken in when it ends, so that it never drives out what it is about to
//! ask for. Until then the overlay, which is asked first, has the last word on their keys. Between batches, who marks
//! what is absent is told when that has driven out another mark.

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

/// Bits of the keys that were marked again since the hand came by; the hand; bits of the keys that are absent; a word that
/// is not used; the first words of all keys' tags, the second ones, and so on.
type Bucket = [u16; WORDS];
/// The first word is never 0: that is a free place.
type Tag = [u16; TAG_WORDS];

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Its record is there, and plain.
    Plain,
    /// It has none.
    Absent,
}

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
pub(super) struct Marks {
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

fn mark_at(bucket: &Bucket, at: usize) -> Mark {
    if bucket[2] & (1 << at) == 0 { Mark::Plain } else { Mark::Absent }
}

fn set_mark(bucket: &mut Bucket, at: usize, mark: Mark) {
    match mark {
        Mark::Plain => bucket[2] &= !(1 << at),
        Mark::Absent => bucket[2] |= 1 << at,
    }
}

/// Where a mark has found its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    /// It was there.
    Again,
    /// In a free one.
    Free,
    /// In another mark's.
    DrivingOut,
}

/// Makes room: first goes who is absent, for many such keys are asked for once and never put; then by second chance, so
/// whose record was put again since the hand came by stays for another round.
fn victim(bucket: &mut Bucket) -> usize {
    if bucket[2] != 0 {
        return bucket[2].trailing_zeros() as usize;
    }
    let mut at = usize::from(bucket[1]) % KEYS;
    while bucket[0] & (1 << at) != 0 {
        bucket[0] &= !(1 << at);
        at = (at + 1) % KEYS;
    }
    bucket[1] = u16::try_from((at + 1) % KEYS).unwrap_or(0);
    at
}

fn put(bucket: &mut Bucket, tag: Tag, mark: Mark) -> Placed {
    if let Some(at) = position(bucket, tag) {
        // The first put of a key is no second one for having been looked for.
        if mark_at(bucket, at) == Mark::Plain {
            bucket[0] |= 1 << at;
        }
        set_mark(bucket, at, mark);
        return Placed::Again;
    }
    let free = tags(bucket).iter().take(KEYS).position(|first| *first == 0);
    let at = free.unwrap_or_else(|| victim(bucket));
    place(bucket, at, tag);
    set_mark(bucket, at, mark);
    if free.is_some() { Placed::Free } else { Placed::DrivingOut }
}

fn remove(bucket: &mut Bucket, tag: Tag) {
    if let Some(at) = position(bucket, tag) {
        bucket[0] &= !(1 << at);
        set_mark(bucket, at, Mark::Plain);
        place(bucket, at, [0; TAG_WORDS]);
    }
}

impl Marks {
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

    /// What was known of `key` when the last batch ended.
    pub(super) fn of(&self, key: &[u8]) -> Option<Mark> {
        if !self.may_have(key) {
            return None;
        }
        let Identity { bucket, tag } = self.identity(key);
        let bucket = self.bucket(bucket)?;
        position(bucket, tag).map(|at| mark_at(bucket, at))
    }

    /// `key` has no record. Between batches: what an open one has done is not known here. True when another key has
    /// lost its mark for that.
    pub(super) fn mark_absent(&mut self, key: &[u8]) -> bool {
        assert!(self.changes.is_empty(), "what is absent is found out between batches");
        let Identity { bucket, tag } = self.identity(key);
        if !self.note_space(key) {
            return false;
        }
        let placed = self.bucket_mut(bucket).map(|bucket| put(bucket, tag, Mark::Absent));
        self.placed += u64::from(placed == Some(Placed::Free));
        placed == Some(Placed::DrivingOut)
    }

    /// False for the empty key: it is of no space, and never known.
    fn note_space(&mut self, key: &[u8]) -> bool {
        let space = key.first().and_then(|at| self.spaces.get_mut(usize::from(*at)));
        space.map(|space| *space = true).is_some()
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
        if !self.note_space(key) {
            return;
        }
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
                    let placed = put(bucket, identity.tag, Mark::Plain);
                    self.placed += u64::from(placed == Placed::Free);
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

    fn has(keys: &Marks, key: &[u8]) -> bool {
        keys.of(key) == Some(Mark::Plain)
    }

    fn mark(keys: &mut Marks, all: impl Iterator<Item = u32>) {
        for n in all {
            keys.change(&key(n));
            keys.mark(&key(n));
        }
        keys.end_batch();
    }

    #[test]
    fn what_was_marked_is_known_from_the_end_of_its_batch_until_it_is_changed() {
        let mut keys = Marks::new(64 * 1024);
        keys.change(&key(1));
        keys.mark(&key(1));
        assert!(!has(&keys, &key(1)), "the batch is open");
        keys.end_batch();
        assert!(has(&keys, &key(1)));
        assert!(!has(&keys, &key(2)) && !has(&keys, b"") && !has(&keys, b"other"));
        keys.change(&key(1));
        assert!(has(&keys, &key(1)), "the batch is open");
        keys.end_batch();
        assert!(!has(&keys, &key(1)));
        // The last change counts.
        mark(&mut keys, [3, 4].into_iter());
        for n in [3, 4] {
            keys.change(&key(n));
        }
        keys.change(&key(4));
        keys.mark(&key(4));
        keys.end_batch();
        assert!(!has(&keys, &key(3)) && has(&keys, &key(4)));
    }

    #[test]
    fn a_mark_belongs_to_the_put_before_it_and_to_no_earlier_one() {
        let mut keys = Marks::new(64 * 1024);
        mark(&mut keys, [1].into_iter());
        keys.change(&key(1));
        // Of a space of which nothing was marked before.
        keys.change(b"other");
        keys.mark(b"other");
        keys.end_batch();
        assert!(!has(&keys, &key(1)) && has(&keys, b"other"));
    }

    #[test]
    fn the_empty_key_is_never_known_and_marks_no_other() {
        let mut keys = Marks::new(64 * 1024);
        mark(&mut keys, [1].into_iter());
        keys.change(&key(1));
        keys.change(b"");
        keys.mark(b"");
        keys.end_batch();
        assert!(!has(&keys, b"") && !has(&keys, &key(1)));
    }

    #[test]
    fn who_was_found_absent_is_so_until_it_is_put_or_deleted() {
        let mut keys = Marks::new(64 * 1024);
        for n in 1..=3 {
            keys.mark_absent(&key(n));
            assert_eq!(keys.of(&key(n)), Some(Mark::Absent));
        }
        mark(&mut keys, [1].into_iter());
        keys.change(&key(2));
        keys.end_batch();
        assert_eq!(
            [1, 2, 3, 4].map(|n| keys.of(&key(n))),
            [Some(Mark::Plain), None, Some(Mark::Absent), None]
        );
        keys.clear();
        assert_eq!(keys.of(&key(3)), None);
        // The place of one that was forgotten tells nothing of the next one that comes there.
        let mut keys = Marks::new(1);
        assert!((0..12).all(|n| !keys.mark_absent(&key(n))), "there are twelve places");
        mark(&mut keys, 100..112);
        assert_eq!((0..12).filter(|n| keys.of(&key(*n)).is_some()).count(), 0);
        assert_eq!((100..112).filter(|n| has(&keys, &key(*n))).count(), 12);
    }

    #[test]
    fn a_first_put_is_not_taken_for_a_second_one_because_the_key_was_looked_for() {
        let mut keys = Marks::new(1);
        mark(&mut keys, (0..6).chain(0..6));
        for n in 10..100 {
            keys.mark_absent(&key(n));
            mark(&mut keys, [n].into_iter());
            mark(&mut keys, 0..6);
        }
        assert_eq!((0..6).filter(|n| has(&keys, &key(*n))).count(), 6);
    }

    #[test]
    fn who_is_absent_gives_way_before_who_is_there_and_that_is_told() {
        let mut keys = Marks::new(1);
        mark(&mut keys, 0..10);
        assert!(!keys.mark_absent(&key(100)) && !keys.mark_absent(&key(101)));
        for n in 102..200 {
            assert!(keys.mark_absent(&key(n)));
            assert_eq!(keys.of(&key(n)), Some(Mark::Absent));
        }
        assert_eq!((0..10).filter(|n| has(&keys, &key(*n))).count(), 10);
        // With nobody absent left, those who are there give way as ever.
        mark(&mut keys, 300..312);
        assert_eq!((300..312).filter(|n| has(&keys, &key(*n))).count(), 12);
        assert!(keys.mark_absent(&key(400)), "somebody has gone");
        assert_eq!((300..312).filter(|n| has(&keys, &key(*n))).count(), 11);
        assert!(!keys.mark_absent(b""), "the empty key is never known");
    }

    #[test]
    fn memory_counts_as_it_is_used() {
        let mut keys = Marks::new(1 << 30);
        assert_eq!(keys.bytes(), 0);
        mark(&mut keys, 0..100);
        assert!((100 * 128..=100 * PAGE_BYTES).contains(&keys.bytes()));
        let mut keys = Marks::new(64 * 1024);
        mark(&mut keys, 0..10_000);
        assert!((64 * 1024..66 * 1024).contains(&keys.bytes()), "{}", keys.bytes());
    }

    #[test]
    fn it_keeps_what_fits_and_rather_what_is_written_again() {
        // Room for 12,288 keys.
        let mut keys = Marks::new(128 * 1024);
        let known =
            |keys: &Marks, all: std::ops::Range<u32>| all.filter(|n| has(keys, &key(*n))).count();
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
        let mut keys = Marks::new(1);
        mark(&mut keys, 0..100);
        assert_eq!((0..200).filter(|n| has(&keys, &key(*n))).count(), 12);
        assert_eq!((100..200).filter(|n| has(&keys, &key(*n))).count(), 0);
    }
}
