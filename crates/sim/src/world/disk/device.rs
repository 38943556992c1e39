//! One host's disk: files, names, room, and the faults that were ordered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use quorate_env::OpenMode;

use super::inode::{Fate, Inode};
use super::names::{InodeId, Names};
use crate::world::overlap::Overlap;
use crate::world::rng::Chance;

/// Room on a disk unless a scenario says otherwise.
const CAPACITY: u64 = 16 << 30;

/// Misdirected writes land on whole sectors.
const SECTOR: u64 = 512;
/// A file is written to in pages, of so many sectors each.
const SECTORS_OF_PAGE: u64 = 8;

/// A disk.
pub(crate) struct Device {
    pub(crate) chance: Chance,
    pub(crate) names: Names,
    pub(crate) inodes: BTreeMap<InodeId, Inode>,
    next_inode: InodeId,
    pub(crate) locks: BTreeSet<PathBuf>,
    /// Calls so far.
    pub(crate) operations: u64,
    pub(crate) power_fails_at: Option<u64>,
    /// The power failed during a call, and the executor has not seen it yet.
    pub(crate) failed: bool,
    /// How many bytes a fault leaves room for, and how many it leaves in all.
    pub(crate) full: Overlap<(u64, u64)>,
    /// How many syncs are going to fail.
    pub(crate) failing_syncs: u32,
    /// How many writes are going to fail.
    pub(crate) failing_writes: u32,
    /// How many reads are going to fail.
    pub(crate) failing_reads: u32,
    pub(crate) stray: Option<Stray>,
    pub(crate) slow: Overlap<u32>,
    pub(crate) struck: Struck,
    /// Syncs do nothing and say that they did.
    pub(crate) lies: bool,
}

/// How often a fault that was laid ready has been met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Struck {
    /// Syncs that failed.
    pub syncs: u64,
    /// Writes that failed.
    pub writes: u64,
    /// Reads that failed.
    pub reads: u64,
    /// Writes that landed elsewhere, by the directory that they were meant for.
    pub strays: BTreeMap<PathBuf, u64>,
}

/// Writes that are going to land elsewhere.
pub(crate) struct Stray {
    /// How many.
    pub(crate) count: u32,
    /// Those to files in here.
    pub(crate) dir: PathBuf,
    /// Where they may land, beside the file itself.
    pub(crate) targets: Vec<PathBuf>,
}

/// All of a disk's content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copied {
    names: Names,
    inodes: BTreeMap<InodeId, Inode>,
}

/// What a loss of power put in danger.
pub(crate) struct Losses {
    writes: usize,
    names: usize,
    fate: Fate,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} writes, {} names unsynced: {:?}", self.writes, self.names, self.fate)
    }
}

fn device_error() -> io::Error {
    io::Error::other("input/output error")
}

