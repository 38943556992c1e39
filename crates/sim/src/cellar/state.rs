//! A state's files, in the engine's directory:
//!
//! ```text
//! state-<n>     blocks of 4096 bytes, the last one shorter, each behind its checksum
//! whole-<n>     written when state n is complete: checksum | note
//! damaged       what was found wrong
//! ```

use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use quorate_engine::{Engine, EngineError, MemoryEngine, View};
use quorate_env::disk::{read_file, replace_file};
use quorate_env::{Disk, DiskFile, OpenMode};

use crate::world::rng::fold;

const BLOCK: usize = 4096;
const SUM: usize = 8;
/// Blocks that are written at once: a flush has a middle.
const BLOCKS_AT_ONCE: usize = 3;
const DAMAGED: &str = "damaged";

/// What lies in a directory of states.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) all: Vec<u64>,
    pub(super) whole: Vec<u64>,
    pub(super) temporary: Vec<String>,
}

pub(super) fn census(disk: &dyn Disk, dir: &Path) -> io::Result<Census> {
    let mut census = Census::default();
    for name in disk.list(dir)? {
        let number = |prefix| name.strip_prefix(prefix)?.parse::<u64>().ok();
        census.all.extend(number("state-"));
        census.whole.extend(number("whole-"));
        if Path::new(&name).extension().is_some_and(|suffix| suffix == "tmp") {
            census.temporary.push(name);
        }
    }
    Ok(census)
}

/// Fails when damage was noted in `dir`.
pub(super) fn check_damage(disk: &dyn Disk, dir: &Path) -> Result<(), EngineError> {
    if disk.exists(&dir.join(DAMAGED))? { Err(damage("noted")) } else { Ok(()) }
}

fn damage(what: &str) -> EngineError {
    EngineError::Damage(what.to_owned())
}

type Opened = Arc<Mutex<Box<dyn DiskFile>>>;

/// One state's files.
#[derive(Clone)]
pub(super) struct State {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    number: u64,
    /// Stays readable when its name goes.
    open: Option<Opened>,
    pub(super) note: Vec<u8>,
}

impl State {
    pub(super) fn new(disk: &Arc<dyn Disk>, dir: &Path, number: u64) -> Self {
        Self { disk: Arc::clone(disk), dir: dir.to_owned(), number, open: None, note: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("state-{}", self.number))
    }

    fn mark(&self) -> PathBuf {
        self.dir.join(format!("whole-{}", self.number))
    }

    /// Reads a whole state and its note.
    pub(super) fn read(&mut self) -> Result<MemoryEngine, EngineError> {
        let mark = Bytes::from(read_file(&*self.disk, &self.mark())?);
        let note = mark.get(SUM..).ok_or_else(|| damage("the mark of a state"))?;
        if mark.get(..SUM) != Some(&fold(0, note).to_le_bytes()) {
            return Err(damage("the mark of a state"));
        }
        self.note = note.to_vec();
        if !self.disk.exists(&self.path())? {
            return Err(damage("a state is gone"));
        }
        self.open = Some(Arc::new(Mutex::new(self.disk.open(&self.path(), OpenMode::Read)?)));
        decode(self.body()?.into())
    }

    /// All that the file holds, checked.
    fn body(&self) -> Result<Vec<u8>, EngineError> {
        let Some(file) = &self.open else { return Ok(Vec::new()) };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let len = file.len()?;
        let mut body = Vec::new();
        let mut at = 0;
        while at < len {
            body.extend(block(&**file, at, len)?);
            at += (SUM + BLOCK) as u64;
        }
        Ok(body)
    }

    /// Reads the block in which a key might lie, as a read of a tree does.
    pub(super) fn probe(&self, key: &[u8]) -> Result<(), EngineError> {
        let Some(file) = &self.open else { return Ok(()) };
        let file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let (len, whole) = (file.len()?, (SUM + BLOCK) as u64);
        let number = fold(0, key) % len.div_ceil(whole).max(1);
        block(&**file, number * whole, len).map(drop).inspect_err(|error| self.note_damage(error))
    }

