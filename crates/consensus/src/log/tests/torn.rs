//! The power goes in the midst of one write: any of its blocks may be on the disk, and any may not.

use std::path::PathBuf;

use super::world::{GROUP, World, entry, read, write};
use crate::id::Index;
use crate::log::{CutReason, LogBatch, LogEntry};

/// A log with one durable write, and a segment's bytes before and after a second one.
struct Torn {
    world: World,
    path: PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
    durable: Vec<LogEntry>,
    written: Vec<LogEntry>,
}

impl Torn {
    /// Entries with these sizes in the first and in the second write.
    fn new(durable: &[usize], written: &[usize]) -> Self {
        let mut world = World::new();
        // The segment that a start begins takes both writes.
        world.config.segment_bytes = 128 * 1024;
        world.config.reserve_bytes = 32 * 1024;
        let batch = |from: u64, sizes: &[usize]| {
            let entries = (from..).zip(sizes).map(|(index, bytes)| entry(index, 3, *bytes));
            LogBatch { group: GROUP, entries: entries.collect(), sync: true, ..LogBatch::default() }
        };
        let (mut log, _) = world.open().unwrap();
        let first = batch(1, durable);
        let second = batch(1 + durable.len() as u64, written);
        write(&mut log, first.clone());
        let path = world.segments()[0].clone();
        let before = world.disk.content(&path);
        write(&mut log, second.clone());
        drop(log);
        let after = world.disk.content(&path);
        Self { world, path, before, after, durable: first.entries, written: second.entries }
    }

    /// The units of `bytes` that the second write has changed.
    fn changed(&self, bytes: usize) -> Vec<usize> {
        let units = self.before.chunks(bytes).zip(self.after.chunks(bytes)).enumerate();
        units.filter(|(_, (before, after))| before != after).map(|(unit, _)| unit).collect()
    }

    /// The world in which of the changed units of `bytes` those in `kept` have reached the disk.
    fn keeping(&self, bytes: usize, kept: &[usize]) -> World {
        let mut content = self.before.clone();
        for unit in kept {
            let span = unit * bytes..((unit + 1) * bytes).min(content.len());
            content[span.clone()].copy_from_slice(&self.after[span]);
        }
        let image = self.world.disk.image();
        image.put(&self.path, content);
        let mut world = World::on(image);
        world.config = self.world.config;
        world
    }

    /// What is found there.
    fn recover(&self, bytes: usize, kept: &[usize]) -> (Vec<LogEntry>, Option<CutReason>) {
        let (log, recovered) = self
            .keeping(bytes, kept)
            .open()
            .unwrap_or_else(|error| panic!("{bytes} bytes, kept {kept:?}: {error}"));
        let reason = recovered.cuts.first().map(|cut| cut.reason);
        let (entries, lost) = (read(&log, GROUP), reason == Some(CutReason::InDoubt));
        let last = entries.last().map_or(Index(0), |entry| entry.index);
        assert!(!lost || log.doubt(GROUP).is_some_and(|doubt| doubt.index > last), "{kept:?}");
        (entries, reason)
    }

    /// Every subset of the units that the second write has changed.
    fn every_subset(&self, bytes: usize) {
        let units = self.changed(bytes);
        assert!((2..=10).contains(&units.len()), "{} units of {bytes} bytes", units.len());
        let all: Vec<_> = self.durable.iter().chain(&self.written).cloned().collect();
        for subset in 0_u32..1 << units.len() {
            let kept: Vec<_> = (0..)
                .zip(&units)
                .filter(|(bit, _)| subset >> bit & 1 == 1)
                .map(|it| *it.1)
                .collect();
            let (found, reason) = self.recover(bytes, &kept);
            assert!(all.starts_with(&found), "{bytes} bytes, kept {kept:?}: other entries");
            assert!(found.len() >= self.durable.len(), "{bytes} bytes, kept {kept:?}: lost");
            if kept.len() == units.len() {
                assert_eq!((found.len(), reason), (all.len(), None));
            }
            if kept.is_empty() {
                assert_eq!((found.len(), reason), (self.durable.len(), None));
            }
        }
    }
}

/// A write that was fsynced, and a disk that has lost one sector of it: what can't be told from a tear is cut in
/// doubt, and the doubt reaches as far as entries may have been acknowledged, also those of which not even the header
/// is left.
#[test]
fn a_doubt_reaches_all_that_one_missing_sector_has_taken() {
    let mut doubts = 0;
    for first in [0, 40, 380, 388, 512, 700, 1_500] {
        for written in
            [&[40; 12][..], &[40, 40, 900, 40], &[0, 0, 0, 0, 700], &[700, 0, 0, 0, 0, 0]]
        {
            let torn = Torn::new(&[first], written);
            let sectors = torn.changed(512);
            // With its last sector a write has no end any more: who can't know of it can't miss it.
            for lost in sectors.iter().take(sectors.len() - 1) {
                let kept: Vec<_> = sectors.iter().copied().filter(|it| it != lost).collect();
                let (log, _) = torn.keeping(512, &kept).open().unwrap();
                let Some(doubt) = log.doubt(GROUP) else { continue };
                let last = torn.written.last().unwrap();
                assert!(doubt.index >= last.index, "{first} {written:?}: {doubt:?} of {last:?}");
                doubts += 1;
            }
        }
    }
    assert!(doubts > 50, "{doubts}");
}

/// Where the write begins within its first block, and its records within theirs, is another one each time.
#[test]
fn a_write_of_which_any_sectors_are_missing_is_cut_and_never_called_damage() {
    for first in [0, 40, 380, 388, 512, 700, 1_500] {
        for written in [&[1_500, 1_500][..], &[40, 40, 900, 40], &[3_000], &[448, 448, 448]] {
            Torn::new(&[first], written).every_subset(512);
        }
    }
}

#[test]
fn a_write_of_which_any_pages_are_missing_is_cut_and_never_called_damage() {
    for first in [40, 1_500, 3_900, 4_000] {
        for written in [&[1_500; 12][..], &[9_000, 9_000], &[40, 20_000, 40], &[4_032; 5]] {
            Torn::new(&[first], written).every_subset(4096);
        }
    }
}

/// Below the next write's mark all was durable: what is missing there is damage, and no tear.
#[test]
fn a_sector_that_is_missing_below_the_durable_mark_is_damage() {
    let torn = Torn::new(&[1_500, 1_500], &[40]);
    let first = torn.durable[0].data.clone();
    let at = torn.after.windows(first.len()).position(|bytes| bytes == first).unwrap();
    let sector = at.div_ceil(512);
    let mut content = torn.after.clone();
    content[sector * 512..(sector + 1) * 512].fill(0);
    let image = torn.world.disk.image();
    image.put(&torn.path, content);
    let mut world = World::on(image);
    world.config = torn.world.config;
    assert!(world.open().unwrap_err().is_damage());
}
