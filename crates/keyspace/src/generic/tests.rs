//! Keys and databases as Redis 7 has them; every table was compared with redis-server 7.0.15.

use quorate_api::Reply;
use quorate_api::limits::KEY_BYTES_MAX;

use crate::record::{Encoding, Head, Record};
use crate::testing::{Play, audit, play, show};
use crate::types::Kind;
use crate::{space, system};

const WRONG_INT: &str = "(Err) value is not an integer or out of range";
const INT_RANGE: &str =
    "(Err) value is out of range, value must between -2147483648 and 2147483647";
const SYNTAX: &str = "(Err) syntax error";
const DB_RANGE: &str = "(Err) DB index is out of range";
const WRONG_TYPE: &str = "(WrongType) Operation against a key holding the wrong kind of value";

#[test]
fn keys_are_deleted_and_counted() {
    play(&[
        ("MSET a 1 b 2 c 3", "OK"),
        ("EXISTS a b x a", "3"),
        ("TOUCH a x", "1"),
        ("DEL a a x", "1"),
        ("UNLINK b c", "2"),
        ("DBSIZE", "0"),
        ("TYPE a", "none"),
        ("SET a 1", "OK"),
        ("TYPE a", "string"),
        ("DBSIZE", "1"),
    ]);
}

#[test]
fn expiries_are_set_and_shown_in_both_units() {
    play(&[
        ("TTL k", "-2"),
        ("PTTL k", "-2"),
        ("EXPIRETIME k", "-2"),
        ("EXPIRE k 10", "0"),
        ("SET k v", "OK"),
        ("TTL k", "-1"),
        ("PTTL k", "-1"),
        ("PEXPIRETIME k", "-1"),
        ("EXPIRE k 10", "1"),
        ("TTL k", "10"),
        ("PEXPIRE k 1499", "1"),
        ("TTL k", "1"),
        ("PEXPIRE k 1500", "1"),
        ("TTL k", "2"),
        ("EXPIREAT k 4000000000", "1"),
        ("EXPIRETIME k", "4000000000"),
        ("PEXPIREAT k 4000000000499", "1"),
        ("EXPIRETIME k", "4000000000"),
        ("PEXPIRETIME k", "4000000000499"),
        ("PERSIST k", "1"),
        ("PERSIST k", "0"),
        ("PERSIST absent", "0"),
        ("TTL k", "-1"),
        ("GET k", "\"v\""),
    ]);
}

#[test]
fn expire_with_a_time_that_has_passed_deletes_the_key() {
    play(&[
        ("SET k v", "OK"),
        ("EXPIRE k 0", "1"),
        ("EXISTS k", "0"),
        ("SET k v", "OK"),
        ("PEXPIRE k -1", "1"),
        ("EXISTS k", "0"),
        ("SET k v EX 100", "OK"),
        ("EXPIREAT k 1", "1"),
        ("EXISTS k", "0"),
        ("SET k v", "OK"),
        ("PEXPIREAT k -9223372036854775808", "1"),
        ("EXISTS k", "0"),
        ("DBSIZE", "0"),
    ]);
}

#[test]
fn the_conditions_of_expire_compare_with_the_current_expiry() {
    play(&[
        ("SET k v", "OK"),
        ("EXPIRE k 100 XX", "0"),
        ("EXPIRE k 100 GT", "0"),
        ("EXPIRE k 100 NX", "1"),
        ("EXPIRE k 200 NX", "0"),
        ("EXPIRE k 50 GT", "0"),
        ("EXPIRE k 100 GT", "0"),
        ("EXPIRE k 200 GT", "1"),
        ("EXPIRE k 300 LT", "0"),
        ("EXPIRE k 100 lt", "1"),
        ("TTL k", "100"),
        ("EXPIRE k 150 XX GT", "1"),
        ("EXPIRE k 120 XX LT", "1"),
        ("TTL k", "120"),
        ("PERSIST k", "1"),
        ("EXPIRE k 100 XX LT", "0"),
        ("EXPIRE k 100 LT", "1"),
        ("EXPIRE k -1 GT", "0"),
        ("EXPIRE k -1 LT", "1"),
        ("EXISTS k", "0"),
    ]);
}

