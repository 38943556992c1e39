//! A disk in memory that does what real ones do at their worst: it loses what was not synced, keeps
//! any part of the last write, fails fsync and forgets about it, fills up, loses power at any
//! operation, and flips bits.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use quorate_env::disk::DirLock;
use quorate_env::{Disk, DiskFile, OpenMode};

/// A change of a file that was not synced.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => {
                let end = at + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(data);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    /// What a read shows.
    now: Vec<u8>,
    /// What survives.
    durable: Vec<u8>,
    /// What is between the two.
    pending: Vec<Change>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }
}

/// What becomes of unsynced changes when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process is killed: the page cache stays.
    Kill,
    /// All is lost.
    Power,
    /// All is kept but of the last write only so many thousandths of its bytes.
    Torn(usize),
    /// Each block of 512 bytes and each name is kept or lost, by this seed.
    Blocks(u64),
}

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    locks: Vec<PathBuf>,
    capacity: u64,
    operations: u64,
    /// From this operation on, everything fails.
    power_cut_at: Option<u64>,
    fail_syncs: bool,
    fail_writes: Option<ErrorKind>,
}

impl State {
    /// Counts an operation that changes something; an error when the power is gone.
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.power_cut_at {
            Some(at) if self.operations > at => Err(io::Error::other("power is off")),
            _ => Ok(()),
        }
    }

    /// The power goes during this operation: its effect is there, but not durable.
    fn during(&self) -> io::Result<()> {
        match self.power_cut_at {
            Some(at) if self.operations == at => Err(io::Error::other("power goes off")),
            _ => Ok(()),
        }
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].now.len() as u64).sum()
    }
}

/// See the module.
#[derive(Clone, Default)]
pub(super) struct FaultyDisk(Arc<Mutex<State>>);

impl FaultyDisk {
    pub(super) fn new() -> Self {
        let disk = Self::default();
        disk.state().capacity = u64::MAX;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(super) fn cut_power_at(&self, operation: u64) {
        self.state().power_cut_at = Some(operation);
    }

    pub(super) fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    pub(super) fn is_limited(&self) -> bool {
        self.state().capacity < u64::MAX
    }

    pub(super) fn used(&self) -> u64 {
        self.state().used()
    }

    pub(super) fn fail_syncs(&self, fail: bool) {
        self.state().fail_syncs = fail;
    }

    pub(super) fn fail_writes(&self, kind: Option<ErrorKind>) {
        self.state().fail_writes = kind;
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    pub(super) fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[path]].now.clone()
    }

