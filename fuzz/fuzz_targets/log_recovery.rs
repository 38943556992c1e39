//! Log recovery: the files of a real log, overwritten at places of the fuzzer's choice, are opened,
//! refused or understood; never a panic, never a loop, and never another content: what it has is what was written, from
//! the first entry on without a hole.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use quorate_consensus::log::{Log, LogBatch, LogConfig, LogEntry};
use quorate_consensus::{GroupId, Index, Term};

const CONFIG: LogConfig = LogConfig {
    segment_bytes: 16 * 1024,
    reserve_bytes: 1024,
    retry_after: std::time::Duration::from_secs(1),
};

const GROUP: GroupId = GroupId(1);
const WRITTEN: u64 = 39;

fn entry(index: u64) -> LogEntry {
    let data = vec![index as u8; 400].into();
    LogEntry { index: Index(index), term: Term(1 + index / 10), kind: 0, data }
}

fn write_a_log(dir: &Path) {
    let env = quorate_env::real::env();
    let (mut log, _) = Log::open(&env, dir, CONFIG).expect("a fresh log");
    for index in 1..=WRITTEN {
        let batch = LogBatch {
            group: GROUP,
            entries: vec![entry(index)],
            sync: true,
            ..LogBatch::default()
        };
        log.submit(batch).expect("taken");
    }
}

fuzz_target!(|edits: Vec<(u8, u16, Vec<u8>)>| {
    let dir = std::env::temp_dir().join(format!("quorate-fuzz-{}", std::process::id()));
    // Left over from the last input, if there was one.
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).expect("a temporary directory");
    write_a_log(&dir);
    let mut files: Vec<_> =
        fs::read_dir(&dir).expect("the log").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for (file, at, bytes) in edits {
        let path = &files[usize::from(file) % files.len()];
        let mut content = fs::read(path).expect("a file");
        for (target, byte) in content.iter_mut().skip(usize::from(at)).zip(bytes) {
            *target = byte;
        }
        fs::write(path, content).expect("a file");
    }
    if let Ok((log, recovered)) = Log::open(&quorate_env::real::env(), &dir, CONFIG) {
        let state = recovered.groups.get(&GROUP).expect("sealed segments hold entries");
        assert_eq!((recovered.groups.len(), state.first), (1, Index(1)), "the beginning is gone");
        assert!(state.last.0 <= WRITTEN, "there are more than were written");
        let next = Index(state.last.0 + 1);
        let found = log.entries(GROUP, state.first, next, u64::MAX).expect("they can be read");
        assert_eq!(found.len() as u64, state.last.0, "there is a hole");
        for (index, found) in (1..).zip(found) {
            let written = entry(index);
            assert_eq!((found.index, found.term), (written.index, written.term));
            assert_eq!(found.data, written.data, "entry {index} is another one");
        }
    }
});
