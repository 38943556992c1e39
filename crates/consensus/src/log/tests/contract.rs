//! What the log promises while nothing goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::world::{GROUP, World, drain, entries, entry, hard, read, write};
use crate::id::{GroupId, Index, NodeId, Term};
use crate::log::{HardState, LogBatch, LogConfig, LogError, SubmitError, Ticket};

#[test]
fn an_empty_log_starts_at_index_one() {
    let (log, recovered) = World::new().open().unwrap();
    assert_eq!(recovered, crate::log::Recovered::default());
    assert_eq!((log.first_index(GROUP), log.last_index(GROUP)), (Index(1), Index(0)));
    assert_eq!(log.term(GROUP, Index(0)), Some(Term(0)));
    assert_eq!(log.term(GROUP, Index(1)), None);
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 8, 1));
    write(&mut log, hard(2, 3, 5));
    write(&mut log, entries(8, 10, 2));
    let before = read(&log, GROUP);
    drop(log);
    for _ in 0..3 {
        let (log, recovered) = world.open().unwrap();
        assert!(recovered.cuts.is_empty());
        let state = recovered.groups[&GROUP];
        let hard = HardState { term: Term(2), vote: NodeId(3), commit: Index(5) };
        assert_eq!((state.hard_state, state.doubt), (hard, None));
        assert_eq!((state.first, state.last), (Index(1), Index(9)));
        assert_eq!(read(&log, GROUP), before);
        assert_eq!(log.term(GROUP, Index(7)), Some(Term(1)));
        assert_eq!(log.term(GROUP, Index(8)), Some(Term(2)));
    }
}

#[test]
fn groups_do_not_see_each_other() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    for group in [7, 3, 9] {
        let batch = LogBatch { group: GroupId(group), ..entries(1, 2 + group, group) };
        write(&mut log, batch);
    }
    drop(log);
    let (log, recovered) = world.open().unwrap();
    assert_eq!(recovered.groups.len(), 3);
    for group in [7, 3, 9] {
        let last = Index(1 + group);
        assert_eq!(log.last_index(GroupId(group)), last);
        assert_eq!(log.term(GroupId(group), last), Some(Term(group)));
    }
}

#[test]
fn batches_that_wait_become_one_write_and_one_fsync() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    // Meanwhile the keeper brings a spare.
    assert!(drain(&mut log).is_empty());
    world.hold_jobs();
    for index in 1..=20 {
        log.submit(entries(index, index + 1, 1)).unwrap();
    }
    assert_eq!(log.in_flight(), 20);
    assert!(drain(&mut log).is_empty());
    assert!(world.run_job());
    assert_eq!(drain(&mut log).len(), 1, "the first was written alone");
    assert!(world.run_job());
    let done: Vec<_> = drain(&mut log).into_iter().map(|done| done.ticket).collect();
    assert_eq!(done, (2..=20).map(Ticket).collect::<Vec<_>>());
    assert_eq!((log.stats().fsyncs, log.in_flight()), (2, 0));
}

#[test]
fn a_batch_that_nobody_waits_for_is_written_with_the_next_one() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 3, 1));
    let commit = log.submit(LogBatch { sync: false, ..hard(1, 0, 2) }).unwrap();
    assert!(drain(&mut log).is_empty());
    let next = log.submit(entries(3, 4, 1)).unwrap();
    let done: Vec<_> = drain(&mut log).into_iter().map(|done| done.ticket).collect();
    assert_eq!(done, [commit, next]);
    assert_eq!(log.stats().fsyncs, 2);
    log.submit(LogBatch { sync: false, ..hard(1, 0, 3) }).unwrap();
    log.flush();
    assert_eq!(drain(&mut log).len(), 1);
}

