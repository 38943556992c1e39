//! Ways down the tree that were found ahead, for the lookups that follow.
//!
//! A write looks its key up twice (what is there, then the replacement), and a batch has looked it up once
//! before that to fetch its cache lines. The way is the same each time, so it is searched once and then
//! followed. A path is a guess, not a promise: whoever follows it checks that it ends at the key, and searches
//! where it does not. So nothing need be said when the tree changes.

use super::key::Probe;

/// Levels of inner nodes that a path can hold: 128^8 leaves.
const LEVELS_MAX: usize = 8;
/// Paths remembered: those of one batch of lookups ahead.
pub(super) const PATHS_MAX: usize = 16;

/// The children's places from the root on, and the record's place in its leaf.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Path {
    places: [u8; LEVELS_MAX],
    levels: usize,
    slot: u8,
}

impl Path {
    /// Goes on to the child at `at`. Beyond its last level a path ends too early, at a node that is no leaf.
    pub(super) fn push(&mut self, at: usize) {
        if let (Some(place), Ok(at)) = (self.places.get_mut(self.levels), u8::try_from(at)) {
            *place = at;
            self.levels += 1;
        }
    }

    /// Ends at the record at `at` in the leaf.
    pub(super) fn end(&mut self, at: usize) {
        self.slot = u8::try_from(at).unwrap_or(u8::MAX);
    }

    /// The children's places, from the root on.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + use<> {
        self.places.into_iter().take(self.levels).map(usize::from)
    }

    /// The record's place in the leaf.
    pub(super) fn slot(&self) -> usize {
        usize::from(self.slot)
    }
}

/// The paths of the keys that were expected last. An empty place has the hash 0: a key with that hash is
/// led astray, which whoever follows a path notices.
#[derive(Debug, Default)]
pub(super) struct Paths {
    hashes: [u64; PATHS_MAX],
    paths: [Path; PATHS_MAX],
    /// The place that was found last: keys are looked up in the order in which they were expected, one twice.
    last: usize,
}

impl Paths {
    /// Remembers the path to the key of `hash` at place `at`.
    pub(super) fn set(&mut self, at: usize, hash: u64, path: Path) {
        if let (Some(old_hash), Some(old_path)) = (self.hashes.get_mut(at), self.paths.get_mut(at))
        {
            (*old_hash, *old_path) = (hash, path);
        }
    }

    /// The path to `probe`, if it was expected.
    pub(super) fn find(&mut self, probe: &Probe<'_>) -> Option<Path> {
        let is_at = |at: &usize| self.hashes.get(*at) == Some(&probe.hash());
        let near = [self.last, self.last + 1].into_iter().find(is_at);
        self.last = near.or_else(|| (0..PATHS_MAX).find(is_at))?;
        self.paths.get(self.last).copied()
    }
}
