//! Writes never wait for the device: those that do not look at what they replace need nothing read for it, and those
//! that look have it read ahead.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code outside of test functions"
)]

use std::path::Path;

use quorate_api::OwnedArgs;
use quorate_api::command::{self, Flags};
use quorate_engine::{Attended, Cellar, DiskCellar, DiskOptions, Need};
use quorate_keyspace::{Keyspace, Moment, Want};

/// Room for the marks of a few hundred keys, and for next to no record.
const SMALL: DiskOptions = DiskOptions { cache_bytes: 64 * 1024, flush_bytes: 64 * 1024 };
const KEYS: u64 = 100;

/// Writes that look at nothing, on keys which [`cold`] has put.
const BLIND: &[&[&str]] = &[
    &["SET", "k0", "new"],
    &["SET", "k1", "new", "EX", "100"],
    &["SET", "k2", "new", "PX", "100000"],
    &["SET", "k3", "new", "EXAT", "99999999999"],
    &["SET", "k4", "new", "PXAT", "99999999999999"],
    &["SET", "k5", "new", "KEEPTTL"],
    &["SET", "k6", "new", "XX"],
    &["SET", "k7", "new", "NX"],
    &["SETNX", "k8", "new"],
    &["SETEX", "k9", "100", "new"],
    &["PSETEX", "k10", "100000", "new"],
    &["MSET", "k11", "new", "k12", "new"],
    &["MSETNX", "k13", "new", "k14", "new"],
    &["DEL", "k15", "k16"],
    &["UNLINK", "k17"],
    &["KV.PUT", "k18", "new", "", "0"],
    &["KV.DELETE", "k19", ""],
];

/// Writes that look at a record, or at several.
const LOOKING: &[&[&str]] = &[
    &["SET", "k0", "new", "GET"],
    &["SET", "k1", "new", "IFEQ", "v"],
    &["GETSET", "k2", "new"],
    &["GETDEL", "k3"],
    &["GETEX", "k4", "EX", "100"],
    &["APPEND", "k5", "new"],
    &["SETRANGE", "k6", "3", "new"],
    &["EXPIRE", "k7", "100"],
    &["PEXPIRE", "k8", "100000"],
    &["EXPIREAT", "k9", "99999999999"],
    &["PEXPIREAT", "k10", "99999999999999"],
    &["EXPIRE", "k11", "-1"],
    &["PERSIST", "k12"],
    &["INCR", "n0"],
    &["DECR", "n1"],
    &["INCRBY", "n2", "7"],
    &["DECRBY", "n3", "7"],
    &["INCRBYFLOAT", "n4", "0.5"],
    &["RENAME", "k13", "k14"],
    &["RENAME", "k15", "other1"],
    &["RENAMENX", "k16", "k17"],
    &["RENAMENX", "k18", "other2"],
    &["COPY", "k19", "k20"],
    &["COPY", "k21", "k22", "REPLACE"],
    &["COPY", "k23", "other3"],
    &["COPY", "k24", "k25", "DB", "1"],
    &["COPY", "k26", "k27", "replace", "db", "1"],
    &["COPY", "k28", "other4", "DB", "1"],
    &["MOVE", "k29", "1"],
    &["MOVE", "only here", "1"],
    &["KV.PUT", "k30", "new", "+", "0"],
    &["KV.DELETE", "k31", "7"],
    // Refused, whatever there is.
    &["MOVE", "k32", "99"],
    &["COPY", "k33", "k34", "DB", "99"],
    &["COPY", "k35", "k36", "DB"],
];

fn apply(keyspace: &mut Keyspace, words: &[&str]) {
    apply_in(keyspace, 0, words);
}

fn apply_in(keyspace: &mut Keyspace, db: u8, words: &[&str]) {
    let (spec, args) = parsed(words);
    let index = keyspace.applied() + 1;
    keyspace.begin(Moment { index, stamp_ms: 1000 + index, seed: 0 });
    keyspace.apply(db, spec, args.as_args()).unwrap();
    keyspace.finish().unwrap();
}

