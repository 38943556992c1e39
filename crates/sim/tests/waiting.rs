//! Real nodes in the gym with an engine that waits for its disk, as the disk engine does, on simulated
//! disks: cold keys, work on lanes, states that are flushed, sealed, lost, damaged, sent and installed.
//!
//! The disk engine itself has files of its own, which the gym can't tear; what the *node* does with such an
//! engine is the same, and is put through all faults here. Every other node keeps its data in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code outside of test functions"
)]

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quorate_engine::{
    Cellar, Engine, EngineError, EngineKind, EngineStats, Fetch, Fetched, Found, MemoryEngine,
    Reader, View, Work, WorkKind,
};
use quorate_env::Disk;
use quorate_env::disk::{read_file, replace_file};
use quorate_sim::member::boot_with;
use quorate_sim::run::{Setup, run};
use quorate_sim::world::Recording;

/// Other seeds than those of a normal run, as in `0..100`.
const SEEDS: &str = "QUORATE_WAITING_SEEDS";
const SEEDS_DEFAULT: std::ops::Range<u64> = 0..6;
/// Entries after which the engine wants to flush.
const FLUSH_BATCHES: u64 = 40;

/// Makes engines that keep each state in one file of a simulated disk.
struct WaitingCellar {
    disk: Arc<dyn Disk>,
}

impl std::fmt::Debug for WaitingCellar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WaitingCellar")
    }
}

/// One state's file: sum | applied | length of the note | note | records.
#[derive(Clone)]
struct StateFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

/// FNV-1a: enough to notice the gym's flipped bits.
fn sum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

impl StateFile {
    fn write(&self, view: &dyn View, note: &[u8]) -> io::Result<()> {
        let mut body = view.applied().to_le_bytes().to_vec();
        body.extend_from_slice(&(note.len() as u64).to_le_bytes());
        body.extend_from_slice(note);
        view.visit(b"", b"", &mut |key, value| {
            for bytes in [key, value] {
                body.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                body.extend_from_slice(bytes);
            }
            ControlFlow::Continue(())
        })
        .map_err(io::Error::other)?;
        let mut file = sum(&body).to_le_bytes().to_vec();
        file.extend_from_slice(&body);
        replace_file(&*self.disk, &self.path, &file)
    }

    fn read(&self) -> Result<(MemoryEngine, Vec<u8>), EngineError> {
        let file = Bytes::from(read_file(&*self.disk, &self.path)?);
        let damaged = || EngineError::Damage(format!("{}", self.path.display()));
        if file.len() < 24 {
            return Err(damaged());
        }
        let mut body = file.slice(8..);
        if file[..8] != sum(&body).to_le_bytes() {
            return Err(damaged());
        }
        let number =
            |body: &mut Bytes| u64::from_le_bytes(body.split_to(8)[..].try_into().unwrap());
        let applied = number(&mut body);
        let take = |body: &mut Bytes| {
            let length = usize::try_from(number(body)).unwrap();
            body.split_to(length)
        };
        let note = take(&mut body).to_vec();
        let mut engine = MemoryEngine::new();
        while !body.is_empty() {
            let (key, value) = (take(&mut body), take(&mut body));
            engine.put(&key, value)?;
        }
        if applied > 0 {
            engine.write(applied)?;
        }
        Ok((engine, note))
    }
}

impl WaitingCellar {
    fn states(&self, dir: &Path) -> Result<Vec<u64>, EngineError> {
        self.disk.create_dir_all(dir)?;
        let files = self.disk.list(dir)?;
        Ok(files.iter().filter_map(|file| file.strip_prefix("state-")?.parse().ok()).collect())
    }

    fn file(&self, dir: &Path, number: u64) -> StateFile {
        StateFile { disk: Arc::clone(&self.disk), path: dir.join(format!("state-{number}")) }
    }
}

impl Cellar for WaitingCellar {
    fn kind(&self) -> EngineKind {
        EngineKind::Disk
    }