#[test]
fn expire_refuses_bad_options_before_it_looks_at_the_key() {
    let nx = "(Err) NX and XX, GT or LT options at the same time are not compatible";
    let invalid = "(Err) invalid expire time in 'expire' command";
    play(&[
        ("EXPIRE absent 10 NX XX", nx),
        ("EXPIRE absent 10 NX GT", nx),
        ("EXPIRE absent 10 LT NX", nx),
        ("EXPIRE absent 10 GT LT", "(Err) GT and LT options at the same time are not compatible"),
        ("EXPIRE absent 10 AB", "(Err) Unsupported option AB"),
        ("EXPIRE absent x", WRONG_INT),
        ("EXPIRE absent 1.5", WRONG_INT),
        ("EXPIRE absent x AB", "(Err) Unsupported option AB"),
        ("EXPIRE absent 9223372036854775807", invalid),
        ("EXPIRE absent -9223372036854775808", invalid),
        ("EXPIRE absent 9223372036854775", invalid),
        ("PEXPIRE absent 9223372036854775807", "(Err) invalid expire time in 'pexpire' command"),
        ("EXPIREAT absent 9223372036854775807", "(Err) invalid expire time in 'expireat' command"),
        ("PEXPIREAT absent 9223372036854775807", "0"),
        ("PEXPIRE absent -9223372036854775808", "0"),
    ]);
}

#[test]
fn rename_takes_value_and_expiry_along() {
    play(&[
        ("RENAME a b", "(Err) no such key"),
        ("RENAME a a", "(Err) no such key"),
        ("RENAMENX a a", "(Err) no such key"),
        ("SET a 1 EX 100", "OK"),
        ("SET b 2", "OK"),
        ("RENAME a b", "OK"),
        ("MGET a b", "[nil \"1\"]"),
        ("TTL b", "100"),
        ("RENAME b b", "OK"),
        ("RENAMENX b b", "0"),
        ("SET a 3", "OK"),
        ("RENAMENX b a", "0"),
        ("RENAMENX b c", "1"),
        ("TTL c", "100"),
        ("RENAME a c", "OK"),
        ("TTL c", "-1"),
        ("DBSIZE", "1"),
    ]);
}

#[test]
fn copy_leaves_the_source_and_replaces_only_on_request() {
    play(&[
        ("COPY a b", "0"),
        ("SET a 1 EX 100", "OK"),
        ("COPY a b", "1"),
        ("TTL b", "100"),
        ("SET b 2", "OK"),
        ("COPY a b", "0"),
        ("COPY a b REPLACE", "1"),
        ("MGET a b", "[\"1\" \"1\"]"),
        ("COPY a a", "(Err) source and destination objects are the same"),
        ("COPY a a DB 0", "(Err) source and destination objects are the same"),
        ("COPY a a DB 1", "1"),
        ("COPY a a DB 1", "0"),
        ("COPY a a DB 1 replace", "1"),
        ("COPY a b DB 16", DB_RANGE),
        ("COPY a b DB -1", DB_RANGE),
        ("COPY a b DB x", WRONG_INT),
        ("COPY a b DB", SYNTAX),
        ("COPY a b BAD", SYNTAX),
        ("COPY a b DB 1 DB 2", "1"),
        ("SELECT 2", "OK"),
        ("GET b", "\"1\""),
        ("SELECT 1", "OK"),
        ("EXISTS a b", "1"),
    ]);
}

#[test]
fn move_takes_a_key_to_another_database() {
    play(&[
        ("MOVE k 1", "0"),
        ("SET k v EX 100", "OK"),
        ("MOVE k 0", "(Err) source and destination objects are the same"),
        ("MOVE k 16", DB_RANGE),
        ("MOVE k -1", DB_RANGE),
        ("MOVE k x", WRONG_INT),
        ("MOVE k 99999999999", INT_RANGE),
        ("MOVE k -99999999999", INT_RANGE),
        ("MOVE k 9", "1"),
        ("EXISTS k", "0"),
        ("SET k w", "OK"),
        ("MOVE k 9", "0"),
        ("SELECT 9", "OK"),
        ("GET k", "\"v\""),
        ("TTL k", "100"),
    ]);
}

#[test]
fn keys_lists_what_matches_in_order() {
    play(&[
        ("KEYS *", "[]"),
        ("MSET two 2 one 1 three 3 t* 4", "OK"),
        ("KEYS *", "[\"one\" \"t*\" \"three\" \"two\"]"),
        ("KEYS t*", "[\"t*\" \"three\" \"two\"]"),
        ("KEYS t\\*", "[\"t*\"]"),
        ("KEYS ?n?", "[\"one\"]"),
        ("KEYS t[a-v]*", "[\"three\"]"),
        ("KEYS one", "[\"one\"]"),
        ("KEYS x", "[]"),
        ("SET \"\" empty", "OK"),
        ("KEYS **", "[\"one\" \"t*\" \"three\" \"two\"]"),
        ("KEYS \"\"", "[\"\"]"),
    ]);
}

