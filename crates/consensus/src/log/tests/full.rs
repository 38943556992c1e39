//! A full disk: refused before it is proposed, votes still have room, and it passes by itself.

use std::io::ErrorKind;
use std::time::Duration;

use super::disk::Crash;
use super::model::{Oracle, open, submit, take};
use super::world::{GROUP, World, drain, entries, hard, write};
use crate::id::{Index, Term};
use crate::log::{Log, LogBatch, LogEntry};

/// Writes entries as long as there is room; how many there are.
fn fill(log: &mut Log) -> u64 {
    let mut next = log.last_index(GROUP).0 + 1;
    while log.has_room(40) {
        write(log, entries(next, next + 1, 1));
        next += 1;
        assert!(next < 1000, "the disk never gets full");
    }
    next - 1
}

fn full_world() -> (World, Log, u64) {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 2, 1));
    world.disk.set_capacity(world.disk.used() + 100);
    let last = fill(&mut log);
    (world, log, last)
}

#[test]
fn a_full_disk_is_told_before_anything_is_proposed() {
    let (world, mut log, last) = full_world();
    assert!(log.stats().disk_full);
    assert!(!log.has_room(0), "no smaller entry either");
    assert_eq!(log.entries(GROUP, Index(last), Index(last + 1), 99).unwrap().len(), 1);
    drop(log);
    let (mut log, recovered) = world.open().unwrap();
    assert_eq!(recovered.groups[&GROUP].last, Index(last));
    write(&mut log, hard(2, 1, last));
}

#[test]
fn votes_have_room_on_a_full_disk() {
    let (world, mut log, last) = full_world();
    for term in 2..5 {
        write(&mut log, hard(term, 3, last));
    }
    drop(log);
    world.disk.crash(Crash::Power);
    let (_, recovered) = world.open().unwrap();
    assert_eq!(recovered.groups[&GROUP].hard_state.term, Term(4));
}

#[test]
fn service_resumes_when_there_is_room_again() {
    let (world, mut log, _) = full_world();
    world.disk.set_capacity(u64::MAX);
    assert!(!log.has_room(40), "not asked again at every call");
    world.pass(Duration::from_secs(2));
    assert!(log.has_room(40));
    assert!(!log.stats().disk_full);
    let next = log.last_index(GROUP).0 + 1;
    write(&mut log, entries(next, next + 1, 1));
}

#[test]
fn a_purge_makes_room_on_a_full_disk() {
    let (_, mut log, last) = full_world();
    let mut room = false;
    for _ in 0..3 {
        let purge = Some((Index(last), Term(1)));
        write(&mut log, LogBatch { group: GROUP, purge, sync: true, ..LogBatch::default() });
        room |= log.has_room(40);
    }
    assert!(room);
}

#[test]
fn what_was_granted_together_fits_together() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    // Meanwhile the keeper brings a spare.
    assert!(drain(&mut log).is_empty());
    world.disk.set_capacity(world.disk.used());
    let mut granted = 0;
    while log.has_room(40) {
        granted += 1;
    }
    assert!(granted > 20, "{granted}");

    write(&mut log, entries(1, granted + 1, 1));
    write(&mut log, hard(1, 1, granted));
}

#[test]
fn a_batch_without_room_waits_and_is_not_lost() {
    let (world, mut log, last) = full_world();
    let mut tickets = Vec::new();
    for index in last + 1..last + 30 {
        tickets.push(log.submit(entries(index, index + 1, 1)).unwrap());
    }
    let done = drain(&mut log).len();
    assert!(done < tickets.len());
    world.disk.set_capacity(u64::MAX);
    world.pass(Duration::from_secs(2));
    assert_eq!(drain(&mut log).len(), tickets.len() - done);
    assert_eq!(log.in_flight(), 0);
    drop(log);
    assert_eq!(world.open().unwrap().1.groups[&GROUP].last, Index(last + 29));
}

#[test]
fn a_write_refused_in_allocated_space_is_tried_again() {
    let world = World::new();
    let mut oracle = Oracle::default();
    let (mut log, ..) = open(&world).unwrap();
    assert!(submit(&mut log, &mut oracle, entries(1, 3, 1)));
    world.disk.fail_writes(Some(ErrorKind::StorageFull));
    assert!(submit(&mut log, &mut oracle, entries(3, 4, 1)));
    assert_eq!(log.in_flight(), 1);
    assert!(!log.has_room(1) && log.stats().disk_full);
    assert!(submit(&mut log, &mut oracle, entries(4, 6, 1)));
    world.disk.fail_writes(None);
    world.pass(Duration::from_secs(2));
    assert!(take(&mut log, &mut oracle));
    assert_eq!(log.in_flight(), 0);
    drop(log);
    world.disk.crash(Crash::Power);
    let (_, found, _) = open(&world).unwrap();
    oracle.check(&found);
}

#[test]
fn a_log_opens_on_a_full_disk() {
    let (world, log, last) = full_world();
    drop(log);
    world.disk.set_capacity(world.disk.used());
    for term in 2..5 {
        let (mut log, recovered) = world.open().unwrap();
        assert_eq!(recovered.groups[&GROUP].last, Index(last));
        assert!(!log.has_room(40));
        write(&mut log, hard(term, 1, last));
        drop(log);
        world.disk.crash(Crash::Power);
    }
}

/// Found under load: the spare was used up while dead segments were being removed, and the answer of that job,
/// which nobody had asked for a segment, was taken for a full disk.
#[test]
fn a_spare_that_is_used_while_segments_are_removed_is_no_full_disk() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    let mut next = 1;
    while world.segments().len() < 4 {
        write(&mut log, entries(next, next + 1, 1));
        next += 1;
    }
    // The segment in use has no room for what comes below.
    write(&mut log, entries(next, next + 15, 1));
    next += 15;
    world.hold_jobs();
    let purge = Some((Index(next - 1), Term(1)));
    log.submit(LogBatch { group: GROUP, purge, sync: true, ..LogBatch::default() }).unwrap();
    assert!(world.run_job(), "the purge is written");
    assert!(log.has_room(40), "what is dead is on its way out");
    let large =
        LogEntry { data: vec![7; 3000].into(), ..entries(next, next + 1, 1).entries[0].clone() };
    log.submit(LogBatch { group: GROUP, entries: vec![large], sync: true, ..LogBatch::default() })
        .unwrap();
    while world.run_job() {
        log.has_room(0);
        assert!(!log.stats().disk_full);
    }
    assert!(!log.stats().disk_full);
    assert_eq!((log.in_flight(), log.last_index(GROUP)), (0, Index(next)));
}
