//! A file without its name: what the kernel's cache holds, what the platter holds, and the way between.

use std::collections::BTreeSet;

use super::content::Content;
use crate::world::rng::Chance;

/// A device writes a sector whole or not at all.
const SECTOR: usize = 512;
/// A kernel writes pages back.
const PAGE: usize = 4096;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Len(u64),
}

/// What may happen to changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The cache was flushed just before.
    Kept,
    /// Nothing had left the cache.
    Lost,
    /// Each change on its own: kept, lost or torn.
    Mixed,
}

impl Fate {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        match chance.below(5) {
            0 => Self::Kept,
            1 => Self::Lost,
            _ => Self::Mixed,
        }
    }
}

/// A file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    /// What readers see.
    pub(crate) cached: Content,
    /// What is there when the power comes back.
    durable: Content,
    changes: Vec<Change>,
    dirty: BTreeSet<u64>,
    /// The last write that was synced: at which operation, where, and how many bytes.
    pub(crate) last_synced: Option<(u64, u64, usize)>,
    /// The shortest length since the last sync: a truncation in between must not leave old pages.
    cut_to: Option<u64>,
}

impl Inode {
    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        self.cached.write(bytes, offset);
        self.dirty.extend(Content::touched(offset, bytes.len()));
        self.changes.push(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.cached.len {
            self.cut_to = Some(self.cut_to.map_or(len, |cut| cut.min(len)));
            self.dirty.extend(Content::touched(len, 1));
        }
        self.cached.set_len(len);
        self.changes.push(Change::Len(len));
    }

    pub(crate) fn sync(&mut self, operation: u64) {
        if let Some(cut) = self.cut_to.take().filter(|cut| *cut < self.durable.len) {
            self.durable.set_len(cut);
        }
        let writes = self.changes.iter().rev().find_map(|change| match change {
            Change::Write { offset, bytes } => {
                // What was durable before, and is written once more with its block, is not what this write added.
                let mut before = vec![0; bytes.len()];
                let known = self.durable.read(&mut before, *offset);
                let same = bytes.iter().zip(before.iter().take(known)).take_while(|(a, b)| a == b);
                let same = same.count();
                Some((operation, offset + same as u64, bytes.len() - same))
            }
            Change::Len(_) => None,
        });
        for page in std::mem::take(&mut self.dirty) {
            self.durable.take_page(page, &self.cached);
        }
        self.durable.len = self.cached.len;
        self.last_synced = writes.or(self.last_synced);
        self.changes.clear();
    }

    /// As Linux does: the pages count as clean from here on, whatever of them reached the platter; readers
    /// go on seeing them, and the next sync succeeds without them.
    pub(crate) fn fail_sync(&mut self, chance: &mut Chance) {
        self.apply_by_chance(chance, Fate::Mixed);
        self.dirty.clear();
        self.cut_to = None;
    }

    /// Returns how many changes were in danger.
    pub(crate) fn lose_power(&mut self, chance: &mut Chance, fate: Fate) -> usize {
        let endangered = self.changes.len();
        self.apply_by_chance(chance, fate);
        self.dirty.clear();
        self.cut_to = None;
        self.cached = self.durable.clone();
        endangered
    }

    fn apply_by_chance(&mut self, chance: &mut Chance, fate: Fate) {
        for change in std::mem::take(&mut self.changes) {
            let draw = if fate == Fate::Mixed { chance.below(4) } else { 0 };
            match change {
                _ if fate == Fate::Lost || draw == 1 => {}
                Change::Len(len) => self.durable.set_len(len),
                Change::Write { offset, bytes } => match draw {
                    2 => {
                        let torn = bytes.get(..chance.index(bytes.len())).unwrap_or_default();
                        self.durable.write(torn, offset);
                    }
                    3 => self.write_sectors(chance, &bytes, offset),
                    _ => self.durable.write(&bytes, offset),
                },
            }
        }
    }