#[test]
fn databases_are_apart_until_they_are_swapped() {
    play(&[
        ("SET k 0", "OK"),
        ("SELECT 1", "OK"),
        ("EXISTS k", "0"),
        ("SET k 1", "OK"),
        ("SET l 1 EX 100", "OK"),
        ("SWAPDB 0 1", "OK"),
        ("GET k", "\"0\""),
        ("DBSIZE", "1"),
        ("SELECT 0", "OK"),
        ("MGET k l", "[\"1\" \"1\"]"),
        ("DBSIZE", "2"),
        ("SWAPDB 0 0", "OK"),
        ("DBSIZE", "2"),
        ("SWAPDB x 1", "(Err) invalid first DB index"),
        ("SWAPDB 0 x", "(Err) invalid second DB index"),
        ("SWAPDB 16 1", DB_RANGE),
        ("SWAPDB 0 -1", DB_RANGE),
    ]);
}

#[test]
fn flushdb_empties_one_database_and_flushall_all() {
    play(&[
        ("MSET a 1 b 2", "OK"),
        ("SELECT 1", "OK"),
        ("SET a 1 EX 100", "OK"),
        ("FLUSHDB ASYNC", "OK"),
        ("DBSIZE", "0"),
        ("KEYS *", "[]"),
        ("GET a", "nil"),
        ("SET a again", "OK"),
        ("SELECT 0", "OK"),
        ("DBSIZE", "2"),
        ("FLUSHDB BAD", SYNTAX),
        ("FLUSHALL SYNC ASYNC", SYNTAX),
        ("DBSIZE", "2"),
        ("FLUSHALL sync", "OK"),
        ("DBSIZE", "0"),
        ("SELECT 1", "OK"),
        ("DBSIZE", "0"),
        ("FLUSHDB", "OK"),
    ]);
}

#[test]
fn object_answers_as_redis_would() {
    let lfu = "(Err) An LFU maxmemory policy is not selected, access frequency not tracked. Please \
               note that when switching between policies at runtime LRU and LFU data will take some \
               time to adjust.";
    play(&[
        ("OBJECT REFCOUNT k", "nil"),
        ("OBJECT FREQ k", "nil"),
        ("OBJECT IDLETIME k", "nil"),
        ("SET k 9999", "OK"),
        ("OBJECT REFCOUNT k", "2147483647"),
        ("SET k 10000", "OK"),
        ("OBJECT REFCOUNT k", "1"),
        ("OBJECT IDLETIME k", "0"),
        ("OBJECT FREQ k", lfu),
        ("OBJECT BAD k", "(Err) unknown subcommand 'BAD'. Try OBJECT HELP."),
        ("OBJECT ENCODING", "(Err) wrong number of arguments for 'object|encoding' command"),
        ("OBJECT ENCODING k k", "(Err) wrong number of arguments for 'object|encoding' command"),
        ("OBJECT HELP k", "(Err) wrong number of arguments for 'object|help' command"),
    ]);
    let Reply::Array(lines) = Play::default().run("OBJECT HELP") else { panic!("no list") };
    assert_eq!(lines.len(), 15);
}

#[test]
fn an_expired_key_is_absent_for_every_command() {
    let mut play = Play::default();
    for key in ["a", "b", "c", "d"] {
        play.run(&format!("SET {key} 1 PX 100"));
    }
    play.run("SET e 1");
    play.now_ms += 99;
    assert_eq!(play.say("EXISTS a b c d e"), "5");
    play.now_ms += 1;
    for (line, expected) in [
        ("EXISTS a b c d e", "1"),
        ("GET a", "nil"),
        ("TTL a", "-2"),
        ("TYPE a", "none"),
        ("KEYS *", "[\"e\"]"),
        ("SCAN 0", "[\"0\" [\"e\"]]"),
        ("RANDOMKEY", "\"e\""),
        ("DBSIZE", "5"),
        ("DEL a", "0"),
        ("DBSIZE", "4"),
        ("RENAME b x", "(Err) no such key"),
        ("RENAME e c", "OK"),
        ("TTL c", "-1"),
        ("INCR d", "1"),
        ("TTL d", "-1"),
        ("SET b 1 XX", "nil"),
        ("DBSIZE", "2"),
    ] {
        assert_eq!(play.say(line), expected, "{line}");
        audit(&play.keyspace);
    }
    assert_eq!(play.keyspace.counters().expired, 4);
}