#[test]
fn a_completion_wakes_the_caller_once() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    // Meanwhile the keeper brings a spare.
    assert!(drain(&mut log).is_empty());
    world.hold_jobs();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut cx = Context::from_waker(&waker);
    assert!(log.poll_done(&mut cx).is_pending());
    log.submit(entries(1, 2, 1)).unwrap();
    log.submit(entries(2, 3, 1)).unwrap();
    world.run_job();
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "woken though nobody polled after the submit");
    assert!(matches!(log.poll_done(&mut cx), Poll::Ready(done) if done.ticket == Ticket(1)));
    assert!(log.poll_done(&mut cx).is_pending());
    world.run_job();
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
}

#[test]
fn an_append_at_or_below_the_last_index_replaces_the_rest() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 10, 1));
    write(&mut log, entries(4, 6, 2));
    let expected = |log: &crate::log::Log| {
        assert_eq!(log.last_index(GROUP), Index(5));
        let terms: Vec<_> = read(log, GROUP).iter().map(|entry| entry.term.0).collect();
        assert_eq!(terms, [1, 1, 1, 2, 2]);
    };
    expected(&log);
    drop(log);
    expected(&world.open().unwrap().0);
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let (mut log, _) = World::new().open().unwrap();
    write(&mut log, entries(1, 4, 1));
    let refused = log.submit(entries(5, 6, 1)).unwrap_err();
    assert_eq!(refused, SubmitError::Order { group: GROUP, index: Index(5) });
    let mut torn = entries(4, 5, 1);
    torn.entries.push(entry(6, 1, 8));
    assert!(log.submit(torn).is_err());
    let purge = LogBatch { group: GROUP, purge: Some((Index(9), Term(1))), ..LogBatch::default() };
    assert!(log.submit(purge).is_err());
    assert_eq!((log.last_index(GROUP), log.in_flight()), (Index(3), 0));
    write(&mut log, entries(4, 5, 1));
}

#[test]
fn a_batch_larger_than_a_segment_is_refused() {
    let (mut log, _) = World::new().open().unwrap();
    let mut batch = entries(1, 1, 1);
    batch.entries.push(entry(1, 1, 4096));
    let max = log.batch_bytes_max();
    assert!(matches!(log.submit(batch), Err(SubmitError::TooLarge { max: m, .. }) if m == max));
    let mut batch = entries(1, 1, 1);
    batch.entries.push(entry(1, 1, usize::try_from(max).unwrap() - 64));
    write(&mut log, batch);
}

#[test]
fn a_purge_removes_whole_segments_but_no_state() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, hard(7, 2, 0));
    for index in 1..200 {
        write(&mut log, entries(index, index + 1, 7));
    }
    let before = log.stats().segments;
    assert!(before > 5, "{before}");
    let point = Some((Index(190), Term(7)));
    write(&mut log, LogBatch { group: GROUP, purge: point, sync: true, ..LogBatch::default() });
    assert!(log.stats().segments <= 3);
    assert_eq!(world.segments().len() as u64, log.stats().segments);
    assert!(matches!(log.entries(GROUP, Index(190), Index(191), 99), Err(LogError::Purged { .. })));
    assert_eq!(log.term(GROUP, Index(190)), Some(Term(7)));
    let rest = read(&log, GROUP);
    drop(log);
    let (log, recovered) = world.open().unwrap();
    let state = recovered.groups[&GROUP];
    assert_eq!(state.hard_state, HardState { term: Term(7), vote: NodeId(2), commit: Index(190) });
    assert_eq!((state.purged, state.first), ((Index(190), Term(7)), Index(191)));
    assert_eq!(read(&log, GROUP), rest);
}

#[test]
fn a_segment_stays_as_long_as_any_group_needs_it() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    let slow = LogBatch { group: GroupId(2), ..entries(1, 2, 1) };
    write(&mut log, slow);
    for index in 1..100 {
        write(&mut log, entries(index, index + 1, 1));
    }
    let purge = |group, index| LogBatch {
        group,
        purge: Some((Index(index), Term(1))),
        sync: true,
        ..LogBatch::default()
    };
    let before = log.stats().segments;
    write(&mut log, purge(GROUP, 99));
    assert_eq!(log.stats().segments, before);
    assert_eq!(read(&log, GroupId(2)).len(), 1);
    write(&mut log, purge(GroupId(2), 1));
    assert!(log.stats().segments <= 3);
}

