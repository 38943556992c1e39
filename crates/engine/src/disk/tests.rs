//! The disk engine keeps the contract, whoever does its work and however small its steps are.

#![expect(clippy::disallowed_methods, reason = "tests that damage and count the engine's files")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use lsm_tree::AbstractTree as _;

use super::base::RUNS_MAX;
use super::*;
use crate::attended::Attended;
use crate::cellar::Cellar;
use crate::mirror::MirrorEngine;
use crate::suite;
use crate::work::WorkKind;

type Model = BTreeMap<Vec<u8>, Bytes>;

/// Small enough that everything happens many times in a test.
const SMALL: DiskOptions = DiskOptions { cache_bytes: 64 * 1024, flush_bytes: 48 * 1024 };

/// Fresh engines, each in a directory of its own, which live as long as this.
struct Dirs(Vec<tempfile::TempDir>);

impl Dirs {
    fn next(&mut self) -> &Path {
        self.0.push(tempfile::tempdir().unwrap());
        self.0.last().unwrap().path()
    }
}

fn fresh(dir: &Path, options: DiskOptions) -> Box<dyn Engine> {
    DiskCellar::new(options).fresh(dir).unwrap()
}

#[test]
fn the_contract_holds_with_the_work_done_at_once() {
    let mut dirs = Dirs(Vec::new());
    suite::check(&mut || Box::new(Attended::inline(fresh(dirs.next(), SMALL))));
}

#[test]
fn the_contract_holds_with_the_work_done_by_threads() {
    let mut dirs = Dirs(Vec::new());
    suite::check(&mut || Box::new(Attended::threaded(fresh(dirs.next(), SMALL))));
}

#[test]
fn the_contract_holds_when_nothing_is_ever_flushed() {
    let mut dirs = Dirs(Vec::new());
    let large = DiskOptions { cache_bytes: 64 * 1024, ..DiskOptions::default() };
    suite::check(&mut || Box::new(Attended::inline(fresh(dirs.next(), large))));
}

#[test]
fn a_crash_loses_whole_batches_and_none_that_was_durable() {
    let mut homes: Vec<(usize, tempfile::TempDir)> = Vec::new();
    let homes = std::cell::RefCell::new(&mut homes);
    let cellar = DiskCellar::new(SMALL);
    let attend = |engine, threads| -> Box<dyn Engine> {
        let attended = if threads { Attended::threaded(engine) } else { Attended::inline(engine) };
        Box::new(attended)
    };
    for threads in [false, true] {
        suite::check_reopen(
            &mut || {
                let dir = tempfile::tempdir().unwrap();
                let mut engine = cellar.fresh(dir.path()).unwrap();
                engine.seal(b"note").unwrap();
                homes.borrow_mut().push((0, dir));
                attend(engine, threads)
            },
            &mut |engine| {
                drop(engine);
                let homes = homes.borrow();
                let dir = homes.last().unwrap().1.path();
                let engine = cellar.open(dir).unwrap().expect("it was sealed");
                assert_eq!(engine.note(), b"note");
                attend(engine, threads)
            },
        );
    }
}