#[test]
fn a_key_beyond_the_limit_is_refused_and_nothing_is_done() {
    let longest = "k".repeat(KEY_BYTES_MAX);
    let too_long = format!("{longest}k");
    let refused = format!("(Err) key exceeds maximum allowed size ({KEY_BYTES_MAX} bytes)");
    let mut play = Play::default();
    assert_eq!(play.say(&format!("SET {longest} v")), "OK");
    assert_eq!(play.say(&format!("GET {longest}")), "\"v\"");
    for line in [
        format!("SET {too_long} v"),
        format!("GET {too_long}"),
        format!("MSET a 1 {too_long} 2"),
        format!("RENAME {longest} {too_long}"),
        format!("COPY {longest} {too_long}"),
        format!("OBJECT ENCODING {too_long}"),
    ] {
        assert_eq!(play.say(&line), refused, "{}", &line[..20]);
    }
    assert_eq!(play.say("DBSIZE"), "1");
    audit(&play.keyspace);
}

/// A play with a hash `h` that has two elements, made by hand.
fn with_a_hash() -> Play {
    let mut play = Play::default();
    play.entry(|keyspace| {
        let store = keyspace.store_for_test();
        let place = store.place(0, b"h");
        let head =
            Head { kind: Kind::Hash, encoding: Encoding::Auto, revision: 77, expire_ms: None };
        store.write(&place, None, Record::new(head, &77u64.to_be_bytes())).unwrap();
        for field in [b"f", b"g"] {
            store.put(space::sub(77, field).as_slice(), bytes::Bytes::from_static(b"v")).unwrap();
        }
    });
    play
}

#[test]
fn string_commands_refuse_other_types_and_change_nothing() {
    let mut play = with_a_hash();
    for line in [
        "GET h",
        "STRLEN h",
        "GETRANGE h 0 1",
        "SETRANGE h 0 x",
        "APPEND h x",
        "INCR h",
        "INCRBYFLOAT h 1",
        "GETSET h x",
        "GETDEL h",
        "GETEX h",
        "SET h x GET",
        "SET h x IFEQ y",
        "SET h x NX GET",
        "KV.GET h",
        "DECRBY h 1",
        "COPY h g",
    ] {
        assert_eq!(play.say(line), WRONG_TYPE, "{line}");
    }
    assert_eq!(play.say("TYPE h"), "hash");
    assert_eq!(play.say("MGET h"), "[nil]");
    assert_eq!(play.say("SETNX h x"), "0");
    assert_eq!(play.say("SET h x NX"), "nil");
    assert_eq!(play.say("TTL h"), "-1");
    assert_eq!(play.say("SCAN 0 TYPE hash"), "[\"0\" [\"h\"]]");
    assert_eq!(play.say("SCAN 0 TYPE string"), "[\"0\" []]");
    assert_eq!(play.say("SCAN 0 TYPE nonsense"), "[\"0\" []]");
}

#[test]
fn deleting_or_overwriting_a_collection_leaves_its_elements_to_housekeeping() {
    for line in ["DEL h", "SET h x", "MSET h x", "EXPIRE h 0", "FLUSHALL"] {
        let mut play = with_a_hash();
        play.run(line);
        assert!(play.keyspace.has_garbage(), "{line}");
        let mut rounds = 0;
        while play.entry(|keyspace| keyspace.housekeep(1, 1).unwrap()).more {
            rounds += 1;
        }
        assert!((2..6).contains(&rounds), "{line}: {rounds} rounds");
        assert!(!play.keyspace.has_garbage(), "{line}");
        let left = crate::testing::records(play.keyspace.engine(), &[space::SUB]);
        assert!(left.is_empty(), "{line}");
        let orphans = system::orphan_prefix();
        assert!(crate::testing::records(play.keyspace.engine(), orphans.as_slice()).is_empty());
    }
}

#[test]
fn renaming_and_moving_a_collection_keeps_its_elements() {
    for line in ["RENAME h g", "MOVE h 3", "EXPIRE h 100"] {
        let mut play = with_a_hash();
        assert_ne!(play.say(line), "0", "{line}");
        assert!(!play.keyspace.has_garbage(), "{line}");
        audit(&play.keyspace);
    }
}

#[test]
fn randomkey_reaches_every_key_also_of_one_hash_tag() {
    for tag in ["", "{tag}"] {
        let mut play = Play::default();
        assert_eq!(play.say("RANDOMKEY"), "nil");
        let mut wanted = std::collections::BTreeSet::new();
        for number in 0..10 {
            play.run(&format!("SET {tag}{number} v"));
            wanted.insert(format!("\"{tag}{number}\""));
        }
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2_000 {
            seen.insert(show(&play.run("RANDOMKEY")));
        }
        assert_eq!(seen, wanted);
    }
}
