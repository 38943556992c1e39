//! Bytes that rot, files that vanish: never taken for truth, never a panic.

use std::path::{Path, PathBuf};

use super::disk::{Crash, FaultyDisk, Random};
use super::model::{Oracle, open, random_batch, submit, take};
use super::world::{DIR, GROUP, World, entries, entry, write};
use crate::id::{Index, Term};
use crate::log::{CutReason, Doubt, LogBatch, LogError};

fn filled(seed: u64, batches: usize) -> (World, Oracle) {
    let world = World::new();
    let mut oracle = Oracle::default();
    let (mut log, ..) = open(&world).unwrap();
    let mut random = Random(seed);
    for _ in 0..batches {
        let batch = random_batch(&mut random, &oracle.now());
        assert!(submit(&mut log, &mut oracle, batch));
    }
    log.flush();
    assert!(take(&mut log, &mut oracle));
    (world, oracle)
}

fn manifest() -> PathBuf {
    Path::new(DIR).join("manifest")
}

/// Opens a damaged copy: an error that names damage, or all that was acknowledged, or doubt that
/// covers what is missing. True for the error.
fn open_damaged(disk: FaultyDisk, oracle: &Oracle, what: &str) -> bool {
    let world = World::on(disk);
    match open(&world) {
        Err(error) => {
            assert!(error.is_damage(), "{what}: {error}");
            true
        }
        Ok((_, found, recovered)) => {
            if !oracle.holds(&found) {
                assert!(
                    recovered.cuts.iter().any(|cut| cut.reason == CutReason::InDoubt),
                    "{what}: lost silently: {:?}",
                    recovered.cuts
                );
                oracle.check_doubt(&found, &recovered);
            }
            false
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_harmless_or_noticed() {
    for seed in [1, 2] {
        let (world, oracle) = filled(seed, 25);
        let mut noticed = 0;
        for path in world.segments() {
            for byte in 0..world.disk.content(&path).len() {
                let image = world.disk.image();
                let bit = u8::try_from(byte % 7).unwrap() + 1;
                image.flip(&path, byte, bit % 8);
                let what = format!("seed {seed}, {}, byte {byte}", path.display());
                noticed += usize::from(open_damaged(image, &oracle, &what));
            }
        }
        assert!(noticed > 1000, "{noticed}");
    }
}

#[test]
fn a_flipped_bit_in_the_manifest_is_harmless() {
    let (world, oracle) = filled(3, 25);
    for byte in (0..200).chain(32 * 1024..32 * 1024 + 200) {
        let image = world.disk.image();
        image.flip(&manifest(), byte, u8::try_from(byte % 8).unwrap());
        let (_, found, _) = open(&World::on(image)).unwrap();
        assert!(oracle.holds(&found), "byte {byte}");
    }
}

#[test]
fn a_zeroed_or_garbled_block_anywhere_is_harmless_or_noticed() {
    let (world, oracle) = filled(4, 40);
    let mut random = Random(7);
    for path in world.segments() {
        let content = world.disk.content(&path);
        for block in 0..content.len() / 512 {
            for garbled in [false, true] {
                let mut content = content.clone();
                for byte in &mut content[block * 512..(block + 1) * 512] {
                    *byte = if garbled { random.next().to_le_bytes()[0] } else { 0 };
                }
                let image = world.disk.image();
                image.put(&path, content);
                let what = format!("{}, block {block}, {garbled}", path.display());
                let world = World::on(image);
                match open(&world) {
                    Err(error) => assert!(error.is_damage(), "{what}: {error}"),
                    // A whole lost block at the very end can look like a write that never was: the
                    // disk lied about an fsync. All we ask is a prefix of the truth.
                    Ok((_, found, recovered)) => {
                        if recovered.cuts.iter().all(|cut| cut.reason == CutReason::Torn) {
                            let lost_end = !garbled;
                            assert!(oracle.holds(&found) || lost_end, "{what}");
                        } else {
                            oracle.check_doubt(&found, &recovered);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_the_last_durable_record_is_damage_and_not_a_tear() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 2, 1));
    drop(log);
    let path = world.segments()[0].clone();
    let content = world.disk.content(&path);
    let data = entry(1, 1, 40).data;
    let at = content.windows(40).position(|bytes| bytes == data).unwrap();
    for byte in at - 64..at + 40 {
        let image = world.disk.image();
        image.flip(&path, byte, 2);
        let error = World::on(image).open().unwrap_err();
        let LogError::Damage { file, offset, .. } = &error else { panic!("{error}") };
        assert_eq!((file, *offset), (&path, at as u64 - 64));
        let text = error.to_string();
        assert!(
            text.contains(&path.display().to_string()) && text.contains("refetch")
                || text.contains("fetch its state"),
            "{text}"
        );
    }
}

#[test]
fn a_write_of_which_a_block_is_missing_is_cut_in_doubt_until_a_leader_passes() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 2, 3));
    let mut batch = LogBatch { group: GROUP, sync: true, ..LogBatch::default() };
    batch.entries = (2..6).map(|index| entry(index, 3, 600)).collect();
    write(&mut log, batch);
    drop(log);
    let path = world.segments()[0].clone();
    let mut content = world.disk.content(&path);
    let data = entry(3, 3, 600).data;
    let at = content.windows(600).position(|bytes| bytes == data).unwrap();
    let block = at.div_ceil(512);
    content[block * 512..(block + 1) * 512].fill(0);
    world.disk.put(&path, content);
    let doubt = Some(Doubt { index: Index(5), term: Term(3) });
    for _ in 0..2 {
        let (log, recovered) = world.open().unwrap();
        assert_eq!(recovered.groups[&GROUP].last, Index(2));
        assert_eq!((recovered.groups[&GROUP].doubt, log.doubt(GROUP)), (doubt, doubt));
    }
    let (mut log, recovered) = world.open().unwrap();
    assert!(recovered.cuts.is_empty(), "cut once, remembered since");
    write(&mut log, entries(3, 5, 4));
    assert_eq!(log.doubt(GROUP), doubt);
    write(&mut log, entries(5, 6, 4));
    assert_eq!(log.doubt(GROUP), None);
    drop(log);
    assert_eq!(world.open().unwrap().1.groups[&GROUP].doubt, None);
}

#[test]
fn a_doubt_that_was_settled_stays_settled() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    let mut batch = LogBatch { group: GROUP, sync: true, ..LogBatch::default() };
    batch.entries = (1..5).map(|index| entry(index, 1, 600)).collect();
    write(&mut log, batch);
    drop(log);
    let path = world.segments()[0].clone();
    let mut content = world.disk.content(&path);
    content[1024..1536].fill(0);
    world.disk.put(&path, content);
    let (mut log, _) = world.open().unwrap();
    assert!(log.doubt(GROUP).is_some());
    let settle = LogBatch { group: GROUP, settle_doubt: true, sync: true, ..LogBatch::default() };
    write(&mut log, settle);
    assert_eq!(log.doubt(GROUP), None);
    drop(log);
    world.disk.crash(Crash::Power);
    assert_eq!(world.open().unwrap().1.groups[&GROUP].doubt, None);
}

#[test]
fn a_file_that_vanished_is_noticed() {
    let (world, _) = filled(5, 25);
    for path in world.segments().into_iter().chain([manifest()]) {
        let image = world.disk.image();
        image.vanish(&path);
        let Err(error) = World::on(image).open() else { panic!("{}", path.display()) };
        assert!(matches!(&error, LogError::Vanished { file } if *file == path), "{error}");
        assert!(error.is_damage());
    }
}

#[test]
fn a_file_that_was_cut_short_is_noticed() {
    let (world, _) = filled(5, 25);
    for path in world.segments().into_iter().chain([manifest()]) {
        for length in [0, 10, 100, 1000] {
            let image = world.disk.image();
            let mut content = image.content(&path);
            content.truncate(length);
            image.put(&path, content);
            let error = World::on(image).open().unwrap_err();
            assert!(error.is_damage(), "{error}");
        }
    }
}

#[test]
fn a_manifest_older_than_the_log_is_noticed() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    let old = world.disk.content(&manifest());
    for index in 1..80 {
        write(&mut log, entries(index, index + 1, 1));
    }
    drop(log);
    world.disk.put(&manifest(), old);
    assert!(world.open().unwrap_err().is_damage());
}

#[test]
fn a_segment_of_another_log_is_noticed() {
    let (world, _) = filled(6, 25);
    let (first, last) = (world.segments()[0].clone(), world.segments().pop().unwrap());
    world.disk.put(&last, world.disk.content(&first));
    assert!(world.open().unwrap_err().is_damage());
}

#[test]
fn bytes_that_rot_while_the_log_is_open_are_never_returned() {
    let world = World::new();
    let (mut log, _) = world.open().unwrap();
    write(&mut log, entries(1, 20, 1));
    let path = world.segments()[0].clone();
    let clean = world.disk.content(&path);
    let data = entry(9, 1, 40).data;
    let at = clean.windows(40).position(|bytes| bytes == data).unwrap();
    for byte in at - 64..at + 40 {
        world.disk.flip(&path, byte, 5);
        let found = log.entries(GROUP, Index(9), Index(10), 99);
        assert!(matches!(found, Err(LogError::Damage { .. })), "{byte}");
        world.disk.put(&path, clean.clone());
    }
    log.entries(GROUP, Index(9), Index(10), 99).unwrap();
}

#[test]
fn another_version_is_named_and_not_called_damage() {
    let world = World::new();
    drop(world.open().unwrap());
    let mut content = world.disk.content(&manifest());
    for slot in content.chunks_mut(32 * 1024) {
        slot[16] = 9;
        let length = usize::try_from(u32::from_le_bytes(slot[12..16].try_into().unwrap())).unwrap();
        let crc = crc32c::crc32c(&slot[12..16 + length]);
        slot[8..12].copy_from_slice(&crc.to_le_bytes());
    }
    world.disk.put(&manifest(), content);
    assert!(matches!(world.open(), Err(LogError::Version { found: 9, known: 1, .. })));
}
