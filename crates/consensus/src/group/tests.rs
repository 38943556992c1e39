//! How a member begins: what has passed before it could ask for votes, and what it may not forget of that.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::log::tests::world::{GROUP, World, write};
use crate::log::{LogBatch, LogEntry};

/// When the process made sure that it is alone.
const SINCE: Mono = Mono(Duration::from_secs(9));

/// Node 1 of three, `later` than `SINCE`, with one entry that is committed and not applied.
fn started(seed: u64, later: Duration) -> Group {
    let (mut log, _) = World::new().open().unwrap();
    let entry = LogEntry {
        index: Index(1),
        term: Term(1),
        kind: message::kind::NORMAL,
        data: b"x".as_slice().into(),
    };
    write(
        &mut log,
        LogBatch { group: GROUP, entries: vec![entry], sync: true, ..LogBatch::default() },
    );
    let voters = (1..=3).map(NodeId).collect();
    let start = GroupStart {
        group: GROUP,
        node: NodeId(1),
        pace: Pace::default(),
        hard_state: HardState { term: Term(1), vote: NodeId(0), commit: Index(1) },
        configuration: Configuration { voters, ..Configuration::default() },
        applied: Index(0),
        snapshot: None,
        doubt: None,
        seed,
        since: SINCE,
        now: SINCE + later,
    };
    let mut group = Group::start(&start, Rc::new(RefCell::new(log))).unwrap();
    group.set_may_lead(true);
    group
}

fn replay(group: &mut Group) {
    let mut out = Output::default();
    while group.advance(&mut out).unwrap() {}
    assert_eq!(out.committed.len(), 1, "the entry is there to be applied");
}

fn ticks_until_it_asks(group: &mut Group) -> u32 {
    let mut ticks = 0;
    while group.role() == GroupRole::Follower {
        group.tick();
        ticks += 1;
        replay_nothing(group);
    }
    ticks
}

fn replay_nothing(group: &mut Group) {
    let mut out = Output::default();
    while group.advance(&mut out).unwrap() {}
    assert!(out.committed.is_empty());
}

#[test]
fn a_member_asks_for_votes_one_timeout_after_its_process_began_and_not_after_its_replay() {
    let pace = Pace::default();
    let mut waits = Vec::new();
    for seed in 0..40 {
        let early = &mut started(seed, Duration::ZERO);
        replay(early);
        let whole = ticks_until_it_asks(early);
        assert!((pace.election_ticks..2 * pace.election_ticks).contains(&whole), "{whole}");
        // It has been opening its data for long.
        let late = &mut started(seed, pace.tick * 50);
        replay(late);
        waits.push(ticks_until_it_asks(late));
        // It has been opening its data for a while, and reading its log for another.
        let part = &mut started(seed, pace.tick * 4);
        (0..3).for_each(|_| part.tick());
        replay(part);
        assert_eq!(
            ticks_until_it_asks(part),
            (whole - 7).max(waits[waits.len() - 1]),
            "of {whole}"
        );
    }
    waits.sort_unstable();
    waits.dedup();
    assert_eq!(waits, [1, 2, 3], "members that are ready together don't ask together");
}

#[test]
fn a_member_that_has_heard_of_a_leader_while_it_read_its_log_keeps_its_promise_to_it() {
    let pace = Pace::default();
    for seed in 0..40 {
        let group = &mut started(seed, pace.tick * 50);
        (0..9).for_each(|_| group.tick());
        let mut heartbeat = Message::default();
        heartbeat.set_msg_type(MessageType::MsgHeartbeat);
        (heartbeat.from, heartbeat.to, heartbeat.term) = (2, 1, 1);
        let mut bytes = Vec::new();
        message::encode(&heartbeat, &mut bytes);
        group.step(NodeId(2), bytes.into(), SINCE + pace.tick * 60).unwrap();
        assert_eq!(group.leader(), Some(NodeId(2)));
        (0..9).for_each(|_| group.tick());
        replay(group);
        assert!(ticks_until_it_asks(group) >= pace.election_ticks);
    }
}
