//! SCAN's promise: what is there all the time is returned, and nothing twice.

use std::collections::BTreeMap;

use super::*;
use crate::testing::{Dice, play};

/// One call: the next cursor and the keys.
fn page(play: &mut Play, line: &str) -> (String, Vec<String>) {
    let Reply::Array(parts) = play.run(line) else { panic!("{line}: no list") };
    let [Reply::Bulk(cursor), Reply::Array(keys)] = parts.as_slice() else { panic!("{line}") };
    let cursor = String::from_utf8(cursor.to_vec()).unwrap();
    (cursor, keys.iter().map(|key| show(key).trim_matches('"').to_owned()).collect())
}

#[test]
fn options_are_checked_as_in_redis() {
    let syntax = "(Err) syntax error";
    let integer = "(Err) value is not an integer or out of range";
    play(&[
        ("SCAN 0", "[\"0\" []]"),
        ("SCAN x", "(Err) invalid cursor"),
        ("SCAN 1x", "(Err) invalid cursor"),
        ("SCAN 0 COUNT", syntax),
        ("SCAN 0 COUNT 0", syntax),
        ("SCAN 0 COUNT -5", syntax),
        ("SCAN 0 COUNT x", integer),
        ("SCAN 0 MATCH", syntax),
        ("SCAN 0 BAD 5", syntax),
        ("SCAN x COUNT x", "(Err) invalid cursor"),
        ("MSET foo 1 bar 2", "OK"),
        ("SCAN 0 COUNT 100 MATCH f*", "[\"0\" [\"foo\"]]"),
        ("SCAN 0 match * type STRING", "[\"0\" [\"bar\" \"foo\"]]"),
        ("SCAN 0 TYPE list", "[\"0\" []]"),
        ("SCAN 0 MATCH x MATCH bar", "[\"0\" [\"bar\"]]"),
    ]);
}

#[test]
fn a_cursor_beyond_every_key_ends_the_scan() {
    let mut play = Play::default();
    play.run("SET foo 1");
    for cursor in [u64::MAX, 1 << 63, 16_384 << 48] {
        assert_eq!(page(&mut play, &format!("SCAN {cursor}")), ("0".to_owned(), vec![]));
    }
}

#[test]
fn cursors_of_one_node_go_on_after_a_snapshot_on_another() {
    let mut play = Play::default();
    for number in 0..100 {
        play.run(&format!("SET key:{number} v"));
    }
    let (mut cursor, mut keys) = page(&mut play, "SCAN 0 COUNT 7");
    while cursor != "0" {
        let mut restore = crate::snapshot::Restore::new(engine());
        restore.feed(&play.snapshot()).unwrap();
        play.keyspace = restore.finish().unwrap();
        let (next, more) = page(&mut play, &format!("SCAN {cursor} COUNT 7"));
        assert!(more.len() >= 7 || next == "0");
        (cursor, keys) = (next, [keys, more].concat());
    }
    keys.sort();
    let mut all: Vec<_> = (0..100).map(|number| format!("key:{number}")).collect();
    all.sort();
    assert_eq!(keys, all);
}

#[test]
fn keys_that_stay_are_returned_once_whatever_comes_and_goes() {
    for seed in 0..20 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let mut play = Play::default();
        let tag = dice.pick(&["", "{tag}"]);
        for number in 0..60 {
            play.run(&format!("SET {tag}stays:{number} v"));
        }
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let count = dice.below(12) + 1;
            let (next, keys) = page(&mut play, &format!("SCAN {cursor} COUNT {count}"));
            for key in keys {
                *seen.entry(key).or_default() += 1;
            }
            if next == "0" {
                break;
            }
            cursor = next;
            for _ in 0..dice.below(20) {
                let number = dice.below(200);
                let line = match dice.below(4) {
                    0 => format!("DEL {tag}other:{number}"),
                    1 => format!("SET {tag}stays:{} w", number % 60),
                    2 => format!("SET {tag}other:{number} v PX {}", number + 1),
                    _ => format!("SET {tag}other:{number} v"),
                };
                play.run(&line);
                play.now_ms += 3;
            }
        }
        for number in 0..60 {
            assert_eq!(seen.get(&format!("{tag}stays:{number}")), Some(&1));
        }
        audit(&play.keyspace);
    }
}

#[test]
fn keys_of_one_position_are_never_torn_apart() {
    // No two short keys collide in 62 bits: the records are made by hand, at one position.
    let mut play = Play::default();
    play.entry(|keyspace| {
        let store = keyspace.store_for_test();
        for (position, key) in [(5, "a"), (5, "b"), (5, "c"), (9, "d")] {
            let index = space::slot(0, position, key.as_bytes());
            store.put(index.as_slice(), Bytes::new()).unwrap();
        }
    });
    let (cursor, keys) = page(&mut play, "SCAN 0 COUNT 1");
    assert_eq!(
        (cursor.as_str(), keys.as_slice()),
        ("6", ["a", "b", "c"].map(str::to_owned).as_slice())
    );
    let (cursor, keys) = page(&mut play, "SCAN 6 COUNT 1");
    assert_eq!((cursor.as_str(), keys.as_slice()), ("0", ["d".to_owned()].as_slice()));
}
