//! Flushes and compaction beside those who read.

use std::time::Duration;

use lsm_tree::AbstractTree as _;

use super::super::base::RUNS_MAX;
use super::*;

/// fjall-rs/fjall#288, #257: with flushes ahead of compaction, the number of sorted runs is bounded, and
/// whoever waits for room gets it.
#[test]
fn flushes_wait_for_compaction_and_compaction_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = fresh(dir.path(), DiskOptions { flush_bytes: 1024, ..SMALL });
    let mut compactions = Vec::new();
    let mut waited = 0;
    for n in 0..200_u64 {
        engine.put(&(n % 17).to_le_bytes(), Bytes::from(vec![1; 2_000])).unwrap();
        engine.write(n + 1).unwrap();
        while let Some(work) = engine.take_work() {
            match work.kind {
                WorkKind::Flush => work.run(),
                WorkKind::Compact => compactions.push(work),
            }
            engine.settle().unwrap();
        }
        assert!(engine.stats().runs <= RUNS_MAX);
        if !engine.has_room() {
            waited += 1;
            for work in compactions.drain(..) {
                work.run();
            }
            engine.settle().unwrap();
        }
    }
    assert!(waited > 0, "flushes were never held up");
    let mut attended = Attended::inline(engine);
    compactions.into_iter().for_each(Work::run);
    attended.rest().unwrap();
    assert_eq!(attended.durable_applied(), 200);
}

/// A tree writes down which tables it has under the lock of its own lookups, for five syncs.
#[test]
fn lookups_and_scans_wait_for_no_change_of_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    drop(engine);
    let engine = DiskCellar::new(SMALL).opener().open_at(home::Home::new(dir.path(), 1)).unwrap();
    let base = Arc::clone(&engine.base);
    let (told, answers) = mpsc::channel();
    base.with(|tree| {
        let changing = tree.get_version_history_lock();
        let (base, asked) = (Arc::clone(&base), model.clone());
        let reading = std::thread::spawn(move || {
            for (key, value) in &asked {
                assert_eq!(base.get(key).unwrap().as_ref(), Some(value));
            }
            let pin = base.pin();
            let mut range = pin.range(b"", b"").unwrap();
            let mut found = Model::new();
            while let Some((key, value)) = range.next().unwrap() {
                found.insert(key, value);
            }
            told.send(found).unwrap();
        });
        let found = answers.recv_timeout(Duration::from_secs(30));
        drop(changing);
        reading.join().unwrap();
        assert!(found.expect("an answer before the change has ended") == model);
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_tree_is_not_opened_again_while_somebody_looks_into_tables_that_it_has_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let cellar = DiskCellar::new(DiskOptions { flush_bytes: 1024, ..SMALL });
    let mut engine = cellar.opener().open_at(home::Home::new(dir.path(), 1)).unwrap();
    write_and_work(&mut engine);
    let looking = engine.base.tables().unwrap();
    write_and_work(&mut engine);
    assert!(!engine.base.reopen().unwrap());
    drop(looking);
    assert!(engine.base.reopen().unwrap());
    let content = content(&engine).unwrap();
    assert_eq!(content.len(), 2);
}

#[test]
fn what_a_flush_leaves_behind_is_taken_apart_elsewhere_once_no_view_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = fresh(dir.path(), DiskOptions { cache_bytes: 2048, ..DiskOptions::default() });
    for n in 0..1000_u32 {
        engine.put(&n.to_be_bytes(), Bytes::from(vec![7; 100])).unwrap();
    }
    engine.write(1).unwrap();
    let view = engine.view();
    let full = engine.stats().memory_bytes;
    engine.checkpoint();
    let mut attend = || {
        let mut works = 0;
        while let Some(work) = engine.take_work() {
            work.run();
            engine.settle().unwrap();
            works += 1;
        }
        (works, engine.stats().memory_bytes)
    };
    let (_, held) = attend();
    assert!(held > full / 2, "a view holds it: {held} of {full} bytes");
    assert_eq!(attend().0, 0, "nothing to do but to wait for the view");
    drop(view);
    let (works, left) = attend();
    assert!(works == 1 && left < held / 2, "{works} works, {left} of {held} bytes are left");
}