    /// Puts a durable file there.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() });
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    pub(super) fn vanish(&self, path: &Path) {
        let mut state = self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    pub(super) fn flip(&self, path: &Path, byte: usize, bit: u8) {
        let mut content = self.content(path);
        content[byte] ^= 1 << bit;
        self.put(path, content);
    }

    /// A disk with the same content that shares nothing with this one.
    pub(super) fn image(&self) -> Self {
        let state = self.state();
        let image = Self::new();
        {
            let mut copy = image.state();
            copy.inodes.clone_from(&state.inodes);
            copy.names.clone_from(&state.names);
            copy.durable_names.clone_from(&state.durable_names);
        }
        image
    }

    /// The process is gone, and perhaps the power. Works again afterwards.
    pub(super) fn crash(&self, crash: Crash) {
        let mut state = self.state();
        let mut random = Random(if let Crash::Blocks(seed) = crash { seed } else { 0 });
        for inode in &mut state.inodes {
            inode.crash(crash, &mut random);
        }
        match crash {
            Crash::Kill | Crash::Torn(_) => {}
            Crash::Power => state.names = state.durable_names.clone(),
            Crash::Blocks(_) => state.crash_names(&mut random),
        }
        // A killed process leaves names in the page cache too: they are not durable by that.
        if crash != Crash::Kill {
            state.durable_names = state.names.clone();
        }
        state.locks.clear();
        state.power_cut_at = None;
        state.fail_syncs = false;
        state.fail_writes = None;
    }
}

impl Inode {
    fn crash(&mut self, crash: Crash, random: &mut Random) {
        let pending = match crash {
            Crash::Kill => return,
            Crash::Power => Vec::new(),
            Crash::Torn(thousandths) => torn(std::mem::take(&mut self.pending), thousandths),
            Crash::Blocks(_) => {
                let pending = std::mem::take(&mut self.pending);
                pending.iter().flat_map(blocks).filter(|_| random.coin()).collect()
            }
        };
        self.pending = pending;
        self.sync();
        self.now.clone_from(&self.durable);
    }
}

impl State {
    /// Each unsynced change of a name has happened or not.
    fn crash_names(&mut self, random: &mut Random) {
        let (now, durable) = (self.names.clone(), self.durable_names.clone());
        let paths: Vec<_> = now.keys().chain(durable.keys()).cloned().collect();
        for path in paths {
            let pick = if random.coin() { now.get(&path) } else { durable.get(&path) };
            match pick {
                Some(inode) => self.names.insert(path, *inode),
                None => self.names.remove(&path),
            };
        }
    }
}

fn torn(mut pending: Vec<Change>, thousandths: usize) -> Vec<Change> {
    if let Some(Change::Write(_, data)) = pending.last_mut() {
        data.truncate(data.len() * thousandths / 1000);
    }
    pending
}

/// A write as the writes of its blocks.
fn blocks(change: &Change) -> Vec<Change> {
    let Change::Write(at, data) = change else { return vec![change.clone()] };
    let mut from = 0;
    let mut parts = Vec::new();
    while from < data.len() {
        let to = (((at + from) / 512 + 1) * 512 - at).min(data.len());
        parts.push(Change::Write(at + from, data[from..to].to_vec()));
        from = to;
    }
    parts
}

/// A small generator: the tests must not depend on the crate's.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 0
    }
}

struct File {
    disk: FaultyDisk,
    inode: usize,
}

impl DiskFile for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.inodes[self.inode].now;
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation()?;
        let data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if let Some(kind) = state.fail_writes {
            return Err(kind.into());
        }
        let at = usize::try_from(offset).unwrap();
        let grows = (at + data.len()).saturating_sub(state.inodes[self.inode].now.len());
        if grows > 0 && state.used() + grows as u64 > state.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        state.inodes[self.inode].change(Change::Write(at, data));
        state.during()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation()?;
        let have = state.inodes[self.inode].now.len() as u64;
        if len > have && state.used() + (len - have) > state.capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        let length = usize::try_from(len.max(have)).unwrap();
        state.inodes[self.inode].change(Change::Length(length));
        state.during()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation()?;
        state.inodes[self.inode].change(Change::Length(usize::try_from(len).unwrap()));
        state.during()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].now.len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation()?;
        // Power that goes during a sync: nothing of it need be durable.
        state.during()?;
        if state.fail_syncs {
            // As Linux does it: the pages count as clean, and the next sync will say that all is well.
            state.inodes[self.inode].pending.clear();
            return Err(io::Error::other("device error"));
        }
        state.inodes[self.inode].sync();
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
}

struct Held(FaultyDisk, PathBuf);

impl DirLock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().locks.retain(|path| *path != self.1);
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let inode = match (mode, state.inode(path)) {
            (OpenMode::CreateNew, Ok(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::CreateNew, Err(_)) => {
                state.operation()?;
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                state.names.insert(path.to_owned(), inode);
                state.during()?;
                inode
            }
            (OpenMode::Read | OpenMode::Write, found) => found?,
        };
        drop(state);
        Ok(Box::new(File { disk: self.clone(), inode }))
    }

    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let below = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(below.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state.during()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.inode(path)?;
        state.names.remove(path);
        state.during()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.during()?;
        let names = state.names.clone();
        state.durable_names.retain(|path, _| path.parent() != Some(dir));
        let below = names.into_iter().filter(|(path, _)| path.parent() == Some(dir));
        state.durable_names.extend(below);
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state().names.contains_key(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut state = self.state();
        if state.locks.iter().any(|held| held == path) {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.locks.push(path.to_owned());
        Ok(Box::new(Held(self.clone(), path.to_owned())))
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity.saturating_sub(state.used()))
    }
}
