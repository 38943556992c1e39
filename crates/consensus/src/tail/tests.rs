//! Tests of the tail on a log whose entries don't fit into the memory they may take.

use raft::{GetEntriesContext, Storage};

use super::*;
use crate::log::tests::world::{GROUP, World, write};
use crate::log::{LogBatch, LogEntry};

const ENTRY_BYTES: usize = 1000;
const LAST: u64 = 60;
const ROOM: usize = 10 * ENTRY_BYTES;

fn batch(indexes: std::ops::RangeInclusive<u64>, change_at: u64) -> LogBatch {
    let entry = |index| {
        let change = Change { steps: vec![MemberChange::Promote(NodeId(9))], context: "".into() };
        let (kind, data) = if index == change_at {
            (message::kind::CHANGE, change.encode())
        } else {
            (message::kind::NORMAL, vec![u8::try_from(index).unwrap(); ENTRY_BYTES].into())
        };
        LogEntry { index: Index(index), term: Term(1), kind, data }
    };
    let entries = indexes.map(entry).collect();
    LogBatch { group: GROUP, entries, sync: true, ..LogBatch::default() }
}

/// A log of entries 1 to `LAST`, of which one is a change, and a tail that holds nothing yet.
fn tail(change_at: u64) -> Tail {
    let (mut log, _) = World::new().open().unwrap();
    for first in (1..=LAST).step_by(2) {
        write(&mut log, batch(first..=first + 1, change_at));
    }
    let log = Rc::new(RefCell::new(log));
    let mut tail = Tail::new(GROUP, log, HardState::default(), Configuration::default());
    tail.bytes_max = ROOM;
    tail
}

fn indexes(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn a_restart_keeps_no_more_in_memory_than_it_may() {
    let mut tail = tail(0);
    tail.load(Index(0)).unwrap();
    assert_eq!(tail.bytes, ROOM);
    assert_eq!((tail.front(), tail.last()), (LAST - 9, LAST));
}

#[test]
fn what_is_known_to_be_committed_is_not_loaded_at_all() {
    let mut tail = tail(0);
    tail.load(Index(LAST)).unwrap();
    assert_eq!((tail.bytes, tail.last()), (0, LAST));
    tail.load(Index(LAST - 3)).unwrap();
    assert_eq!((tail.front(), tail.last()), (LAST - 2, LAST));
}

/// As raft asks: from the first that is not applied on, some bytes at a time.
#[test]
fn all_entries_come_in_order_for_applying() {
    let mut tail = tail(7);
    tail.load(Index(20)).unwrap();
    let mut seen = Vec::new();
    while seen.len() < usize::try_from(LAST).unwrap() {
        let low = seen.last().map_or(1, |last| last + 1);
        tail.prepare(low, LAST + 1).unwrap();
        let before_front = low < tail.front();
        assert_eq!(before_front, !tail.replay.is_empty(), "at {low}");
        let context = GetEntriesContext::empty(false);
        let some = tail.entries(low, LAST + 1, 3 * ENTRY_BYTES as u64, context).unwrap();
        assert!(some.iter().map(|entry| entry.data.len()).sum::<usize>() <= 3 * ENTRY_BYTES);
        seen.extend(indexes(&some));
        tail.shrink(*seen.last().unwrap());
    }
    assert_eq!(seen, (1..=LAST).collect::<Vec<_>>());
}

/// The votes of a member in doubt hang on it.
#[test]
fn a_change_that_is_not_in_memory_is_known_until_it_is_applied_or_replaced() {
    let mut tail = tail(30);
    tail.load(Index(20)).unwrap();
    assert!(tail.front() > 30);
    assert_eq!(tail.voters_to_come(20), [NodeId(9)]);
    assert_eq!(tail.voters_to_come(30), []);
    let other = Entry { index: 25, term: 2, ..Entry::default() };
    tail.append(&[other]);
    assert_eq!(tail.voters_to_come(20), []);
}

#[test]
fn entries_that_were_replaced_are_not_replayed() {
    let mut tail = tail(0);
    tail.load(Index(LAST)).unwrap();
    tail.prepare(1, LAST + 1).unwrap();
    assert_eq!(tail.replay.last().unwrap().index, LAST);
    tail.append(&[Entry { index: 40, term: 2, ..Entry::default() }]);
    assert_eq!(tail.replay.last().unwrap().index, 39);
    assert_eq!((tail.front(), tail.last()), (40, 40));
}