fn content(reader: &dyn Reader) -> Result<Model, EngineError> {
    let mut found = Model::new();
    reader.visit(b"", b"", &mut |key, value| {
        found.insert(key.to_vec(), value.to_bytes());
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// Fills `engine` with some hundred records of all sizes, in several flushes with overwrites and deletes.
fn fill(engine: &mut dyn Engine) -> Model {
    let mut model = Model::new();
    for round in 0..6_u64 {
        for n in 0..120_u64 {
            let key = format!("key:{:03}", (n * 7 + round * 31) % 300).into_bytes();
            if (n + round) % 9 == 0 {
                engine.delete(&key).unwrap();
                model.remove(&key);
                continue;
            }
            let len = if n % 40 == 0 { 5_000 } else { 300 };
            let value = Bytes::from(vec![u8::try_from((n + round) % 251).unwrap(); len]);
            engine.put(&key, value.clone()).unwrap();
            model.insert(key, value);
        }
        engine.write(engine.applied() + 1).unwrap();
    }
    model
}

fn sealed(dir: &Path) -> (Box<dyn Engine>, Model) {
    let mut engine = Attended::inline(fresh(dir, SMALL));
    let model = fill(&mut engine);
    engine.seal(b"").unwrap();
    (engine.into_inner(), model)
}

/// What one bit of a table's list of its parts turned into: a read at a place beyond what a file can have.
#[test]
fn a_place_that_no_file_can_have_is_damage_and_no_failure_of_the_device() {
    use std::io::{Error, ErrorKind};
    use std::os::unix::fs::FileExt as _;

    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create_new(dir.path().join("table")).unwrap();
    let read = file.read_at(&mut [0; 16], 1 << 63).unwrap_err();
    assert_eq!(read.kind(), ErrorKind::InvalidInput);
    let told = |error| base::told(lsm_tree::Error::Io(error));
    assert!(matches!(told(read), EngineError::Damage(_)));
    let failed = Error::from_raw_os_error(5);
    assert!(matches!(told(failed), EngineError::Io(_)), "of a device that fails nothing is known");
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    let applied = engine.applied();
    drop(engine);
    // The first start removes what compaction has left.
    drop(DiskCellar::new(SMALL).open(dir.path()).unwrap());
    let mut files = Vec::new();
    let mut dirs = vec![dir.path().to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let expected = (applied, model.clone());
    let read = || -> Result<bool, EngineError> {
        let engine = DiskCellar::new(SMALL).open(dir.path())?;
        let engine = engine.ok_or_else(|| damage("no whole state"))?;
        for (key, value) in &model {
            if engine.get(key)?.as_deref() != Some(value) {
                return Ok(false);
            }
        }
        Ok((engine.applied(), content(&*engine)?) == expected)
    };
    // The tree panics on some wrong bytes. That is caught, and need not be read in a test's output.
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_some_and(|place| place.file() == file!()) {
            println!("{panic}");
        }
    }));
    let (mut found, mut harmless, mut wrong) = (0, 0, Vec::new());
    for (nth, file) in files.iter().enumerate() {
        let good = std::fs::read(file).unwrap();
        let bits = good.len() * 8;
        // All of a short file, and a sample of a long one.
        let step = (bits / 200).max(1);
        for bit in (nth % step..bits).step_by(step) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(file, &bad).unwrap();
            match catch_unwind(AssertUnwindSafe(&read)) {
                Ok(Ok(true)) => harmless += 1,
                Ok(Err(EngineError::Damage(_))) => found += 1,
                other => wrong.push(format!("{} bit {bit}: {other:?}", file.display())),
            }
            std::fs::write(file, &good).unwrap();
            drop(std::fs::remove_file(dir.path().join("damaged")));
        }
    }
    drop(std::panic::take_hook());
    println!("{} files: {found} flips found, {harmless} in bytes that nobody reads", files.len());
    assert!(wrong.is_empty(), "{} times not noticed: {wrong:#?}", wrong.len());
    assert!(found > harmless);
}

#[test]
fn damage_that_a_read_meets_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = sealed(dir.path());
    drop(engine);
    let tables = dir.path().join("state-1").join("tables");
    for entry in std::fs::read_dir(tables).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(600).take(200) {
            *byte ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let cellar = DiskCellar::new(SMALL);
    let engine = cellar.open(dir.path());
    let met = match engine {
        Ok(engine) => content(&*engine.unwrap()).map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(met, Err(EngineError::Damage(_))), "{met:?}");
    assert!(matches!(cellar.open(dir.path()), Err(EngineError::Damage(_))), "noted");
    cellar.clear(dir.path()).unwrap();
    assert!(cellar.open(dir.path()).unwrap().is_none());
}

#[test]
fn keys_longer_than_the_tree_takes_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Attended::inline(fresh(dir.path(), SMALL));
    let mut both = MirrorEngine::new(engine, MemoryEngine::new());
    let head = vec![b'h'; wire::HEAD_BYTES];
    let key = |tail: &[u8]| [head.as_slice(), tail].concat();
    let mut applied = 0;
    for round in 0..4_u8 {
        for n in 0..20_u8 {
            let long = key(&[n.wrapping_mul(37), round, n].repeat(1 + usize::from(n) * 300));
            both.put(&long, Bytes::from(vec![n; 200])).unwrap();
            if n % 5 == round {
                both.delete(&long).unwrap();
            }
        }
        both.put(&head, Bytes::from_static(b"the head itself")).unwrap();
        both.put(&key(&[])[..100], Bytes::from_static(b"short")).unwrap();
        both.put(b"z", Bytes::from_static(b"behind")).unwrap();
        applied += 1;
        both.write(applied).unwrap();
        both.compare();
    }
    // Every bound, also inside of the group.
    let keys: Vec<_> = content(&both).unwrap().into_keys().collect();
    assert!(keys.iter().filter(|key| wire::is_long(key)).count() > 40);
    for from in keys.iter().step_by(7) {
        for to in keys.iter().step_by(5) {
            both.visit(from, to, &mut |_, _| ControlFlow::Continue(())).unwrap();
            both.view().visit(from, to, &mut |_, _| ControlFlow::Continue(())).unwrap();
        }
        assert!(both.get(from).unwrap().is_some());
    }
}