fn parsed(words: &[&str]) -> (&'static quorate_api::Spec, OwnedArgs) {
    let spec = command::lookup(words.first().unwrap().as_bytes()).unwrap();
    (spec, OwnedArgs::new(words))
}

/// What `words` looks at, as the node has it read ahead.
fn needs(keyspace: &Keyspace, words: &[&str]) -> Vec<Need> {
    let (spec, args) = parsed(words);
    let args = args.as_args();
    let mut needs = Vec::new();
    for at in spec.key_positions(args.len()) {
        let want = Want::Key { db: 0, command: spec.id, args, at };
        keyspace.add_needs_of(&want, &mut needs);
    }
    needs
}

/// Some keys on the disk and in no cache.
fn cold(dir: &Path) -> Keyspace {
    let mut disk = DiskCellar::new(SMALL).fresh(dir).unwrap();
    disk.seal(b"").unwrap();
    let mut keyspace = Keyspace::open(Box::new(Attended::inline(disk))).unwrap();
    let value = "v".repeat(900);
    for n in 0..KEYS {
        let key = format!("k{n}");
        apply(&mut keyspace, &["SET", &key, &value]);
        apply_in(&mut keyspace, 1, &["SET", &key, &value]);
    }
    for n in 0..5 {
        apply(&mut keyspace, &["SET", &format!("n{n}"), "1"]);
    }
    apply(&mut keyspace, &["SET", "only here", &value]);
    // What is needed for a removal, too.
    apply(&mut keyspace, &["SET", "gone", "v"]);
    apply(&mut keyspace, &["DEL", "gone"]);
    keyspace.engine_mut().checkpoint();
    keyspace.engine_mut().settle().unwrap();
    assert_eq!(keyspace.engine().durable_applied(), keyspace.applied());
    keyspace
}

#[test]
fn a_write_that_looks_at_nothing_reads_nothing_of_a_plain_record() {
    let dir = tempfile::tempdir().unwrap();
    let mut keyspace = cold(dir.path());
    let waited = |keyspace: &Keyspace| keyspace.engine().stats().waited_reads;
    for words in BLIND {
        let needs = needs(&keyspace, words);
        assert!(needs.iter().any(|need| need.only_replaced), "{words:?}: {needs:?}");
        let before = waited(&keyspace);
        // A removal reads where it notes that keys have gone; the record itself it does not.
        let of_records: Vec<_> = needs.iter().filter(|need| need.only_replaced).cloned().collect();
        assert!(keyspace.fetch(&of_records).is_none(), "{words:?}");
        while let Some(fetch) = keyspace.fetch(&needs) {
            keyspace.thaw(fetch.run().into());
        }
        apply(&mut keyspace, words);
        assert_eq!(waited(&keyspace), before, "{words:?}");
    }
}

#[test]
fn a_write_that_looks_at_the_record_has_it_read_ahead() {
    let dir = tempfile::tempdir().unwrap();
    let mut keyspace = cold(dir.path());
    for words in LOOKING {
        let needs = needs(&keyspace, words);
        assert!(!needs.iter().any(|need| need.only_replaced), "{words:?}");
        let before = keyspace.engine().stats().waited_reads;
        assert!(keyspace.fetch(&needs).is_some(), "{words:?} has its record in no cache");
        while let Some(fetch) = keyspace.fetch(&needs) {
            keyspace.thaw(fetch.run().into());
        }
        apply(&mut keyspace, words);
        assert_eq!(keyspace.engine().stats().waited_reads, before, "{words:?}");
    }
}

#[test]
fn every_command_that_writes_keys_is_among_these() {
    let all = command::all().filter(|spec| spec.flags.has(Flags::WRITE));
    for spec in all.filter(|spec| spec.keys.first > 0) {
        let mut examples = BLIND.iter().chain(LOOKING);
        assert!(
            examples.any(|words| words.first() == Some(&spec.name)),
            "{}: does it look at what it replaces? An example of it belongs into BLIND or LOOKING",
            spec.name
        );
    }
}
