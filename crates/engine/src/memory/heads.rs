//! The first bytes in which a node's separators differ, as numbers: a search looks at them before it looks
//! at a separator.
//!
//! Keys of one database share their beginning (space, database, often a word of the user's), so whole
//! keys are compared in vain up to there. The eight bytes behind it decide nearly every comparison and fill
//! a quarter of the cache lines. (Graefe, "Modern B-Tree Techniques", section 3.5, calls them poor man's normalized
//! keys.)
//!
//! They lie in blocks of a cache line; the last one of each block stands a second time among the tops. A search counts
//! the tops below its key, then the heads of one block: three lines and no branch that could be mispredicted, where
//! a binary search touches five, one after the other. (Rao and Ross, "Making B+-Trees Cache Conscious in Main
//! Memory", SIGMOD 2000, lay out nodes with the same end.)

use std::cmp::Ordering;

use super::inner::INNER_MAX;
use super::key::{INLINE_BYTES_MAX, Key, Probe, Words, head, words_padded};

/// Heads of a block: a cache line.
const BLOCK: usize = 8;
/// Blocks of a full node.
const BLOCKS: usize = INNER_MAX / BLOCK;

/// Spaces, databases, and two beginnings that users' keys share.
const RUNS_NESTED: usize = 4;

/// Resident bytes of the heads: the lines, and what aligning them may waste.
pub(super) const HEADS_BYTES: usize = size_of::<Lines>() + align_of::<Lines>();

const _: () = assert!(INNER_MAX.is_multiple_of(BLOCK), "the last block's top stands for itself");
const _: () = assert!(BLOCK == 8 && BLOCKS == 16, "`block_of` and `below` halve as often");

/// Heads of a node's separators, in their order.
///
/// Invariant: all separators agree in their first `common` bytes; head `n` is the next eight bytes of
/// separator `n`, padded with zeros. So heads never fall, and of two that differ the smaller one's separator is
/// smaller.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    common: usize,
    len: usize,
    /// The common bytes, for comparing them without looking at a separator.
    beginning: Beginning,
    lines: Box<Lines>,
    /// The longest stretch of equal heads, if it is worth it.
    run: Option<Box<Run>>,
}

/// The greatest number stands behind the last head.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Lines {
    /// The last head of each block.
    tops: [u64; BLOCKS],
    blocks: [[u64; BLOCK]; BLOCKS],
}

/// Heads that are equal decide nothing, but the separators behind them share more bytes than the node's do: the root's
/// are of several spaces and share nothing, those of one space most of their bytes.
#[derive(Clone, Debug)]
struct Run {
    start: usize,
    end: usize,
    /// What is equal.
    head: u64,
    /// Of the separators from `start` to `end`.
    heads: Heads,
}

/// How far the tops tell where a key belongs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot<'a> {
    /// Its rank.
    Rank(usize),
    /// One block.
    Block {
        heads: &'a Heads,
        /// Of `heads`.
        separators: &'a [Key],
        /// Separators in front of those.
        before: usize,
        block: usize,
        wanted: u64,
    },
}

impl Heads {
    /// No heads.
    pub(super) fn new() -> Self {
        Self {
            common: 0,
            len: 0,
            beginning: Beginning::default(),
            lines: Box::new(Lines::EMPTY),
            run: None,
        }
    }

    /// Takes the heads of `separators`, which are in order.
    pub(super) fn set(&mut self, separators: &[Key]) {
        self.set_within(separators, 0);
    }

    /// Within so many runs. Keys made for it could nest as many as there are separators.
    fn set_within(&mut self, separators: &[Key], depth: usize) {
        self.common = common_bytes(separators);
        self.len = separators.len();
        let first = separators.first().map_or_else(Default::default, Key::as_slice);
        self.beginning = Beginning::new(first.get(..self.common).unwrap_or(first));
        let heads = separators.iter().map(|key| head(key.as_slice(), self.common));
        self.lines.set(heads);
        self.run = if depth < RUNS_NESTED { self.longest_run(separators, depth) } else { None };
    }