    fn open(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        let mut newest: Option<WaitingEngine> = None;
        for number in self.states(dir)? {
            let file = self.file(dir, number);
            let (content, note) = file.read()?;
            let engine = WaitingEngine::new(file, content, note);
            let is_newer = newest.as_ref().is_none_or(|newest| newest.applied() < engine.applied());
            let gone = if is_newer { newest.replace(engine) } else { Some(engine) };
            if let Some(mut gone) = gone {
                gone.retire();
            }
        }
        Ok(newest.map(|engine| Box::new(engine) as Box<dyn Engine>))
    }

    fn look(&self, dir: &Path) -> Result<Option<Box<dyn Engine>>, EngineError> {
        let mut newest: Option<WaitingEngine> = None;
        for number in self.states(dir)? {
            let file = self.file(dir, number);
            let (content, note) = file.read()?;
            let engine = WaitingEngine::new(file, content, note);
            if newest.as_ref().is_none_or(|newest| newest.applied() < engine.applied()) {
                newest = Some(engine);
            }
        }
        Ok(newest.map(|engine| Box::new(engine) as Box<dyn Engine>))
    }

    fn fresh(&self, dir: &Path) -> Result<Box<dyn Engine>, EngineError> {
        let number = self.states(dir)?.last().map_or(1, |last| last + 1);
        let file = self.file(dir, number);
        Ok(Box::new(WaitingEngine::new(file, MemoryEngine::new(), Vec::new())))
    }

    fn clear(&self, dir: &Path) -> Result<(), EngineError> {
        for file in self.disk.list(dir)? {
            self.disk.remove(&dir.join(file))?;
        }
        Ok(self.disk.sync_dir(dir)?)
    }
}

/// What a flush has come to, and up to where it went.
type Flushed = Arc<Mutex<Option<(u64, io::Result<()>)>>>;

#[expect(clippy::struct_excessive_bools, reason = "a stand-in, not a design")]
/// Knows everything, and says so only of keys that were written or fetched since the last flush.
struct WaitingEngine {
    resident: Resident,
    file: StateFile,
    note: Vec<u8>,
    sealed: bool,
    durable: u64,
    epoch: u64,
    flushing: bool,
    wanted: bool,
    full: bool,
    flushes: u64,
    flushed: Flushed,
}

struct Resident {
    content: MemoryEngine,
    known: BTreeSet<Vec<u8>>,
    all_known: bool,
}

impl Reader for Resident {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        if self.all_known || self.known.contains(key) {
            self.content.get(key)
        } else {
            Err(EngineError::Cold)
        }
    }

    fn visit(
        &self,
        from: &[u8],
        to: &[u8],
        visitor: quorate_engine::engine::Visitor<'_>,
    ) -> Result<(), EngineError> {
        if self.all_known { self.content.visit(from, to, visitor) } else { Err(EngineError::Cold) }
    }
}

impl WaitingEngine {
    fn new(file: StateFile, content: MemoryEngine, note: Vec<u8>) -> Self {
        let durable = content.applied();
        let resident = Resident { content, known: BTreeSet::new(), all_known: durable == 0 };
        Self {
            resident,
            file,
            note,
            sealed: durable > 0,
            durable,
            epoch: 0,
            flushing: false,
            wanted: false,
            full: false,
            flushes: 0,
            flushed: Flushed::default(),
        }
    }
}

impl Reader for WaitingEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        self.resident.content.get(key)
    }

    fn visit(
        &self,
        from: &[u8],
        to: &[u8],
        visitor: quorate_engine::engine::Visitor<'_>,
    ) -> Result<(), EngineError> {
        self.resident.content.visit(from, to, visitor)
    }
}