#[test]
fn a_reset_empties_the_log_behind_the_snapshot() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 30, 1));
    let reset = LogBatch {
        group: GROUP,
        reset_to: Some((Index(100), Term(3))),
        entries: vec![entry(101, 3, 10)],
        sync: true,
        ..LogBatch::default()
    };
    write(&mut log, reset);
    drop(log);
    let (log, recovered) = world.open().unwrap();
    let state = recovered.groups[&GROUP];
    assert_eq!((state.first, state.last), (Index(101), Index(101)));
    assert_eq!((state.purged, state.hard_state.commit), ((Index(100), Term(3)), Index(100)));
    assert_eq!(read(&log, GROUP), [entry(101, 3, 10)]);
}

#[test]
fn reads_stop_at_the_byte_limit_but_return_at_least_one() {
    let (mut log, _) = World::new().open().unwrap();
    write(&mut log, entries(1, 30, 1));
    let read = |bytes| log.entries(GROUP, Index(3), Index(30), bytes).unwrap().len();
    assert_eq!((read(0), read(80), read(119), read(u64::MAX)), (1, 2, 2, 27));
    assert!(log.entries(GROUP, Index(3), Index(3), 9).unwrap().is_empty());
}

#[test]
fn an_entry_that_is_not_durable_is_not_read() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 3, 1));
    world.hold_jobs();
    log.submit(entries(3, 5, 1)).unwrap();
    assert_eq!(log.last_index(GROUP), Index(4));
    let found = log.entries(GROUP, Index(1), Index(5), u64::MAX).unwrap();
    assert_eq!(found.len(), 2);
    let refused = log.entries(GROUP, Index(3), Index(5), u64::MAX);
    assert!(matches!(refused, Err(LogError::NotDurable { index: Index(3), .. })));
}

#[test]
fn a_reader_may_outlive_the_segments_it_reads() {
    let (mut log, _) = World::new().open().unwrap();
    for index in 1..100 {
        write(&mut log, entries(index, index + 1, 1));
    }
    let reader = log.reader(GROUP, Index(1), Index(5), 999).unwrap();
    let point = Some((Index(90), Term(1)));
    write(&mut log, LogBatch { group: GROUP, purge: point, sync: true, ..LogBatch::default() });
    assert!(matches!(reader.read(), Err(LogError::Purged { .. })));
}

#[test]
fn bytes_since_counts_headers_and_data_behind_an_index() {
    let (mut log, _) = World::new().open().unwrap();
    write(&mut log, entries(1, 11, 1));
    assert_eq!(log.bytes_since(GROUP, Index(0)), 10 * 104);
    assert_eq!(log.bytes_since(GROUP, Index(4)), 6 * 104);
    assert_eq!(log.bytes_since(GROUP, Index(10)), 0);
    let point = Some((Index(4), Term(1)));
    write(&mut log, LogBatch { group: GROUP, purge: point, sync: true, ..LogBatch::default() });
    assert_eq!(log.bytes_since(GROUP, Index(0)), 6 * 104);
}

#[test]
fn two_processes_do_not_share_a_log() {
    let world = World::new();
    let held = world.open().unwrap();
    assert!(matches!(world.open(), Err(LogError::Locked { .. })));
    drop(held);
    world.open().unwrap();
}

#[test]
fn restarts_do_not_pile_up_segments() {
    let world = World::new();
    for index in 1..30 {
        let (mut log, _) = world.open().unwrap();
        if index < 5 {
            write(&mut log, entries(index, index + 1, 1));
        }
        assert!(log.stats().segments <= 3, "{}", log.stats().segments);
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let mut world = World::new();
    world.config = LogConfig { segment_bytes: 100, ..world.config };
    assert!(matches!(world.open(), Err(LogError::Config(_))));
    world.config = LogConfig { segment_bytes: 8192, reserve_bytes: 4096, ..world.config };
    assert!(matches!(world.open(), Err(LogError::Config(_))));
    assert!(LogConfig::default().checked().is_ok());
}