    fn longest_run(&self, separators: &[Key], depth: usize) -> Option<Box<Run>> {
        let mut longest = 0..0;
        let mut start = 0;
        for equal in self.heads().chunk_by(|a, b| a == b) {
            if equal.len() > longest.len() {
                longest = start..start + equal.len();
            }
            start += equal.len();
        }
        let (start, end) = (longest.start, longest.end);
        let separators = separators.get(longest).filter(|run| run.len() > BLOCK)?;
        // Else they differ in the zeros that they end with: nothing that heads of their own would show.
        if common_bytes(separators) < self.common + size_of::<u64>() {
            return None;
        }
        let head = *self.heads().get(start)?;
        let mut heads = Self::new();
        heads.set_within(separators, depth + 1);
        Some(Box::new(Run { start, end, head, heads }))
    }

    /// Takes over the heads of a copied node.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.common = other.common;
        self.len = other.len;
        self.beginning = other.beginning;
        self.lines.clone_from(&other.lines);
        self.run.clone_from(&other.run);
    }

    /// How many of `separators`, whose heads these are, are not above `probe`.
    pub(super) fn rank(&self, separators: &[Key], probe: &Probe<'_>) -> usize {
        self.spot(separators, probe).rank(probe)
    }

    /// Where `probe` belongs among `separators`, whose heads these are, as far as the tops tell.
    #[inline]
    pub(super) fn spot<'a>(&'a self, separators: &'a [Key], probe: &Probe<'_>) -> Spot<'a> {
        let (mut heads, mut separators, mut before) = (self, separators, 0);
        loop {
            let beginning = heads.beginning.compare(probe);
            match beginning.then_with(|| heads.compare_long(separators, probe)) {
                Ordering::Less => return Spot::Rank(before),
                Ordering::Greater => return Spot::Rank(before + separators.len()),
                Ordering::Equal => {}
            }
            let wanted = probe.head(heads.common);
            let Some(run) = heads.run.as_ref().filter(|run| run.head == wanted) else {
                let block = block_of(&heads.lines.tops, wanted);
                return Spot::Block { heads, separators, before, block, wanted };
            };
            separators = separators.get(run.start..run.end).unwrap_or_default();
            before += run.start;
            heads = &run.heads;
        }
    }

    /// How the beginning of `probe` stands to common bytes that are longer than a [`Beginning`].
    #[inline]
    fn compare_long(&self, separators: &[Key], probe: &Probe<'_>) -> Ordering {
        if self.common <= INLINE_BYTES_MAX {
            return Ordering::Equal;
        }
        let Some(first) = separators.first() else { return Ordering::Equal };
        let common = first.as_slice().get(..self.common).unwrap_or_default();
        let beginning = probe.as_slice().get(..self.common).unwrap_or(probe.as_slice());
        beginning.cmp(common)
    }

    fn heads(&self) -> &[u64] {
        self.lines.blocks.as_flattened().get(..self.len).unwrap_or_default()
    }

    /// Has the tops loaded; what comes back means nothing.
    pub(super) fn touch(&self) -> usize {
        let [first, .., last] = &self.lines.tops;
        (first ^ last).count_ones() as usize
    }
}

impl Lines {
    const EMPTY: Self = Self { tops: [u64::MAX; BLOCKS], blocks: [[u64::MAX; BLOCK]; BLOCKS] };

    fn set(&mut self, heads: impl Iterator<Item = u64>) {
        *self = Self::EMPTY;
        for (place, head) in self.blocks.as_flattened_mut().iter_mut().zip(heads) {
            *place = head;
        }
        for (top, [.., last]) in self.tops.iter_mut().zip(&self.blocks) {
            *top = *last;
        }
    }
}

impl Spot<'_> {
    /// Has loaded what [`Spot::rank`] looks at; what comes back means nothing.
    pub(super) fn touch(&self) -> usize {
        match self {
            Self::Rank(rank) => *rank,
            Self::Block { heads, block, .. } => {
                heads.lines.blocks.get(*block).map_or(0, |[head, ..]| head.count_ones() as usize)
            }
        }
    }

    /// How many separators are not above `probe`, whose spot this is.
    #[inline]
    pub(super) fn rank(&self, probe: &Probe<'_>) -> usize {
        let (heads, separators, before, block, wanted) = match *self {
            Self::Rank(rank) => return rank,
            Self::Block { heads, separators, before, block, wanted } => {
                (heads, separators, before, block, wanted)
            }
        };
        let rank = BLOCK * block + heads.lines.blocks.get(block).map_or(0, |b| below(b, wanted));
        let rest = heads.heads().get(rank..).unwrap_or_default();
        if rest.first() != Some(&wanted) {
            return before + rank;
        }
        let equal = rest.partition_point(|head| *head == wanted);
        let separators = separators.get(rank..rank + equal).unwrap_or_default();
        before + rank + separators.partition_point(|separator| probe.compare(separator).is_ge())
    }
}

