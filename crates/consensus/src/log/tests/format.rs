//! Exact bytes: what format 1 is, and that a log which it wrote still opens.

use std::path::{Path, PathBuf};

use super::disk::FaultyDisk;
use super::model::{LogModel, Oracle, open};
use super::world::{DIR, GROUP, World, drain, entry};
use crate::id::{GroupId, Index, NodeId, Term};
use crate::log::encoder::Encoder;
use crate::log::manifest::{MANIFEST, Manifest};
use crate::log::record::Position;
use crate::log::segment::SegmentName;
use crate::log::state::State;
use crate::log::{Doubt, HardState, LogBatch};

const NAME: SegmentName =
    SegmentName { id: 7, salt: 0x0102_0304_0506_0708, bytes: 4096, end: None };
const MARK: Position = Position { segment: 6, offset: 0x200 };

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parts(encoder: &Encoder) -> String {
    encoder.parts().iter().map(|part| hex(part)).collect()
}

fn batch(change: impl FnOnce(&mut LogBatch)) -> String {
    let mut batch = LogBatch { group: GroupId(3), ..LogBatch::default() };
    change(&mut batch);
    let mut encoder = Encoder::new(NAME.start(), MARK);
    encoder.batch(&batch);
    assert_eq!(encoder.bytes(), batch.bytes());
    parts(&encoder)
}

/// A header's fields behind its checksum, spelled out.
fn fields(data: &str, kinds: &str, numbers: [u64; 4]) -> String {
    let numbers: String = numbers.iter().map(|number| hex(&number.to_le_bytes())).collect();
    format!("{data}{kinds}0000{numbers}06000000000000000002000000000000")
}

#[test]
fn golden_entry() {
    let mut entry = entry(5, 4, 0);
    entry.data = bytes::Bytes::from_static(b"hello");
    let bytes = batch(|batch| batch.entries.push(entry));
    let expected = fields("4cbb719a05000000", "0109", [3, 5, 4, 0]);
    assert_eq!(bytes, format!("e88d8ec8{expected}68656c6c6f000000"));
}

#[test]
fn golden_hard_state() {
    let hard = HardState { term: Term(4), vote: NodeId(2), commit: Index(9) };
    let bytes = batch(|batch| batch.hard_state = Some(hard));
    assert_eq!(bytes, format!("f59463c3{}", fields("0000000000000000", "0200", [3, 9, 4, 2])));
}

#[test]
fn golden_purge() {
    let bytes = batch(|batch| batch.purge = Some((Index(9), Term(4))));
    assert_eq!(bytes, format!("b2937e16{}", fields("0000000000000000", "0300", [3, 9, 4, 0])));
}

#[test]
fn golden_reset() {
    let bytes = batch(|batch| batch.reset_to = Some((Index(9), Term(4))));
    assert_eq!(bytes, format!("f7c74265{}", fields("0000000000000000", "0400", [3, 9, 4, 0])));
}

#[test]
fn golden_settled() {
    let bytes = batch(|batch| batch.settle_doubt = true);
    assert_eq!(bytes, format!("81652f55{}", fields("0000000000000000", "0700", [3, 0, 0, 0])));
}

#[test]
fn golden_state() {
    let state = State {
        hard: HardState { term: Term(4), vote: NodeId(2), commit: Index(9) },
        purged: (Index(5), Term(3)),
        last: Index(11),
        doubt: Some(Doubt { index: Index(12), term: Term(4) }),
    };
    let mut encoder = Encoder::new(NAME.start(), MARK);
    encoder.state(GroupId(3), &state);
    let numbers: String = [9_u64, 5, 3, 12, 4].iter().map(|one| hex(&one.to_le_bytes())).collect();
    let expected = fields("ad9e0b1828000000", "0500", [3, 11, 4, 2]);
    assert_eq!(parts(&encoder), format!("3de56dc8{expected}{numbers}"));
}

#[test]
fn golden_end() {
    let mut encoder = Encoder::new(NAME.start(), MARK);
    encoder.batch(&LogBatch { settle_doubt: true, ..LogBatch::default() });
    let first = parts(&encoder).len();
    encoder.finish();
    let expected = fields("0000000000000000", "0600", [0, 1, 0, 64]);
    assert_eq!(&parts(&encoder)[first..], format!("758049b5{expected}"));
}

#[test]
fn golden_segment_header() {
    let zeros = "0".repeat(64);
    let expected =
        "51524c4f475345476846e40101000000070000000000000008070605040302 01".replace(' ', "");
    assert_eq!(hex(&NAME.header()), format!("{expected}{zeros}"));
}

