//! The disk engine keeps the contract, whoever does its work and however small its steps are.

use std::path::Path;

use super::*;
use crate::attended::Attended;
use crate::cellar::Cellar;
use crate::suite;

/// Small enough that everything happens many times in a test.
const SMALL: DiskOptions = DiskOptions { cache_bytes: 64 * 1024, flush_bytes: 8 * 1024 };

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