/// Some bytes with which keys may begin, as far as they fit into a padded key.
#[derive(Clone, Copy, Debug, Default)]
struct Beginning {
    /// As in a [`Probe`].
    words: Words,
    /// Ones where the beginning has bytes.
    mask: Words,
}

impl Beginning {
    fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..INLINE_BYTES_MAX).unwrap_or(bytes);
        let ones = [0xff; INLINE_BYTES_MAX];
        let mask = ones.get(..bytes.len()).unwrap_or(&ones);
        Self { words: words_padded(bytes), mask: words_padded(mask) }
    }

    /// How the first bytes of `probe` stand to these. A probe that ends within them passes for equal when they go
    /// on with zeros: its head then is zero, and whole keys decide.
    #[inline]
    fn compare(&self, probe: &Probe<'_>) -> Ordering {
        for ((ours, mask), theirs) in self.words.iter().zip(&self.mask).zip(probe.words()) {
            if ours != &(theirs & mask) {
                return (theirs & mask).cmp(ours);
            }
        }
        Ordering::Equal
    }
}

/// How many bytes all of `separators` begin with: what the first and the last share, everything in between shares.
fn common_bytes(separators: &[Key]) -> usize {
    let (Some(first), Some(last)) = (separators.first(), separators.last()) else { return 0 };
    first.as_slice().iter().zip(last.as_slice()).take_while(|(a, b)| a == b).count()
}

/// The block in which `wanted` belongs. Halved without a branch: which half it is nobody could predict.
#[inline]
fn block_of(tops: &[u64; BLOCKS], wanted: u64) -> usize {
    let mut at = 0;
    for half in [8, 4, 2, 1] {
        at += half * usize::from(tops.get(at + half - 1).is_some_and(|top| *top < wanted));
    }
    at
}

/// How many heads of a block are below `wanted`.
#[inline]
fn below(block: &[u64; BLOCK], wanted: u64) -> usize {
    let mut at = 0;
    for half in [4, 2, 1, 1] {
        at += half * usize::from(block.get(at + half - 1).is_some_and(|head| *head < wanted));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys whose order turns on padding, length, long common beginnings and the ninth byte.
    fn keys() -> Vec<Vec<u8>> {
        let mut keys: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 0], b"a".to_vec()];
        for common in [0, 1, 7, 8, 9, 22, 29, 30, 31, 60] {
            for end in ["", "\0", "\0\0", "1", "12345678", "123456789", "12345678\0", "2", "\u{7f}"]
            {
                keys.push([&vec![b'c'; common], end.as_bytes()].concat());
            }
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn ranks_are_those_of_comparing_whole_keys(keys: &[Vec<u8>]) {
        for from in 0..keys.len() {
            for len in [0, 1, 2, 3, 5, 8, 20, 60] {
                let some: Vec<Key> =
                    keys.iter().skip(from).step_by(2).take(len).map(|key| Key::new(key)).collect();
                let mut heads = Heads::new();
                heads.set(&some);
                for key in keys {
                    let expected = some.partition_point(|other| other.as_slice() <= key.as_slice());
                    let rank = heads.rank(&some, &Probe::new(key));
                    assert_eq!(rank, expected, "{key:?} in {some:?}");
                }
            }
        }
    }

    #[test]
    fn a_rank_is_that_of_comparing_whole_keys() {
        ranks_are_those_of_comparing_whole_keys(&keys());
    }

    #[test]
    fn a_rank_is_right_where_most_heads_are_equal() {
        let spaces = ["1:a", "2:the same for many:", "2:the same for many:and more:", "3:b"];
        let mut keys = Vec::new();
        for space in spaces {
            keys.extend((0..40).map(|n| format!("{space}{:04}", n * 37 % 1000).into_bytes()));
        }
        keys.sort();
        ranks_are_those_of_comparing_whole_keys(&keys);
    }

    #[test]
    fn a_rank_is_right_among_keys_that_differ_in_the_zeros_they_end_with() {
        let keys: Vec<Vec<u8>> =
            (0..70).map(|zeros| [b"k".to_vec(), vec![0; zeros]].concat()).collect();
        ranks_are_those_of_comparing_whole_keys(&keys);
    }
}