#[test]
fn what_is_not_in_memory_is_cold_until_it_was_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    drop(engine);
    let cellar = DiskCellar::new(DiskOptions { cache_bytes: 1 << 20, ..SMALL });
    let mut engine = cellar.open(dir.path()).unwrap().unwrap();
    let (key, value) = model.first_key_value().unwrap();
    let resident = |engine: &dyn Engine, key: &[u8]| {
        engine.resident().get(key).map(|found| found.map(Found::into_bytes))
    };
    assert!(matches!(resident(&*engine, key), Err(EngineError::Cold)));
    assert!(matches!(resident(&*engine, b"absent"), Err(EngineError::Cold)));
    let visited = engine.resident().visit(b"", b"", &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(visited, Err(EngineError::Cold)));
    let keys = [key.clone(), b"absent".to_vec()];
    let fetched = engine.fetch(&needs(&keys)).expect("something to fetch").run();
    engine.admit(fetched);
    assert_eq!(resident(&*engine, key).unwrap().as_ref(), Some(value));
    assert_eq!(resident(&*engine, b"absent").unwrap(), None);
    assert!(engine.fetch(&needs(&keys)).is_none(), "both are known");
    // A view's reads are as good.
    let other = model.keys().nth(5).unwrap();
    let mut view = engine.view();
    assert!(view.get(other).unwrap().is_some());
    engine.admit(view.take_fetched());
    assert_eq!(resident(&*engine, other).unwrap().as_ref(), model.get(other));
}

#[test]
fn what_was_fetched_before_a_change_is_not_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    drop(engine);
    // So small that nothing which is written stays in the cache.
    let cellar = DiskCellar::new(DiskOptions { cache_bytes: 2, ..SMALL });
    for flush in [false, true] {
        let mut engine = Attended::inline(cellar.open(dir.path()).unwrap().unwrap());
        let key = model.keys().next().unwrap().clone();
        let fetch = engine.fetch(&needs(std::slice::from_ref(&key))).expect("cold");
        let fetched = fetch.run();
        let new = Bytes::from(vec![u8::from(flush); 30]);
        engine.put(&key, new.clone()).unwrap();
        engine.write(engine.applied() + 1).unwrap();
        if flush {
            engine.rest().unwrap();
        }
        engine.admit(fetched);
        assert_eq!(engine.get(&key).unwrap().as_deref(), Some(&new[..]));
        assert_eq!(engine.view().get(&key).unwrap().as_deref(), Some(&new[..]));
    }
}

#[test]
fn the_newest_whole_state_is_opened_and_all_others_go() {
    let dir = tempfile::tempdir().unwrap();
    let cellar = DiskCellar::new(SMALL);
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.join(" ")
    };
    let mut states = Vec::new();
    for (applied, sealed) in [(5, true), (9, true), (7, false), (3, true)] {
        let mut engine = cellar.fresh(dir.path()).unwrap();
        engine.put(b"at", Bytes::copy_from_slice(&[applied])).unwrap();
        engine.write(u64::from(applied)).unwrap();
        if sealed {
            engine.seal(&[applied]).unwrap();
        } else {
            // As a crash would leave it.
            drop(engine.view());
            let path = dir.path().join("state-3");
            std::fs::rename(&path, dir.path().join("kept")).unwrap();
            drop(engine);
            std::fs::rename(dir.path().join("kept"), &path).unwrap();
            continue;
        }
        states.push(engine);
    }
    drop(states);
    assert_eq!(names(), "state-1 state-2 state-3 state-4 whole-1 whole-2 whole-4");
    let engine = cellar.open(dir.path()).unwrap().unwrap();
    assert_eq!((engine.applied(), engine.durable_applied(), engine.note()), (9, 9, &[9][..]));
    assert_eq!(names(), "state-2 whole-2");
    // One that has been replaced stays for its views.
    let mut engine = engine;
    let view = engine.view();
    engine.retire();
    drop(engine);
    assert_eq!(view.get(b"at").unwrap().as_deref(), Some(&[9][..]));
    drop(view);
    assert_eq!(names(), "");
    assert!(cellar.open(dir.path()).unwrap().is_none());
}

