//! Streams: whole ones come back, all others are refused.

use std::ops::ControlFlow;

use quorate_engine::Cellar as _;

use super::*;
use crate::testing::{Play, engine, hex};

fn some_state() -> Play {
    let mut play = Play::default();
    for number in 0..50 {
        play.run(&format!("SET key:{number} {}", "v".repeat(number * 10)));
    }
    play.run("EXPIRE key:7 100");
    play.run("DEL key:9");
    play
}

fn restore(stream: &[u8], piece_bytes: usize) -> Result<crate::Keyspace, RestoreError> {
    let mut restore = Restore::new(engine());
    for piece in stream.chunks(piece_bytes) {
        restore.feed(piece)?;
    }
    restore.finish()
}

fn refused(stream: &[u8]) -> String {
    match restore(stream, 64) {
        Ok(_) => panic!("restored"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_stream_has_its_documented_frame() {
    let mut play = Play::default();
    play.run("SET k v");
    let stream = play.snapshot();
    let text = hex(&stream);
    assert!(text.starts_with("51554f524b53303100000000000000010100000002"), "{text}");
    assert!(text.contains("01000000060000000b02000000006b0100"), "{text}");
    assert!(text.ends_with("000000000000000006"), "{text}");
}

#[test]
fn pieces_may_be_of_any_size() {
    let play = some_state();
    let stream = play.snapshot();
    for piece_bytes in [1, 2, 3, 7, 64, 1000, usize::MAX] {
        let keyspace = restore(&stream, piece_bytes).expect("restored");
        assert_eq!(keyspace.digest(), play.keyspace.digest());
        assert_eq!(keyspace.applied(), play.keyspace.applied());
        assert_eq!(keyspace.stamp_ms(), play.keyspace.stamp_ms());
        let again = Play { keyspace, ..Play::default() };
        assert!(again.snapshot() == stream);
    }
}

#[test]
fn an_export_piece_by_piece_is_the_same_stream() {
    let play = some_state();
    for enough in [0, 1, 100, 1500, usize::MAX / 2] {
        let mut export = Export::new(play.keyspace.view());
        let mut stream = Vec::new();
        while export.next(enough, &mut stream).expect("exported") {}
        assert!(stream == play.snapshot(), "{enough} bytes at a time");
        assert!(!export.next(enough, &mut stream).expect("over"));
    }
}

#[test]
fn large_values_pass_whole() {
    let mut play = Play::default();
    play.run("SETRANGE large 1000000 x");
    play.run("SET small v");
    let mut longest = 0;
    let exported = export(&*play.keyspace.view(), &mut |piece| {
        longest = longest.max(piece.len());
        ControlFlow::Continue(())
    });
    let Ok(Exported::Whole { records, bytes }) = exported else { panic!("{exported:?}") };
    let stream = play.snapshot();
    assert_eq!((records, bytes), (8, stream.len() as u64));
    assert!(longest > 1_000_000);
    let keyspace = restore(&stream, 1500).expect("restored");
    let mut again = Play { keyspace, ..Play::default() };
    assert_eq!(again.say("STRLEN large"), "1000001");
}

#[test]
fn a_stream_that_ends_early_is_refused_wherever_it_ends() {
    let stream = some_state().snapshot();
    for len in 0..stream.len() {
        assert_eq!(refused(&stream[..len]), "malformed snapshot: it ends early", "cut to {len}");
    }
}

#[test]
fn a_stream_that_was_tampered_with_is_refused() {
    let stream = some_state().snapshot();
    let header = 16;
    let change = |at: usize, byte: u8| {
        let mut changed = stream.clone();
        changed[at] = byte;
        refused(&changed)
    };
    assert!(change(7, b'2').contains("another version"));
    assert!(change(header, 9).contains("an unknown mark"));
    assert!(change(header + 1, 9).contains("beyond the limits"));
    assert!(change(header + 9, 9).contains("no known space"));
    assert!(change(15, 9).contains("the state record is of entry"));
    assert!(change(stream.len() - 1, 9).contains("another number of records"));
    assert!(refused(&[stream.as_slice(), b"x"].concat()).contains("bytes behind its end"));
}

#[test]
fn records_out_of_order_or_without_a_state_are_refused() {
    let record = |key: &[u8]| [b"\x01\0\0\0\x02\0\0\0\0".as_slice(), key].concat();
    let frame = |records: &[Vec<u8>]| {
        let header = [MAGIC.as_slice(), &[0, 0, 0, 0, 0, 0, 0, 1]].concat();
        let end = [[END].as_slice(), &(records.len() as u64).to_be_bytes()].concat();
        [header, records.concat(), end].concat()
    };
    assert!(refused(&frame(&[record(b"\x02b"), record(b"\x02a")])).contains("out of order"));
    assert!(refused(&frame(&[record(b"\x02a"), record(b"\x02a")])).contains("out of order"));
    assert!(refused(&frame(&[])).contains("no entry"));
    assert!(refused(&frame(&[record(b"\x02a")])).contains("restore snapshot"));
}

#[test]
fn a_restore_replaces_what_the_engine_held() {
    let play = some_state();
    let stream = play.snapshot();
    let mut dirty = engine();
    dirty.put(b"\x02\0\0\0\0old", bytes::Bytes::new()).unwrap();
    dirty.write(99).unwrap();
    let mut restore = Restore::new(dirty);
    restore.feed(&stream).unwrap();
    let again = Play { keyspace: restore.finish().unwrap(), ..Play::default() };
    assert!(again.snapshot() == stream);
}

#[test]
fn a_sieve_parts_the_replicas_own_records_from_the_keys() {
    let play = some_state();
    let stream = play.snapshot();
    for piece_bytes in [1, 7, 1000, usize::MAX] {
        let mut sieve = Sieve::default();
        let (mut again, mut writer) = (Vec::new(), StreamWriter::default());
        let mut take = |sifted: Sifted<'_>| {
            match sifted {
                Sifted::System(keyspace) => {
                    assert_eq!(keyspace.digest(), play.keyspace.digest());
                    assert_eq!(keyspace.databases(), play.keyspace.databases());
                    writer = StreamWriter::begin(keyspace.applied(), &mut again);
                    keyspace.view().visit(&[], &[], &mut |key, value| {
                        writer.record(key, value, &mut again);
                        ControlFlow::Continue(())
                    })?;
                }
                Sifted::Record(key, value) => writer.record(key, value, &mut again),
            }
            Ok(())
        };
        for piece in stream.chunks(piece_bytes) {
            sieve.feed(piece, &mut take).unwrap();
        }
        let records = sieve.finish(&mut take).unwrap();
        assert_eq!(records, writer.records());
        writer.end(&mut again);
        assert!(again == stream, "{piece_bytes} bytes at a time");
    }
}

#[test]
fn a_sieve_refuses_what_a_restore_refuses() {
    let stream = some_state().snapshot();
    let sift = |stream: &[u8]| {
        let mut sieve = Sieve::default();
        stream.chunks(64).try_for_each(|piece| sieve.feed(piece, &mut |_| Ok(())))?;
        sieve.finish(&mut |_| Ok(())).map(drop)
    };
    let texts = |stream: &[u8]| {
        (sift(stream).unwrap_err().to_string(), restore(stream, 64).unwrap_err().to_string())
    };
    for len in 0..stream.len() {
        let (sifted, restored) = texts(&stream[..len]);
        assert_eq!(sifted, restored, "cut to {len}");
    }
    for (at, byte) in [(7, b'2'), (15, 9), (16, 9), (17, 9), (25, 9), (stream.len() - 1, 9)] {
        let mut changed = stream.clone();
        changed[at] = byte;
        let (sifted, restored) = texts(&changed);
        assert_eq!(sifted, restored, "byte {at}");
    }
    // A replica's own records alone are a state, too.
    let mut bare = Play::default();
    bare.entry(|_| ());
    assert!(sift(&bare.snapshot()).is_ok());
}

#[test]
fn a_restore_to_the_disk_needs_memory_for_a_flush_and_not_for_the_state() {
    let mut play = Play::default();
    for number in 0..300 {
        play.run(&format!("SETRANGE key:{number} 150000 x"));
    }
    let stream = play.snapshot();
    let dir = tempfile::tempdir().unwrap();
    let options = quorate_engine::DiskOptions { cache_bytes: 1 << 20, flush_bytes: 1 << 20 };
    let engine = quorate_engine::DiskCellar::new(options).fresh(dir.path()).unwrap();
    let mut restore = Restore::new(engine);
    for piece in stream.chunks(1 << 20) {
        restore.feed(piece).unwrap();
    }
    let keyspace = restore.finish().unwrap();
    assert_eq!(keyspace.digest(), play.keyspace.digest());
    let stats = keyspace.engine().stats();
    assert!(stats.memory_bytes < 12 << 20, "{stats:?} of {} bytes", stream.len());
    // And says what lies on the disk, once.
    assert!((40 << 20..60 << 20).contains(&stats.disk_bytes), "{stats:?}");
}
