//! States of one directory: which is opened, which go, and what looking at them changes.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

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

/// All files below `dir`, and how many names each has.
fn names(dir: &Path) -> Vec<(std::path::PathBuf, u64)> {
    use std::os::unix::fs::MetadataExt as _;

    let links = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().nlink();
    files(dir).into_keys().map(|path| (path.clone(), links(&path))).collect()
}

/// Opening a tree removes what a compaction has left, which takes half a second for some GiB.
#[test]
fn what_a_start_has_no_use_for_is_removed_by_the_first_work_and_not_by_the_start() {
    let dir = tempfile::tempdir().unwrap();
    drop(sealed(dir.path()));
    let tables = dir.path().join("state-1/tables");
    // Of a compaction that has ended in the middle.
    std::fs::write(tables.join("4711"), vec![7; 100_000]).unwrap();
    let cellar = DiskCellar::new(SMALL);
    for start in 0..2 {
        let mut engine = cellar.open(dir.path()).unwrap().unwrap();
        assert!(!tables.join("4711").exists(), "the tree would meet it again");
        let kept = names(dir.path()).into_iter().filter(|(path, _)| path.ends_with("4711"));
        assert_eq!(kept.map(|(_, names)| names).collect::<Vec<_>>(), [1], "start {start}");
        // The first start comes to nothing.
        if start == 1 {
            while let Some(work) = engine.take_work() {
                work.run();
                engine.settle().unwrap();
            }
            let left = names(dir.path());
            assert!(
                left.iter().all(|(path, names)| *names == 1 && !path.ends_with("4711")),
                "{left:?}"
            );
            assert!(!dir.path().join("state-1/leaving").exists());
        }
        drop(engine);
    }
}
