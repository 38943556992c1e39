//! Snapshots, overwritten at places of the fuzzer's choice: refused, or exactly what was written; never a panic.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use quorate_api::{OwnedArgs, command};
use quorate_consensus::snapshot::SnapshotStore;
use quorate_consensus::{Configuration, GroupId, Index, NodeId, SnapshotMark, Term};
use quorate_engine::MemoryEngine;
use quorate_keyspace::snapshot::{Restore, export};
use quorate_keyspace::{Keyspace, Moment};

fn keyspace() -> Keyspace {
    let mut keyspace = Keyspace::open(Box::new(MemoryEngine::new())).expect("fresh");
    for index in 1..40_u64 {
        keyspace.begin(Moment { index, stamp_ms: 1_700_000_000_000 + index, seed: index });
        let args =
            OwnedArgs::new(["SET".to_owned(), format!("k{index}"), "v".repeat(index as usize)]);
        let spec = command::lookup(b"SET").expect("SET");
        keyspace.apply(0, spec, args.as_args()).expect("applied");
        keyspace.finish().expect("finished");
    }
    keyspace
}

/// The digest of what the file holds, if it is taken for whole.
fn read(store: &SnapshotStore, path: &Path) -> Option<u64> {
    let mut reader = store.reader(path).ok()?;
    let mut restore = Restore::new(Box::new(MemoryEngine::new()));
    while let Some(chunk) = reader.next_chunk().ok()? {
        restore.feed(&chunk).ok()?;
    }
    Some(restore.finish().ok()?.digest())
}

fuzz_target!(|input: (Vec<u8>, Vec<(u16, Vec<u8>)>)| {
    let (stream, edits) = input;
    // A stream that no checksum protects: another version's, or a bug of ours.
    let mut restore = Restore::new(Box::new(MemoryEngine::new()));
    if restore.feed(&stream).is_ok() {
        drop(restore.finish());
    }
    let dir = std::env::temp_dir().join(format!("quorate-fuzz-snapshot-{}", std::process::id()));
    // Left over from the last input, if there was one.
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).expect("a temporary directory");
    let env = quorate_env::real::env();
    let store = SnapshotStore::open(env.disk.clone(), &dir, GroupId(1)).expect("a new directory");
    let keyspace = keyspace();
    let configuration = Configuration { voters: vec![NodeId(1)], ..Configuration::default() };
    let mark = SnapshotMark { index: Index(39), term: Term(1), configuration };
    let mut writer = store.writer(&mark).expect("room");
    export(&*keyspace.view(), &mut |piece| {
        writer.write(piece).expect("room");
        std::ops::ControlFlow::Continue(())
    })
    .expect("exported");
    writer.finish().expect("room");
    let path = store.path(mark.index);
    let mut content = fs::read(&path).expect("a file");
    for (at, bytes) in edits {
        for (target, byte) in content.iter_mut().skip(usize::from(at)).zip(bytes) {
            *target = byte;
        }
    }
    fs::write(&path, content).expect("a file");
    if let Some(digest) = read(&store, &path) {
        assert_eq!(digest, keyspace.digest(), "damage that was taken for whole");
    }
});