impl Engine for WaitingEngine {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.resident.known.insert(key.to_vec());
        self.resident.content.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.resident.known.insert(key.to_vec());
        self.resident.content.delete(key)
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        self.resident.content.write(applied)
    }

    fn applied(&self) -> u64 {
        self.resident.content.applied()
    }

    fn durable_applied(&self) -> u64 {
        self.durable
    }

    fn view(&self) -> Box<dyn View> {
        self.resident.content.view()
    }

    fn reset(&mut self) {
        self.resident.content.reset();
        self.resident.known.clear();
        self.resident.all_known = true;
        (self.durable, self.sealed) = (0, false);
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.resident.content.maintain(budget)
    }

    fn stats(&self) -> EngineStats {
        EngineStats { disk_full: self.full, flushes: self.flushes, ..self.resident.content.stats() }
    }

    fn resident(&self) -> &dyn Reader {
        &self.resident
    }

    fn may_block(&self) -> bool {
        true
    }

    fn fetch(&self, keys: &[Vec<u8>]) -> Option<Fetch> {
        let unknown =
            |key: &&Vec<u8>| !self.resident.all_known && !self.resident.known.contains(*key);
        let missing: Vec<_> = keys.iter().filter(unknown).cloned().collect();
        let epoch = self.epoch;
        let read = move || {
            Fetched::new(epoch, missing.into_iter().map(|key| (key.into(), None)).collect())
        };
        // Fetched elsewhere, in the gym's own order; what it is, the content knows.
        (!keys.is_empty() && keys.iter().any(|key| unknown(&key))).then(|| Fetch::new(read))
    }

    fn admit(&mut self, fetched: Fetched) {
        let (epoch, records) = fetched.into_parts();
        if epoch == self.epoch {
            self.resident.known.extend(records.into_iter().map(|(key, _)| key.into_vec()));
        }
    }

    fn take_work(&mut self) -> Option<Work> {
        let grown = self.applied() >= self.durable + FLUSH_BATCHES;
        let due = self.sealed && !self.flushing && !self.full && (grown || self.wanted);
        if !due || self.applied() == self.durable {
            return None;
        }
        (self.flushing, self.wanted) = (true, false);
        let (view, file) = (self.resident.content.view(), self.file.clone());
        let (note, flushed) = (self.note.clone(), Arc::clone(&self.flushed));
        Some(Work::new(WorkKind::Flush, move || {
            let written = file.write(&*view, &note);
            *flushed.lock().unwrap() = Some((view.applied(), written));
        }))
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        let Some((applied, written)) = self.flushed.lock().unwrap().take() else { return Ok(()) };
        self.flushing = false;
        match written {
            Ok(()) => {
                self.durable = applied;
                self.epoch += 1;
                self.flushes += 1;
                self.resident.known.clear();
                self.resident.all_known = false;
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => self.full = true,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.applied() < self.durable + 4 * FLUSH_BATCHES || !self.sealed
    }

    fn checkpoint(&mut self) {
        (self.wanted, self.full) = (true, false);
    }

    fn seal(&mut self, note: &[u8]) -> Result<(), EngineError> {
        self.file.write(&*self.resident.content.view(), note)?;
        self.note = note.to_vec();
        (self.sealed, self.durable) = (true, self.applied());
        Ok(())
    }

    fn note(&self) -> &[u8] {
        &self.note
    }

    fn retire(&mut self) {
        if self.sealed {
            // Left behind, it is removed by the next start.
            drop(self.file.disk.remove(&self.file.path));
        }
    }
}

#[test]
fn nodes_whose_engines_wait_for_their_disks_keep_their_promises() {
    let seeds = std::env::var(SEEDS).map_or(SEEDS_DEFAULT, |text| {
        let (first, end) = text.split_once("..").expect("as in 0..100");
        first.parse().expect("a number")..end.parse().expect("a number")
    });
    for seed in seeds {
        let boot = boot_with(
            |_| (),
            move |spec, config| {
                if seed % 3 == 0 || spec.number % 2 == seed % 2 {
                    config.cellar = Arc::new(WaitingCellar { disk: Arc::clone(&spec.env.disk) });
                }
            },
            |_, _| (),
        );
        let report = run(seed, &Setup::drawn(seed, boot), Recording::Digest);
        let again =
            format!("{SEEDS}={seed}..{} cargo test -p quorate-sim --test waiting", seed + 1);
        assert!(report.is_good(), "{again}: {:#?}", report.judgement.violations);
    }
}
