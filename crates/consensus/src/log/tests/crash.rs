//! The power goes at every operation of a run, and of the recovery from that, and so on.

use super::disk::{Crash, FaultyDisk, Random};
use super::model::{Oracle, open, random_batch, submit, take};
use super::world::{GROUP, World, entries, write};
use crate::id::Index;
use crate::log::{CutReason, LogError};

const CRASHES: [Crash; 9] = [
    Crash::Kill,
    Crash::Power,
    Crash::Torn(0),
    Crash::Torn(200),
    Crash::Torn(500),
    Crash::Torn(990),
    Crash::Torn(1000),
    Crash::Blocks(1),
    Crash::Blocks(2),
];

/// Runs batches from `seed` until the power goes, or all are through.
fn run(world: &World, seed: u64, batches: usize, oracle: &mut Oracle) {
    let Ok((mut log, found, _)) = open(world) else { return };
    oracle.check(&found);
    let mut random = Random(seed);
    for _ in 0..batches {
        let batch = random_batch(&mut random, &oracle.now());
        if !submit(&mut log, oracle, batch) {
            return;
        }
    }
    log.flush();
    take(&mut log, oracle);
}

/// Recovers from `crash` on a copy of `disk`, and checks; the copy.
fn recover(disk: &FaultyDisk, crash: Crash, oracle: &mut Oracle) -> World {
    recover_again(disk, crash, crash, oracle)
}

/// The same, when `first` had struck before.
fn recover_again(disk: &FaultyDisk, first: Crash, crash: Crash, oracle: &mut Oracle) -> World {
    let world = World::on(disk.image());
    world.disk.crash(crash);
    if disk.is_limited() {
        world.disk.set_capacity(world.disk.used());
    }
    let (log, found, recovered) = open(&world).unwrap_or_else(|error| panic!("{crash:?}: {error}"));
    // Cut in doubt now, or by the recovery before this one.
    let cut = recovered.cuts.iter().any(|cut| cut.reason == CutReason::InDoubt);
    match cut || recovered.groups.values().any(|group| group.doubt.is_some()) {
        false => oracle.check(&found),
        true => oracle.check_with_later_votes(&found),
    }
    for cut in &recovered.cuts {
        let blocks = [first, crash].iter().any(|crash| matches!(crash, Crash::Blocks(_)));
        assert!(cut.reason == CutReason::Torn || blocks, "{crash:?}: {cut:?}");
    }
    drop(log);
    world
}

/// What was found once stays, though nothing was written since: somebody may have acted on it.
fn stays(world: &World, oracle: &mut Oracle) {
    world.disk.crash(Crash::Power);
    let (_, found, recovered) = open(world).unwrap();
    assert_eq!(found, oracle.now());
    assert!(recovered.cuts.is_empty());
    oracle.check(&found);
}

#[test]
fn power_lost_at_any_operation_loses_nothing_acknowledged() {
    for seed in 1..=3 {
        let world = World::new();
        run(&world, seed, 40, &mut Oracle::default());
        let operations = world.disk.operations();
        assert!(operations > 100, "{operations}");
        for operation in 1..=operations {
            let world = World::new();
            world.disk.cut_power_at(operation);
            let mut oracle = Oracle::default();
            run(&world, seed, 40, &mut oracle);
            for crash in CRASHES {
                let mut oracle = oracle.clone();
                let world = recover(&world.disk, crash, &mut oracle);
                stays(&world, &mut oracle);
            }
        }
    }
}

#[test]
fn power_lost_during_recovery_loses_nothing_acknowledged() {
    for seed in 1..=12 {
        let world = World::new();
        world.disk.cut_power_at(60 + 7 * seed);
        let mut oracle = Oracle::default();
        run(&world, seed, 60, &mut oracle);
        for first in CRASHES {
            let broken = world.disk.image();
            broken.crash(first);
            for operation in 1.. {
                let world = World::on(broken.image());
                world.disk.cut_power_at(operation);
                let finished = world.open().is_ok() && world.disk.operations() < operation;
                for second in
                    [Crash::Kill, Crash::Power, Crash::Torn(500), Crash::Blocks(operation)]
                {
                    recover_again(&world.disk, first, second, &mut oracle.clone());
                }
                if finished {
                    break;
                }
            }
        }
    }
}

