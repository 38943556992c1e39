//! The disk engine keeps the contract, whoever does its work and however small its steps are.

#![expect(clippy::disallowed_methods, reason = "tests that damage and count the engine's files")]

mod ahead;
mod crash;
mod damage;
mod marks;
mod room;
mod states;
mod upkeep;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

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