/// fjall-rs/fjall#257: after a kill and a reopen, writes halted for ever behind flushes that nobody did.
#[test]
fn writes_go_on_after_any_number_of_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let options = DiskOptions { flush_bytes: 4 * 1024, ..SMALL };
    let cellar = DiskCellar::new(options);
    let mut engine = cellar.fresh(dir.path()).unwrap();
    engine.seal(b"").unwrap();
    for life in 0..12_u64 {
        // Works of the life before are lost half-way: taken, and never done.
        let taken = engine.take_work();
        drop((taken, engine));
        engine = cellar.open(dir.path()).unwrap().unwrap();
        let mut attended = Attended::inline(engine);
        for n in 0..30_u64 {
            let key = format!("key:{}", n * 31 + life);
            attended.put(key.as_bytes(), Bytes::from(vec![1; 500])).unwrap();
            let next = attended.applied() + 1;
            attended.write(next).unwrap();
            assert!(attended.has_room(), "life {life}, write {n}");
        }
        engine = attended.into_inner();
        for n in 0..5_u64 {
            engine.put(&n.to_le_bytes(), Bytes::from(vec![2; 2_000])).unwrap();
            let next = engine.applied() + 1;
            engine.write(next).unwrap();
        }
    }
}

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

#[test]
fn of_large_values_no_more_are_read_ahead_than_memory_allows() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Attended::inline(fresh(dir.path(), SMALL));
    let keys: Vec<Vec<u8>> = (0..200_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    for (applied, key) in (1..).zip(&keys) {
        engine.put(key, Bytes::from(vec![7; 10_000])).unwrap();
        engine.write(applied).unwrap();
    }
    engine.seal(b"").unwrap();
    drop(engine);
    let mut engine = DiskCellar::new(SMALL).open(dir.path()).unwrap().unwrap();
    let (mut fetches, mut bytes) = (0, 0);
    while let Some(fetch) = engine.fetch(&needs(&keys)) {
        let fetched = fetch.run();
        bytes += fetched.records.iter().flat_map(|(_, value)| value).map(Bytes::len).sum::<usize>();
        fetches += 1;
        assert!(engine.hold(fetched) && fetches < 100);
    }
    let most = usize::try_from(SMALL.held_bytes_max()).unwrap();
    assert!(bytes >= most && bytes < 2 * most + 10_000, "{bytes} in {fetches} fetches");
    assert_eq!(engine.get(&keys[199]).unwrap().unwrap().to_bytes().len(), 10_000);
}

/// An engine of which the disk is full for works of `kind`, until the list is cleared.
fn without_room_for(dir: &Path, kind: WorkKind) -> DiskEngine {
    let cellar = DiskCellar::new(DiskOptions { flush_bytes: 1024, ..SMALL });
    let engine = cellar.opener().open_at(home::Home::new(dir, 1)).unwrap();
    engine.base.no_room_for.lock().unwrap().push(kind);
    engine
}

