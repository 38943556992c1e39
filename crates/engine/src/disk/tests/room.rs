//! Room on the disk and in memory: what is done without it, and that there is some again.

use std::path::Path;

use super::super::base::RUNS_MAX;
use super::*;

/// An engine of which the disk is full for works of `kind`, until the list is cleared.
fn without_room_for(dir: &Path, kind: WorkKind) -> DiskEngine {
    let cellar = DiskCellar::new(DiskOptions { flush_bytes: 1024, ..SMALL });
    let engine = cellar.opener().open_at(home::Home::new(dir, 1)).unwrap();
    engine.base.no_room_for.lock().unwrap().push(kind);
    engine
}

#[test]
fn a_compaction_that_found_no_room_is_tried_again_and_flushes_go_on_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = without_room_for(dir.path(), WorkKind::Compact);
    while engine.has_room() {
        write_and_work(&mut engine);
        assert!(engine.applied() < 1_000, "nothing is held up");
        engine.checkpoint();
    }
    assert!(engine.stats().runs >= RUNS_MAX && engine.stats().disk_full);
    engine.base.no_room_for.lock().unwrap().clear();
    engine.checkpoint();
    write_and_work(&mut engine);
    assert!(engine.has_room() && !engine.stats().disk_full);
    engine.checkpoint();
    write_and_work(&mut engine);
    assert_eq!(engine.durable_applied(), engine.applied());
}

#[test]
fn a_flush_that_found_no_room_is_repeated_though_a_view_keeps_the_tree_open() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = without_room_for(dir.path(), WorkKind::Flush);
    let view = engine.view();
    write_and_work(&mut engine);
    assert!(engine.stats().disk_full && engine.durable_applied() == 0);
    for _ in 0..3 {
        engine.checkpoint();
        write_and_work(&mut engine);
        assert!(engine.stats().disk_full && engine.durable_applied() == 0);
    }
    engine.base.no_room_for.lock().unwrap().clear();
    engine.checkpoint();
    write_and_work(&mut engine);
    assert!(!engine.stats().disk_full && engine.durable_applied() > 0);
    drop(view);
    engine.checkpoint();
    write_and_work(&mut engine);
    assert_eq!(engine.durable_applied(), engine.applied());
}

#[test]
fn values_that_were_overwritten_give_their_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine =
        Attended::inline(fresh(dir.path(), DiskOptions { flush_bytes: 1 << 20, ..SMALL }));
    for n in 0..400_u64 {
        for key in 0..4_u64 {
            let value = vec![u8::try_from(n % 251).unwrap(); 16 * 1024];
            engine.put(&key.to_le_bytes(), Bytes::from(value)).unwrap();
        }
        engine.write(n + 1).unwrap();
    }
    engine.rest().unwrap();
    let stats = engine.stats();
    assert!(stats.disk_bytes < 12 << 20, "64 KiB of data take {} bytes", stats.disk_bytes);
}

#[test]
fn there_is_room_again_however_small_the_records_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Attended::inline(fresh(dir.path(), SMALL));
    let mut applied = 0;
    for delete in [false, true] {
        for n in 0..5_000_u32 {
            if delete {
                engine.delete(&n.to_be_bytes()).unwrap();
            } else {
                engine.put(&n.to_be_bytes(), Bytes::new()).unwrap();
            }
            applied += 1;
            engine.write(applied).unwrap();
            assert!(engine.has_room(), "nobody makes room for entry {applied}");
        }
    }
    assert!(engine.stats().flushes >= 4, "{:?}", engine.stats());
}
