//! Writes that never look at what they replace need nothing read for it, and those that look have it read ahead.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code outside of test functions"
)]

use std::path::Path;

use quorate_api::{OwnedArgs, command};
use quorate_engine::{Attended, Cellar, DiskCellar, DiskOptions, Need};
use quorate_keyspace::{Keyspace, Moment, Want};

/// Room for the marks of a few hundred keys, and for next to no record.
const SMALL: DiskOptions = DiskOptions { cache_bytes: 64 * 1024, flush_bytes: 64 * 1024 };
const KEYS: u64 = 100;

fn apply(keyspace: &mut Keyspace, words: &[&str]) {
    let (spec, args) = parsed(words);
    let index = keyspace.applied() + 1;
    keyspace.begin(Moment { index, stamp_ms: 1000 + index, seed: 0 });
    keyspace.apply(0, spec, args.as_args()).unwrap();
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
        let want = Want::Key { db: 0, command: spec.id, args, key: args.at(at) };
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
        apply(&mut keyspace, &["SET", &format!("k{n}"), &value]);
    }
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
    let commands: [&[&str]; 16] = [
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
    ];
    let waited = |keyspace: &Keyspace| keyspace.engine().stats().waited_reads;
    for words in commands.into_iter().chain([&["KV.DELETE", "k19", ""][..]]) {
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
    let commands: [&[&str]; 10] = [
        &["SET", "k0", "new", "GET"],
        &["SET", "k1", "new", "IFEQ", "v"],
        &["GETSET", "k2", "new"],
        &["GETDEL", "k3"],
        &["APPEND", "k4", "new"],
        &["EXPIRE", "k5", "100"],
        &["RENAME", "k6", "k7"],
        &["COPY", "k8", "other"],
        &["KV.PUT", "k9", "new", "+", "0"],
        &["KV.DELETE", "k10", "7"],
    ];
    for words in commands {
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
