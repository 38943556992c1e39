//! The first bytes in which a node's separators differ, as numbers: a search looks at them before it looks
//! at a separator.
//!
//! Keys of one database share their beginning (space, database, often a word of the user's), so whole
//! keys are compared in vain up to there. The eight bytes behind it decide nearly every comparison, fill
//! eight cache lines instead of thirty-two, and are searched without a branch that could be mispredicted.
//! (Graefe, "Modern B-Tree Techniques", section 3.5, calls them poor man's normalized keys.)

use super::key::{Key, Probe};

/// Heads of a node's separators, in their order.
///
/// Invariant: all separators agree in their first `common` bytes; head `n` is the next eight bytes of
/// separator `n`, padded with zeros. So heads never fall, and of two that differ the smaller one's separator is
/// smaller.
#[derive(Debug)]
pub(super) struct Heads {
    common: usize,
    heads: Vec<u64>,
}

impl Heads {
    /// No heads, and room for `capacity`.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { common: 0, heads: Vec::with_capacity(capacity) }
    }

    /// Takes the heads of `separators`, which are in order.
    pub(super) fn set(&mut self, separators: &[Key]) {
        self.heads.clear();
        let (Some(first), Some(last)) = (separators.first(), separators.last()) else { return };
        let (first, last) = (first.as_slice(), last.as_slice());
        // What the first and the last share, everything in between shares.
        self.common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        self.heads.extend(separators.iter().map(|key| head(key.as_slice(), self.common)));
    }

    /// Takes over the heads of a copied node.
    pub(super) fn copy_from(&mut self, other: &Self) {
        self.common = other.common;
        self.heads.clone_from(&other.heads);
    }

    /// How many of `separators`, whose heads these are, are not above `probe`.
    pub(super) fn rank(&self, separators: &[Key], probe: &Probe<'_>) -> usize {
        let Some(first) = separators.first() else { return 0 };
        let common = first.as_slice().get(..self.common).unwrap_or_default();
        let beginning = probe.as_slice().get(..self.common).unwrap_or(probe.as_slice());
        match beginning.cmp(common) {
            std::cmp::Ordering::Less => return 0,
            std::cmp::Ordering::Greater => return separators.len(),
            std::cmp::Ordering::Equal => {}
        }
        let wanted = head(probe.as_slice(), self.common);
        let mut rank = self.heads.partition_point(|head| *head < wanted);
        // Equal heads decide nothing.
        while self.heads.get(rank) == Some(&wanted)
            && separators.get(rank).is_some_and(|separator| probe.compare(separator).is_ge())
        {
            rank += 1;
        }
        rank
    }

    /// Has the middle of the heads loaded; what comes back means nothing.
    pub(super) fn touch(&self) -> usize {
        self.heads.get(self.heads.len() / 2).map_or(0, |head| head.count_ones() as usize)
    }
}

/// The eight bytes of `key` from `at` on, as a number that compares as they do.
#[inline]
fn head(key: &[u8], at: usize) -> u64 {
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

    #[test]
    fn a_rank_is_that_of_comparing_whole_keys() {
        let keys = keys();
        for from in 0..keys.len() {
            for len in [0, 1, 2, 3, 5, 8, 20, 60] {
                let some: Vec<Key> =
                    keys.iter().skip(from).step_by(2).take(len).map(|key| Key::new(key)).collect();
                let mut heads = Heads::with_capacity(some.len());
                heads.set(&some);
                for key in &keys {
                    let expected = some.partition_point(|other| other.as_slice() <= key.as_slice());
                    assert_eq!(
                        heads.rank(&some, &Probe::new(key)),
                        expected,
                        "{key:?} in {some:?}"
                    );
                }
            }
        }
    }
}