/// Writes an entry, and does what the engine wants done; that must come to an end.
fn write_and_work(engine: &mut DiskEngine) {
    let next = engine.applied() + 1;
    engine.put(&(next % 17).to_le_bytes(), Bytes::from(vec![1; 2_000])).unwrap();
    engine.write(next).unwrap();
    for _ in 0..100 {
        let Some(work) = engine.take_work() else { return };
        work.run();
        engine.settle().unwrap();
    }
    panic!("there was always something left to do");
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

/// fjall-rs/lsm-tree#286: clearing a tree with separated values broke the next open.
#[test]
fn a_reset_with_large_values_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Attended::inline(fresh(dir.path(), SMALL));
    fill(&mut engine);
    engine.seal(b"old").unwrap();
    engine.reset();
    let model = fill(&mut engine);
    engine.seal(b"new").unwrap();
    drop(engine);
    let engine = DiskCellar::new(SMALL).open(dir.path()).unwrap().unwrap();
    assert_eq!(engine.note(), b"new");
    assert!(content(&*engine).unwrap() == model);
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

/// These records are going to be read.
fn needs(keys: &[Vec<u8>]) -> Vec<Need> {
    keys.iter().cloned().map(Need::from).collect()
}

/// An engine whose cache is far too small for what lies on the disk.
fn cold(dir: &Path) -> (Box<dyn Engine>, Model) {
    let (engine, model) = sealed(dir);
    drop(engine);
    let options = DiskOptions { cache_bytes: 2048, ..SMALL };
    (DiskCellar::new(options).open(dir).unwrap().unwrap(), model)
}

#[test]
fn what_is_held_is_known_until_it_is_released_whatever_the_cache_lets_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, model) = cold(dir.path());
    let mut keys: Vec<_> = model.keys().cloned().collect();
    keys.push(b"absent".to_vec());
    let fetched = engine.fetch(&needs(&keys)).expect("nothing is known").run();
    engine.admit(fetched);
    let fetched = engine.fetch(&needs(&keys)).expect("not all fits into the cache").run();
    assert!(engine.hold(fetched));
    while let Some(fetch) = engine.fetch(&needs(&keys)) {
        assert!(engine.hold(fetch.run()), "what the cache let go of meanwhile");
    }
    for key in &keys {
        let known = engine.resident().get(key).expect("known without the device");
        assert_eq!(known.as_deref(), model.get(key).map(|value| &value[..]));
    }
    engine.put(&keys[0], Bytes::from_static(b"new")).unwrap();
    engine.delete(&keys[1]).unwrap();
    assert_eq!(engine.get(&keys[0]).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(engine.get(&keys[1]).unwrap().as_deref(), None);
    engine.write(engine.applied() + 1).unwrap();
    engine.release();
    assert!(engine.fetch(&needs(&keys)).is_some(), "the cache has no room for all");
    assert_eq!(engine.stats().waited_reads, 0);
}

#[test]
fn what_was_looked_through_is_looked_through_again_without_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, mut model) = cold(dir.path());
    let take = |reader: &dyn Reader, from: &[u8], to: &[u8], count: usize| {
        let mut found = Vec::new();
        let visited = reader.visit(from, to, &mut |key, value| {
            found.push((key.to_vec(), value.to_bytes()));
            if found.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        visited.map(|()| found).unwrap()
    };
    let mut view = engine.view();
    view.remember_ranges();
    take(&*view, b"key:050", b"key:150", 40);
    take(&*view, b"key:200", b"key:210", 99);
    assert!(engine.hold(view.take_fetched()));
    let of_model = |model: &Model, from: &[u8], to: &[u8], count: usize| -> Vec<_> {
        let range = model.range(from.to_vec()..to.to_vec()).take(count);
        range.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    for change in ["key:055", "key:060x", "key:205"] {
        engine.put(change.as_bytes(), Bytes::from_static(b"of the batch")).unwrap();
        model.insert(change.into(), Bytes::from_static(b"of the batch"));
    }
    let gone = model.range(b"key:061".to_vec()..).next().unwrap().0.clone();
    engine.delete(&gone).unwrap();
    model.remove(&gone);
    for (from, to, count) in
        [("key:050", "key:150", 40), ("key:058", "key:150", 20), ("key:200", "key:210", 99)]
    {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        assert_eq!(take(&*engine, from, to, count), of_model(&model, from, to, count));
    }
    assert_eq!(engine.stats().waited_reads, 0);
    // Further than was looked: the rest is read.
    assert_eq!(
        take(&*engine, b"key:050", b"key:150", 99),
        of_model(&model, b"key:050", b"key:150", 99)
    );
    assert_eq!(engine.stats().waited_reads, 1);
    engine.write(engine.applied() + 1).unwrap();
    engine.release();
    take(&*engine, b"key:200", b"key:210", 99);
    assert_eq!(engine.stats().waited_reads, 2);
}

#[test]
fn what_was_read_before_a_flush_has_ended_is_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, model) = cold(dir.path());
    let key = model.keys().next().unwrap().clone();
    let fetch = engine.fetch(&needs(std::slice::from_ref(&key))).unwrap();
    let stale = fetch.run();
    let fresh = engine.fetch(&needs(std::slice::from_ref(&key))).unwrap().run();
    assert!(engine.hold(fresh));
    engine.put(&key, Bytes::from_static(b"newer")).unwrap();
    engine.write(engine.applied() + 1).unwrap();
    let mut engine = Attended::inline(engine);
    engine.checkpoint();
    engine.attend().unwrap();
    assert_eq!(engine.durable_applied(), engine.applied());
    assert!(!engine.hold(stale), "the flush has made it old");
    let found = engine.get(&key).unwrap().map(Found::into_bytes);
    assert_eq!(found, Some(Bytes::from_static(b"newer")));
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

/// Every file below `dir`, with its bytes.
fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn whoever_looks_at_a_state_changes_no_byte_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let cellar = DiskCellar::new(SMALL);
    assert!(cellar.look(&dir.path().join("nothing")).is_err());
    let (engine, model) = sealed(dir.path());
    let applied = engine.applied();
    drop(engine);
    // What a crash may leave; a start removes it.
    std::fs::create_dir(dir.path().join("state-77")).unwrap();
    let state = dir.path().join("state-1");
    std::fs::write(state.join("tables/999"), "half a table").unwrap();
    std::fs::write(state.join("v999"), "half a manifest").unwrap();
    let before = files(dir.path());
    let mut engine = cellar.look(dir.path()).unwrap().expect("it was sealed");
    assert_eq!((engine.applied(), engine.note()), (applied, b"".as_slice()));
    assert_eq!(content(&*engine).unwrap(), model);
    // Large enough for flushes and compactions.
    for n in 0..400_u64 {
        engine.put(format!("new{n}").as_bytes(), vec![7; 2000].into()).unwrap();
        engine.write(applied + 1 + n).unwrap();
        while let Some(work) = engine.take_work() {
            work.run();
            engine.settle().unwrap();
        }
    }
    assert!(engine.durable_applied() > applied);
    assert!(files(dir.path()) == before, "the directory has changed");
    drop(engine);
    assert!(files(dir.path()) == before, "the directory has changed");
    let engine = cellar.open(dir.path()).unwrap().expect("it is as it was");
    assert_eq!(content(&*engine).unwrap(), model);
    assert!(!state.join("v999").exists(), "a start removes it");
    drop(engine);
    std::fs::write(dir.path().join("damaged"), "a block").unwrap();
    assert!(matches!(cellar.look(dir.path()), Err(EngineError::Damage(what)) if what == "a block"));
}

