//! Housekeeping: in time, within its budgets, and nothing more.

use quorate_engine::engine::Visitor;
use quorate_engine::{EngineError, Found, Reader, View};

use super::*;
use crate::frozen::Rehearsal;
use crate::testing::{Play, audit, hex, play, records};

fn housekeep(play: &mut Play, expire_max: usize, clear_max: usize) -> Housekept {
    let kept = play.entry(|keyspace| keyspace.housekeep(expire_max, clear_max).unwrap());
    audit(&play.keyspace);
    kept
}

/// A state of which nothing can be read.
struct Rotten;

impl Reader for Rotten {
    fn get(&self, _key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        Err(EngineError::Damage("rotten".to_owned()))
    }

    fn visit(&self, _: &[u8], _: &[u8], _: Visitor<'_>) -> Result<(), EngineError> {
        Err(EngineError::Damage("rotten".to_owned()))
    }
}

impl View for Rotten {
    fn applied(&self) -> u64 {
        7
    }
}

#[test]
fn damage_that_a_rehearsal_meets_is_told_to_who_would_hold_what_it_has_read() {
    let thawed = Rehearsal::new(Box::new(Rotten)).housekeep(1, 10, 10);
    let mut play = Play::default();
    let told = play.keyspace.hold(thawed);
    assert!(matches!(&told, Err(EngineError::Damage(what)) if what == "rotten"), "{told:?}");
}

#[test]
fn expired_keys_are_removed_by_time_within_the_budget() {
    let mut play = Play::default();
    for number in 0..10 {
        play.run(&format!("SET k{number} v PX {}", 10 * (number + 1)));
    }
    play.run("SET stays v");
    let next = play.keyspace.next_expiry_ms().unwrap();
    assert_eq!(next, Some(crate::testing::START_MS + 10));
    assert!(!play.keyspace.housekeeping_due(play.now_ms + 9).unwrap());
    assert!(play.keyspace.housekeeping_due(play.now_ms + 10).unwrap());
    play.now_ms += 60;
    let kept = housekeep(&mut play, 4, 0);
    assert_eq!(kept, Housekept { expired: 4, more: true, ..Housekept::default() });
    assert_eq!(play.say("DBSIZE"), "7");
    let kept = housekeep(&mut play, 4, 0);
    assert_eq!(kept, Housekept { expired: 2, more: false, ..Housekept::default() });
    assert_eq!(play.say("DBSIZE"), "5");
    assert_eq!(play.keyspace.counters().expired, 6);
}

#[test]
fn a_flushed_database_is_cleared_in_steps() {
    let mut play = Play::default();
    for number in 0..10 {
        play.run(&format!("SET k{number} v{}", if number < 5 { " EX 100" } else { "" }));
    }
    play.run("FLUSHDB");
    play.run("SET k1 new");
    assert!(play.keyspace.has_garbage());
    let steps: Vec<_> = (0..4).map(|_| housekeep(&mut play, 0, 3)).collect();
    let cleared: Vec<_> = steps.iter().map(|kept| (kept.cleared, kept.more)).collect();
    assert_eq!(cleared, [(3, true), (3, true), (3, true), (1, false)]);
    assert!(!play.keyspace.has_garbage());
    assert_eq!(play.say("GET k1"), "\"new\"");
    let left = records(play.keyspace.engine(), &[space::META]).len()
        + records(play.keyspace.engine(), &[space::SLOT]).len()
        + records(play.keyspace.engine(), &[space::EXPIRY]).len();
    assert_eq!(left, 2);
    assert_eq!(play.keyspace.next_expiry_ms().unwrap(), None);
}

#[test]
fn expired_keys_of_a_flushed_database_leave_the_index_first() {
    let mut play = Play::default();
    play.run("SET a v PX 10");
    play.run("SET b v PX 10");
    play.run("FLUSHDB");
    play.now_ms += 10;
    let kept = housekeep(&mut play, 5, 1);
    assert_eq!((kept.expired, kept.cleared, kept.more), (2, 1, true));
    let kept = housekeep(&mut play, 5, 5);
    assert_eq!((kept.expired, kept.cleared, kept.more), (0, 1, false));
    assert_eq!(play.keyspace.counters().expired, 0);
}

#[test]
fn nothing_to_do_is_nothing_done() {
    play(&[("SET k v", "OK"), ("DBSIZE", "1")]);
    let mut play = Play::default();
    play.run("SET k v");
    assert_eq!(housekeep(&mut play, 5, 5), Housekept::default());
}

#[test]
fn old_tombstones_are_swept_in_steps_once_two_windows_have_passed() {
    let mut play = Play::default();
    let tombstones = |play: &Play| records(play.keyspace.engine(), &[1, 0x10]).len();
    housekeep(&mut play, 0, 0);
    for number in 0..3_000 {
        play.run(&format!("SET k{number} v"));
        play.run(&format!("DEL k{number}"));
    }
    let all = tombstones(&play);
    assert!((2_800..=3_000).contains(&all), "{all}");
    play.now_ms += TOMBSTONE_WINDOW_MS;
    assert!(play.keyspace.housekeeping_due(play.now_ms).unwrap());
    // This round takes the checkpoint behind them; the floor becomes the one before.
    while housekeep(&mut play, 0, 0).more {}
    assert_eq!(tombstones(&play), all);
    play.run("SET young v");
    play.run("DEL young");
    play.now_ms += TOMBSTONE_WINDOW_MS;
    let kept = housekeep(&mut play, 0, 0);
    assert!(kept.more);
    // The young one may be among those it looked at.
    let left = all + 1 - TOMBSTONES_SWEPT_MAX;
    assert!((left..=left + 1).contains(&tombstones(&play)));
    while housekeep(&mut play, 0, 0).more {}
    assert_eq!(tombstones(&play), 1);
}

#[test]
fn the_record_has_its_documented_bytes() {
    let mut memory = Housekeeping { floor: 1, checkpoint: 2, checkpoint_ms: 3, sweep: None };
    let words = "000000000000000100000000000000020000000000000003";
    assert_eq!(hex(&memory.encode()), words);
    assert_eq!(Housekeeping::decode(&memory.encode()), Some(memory));
    memory.sweep = Some((5, 0x0607));
    assert_eq!(hex(&memory.encode()), format!("{words}050607"));
    assert_eq!(Housekeeping::decode(&memory.encode()), Some(memory));
    assert_eq!(Housekeeping::decode(&memory.encode()[..25]), None);
}

#[test]
fn an_expiry_index_that_names_no_key_is_damage() {
    let mut play = Play::default();
    let damage = play.entry(|keyspace| {
        let index = space::expiry(5, 0, b"ghost");
        let store = keyspace.store_for_test();
        store.put(index.as_slice(), bytes::Bytes::new()).unwrap();
        expire(store, 10, 10)
    });
    assert!(matches!(damage, Err(EngineError::Damage(_))));
}
