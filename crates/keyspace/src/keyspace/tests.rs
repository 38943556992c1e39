//! The door itself: entries, reads, stamps, transactions; and the random model.

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_api::{ErrorCode, OwnedArgs, Reply, command};
use quorate_engine::{Engine, EngineError};

use super::*;
use crate::testing::{Play, START_MS, audit, engine, hex, records, show, words};

mod model;
mod scan;

fn args(line: &str) -> (&'static Spec, OwnedArgs) {
    let args = OwnedArgs::new(words(line));
    (command::lookup(args.as_args().at(0)).expect("a command"), args)
}

#[test]
fn a_keyspace_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Keyspace>();
    is_send::<crate::snapshot::Restore>();
    is_send::<Box<dyn View>>();
}

#[test]
fn the_records_of_a_small_state_have_their_documented_bytes() {
    let mut play = Play::default();
    play.run("SET foo bar PXAT 1700000000001");
    let engine = play.keyspace.engine();
    let others = [space(0x02), space(0x04), space(0x05)].map(|prefix| records(engine, &prefix));
    let texts: Vec<_> =
        others.iter().flatten().map(|(key, value)| (hex(key), hex(value))).collect();
    let expected = [
        ("0200000000666f6f", "010100000000001000000000018bcfe56801626172"),
        ("04000000002f965f64077e7d8a666f6f", ""),
        ("050000018bcfe5680100000000666f6f", ""),
    ];
    assert_eq!(texts, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let system: Vec<_> = records(engine, &[0x01]).into_keys().map(|key| hex(&key)).collect();
    assert_eq!(system, ["0101", "0102", "0103", "0104"]);
    let state = engine.get(&[0x01, 0x01]).unwrap().unwrap();
    assert_eq!(hex(&state), "0100000000000000010000018bcfe56800c8f5b7e3fb7bf375");
}

fn space(byte: u8) -> [u8; 1] {
    [byte]
}

#[test]
#[should_panic(expected = "entries are applied in order and once")]
fn an_entry_out_of_order_is_a_defect() {
    let mut keyspace = Keyspace::open(engine()).unwrap();
    keyspace.begin(Moment { index: 2, ..Moment::default() });
}

#[test]
#[should_panic(expected = "only between begin and finish")]
fn a_command_outside_of_an_entry_is_a_defect() {
    let mut keyspace = Keyspace::open(engine()).unwrap();
    let (spec, args) = args("SET k v");
    drop(keyspace.apply(0, spec, args.as_args()));
}

#[test]
#[should_panic(expected = "reads come between entries")]
fn a_read_within_an_entry_is_a_defect() {
    let mut keyspace = Keyspace::open(engine()).unwrap();
    keyspace.begin(Moment { index: 1, ..Moment::default() });
    let (spec, args) = args("GET k");
    drop(keyspace.read(0, 0, spec, args.as_args()));
}

#[test]
fn a_stamp_never_goes_backwards() {
    let mut play = Play::default();
    play.run("SET k v PX 100");
    play.now_ms -= 50_000;
    play.run("SET l v PX 100");
    assert_eq!(play.keyspace.stamp_ms(), START_MS);
    let expires = (START_MS + 100).to_string();
    assert_eq!(play.say("PEXPIRETIME l"), expires);
}

#[test]
fn a_read_that_crosses_an_expiry_asks_for_its_stamp() {
    let mut play = Play::default();
    play.run("SET a v PX 100");
    play.run("SET b v PX 200");
    play.run("SET c v");
    let a = START_MS + 100;
    for (line, at, needed) in [
        ("GET a", 99, None),
        ("GET a", 100, Some(a)),
        ("GET c", 500, None),
        ("MGET a b c", 500, Some(a + 100)),
        ("KEYS *", 150, Some(a)),
        ("KEYS *", 500, Some(a + 100)),
        ("SCAN 0", 500, Some(a + 100)),
        ("KEYS c", 500, None),
        ("TTL a", 100, Some(a)),
        ("EXISTS c b", 100, None),
        ("REVISIONS a", 100, Some(a)),
        ("KV.GET b", 200, Some(a + 100)),
        ("OBJECT ENCODING a", 100, Some(a)),
        ("DBSIZE", 500, None),
    ] {
        play.now_ms = START_MS + at;
        let needs = match play.read(line) {
            Read::Reply(_) => None,
            Read::NeedsStamp(stamp_ms) => Some(stamp_ms),
        };
        assert_eq!(needs, needed, "{line} after {at} ms");
    }
    let before = play.keyspace.counters();
    play.now_ms = START_MS + 150;
    play.entry(|_| ());
    assert_eq!(
        play.read("MGET a b"),
        Read::Reply(Reply::Array(vec![Reply::Nil, Reply::bulk(b"v")]))
    );
    let after = play.keyspace.counters();
    assert_eq!((after.hits - before.hits, after.misses - before.misses), (1, 1));
}

#[test]
fn a_clock_behind_the_stamp_shows_nothing_again() {
    let mut play = Play::default();
    play.run("SET a v PX 100");
    play.now_ms += 100;
    play.entry(|_| ());
    play.now_ms -= 100;
    assert_eq!(play.read("GET a"), Read::Reply(Reply::Nil));
}

#[test]
fn commands_see_earlier_ones_of_their_entry_and_get_positions_of_their_own() {
    let mut play = Play::default();
    let replies = play.entry(|keyspace| {
        ["SET k 1", "INCR k", "GET k", "REVISIONS k", "REVISIONS absent"].map(|line| {
            let (spec, args) = args(line);
            show(&keyspace.apply(0, spec, args.as_args()).unwrap())
        })
    });
    let at = |position: u64| (1 << 20) | position;
    let revisions = format!("[{} {}]", at(1), at(3));
    let absent = format!("[0 {}]", at(4));
    assert_eq!(replies, ["OK", "2", "\"2\"", revisions.as_str(), absent.as_str()]);
    let seen = (1 << 20) | 0xF_FFFF;
    assert_eq!(play.say("REVISIONS k"), format!("[{} {seen}]", at(1)));
}

#[test]
fn a_transaction_replies_with_a_list_and_one_error_undoes_nothing() {
    let mut play = Play::default();
    let lines = ["SET a x", "INCR a", "SET b y", "GET a"].map(args);
    let calls = lines.iter().map(|(spec, args)| (0, *spec, args.as_args()));
    let reply = play.entry(|keyspace| keyspace.transact([], calls).unwrap());
    let expected = "[OK (Err) value is not an integer or out of range OK \"x\"]";
    assert_eq!(show(&reply), expected);
    assert_eq!(play.say("MGET a b"), "[\"x\" \"y\"]");
}

#[test]
fn a_transaction_whose_watch_fails_does_nothing() {
    let mut play = Play::default();
    play.run("SET k 1");
    let watch = WatchRef { db: 0, key: b"k", revision: 5, seen: 1 << 40 };
    let (spec, args) = args("SET k 2");
    let reply =
        play.entry(|keyspace| keyspace.transact([watch], [(0, spec, args.as_args())]).unwrap());
    assert_eq!(reply, Reply::NilArray);
    assert_eq!(play.say("GET k"), "\"1\"");
}

#[test]
fn what_the_door_refuses_is_a_reply() {
    let mut play = Play::default();
    let (spec, args) = args("GET");
    let reply = play.entry(|keyspace| keyspace.apply(0, spec, args.as_args()).unwrap());
    assert_eq!(show(&reply), "(Err) wrong number of arguments for 'get' command");
    let (spec, args) = self::args("GET k");
    let reply = play.entry(|keyspace| keyspace.apply(16, spec, args.as_args()).unwrap());
    assert_eq!(show(&reply), "(Err) DB index is out of range");
    let (spec, args) = self::args("PING");
    let reply = play.entry(|keyspace| keyspace.apply(0, spec, args.as_args()).unwrap());
    assert_eq!(show(&reply), "(Err) command 'ping' does not work on keys");
}

#[test]
fn the_nodes_own_records_survive_flushall_and_count_in_the_digest() {
    let mut play = Play::default();
    play.entry(|keyspace| keyspace.system_put(b"members", Bytes::from_static(b"abc")).unwrap());
    play.run("SET k v");
    play.run("FLUSHALL");
    assert_eq!(play.keyspace.system_get(b"members").unwrap().unwrap().as_ref(), b"abc");
    assert_eq!(play.keyspace.system_get(b"member").unwrap(), None);
    let mut other = Play::default();
    other.entry(|keyspace| keyspace.system_put(b"members", Bytes::from_static(b"abd")).unwrap());
    other.run("SET k v");
    other.run("FLUSHALL");
    assert_ne!(other.keyspace.digest(), play.keyspace.digest());
}

#[test]
fn databases_with_keys_are_listed() {
    let mut play = Play::default();
    play.run("MSET a 1 b 2");
    play.run("EXPIRE a 10");
    play.say("SELECT 7");
    play.run("SET a 1");
    let figures = |db, keys, expiring| DatabaseFigures { db, keys, expiring };
    assert_eq!(play.keyspace.databases(), [figures(0, 2, 1), figures(7, 1, 0)]);
}

#[test]
fn an_engine_with_foreign_or_incomplete_records_is_damage() {
    let damaged = |engine: Box<dyn Engine>| match Keyspace::open(engine) {
        Err(EngineError::Damage(text)) => text,
        other => panic!("opened: {other:?}"),
    };
    let mut foreign = engine();
    foreign.put(b"\x02\0\0\0\0k", Bytes::from_static(b"v")).unwrap();
    foreign.write(7).unwrap();
    assert!(damaged(foreign).contains("entry 0, the engine's of 7"));
    for missing in [[0x01, 0x02], [0x01, 0x03], [0x01, 0x04]] {
        let mut play = Play::default();
        play.run("SET k v");
        let mut copy = engine();
        for (key, value) in records(play.keyspace.engine(), &[]) {
            if key != missing {
                copy.put(&key, value).unwrap();
            }
        }
        copy.write(play.keyspace.applied()).unwrap();
        assert!(damaged(copy).contains("incomplete"));
    }
}

#[test]
fn kv_put_obeys_its_condition_and_tells_the_revision() {
    let mut play = Play::default();
    let at = |index: u64| index << 20;
    for (line, expected) in [
        ("KV.GET k", "nil".to_owned()),
        ("KV.PUT k v + 0", "[0 0]".to_owned()),
        ("KV.PUT k v 5 0", "[0 0]".to_owned()),
        ("KV.PUT k v * 0", format!("[1 {}]", at(4))),
        ("KV.PUT k w * 0", format!("[0 {}]", at(4))),
        ("KV.PUT k w 4194305 0", format!("[0 {}]", at(4))),
        ("KV.PUT k w 4194304 0", format!("[1 {}]", at(7))),
        ("KV.PUT k x + 100", format!("[1 {}]", at(8))),
        ("KV.GET k", format!("[\"x\" {} {}]", at(8), START_MS + 100)),
        ("KV.PUT k y \"\" 0", format!("[1 {}]", at(10))),
        ("KV.GET k", format!("[\"y\" {} nil]", at(10))),
        ("KV.PUT k y x 0", "(Err) invalid condition".to_owned()),
        ("KV.PUT k y \"\" x", "(Err) invalid expire time in 'kv.put' command".to_owned()),
        (
            "KV.PUT k y \"\" 9223372036854775807",
            "(Err) invalid expire time in 'kv.put' command".to_owned(),
        ),
        ("KV.DELETE k *", format!("[0 {}]", at(10))),
        ("KV.DELETE k 5", format!("[0 {}]", at(10))),
        ("KV.DELETE k 10485760", format!("[1 {}]", at(17))),
        ("KV.DELETE k +", "[0 0]".to_owned()),
        ("KV.DELETE k \"\"", "[0 0]".to_owned()),
        ("KV.DELETE k *", "[0 0]".to_owned()),
        ("KV.DELETE k x", "(Err) invalid condition".to_owned()),
    ] {
        assert_eq!(play.say(line), expected, "{line}");
    }
    audit(&play.keyspace);
}

#[test]
fn a_request_that_is_sent_again_is_answered_from_the_table() {
    let mut play = Play::default();
    let (spec, args) = args("INCR n");
    for _ in 0..3 {
        let reply = play.entry(|keyspace| {
            if let Some(reply) = keyspace.once_before(b"me", 1, 42).unwrap() {
                return reply;
            }
            let reply = keyspace.apply(0, spec, args.as_args()).unwrap();
            keyspace.once_after(b"me", 1, 42, &reply).unwrap();
            reply
        });
        assert_eq!(reply, Reply::Int(1));
    }
    assert_eq!(play.say("GET n"), "\"1\"");
    let other = play.keyspace.once_before(b"me", 1, 43).unwrap().expect("a conflict");
    assert!(matches!(other, Reply::Error(error) if error.code == ErrorCode::Conflict));
    assert_eq!(play.keyspace.once_before(b"me", 2, 42).unwrap(), None);
    assert_eq!(play.keyspace.once_before(b"m", 1, 42).unwrap(), None);
}

#[test]
fn the_idempotency_table_survives_a_snapshot_and_forgets_after_its_window() {
    let mut play = Play::default();
    play.entry(|keyspace| keyspace.once_after(b"me", 1, 42, &Reply::Ok).unwrap());
    let mut restore = crate::snapshot::Restore::new(engine());
    restore.feed(&play.snapshot()).unwrap();
    play.keyspace = restore.finish().unwrap();
    assert_eq!(play.keyspace.once_before(b"me", 1, 42).unwrap(), Some(Reply::Ok));
    play.now_ms += crate::ONCE_WINDOW_MS - 1;
    assert!(!play.keyspace.housekeeping_due(play.now_ms).unwrap());
    assert_eq!(play.entry(|keyspace| keyspace.housekeep(9, 9).unwrap()).forgotten, 0);
    play.now_ms += 1;
    assert!(play.keyspace.housekeeping_due(play.now_ms).unwrap());
    assert_eq!(play.entry(|keyspace| keyspace.housekeep(9, 9).unwrap()).forgotten, 1);
    assert_eq!(play.keyspace.once_before(b"me", 1, 42).unwrap(), None);
    let system: Vec<_> = records(play.keyspace.engine(), &[0x01]).into_keys().collect();
    assert_eq!(system.len(), 4, "{system:?}");
}

#[test]
fn stopping_an_export_stops_it() {
    let mut play = Play::default();
    play.run("SET k v");
    let exported = crate::snapshot::export(&*play.keyspace.view(), &mut |_| ControlFlow::Break(()));
    assert_eq!(exported.unwrap(), crate::snapshot::Exported::Stopped);
}