    /// Sectors, or whole pages, reach the platter in any order. They are the device's and the cache's, so they
    /// begin where those begin and not where the write does.
    fn write_sectors(&mut self, chance: &mut Chance, bytes: &[u8], offset: u64) {
        let unit = if chance.one_in(2) { SECTOR } else { PAGE };
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let within = usize::try_from(at % unit as u64).unwrap_or(0);
            let (part, behind) = rest.split_at(rest.len().min(unit - within));
            if chance.one_in(2) {
                self.durable.write(part, at);
            }
            at += part.len() as u64;
            rest = behind;
        }
    }

    /// One of the sectors that lie within the last write that was synced, but for the last, is all zero from now on.
    pub(crate) fn lose_sector(&mut self, chance: &mut Chance) -> Option<u64> {
        let (_, from, len) = self.last_synced?;
        let mut bytes = vec![0; len];
        self.durable.read(&mut bytes, from);
        // Zeros behind it, up to the end of a page, say nothing.
        let end = from + bytes.iter().rposition(|byte| *byte != 0)? as u64;
        let sector = SECTOR as u64;
        let (first, last) = (from.div_ceil(sector), end / sector);
        let lost = first + chance.below(last.checked_sub(first).filter(|count| *count > 0)?);
        for content in [&mut self.durable, &mut self.cached] {
            content.write(&[0; SECTOR], lost * sector);
        }
        Some(lost * sector)
    }

    /// Flips a bit on the platter and in the cache.
    pub(crate) fn flip(&mut self, chance: &mut Chance) -> Option<u64> {
        let pages = self.durable.written();
        let offset = chance.pick(&pages)? + chance.below(4096);
        let bit = chance.below(8);
        if !self.durable.flip(offset, bit) {
            return None;
        }
        self.cached.flip(offset, bit);
        Some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recovery tells a torn write from damage by the sectors that are missing as a whole: a disk that lost the
    /// end of one and the beginning of the next would be one that nobody can buy.
    #[test]
    fn what_a_torn_write_loses_are_whole_sectors_of_the_device() {
        let (offset, len) = (1_234_u64, 20_000);
        let mut some_lost = false;
        for seed in 0..200 {
            let (mut chance, mut inode) = (Chance::new(seed, "disk"), Inode::default());
            inode.set_len(64 * 1024);
            inode.sync(1);
            inode.write_sectors(&mut chance, &vec![7; len], offset);
            let mut bytes = vec![0; 64 * 1024];
            assert_eq!(inode.durable.read(&mut bytes, 0), bytes.len());
            let (from, to) = (1_234, 1_234 + len);
            for start in (0..bytes.len()).step_by(SECTOR) {
                let written = start.max(from)..(start + SECTOR).min(to);
                let Some(sector) = bytes.get(written).filter(|sector| !sector.is_empty()) else {
                    continue;
                };
                let kept = sector.iter().filter(|byte| **byte == 7).count();
                some_lost |= kept == 0;
                assert!(kept == 0 || kept == sector.len(), "seed {seed}: torn at {start}");
            }
        }
        assert!(some_lost);
    }

    #[test]
    fn a_sector_that_is_lost_lies_in_the_last_synced_write_and_is_not_its_end() {
        let mut lost = BTreeSet::new();
        for seed in 0..100 {
            let (mut chance, mut inode) = (Chance::new(seed, "disk"), Inode::default());
            inode.write(&[7; 1_000], 0);
            inode.sync(1);
            inode.write(&[&[8; 2_000][..], &[0; 1_500]].concat(), 1_000);
            inode.sync(2);
            inode.write(&[9; 5_000], 3_000);
            inode.lose_power(&mut chance, Fate::Lost);
            lost.extend(inode.lose_sector(&mut chance));
            let mut bytes = vec![1; 3_000];
            assert_eq!(inode.cached.read(&mut bytes, 0), 3_000);
            assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), SECTOR);
        }
        assert_eq!(lost, BTreeSet::from([1_024, 1_536, 2_048]), "2560 is where it ends");
    }
}