impl Device {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            chance,
            names: Names::default(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            locks: BTreeSet::new(),
            operations: 0,
            power_fails_at: None,
            failed: false,
            full: Overlap::default(),
            failing_syncs: 0,
            failing_writes: 0,
            failing_reads: 0,
            stray: None,
            slow: Overlap::default(),
            struck: Struck::default(),
            lies: false,
        }
    }

    pub(crate) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<InodeId> {
        if mode != OpenMode::CreateNew {
            return self.names.get(path).ok_or_else(|| io::ErrorKind::NotFound.into());
        }
        let inode = self.next_inode;
        self.names.create(path, inode)?;
        self.next_inode += 1;
        self.inodes.insert(inode, Inode::default());
        Ok(inode)
    }

    pub(crate) fn inode(&mut self, inode: InodeId) -> io::Result<&mut Inode> {
        self.inodes.get_mut(&inode).ok_or_else(device_error)
    }

    pub(crate) fn read(
        &mut self,
        inode: InodeId,
        buf: &mut [u8],
        offset: u64,
    ) -> io::Result<usize> {
        if self.failing_reads > 0 {
            self.failing_reads -= 1;
            self.struck.reads += 1;
            return Err(device_error());
        }
        Ok(self.inode(inode)?.cached.read(buf, offset))
    }

    /// Bytes that may still be written.
    pub(crate) fn free(&self) -> u64 {
        let capacity = self.full.iter().map(|(_, capacity)| capacity).min();
        capacity.unwrap_or(CAPACITY).saturating_sub(self.used())
    }

    pub(crate) fn used(&self) -> u64 {
        let lens = self.names.files().filter_map(|(_, inode)| self.inodes.get(&inode));
        lens.map(|inode| inode.cached.len).sum()
    }

    pub(crate) fn write(&mut self, inode: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.failing_writes > 0 {
            self.failing_writes -= 1;
            self.struck.writes += 1;
            // Some of it may have got through, as after a short write.
            let part = bytes.get(..self.chance.index(bytes.len() + 1)).unwrap_or_default();
            if !part.is_empty() && self.chance.one_in(2) {
                self.inode(inode)?.write(part, offset);
            }
            return Err(device_error());
        }
        if self.strays(inode, bytes, offset) {
            return Ok(());
        }
        let len = self.inode(inode)?.cached.len;
        let end = offset + bytes.len() as u64;
        if end <= len {
            self.inode(inode)?.write(bytes, offset);
            return Ok(());
        }
        let room = self.free();
        if end - len <= room {
            self.inode(inode)?.write(bytes, offset);
            return Ok(());
        }
        let fits = usize::try_from((len + room).saturating_sub(offset)).unwrap_or(usize::MAX);
        let prefix = bytes.get(..fits).unwrap_or(bytes);
        if !prefix.is_empty() {
            self.inode(inode)?.write(prefix, offset);
        }
        Err(io::ErrorKind::StorageFull.into())
    }

    /// True when this write was one of those that were ordered to land elsewhere, and there is such a place: a sector
    /// of another file, or another one of the same file, where something was written before.
    fn strays(&mut self, inode: InodeId, bytes: &[u8], offset: u64) -> bool {
        let Some(stray) = &self.stray else { return false };
        let meant =
            self.names.files().any(|(path, it)| it == inode && path.starts_with(&stray.dir));
        if !meant {
            return false;
        }
        let inside = |path: &Path| stray.targets.iter().any(|dir| path.starts_with(dir));
        let others = self.names.files().filter(|(path, it)| *it != inode && inside(path));
        let others: Vec<InodeId> = others.map(|(_, it)| it).collect();
        let other = self.chance.pick(&others).copied().filter(|_| self.chance.one_in(2));
        let target = other.unwrap_or(inode);
        let Some(file) = self.inodes.get_mut(&target) else { return false };
        let Some(page) = self.chance.pick(&file.cached.written()).copied() else { return false };
        let place = page + self.chance.below(SECTORS_OF_PAGE) * SECTOR;
        let fits = place + bytes.len() as u64 <= file.cached.len;
        if !fits || (target == inode && place == offset) {
            return false;
        }
        file.write(bytes, place);
        if let Some(stray) = &mut self.stray {
            *self.struck.strays.entry(stray.dir.clone()).or_default() += 1;
            stray.count -= 1;
        }
        self.stray.take_if(|stray| stray.count == 0);
        true
    }

    pub(crate) fn set_len(&mut self, inode: InodeId, len: u64) -> io::Result<()> {
        let growth = len.saturating_sub(self.inode(inode)?.cached.len);
        if growth > 0 && growth > self.free() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inode(inode)?.set_len(len);
        Ok(())
    }

    /// True when this sync is one of those that were ordered to fail.
    fn sync_fails(&mut self) -> bool {
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        self.struck.syncs += u64::from(fails);
        fails
    }

    pub(crate) fn sync(&mut self, inode: InodeId) -> io::Result<()> {
        let fails = self.sync_fails();
        let file = self.inodes.get_mut(&inode).ok_or_else(device_error)?;
        if fails {
            file.fail_sync(&mut self.chance);
            return Err(device_error());
        }
        if !self.lies {
            file.sync(self.operations);
        }
        Ok(())
    }

    pub(crate) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if self.sync_fails() {
            return Err(device_error());
        }
        if self.lies { Ok(()) } else { self.names.sync_dir(dir) }
    }

    /// See [`super::DiskControl::lose_sector`].
    pub(crate) fn lose_sector(&mut self, dir: &Path) -> Option<(PathBuf, u64)> {
        let inside = self.names.files().filter(|(path, _)| path.starts_with(dir));
        let last = inside.max_by_key(|(_, inode)| {
            self.inodes.get(inode).and_then(|inode| inode.last_synced.as_ref()).map(|it| it.0)
        });
        let (path, inode) = last.map(|(path, inode)| (path.clone(), inode))?;
        let offset = self.inodes.get_mut(&inode)?.lose_sector(&mut self.chance)?;
        Some((path, offset))
    }

    /// What is on the platter and in the cache.
    pub(crate) fn copy(&self) -> Copied {
        Copied { names: self.names.clone(), inodes: self.inodes.clone() }
    }

    /// Is as it was when `copied` was made.
    pub(crate) fn restore(&mut self, copied: Copied) {
        self.names = copied.names;
        self.inodes = copied.inodes;
        self.locks.clear();
    }

    /// Another disk is put in its place: empty, and not known to the node.
    pub(crate) fn wipe(&mut self) {
        self.names = Names::default();
        self.inodes.clear();
        self.locks.clear();
    }

    /// What was not synced is kept, lost or torn; from here on the disk is as after the next boot.
    pub(crate) fn lose_power(&mut self) -> Losses {
        let fate = Fate::draw(&mut self.chance);
        let names = self.names.lose_power(&mut self.chance, fate);
        let mut writes = 0;
        for inode in self.inodes.values_mut() {
            writes += inode.lose_power(&mut self.chance, fate);
        }
        let named: BTreeSet<InodeId> = self.names.files().map(|(_, inode)| inode).collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        self.locks.clear();
        Losses { writes, names, fate }
    }
}