/// Whatever the first crash met, and whatever the second one meets of the recovery: of two slots of a manifest, not the
/// whole one may be written to first.
#[test]
fn two_crashes_in_a_row_never_damage_the_manifest() {
    let ended = World::new();
    run(&ended, 1, 8, &mut Oracle::default());
    for first in 1..=ended.disk.operations() {
        let broken = World::new();
        broken.disk.cut_power_at(first);
        let mut oracle = Oracle::default();
        run(&broken, 1, 8, &mut oracle);
        broken.disk.crash(Crash::Torn(500));
        for operation in 1.. {
            let world = World::on(broken.disk.image());
            world.disk.cut_power_at(operation);
            let finished = world.open().is_ok() && world.disk.operations() < operation;
            recover(&world.disk, Crash::Torn(500), &mut oracle.clone());
            if finished {
                break;
            }
        }
    }
}

#[test]
fn power_lost_on_a_full_disk_loses_nothing_acknowledged() {
    for seed in 1..=6 {
        let filled = World::new();
        let mut oracle = Oracle::default();
        run(&filled, seed, 20, &mut oracle);
        filled.disk.set_capacity(filled.disk.used());
        filled.disk.cut_power_at(filled.disk.operations() + 30 + seed);
        run(&filled, 100 + seed, 30, &mut oracle);
        // Blocks that are lost twice on a full disk may look like damage: then the node says so.
        let prefixes = CRASHES.into_iter().filter(|crash| !matches!(crash, Crash::Blocks(_)));
        for first in prefixes {
            let broken = filled.disk.image();
            broken.crash(first);
            for operation in 1.. {
                let world = World::on(broken.image());
                world.disk.set_capacity(world.disk.used());
                world.disk.cut_power_at(operation);
                let finished = world.open().is_ok() && world.disk.operations() < operation;
                for second in [Crash::Kill, Crash::Power, Crash::Torn(500)] {
                    let mut oracle = oracle.clone();
                    let world = recover_again(&world.disk, first, second, &mut oracle);
                    stays(&world, &mut oracle);
                }
                if finished {
                    break;
                }
            }
        }
    }
}

#[test]
fn many_crashes_in_a_row_lose_nothing_acknowledged() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut oracle = Oracle::default();
        let mut world = World::new();
        for _ in 0..8 {
            world.disk.cut_power_at(world.disk.operations() + 20 + random.below(150));
            run(&world, random.next(), 30, &mut oracle);
            let crash = match random.below(4) {
                0 => Crash::Kill,
                1 => Crash::Power,
                2 => Crash::Torn(usize::try_from(random.below(1001)).unwrap()),
                _ => Crash::Blocks(random.next()),
            };
            world = recover(&world.disk, crash, &mut oracle);
        }
    }
}

#[test]
fn a_failed_fsync_closes_the_log_until_a_restart() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 3, 1));
    world.disk.fail_syncs(true);
    let ticket = log.submit(entries(3, 5, 1)).unwrap();
    let done = super::world::drain(&mut log);
    assert_eq!(done.len(), 1);
    assert!(done[0].ticket == ticket && done[0].result.is_err());
    world.disk.fail_syncs(false);
    assert!(log.submit(entries(5, 6, 1)).is_err());
    assert!(log.failure().is_some() && !log.has_room(1));
    assert_eq!(log.entries(GROUP, Index(1), Index(9), 999).unwrap().len(), 2, "reads go on");
}

#[test]
fn pages_that_a_failed_fsync_left_in_the_cache_are_written_again_before_they_count() {
    let world = World::new();
    let mut oracle = Oracle::default();
    let (mut log, ..) = open(&world).unwrap();
    assert!(submit(&mut log, &mut oracle, entries(1, 3, 1)));
    world.disk.fail_syncs(true);
    assert!(!submit(&mut log, &mut oracle, entries(3, 5, 1)));
    drop(log);
    // The kernel has dropped the dirty pages, shows their content, and says Ok to the next fsync.
    let world = recover(&world.disk, Crash::Kill, &mut oracle);
    assert_eq!(oracle.now()[&GROUP].entries.len(), 4, "they were in the page cache");
    stays(&world, &mut oracle);
}

#[test]
fn a_failed_write_closes_the_log() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    world.disk.fail_writes(Some(std::io::ErrorKind::Other));
    log.submit(entries(1, 2, 1)).unwrap();
    log.submit(entries(2, 3, 1)).unwrap_err();
    assert_eq!(super::world::drain(&mut log).len(), 1);
}

#[test]
fn a_failed_fsync_at_start_is_an_error_and_not_a_log() {
    let world = World::new();
    drop(world.open().unwrap());
    world.disk.fail_syncs(true);
    assert!(matches!(world.open(), Err(LogError::Io { .. })));
}