    /// Writes what `view` shows. What it replaces is read first, as what a compaction rewrites is: damage doesn't
    /// go away by itself.
    pub(super) fn write(&self, view: &dyn View) -> Result<Self, EngineError> {
        self.body().inspect_err(|error| self.note_damage(error))?;
        let body = encode(view)?;
        let temporary = self.dir.join(format!("state-{}.tmp", self.number));
        if self.disk.exists(&temporary)? {
            self.disk.remove(&temporary)?;
        }
        let file = self.disk.open(&temporary, OpenMode::CreateNew)?;
        let mut at = 0;
        for blocks in body.chunks(BLOCKS_AT_ONCE * BLOCK) {
            let mut bytes = Vec::new();
            for block in blocks.chunks(BLOCK) {
                bytes.extend_from_slice(&fold(0, block).to_le_bytes());
                bytes.extend_from_slice(block);
            }
            file.write_at(&[IoSlice::new(&bytes)], at)?;
            at += bytes.len() as u64;
        }
        file.sync_all()?;
        self.disk.rename(&temporary, &self.path())?;
        self.disk.sync_dir(&self.dir)?;
        let open = Some(Arc::new(Mutex::new(file)));
        Ok(Self { open, ..self.clone() })
    }

    /// Marks the state, all of which is durable, as whole.
    pub(super) fn seal(&mut self, note: &[u8]) -> io::Result<()> {
        let mark = [&fold(0, note).to_le_bytes(), note].concat();
        replace_file(&*self.disk, &self.mark(), &mark)?;
        self.note = note.to_vec();
        Ok(())
    }

    /// Removes it. Order matters: a state without its mark is no state; the other way round half of one would be.
    pub(super) fn remove(&self) -> io::Result<()> {
        for path in [self.mark(), self.path()] {
            if self.disk.exists(&path)? {
                self.disk.remove(&path)?;
                self.disk.sync_dir(&self.dir)?;
            }
        }
        Ok(())
    }

    /// Also what a read has met while the node ran is found out by the next start.
    fn note_damage(&self, error: &EngineError) {
        if let EngineError::Damage(what) = error {
            tracing::info!("the engine has met damage while it ran");
            // Where even that fails, the next start meets the damage again.
            let noted = replace_file(&*self.disk, &self.dir.join(DAMAGED), what.as_bytes());
            drop(noted);
        }
    }
}

/// The block at `at` of a file of `len` bytes, checked.
fn block(file: &dyn DiskFile, at: u64, len: u64) -> Result<Vec<u8>, EngineError> {
    let left = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(SUM + BLOCK)];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64)? {
            0 => return Err(damage("a block is cut off")),
            count => done += count,
        }
    }
    let content = bytes.get(SUM..).unwrap_or_default();
    if bytes.get(..SUM) != Some(&fold(0, content).to_le_bytes()) {
        return Err(damage("a block"));
    }
    Ok(content.to_vec())
}

/// Length of the rest | applied | records.
fn encode(view: &dyn View) -> Result<Vec<u8>, EngineError> {
    let mut rest = view.applied().to_le_bytes().to_vec();
    view.visit(b"", b"", &mut |key, value| {
        for bytes in [key, value] {
            rest.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            rest.extend_from_slice(bytes);
        }
        ControlFlow::Continue(())
    })?;
    Ok([&(rest.len() as u64).to_le_bytes()[..], &rest].concat())
}

fn decode(mut body: Bytes) -> Result<MemoryEngine, EngineError> {
    let short = || damage("a state is cut off");
    let number = |body: &mut Bytes| body.try_get_u64_le().map_err(|_| short());
    if number(&mut body)? != body.len() as u64 {
        return Err(short());
    }
    let applied = number(&mut body)?;
    let take = |body: &mut Bytes| {
        let len = usize::try_from(number(body)?).unwrap_or(usize::MAX);
        if len <= body.len() { Ok(body.split_to(len)) } else { Err(short()) }
    };
    let mut engine = MemoryEngine::new();
    while !body.is_empty() {
        let (key, value) = (take(&mut body)?, take(&mut body)?);
        engine.put(&key, value)?;
    }
    if applied > 0 {
        engine.write(applied)?;
    }
    Ok(engine)
}