#[test]
fn golden_manifest() {
    let sealed = SegmentName { id: 3, salt: 5, bytes: 4096, end: Some(640) };
    let manifest = Manifest { sequence: 9, segments: vec![sealed, NAME], slot: 0 };
    let expected = "51524d414e494631e32088bc4000000001000000020000000900000000000000\
        030000000000000005000000000000000010000080020000\
        070000000000000008070605040302010010000000000000";
    assert_eq!(hex(&manifest.encode()), expected);
    assert_eq!(Manifest::decode(Path::new("m"), &manifest.encode()).unwrap(), Some(manifest));
}

/// What the fixture holds: every kind of record, two groups, three segments, a replaced suffix.
fn fixture_batches() -> Vec<LogBatch> {
    let plain = LogBatch { group: GROUP, sync: true, ..LogBatch::default() };
    let hard = |term, vote, commit| {
        Some(HardState { term: Term(term), vote: NodeId(vote), commit: Index(commit) })
    };
    let some = |from: u64, to: u64, term| (from..to).map(|index| entry(index, term, 300)).collect();
    vec![
        LogBatch { entries: some(1, 9, 1), hard_state: hard(1, 1, 0), ..plain.clone() },
        LogBatch { entries: some(6, 10, 2), hard_state: hard(2, 3, 5), ..plain.clone() },
        LogBatch {
            group: GroupId(9),
            reset_to: Some((Index(70), Term(4))),
            entries: vec![entry(71, 4, 0)],
            ..plain.clone()
        },
        LogBatch { purge: Some((Index(3), Term(1))), settle_doubt: true, ..plain.clone() },
        LogBatch { hard_state: hard(2, 3, 9), ..plain },
    ]
}

fn fixture_model() -> LogModel {
    let mut oracle = Oracle::default();
    fixture_batches().iter().for_each(|batch| oracle.submitted(batch));
    oracle.now()
}

/// The fixture's files; they were followed by zeros up to the given size.
const FIXTURE: [(&str, usize, &[u8]); 4] = [
    ("manifest", 65536, include_bytes!("data/v1/manifest")),
    ("0000000000000001.log", 4096, include_bytes!("data/v1/0000000000000001.log")),
    ("0000000000000002.log", 4096, include_bytes!("data/v1/0000000000000002.log")),
    ("0000000000000003.log", 4096, include_bytes!("data/v1/0000000000000003.log")),
];

#[test]
fn a_log_of_format_1_opens() {
    let disk = FaultyDisk::new();
    for (name, size, bytes) in FIXTURE {
        let mut bytes = bytes.to_vec();
        if name == "manifest" {
            // Both slots are the same; one is kept in the repository.
            bytes.resize(size / 2, 0);
            bytes = bytes.repeat(2);
        }
        bytes.resize(size, 0);
        disk.put(&Path::new(DIR).join(name), bytes);
    }
    let (_, found, recovered) = open(&World::on(disk)).unwrap();
    assert!(recovered.cuts.is_empty());
    assert_eq!(found, fixture_model());
}

#[test]
fn format_1_is_still_what_we_write() {
    for ((name, _, expected), (path, found)) in FIXTURE.iter().zip(write_fixture()) {
        assert_eq!(Path::new(DIR).join(name), path);
        assert_eq!(hex(expected), hex(&found), "{name}");
    }
}

fn write_fixture() -> Vec<(PathBuf, Vec<u8>)> {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    for batch in fixture_batches() {
        log.submit(batch).unwrap();
        drain(&mut log);
    }
    let mut paths = vec![Path::new(DIR).join(MANIFEST)];
    paths.extend(world.segments());
    let trimmed = paths.into_iter().map(|path| {
        let mut bytes = world.disk.content(&path);
        if path.ends_with(MANIFEST) {
            bytes.truncate(bytes.len() / 2);
        }
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        (path, bytes)
    });
    trimmed.collect()
}

/// Writes the fixture anew: only when a new format gets a directory of its own.
#[test]
#[ignore = "writes into the source tree"]
#[expect(clippy::disallowed_methods, reason = "writes a fixture, not a log")]
fn fixture_is_written() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/log/tests/data/v1");
    std::fs::create_dir_all(&dir).unwrap();
    for (path, bytes) in write_fixture() {
        std::fs::write(dir.join(path.file_name().unwrap()), bytes).unwrap();
    }
}