/// An engine with `keys` plain records of a kilobyte, and twice as many others, all on the disk and in no cache.
fn with_plain_records(dir: &Path, keys: u32) -> Attended<Box<dyn Engine>> {
    let mut engine = Attended::inline(fresh(dir, DiskOptions { flush_bytes: 64 << 10, ..SMALL }));
    for key in 0..keys {
        for kind in [b"plain", b"other", b"third"] {
            let key = [&kind[..], &key.to_be_bytes()].concat();
            engine.put(&key, Bytes::from(vec![1; 1000])).unwrap();
            if kind == b"plain" {
                engine.mark_plain(&key);
            }
        }
        engine.write(u64::from(key) + 1).unwrap();
    }
    engine.rest().unwrap();
    engine
}

fn plain_key(key: u32) -> Vec<u8> {
    [&b"plain"[..], &key.to_be_bytes()].concat()
}

#[test]
fn a_plain_record_is_replaced_and_removed_without_the_device_and_read_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = with_plain_records(dir.path(), 150);
    let only_replaced = |key| Need { key, only_replaced: true };
    for key in 0..150 {
        let [plain, other] = [plain_key(key), [&b"other"[..], &key.to_be_bytes()].concat()];
        assert!(engine.fetch(&[only_replaced(plain.clone())]).is_none(), "{key}");
        assert!(engine.fetch(&needs(std::slice::from_ref(&plain))).is_some(), "{key}: its value");
        assert!(engine.fetch(&[only_replaced(other)]).is_some(), "{key} was not marked");
        assert!(matches!(engine.replaced(&plain).unwrap(), Replaced::Plain), "{key}");
    }
    assert_eq!(engine.stats().waited_reads, 0);
    // Within one batch, whatever has become of it.
    let key = plain_key(7);
    engine.delete(&key).unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Absent));
    engine.put(&key, Bytes::from_static(b"new")).unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Record(found) if &*found == b"new"));
    engine.write(151).unwrap();
    engine.checkpoint();
    engine.rest().unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Record(found) if &*found == b"new"));
    engine.delete(&plain_key(8)).unwrap();
    engine.write(152).unwrap();
    engine.checkpoint();
    engine.rest().unwrap();
    assert!(matches!(engine.replaced(&plain_key(8)).unwrap(), Replaced::Absent));
    assert!(matches!(engine.replaced(&plain_key(9)).unwrap(), Replaced::Plain));
}

