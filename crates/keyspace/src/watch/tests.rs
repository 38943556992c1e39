//! Watches: what aborts, what does not, and what may without need.

use super::*;
use crate::housekeep::Housekept;
use crate::testing::Play;
use quorate_api::Reply;

/// Watches `key` in the play's database now.
fn watch(play: &mut Play, key: &'static str) -> WatchRef<'static> {
    let Reply::Array(parts) = play.run(&format!("REVISIONS {key}")) else { panic!("no list") };
    let [Reply::Int(revision), Reply::Int(seen)] = parts.as_slice() else { panic!("{parts:?}") };
    let (revision, seen) = (revision.cast_unsigned(), seen.cast_unsigned());
    WatchRef { db: play.db, key: key.as_bytes(), revision, seen }
}

fn holds(play: &mut Play, watch: WatchRef<'_>) -> bool {
    play.entry(|keyspace| keyspace.watches_hold([watch]).unwrap())
}

/// Watches `k` after `before`, runs `then`, and tells whether the watch still holds.
fn survives(before: &[&str], then: &[&str]) -> bool {
    let mut play = Play::default();
    before.iter().for_each(|line| drop(play.say(line)));
    let watch = watch(&mut play, "k");
    then.iter().for_each(|line| drop(play.say(line)));
    holds(&mut play, watch)
}

#[test]
fn what_does_not_touch_the_key_aborts_nothing() {
    let then = ["SET other v", "DEL other", "GET k", "EXPIRE absent 10", "PERSIST k", "GETEX k"];
    assert!(survives(&[], &then));
    assert!(survives(&["SET k v"], &then));
    assert!(survives(&["SET k v"], &["SET k w NX", "SET k w IFEQ x", "RENAME k k", "COPY k l"]));
    assert!(survives(&["SELECT 1", "SET k v", "SELECT 0"], &["SELECT 1", "DEL k", "FLUSHDB"]));
}

#[test]
fn every_kind_of_change_of_a_key_that_is_there_aborts() {
    for change in [
        "SET k v",
        "APPEND k x",
        "DEL k",
        "EXPIRE k 10",
        "RENAME k l",
        "MOVE k 1",
        "GETDEL k",
        "SET k v PX 1",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "KV.DELETE k +",
        "COPY l k REPLACE",
        "RENAME l k",
    ] {
        assert!(!survives(&["SET k v", "SET l v"], &[change]), "{change}");
    }
}

#[test]
fn an_absent_key_that_was_created_and_has_gone_again_aborts() {
    for (create, remove) in [
        ("SET k v", "DEL k"),
        ("SET k v", "EXPIRE k 0"),
        ("SET k v", "RENAME k l"),
        ("SET k v", "MOVE k 1"),
        ("SET k v", "GETDEL k"),
        ("SET k v", "FLUSHDB"),
        ("SET k v", "FLUSHALL"),
        ("SET k v", "SWAPDB 0 1"),
        ("COPY l k", "KV.DELETE k \"\""),
        ("SET k v PX 5", "wait 5"),
    ] {
        assert!(!survives(&["SET l v"], &[create, remove]), "{create}, {remove}");
        assert!(!survives(&["SET l v"], &[create]), "{create}");
    }
}

#[test]
fn a_key_that_expired_and_was_removed_aborts_and_its_successor_too() {
    let mut play = Play::default();
    let absent = watch(&mut play, "k");
    play.run("SET k v PX 5");
    let present = watch(&mut play, "k");
    play.now_ms += 5;
    let expired = play.entry(|keyspace| keyspace.housekeep(9, 9).unwrap());
    assert_eq!(expired, Housekept { expired: 1, ..Housekept::default() });
    assert!(!holds(&mut play, absent));
    assert!(!holds(&mut play, present));
}

#[test]
fn a_key_seen_expired_does_not_abort_when_it_is_removed() {
    let mut play = Play::default();
    play.run("SET k v PX 5");
    play.now_ms += 5;
    let stale = watch(&mut play, "k");
    assert_eq!(stale.revision, 0);
    assert!(holds(&mut play, stale));
    play.entry(|keyspace| keyspace.housekeep(9, 9).unwrap());
    assert!(holds(&mut play, stale));
    play.run("SET k v");
    assert!(!holds(&mut play, stale));
}

#[test]
fn flushing_or_swapping_empty_databases_aborts_nothing() {
    assert!(survives(&[], &["FLUSHDB", "FLUSHALL", "SWAPDB 0 1"]));
    assert!(survives(&["SELECT 2", "SET k v", "SELECT 0"], &["FLUSHDB", "FLUSHALL", "SWAPDB 0 1"]));
}

#[test]
fn databases_swapped_there_and_back_abort() {
    assert!(!survives(&["SET k v"], &["SWAPDB 0 1", "SWAPDB 0 1"]));
    assert!(!survives(&["SELECT 1", "SET k v", "SELECT 0"], &["SWAPDB 0 1", "SWAPDB 1 0"]));
}

#[test]
fn a_watch_of_an_absent_key_from_before_the_floor_aborts() {
    let mut play = Play::default();
    let old = watch(&mut play, "k");
    play.run("SET l v");
    let present = watch(&mut play, "l");
    for _ in 0..3 {
        play.now_ms += 16 * 60 * 1000;
        play.entry(|keyspace| keyspace.housekeep(9, 9).unwrap());
    }
    assert!(!holds(&mut play, old));
    assert!(holds(&mut play, present));
    let young = watch(&mut play, "k");
    assert!(holds(&mut play, young));
}

#[test]
fn a_transaction_sees_its_watches_before_its_own_commands() {
    let mut play = Play::default();
    let key = watch(&mut play, "k");
    let held = play.entry(|keyspace| keyspace.watches_hold([key, key]).unwrap());
    assert!(held);
    let other = WatchRef { revision: 1, ..key };
    assert!(!play.entry(|keyspace| keyspace.watches_hold([key, other]).unwrap()));
    let nowhere = WatchRef { db: 16, ..key };
    assert!(!holds(&mut play, nowhere));
}

#[test]
fn other_keys_rarely_share_a_bucket() {
    let mut play = Play::default();
    let watches: Vec<_> = (0..200).map(|number| format!("{{tag}}watched:{number}")).collect();
    let seen = watch(&mut play, "k").seen;
    for number in 0..100 {
        play.run(&format!("SET {{tag}}other:{number} v"));
        play.run(&format!("DEL {{tag}}other:{number}"));
    }
    let aborted = watches.iter().filter(|key| {
        !holds(&mut play, WatchRef { db: 0, key: key.as_bytes(), revision: 0, seen })
    });
    assert!(aborted.count() <= 3);
}