#[test]
fn after_a_reset_or_a_restart_nothing_is_plain_that_was_not_marked_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = with_plain_records(dir.path(), 50);
    engine.seal(b"").unwrap();
    drop(engine);
    let mut engine = DiskCellar::new(SMALL).open(dir.path()).unwrap().unwrap();
    assert!(matches!(engine.replaced(&plain_key(7)).unwrap(), Replaced::Record(_)));
    engine.put(&plain_key(7), Bytes::from_static(b"new")).unwrap();
    engine.mark_plain(&plain_key(7));
    engine.write(51).unwrap();
    engine.reset();
    assert!(matches!(engine.replaced(&plain_key(7)).unwrap(), Replaced::Absent));
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

#[test]
fn a_key_that_is_nowhere_is_put_without_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let options = DiskOptions { cache_bytes: 1 << 20, flush_bytes: 64 << 10 };
    let mut engine = Attended::inline(fresh(dir.path(), options));
    let key = |n: u32| [&b"key"[..], &n.to_be_bytes()].concat();
    for n in 0..3_000 {
        engine.put(&key(n), Bytes::from(vec![1; 300])).unwrap();
        engine.write(u64::from(n) + 1).unwrap();
    }
    engine.delete(&key(7)).unwrap();
    engine.write(3_001).unwrap();
    engine.checkpoint();
    engine.rest().unwrap();
    let new: Vec<_> = (10_000..20_000).map(key).collect();
    let only_replaced = |key: &Vec<u8>| Need { key: key.clone(), only_replaced: true };
    let mut fetched = 0;
    for key in &new {
        fetched += usize::from(engine.fetch(&[only_replaced(key)]).is_some());
    }
    assert!(fetched < 200, "{fetched} of 10,000 new keys had to be looked for");
    assert!(engine.fetch(&needs(&new[..1])).is_some(), "the record itself is asked of the device");
    // What is there, or was, is never taken for absent by its filters, however often it is asked for.
    for n in (0..3_000).filter(|n| *n != 7) {
        assert!(engine.fetch(&[only_replaced(&key(n))]).is_some(), "{n}");
    }
    let before = engine.stats().waited_reads;
    for key in &new {
        if engine.fetch(&[only_replaced(key)]).is_none() {
            assert!(matches!(engine.replaced(key).unwrap(), Replaced::Absent));
        }
    }
    assert_eq!(engine.stats().waited_reads, before);
    let mut is_known = |key: &&Vec<u8>| engine.fetch(&[only_replaced(key)]).is_none();
    let key = new.iter().find(&mut is_known).unwrap();
    // Once it is there it is not absent any more: in the open batch, in memory, and behind a flush.
    engine.put(key, Bytes::from_static(b"new")).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Record(_)));
    engine.write(3_002).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Record(_)));
    engine.checkpoint();
    engine.rest().unwrap();
    assert!(engine.fetch(&[only_replaced(key)]).is_some());
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Record(_)));
    // And when it has gone, it is absent again.
    engine.delete(key).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Absent));
    engine.write(3_003).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Absent));
    assert_eq!(engine.get(key).unwrap().map(Found::into_bytes), None);
}

#[test]
fn what_an_open_batch_has_done_is_no_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, _) = cold(dir.path());
    let key = b"plain or absent".to_vec();
    let need = [Need { key: key.clone(), only_replaced: true }];
    engine.put(&key, Bytes::from_static(b"new")).unwrap();
    engine.delete(&key).unwrap();
    assert!(engine.fetch(&need).is_none(), "the overlay knows");
    engine.put(&key, Bytes::from_static(b"newer")).unwrap();
    engine.write(engine.applied() + 1).unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Record(_)));
    let need = [Need { key: b"elsewhere".to_vec(), only_replaced: true }];
    engine.put(b"other", Bytes::from_static(b"new")).unwrap();
    assert!(engine.fetch(&need).is_some(), "marks are set between batches");
}
