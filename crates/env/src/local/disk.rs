//! A disk in memory: it lives as long as its last handle, and outlives the node that used it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::{MemoryFile, Shared};
use crate::disk::{DirLock, Disk, DiskFile, OpenMode};

/// Files by path, in memory. What is written counts as durable at once: there is no power to lose, and
/// with the process everything is gone. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    tree: Arc<Mutex<Tree>>,
}

#[derive(Debug, Default)]
struct Tree {
    /// `None`: a directory.
    entries: BTreeMap<PathBuf, Option<Shared>>,
    locked: Vec<PathBuf>,
}

#[derive(Debug)]
struct MemoryLock {
    tree: Arc<Mutex<Tree>>,
    path: PathBuf,
}

impl DirLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        lock(&self.tree).locked.retain(|path| *path != self.path);
    }
}

fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Nobody knows how much memory the process may still take.
const FREE_BYTES: u64 = 1 << 40;

impl Tree {
    fn need_parent(&self, path: &Path) -> io::Result<()> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match parent.map(|parent| self.entries.get(parent)) {
            None | Some(Some(None)) => Ok(()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            Some(Some(Some(_))) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn create(&mut self, path: &Path) -> io::Result<Shared> {
        self.need_parent(path)?;
        if self.entries.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Shared::default();
        self.entries.insert(path.to_owned(), Some(Arc::clone(&content)));
        Ok(content)
    }

    fn file(&self, path: &Path) -> io::Result<Shared> {
        match self.entries.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(None) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Some(content)) => Ok(Arc::clone(content)),
        }
    }
}

impl MemoryDisk {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        lock(&self.tree)
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let content = match mode {
            OpenMode::CreateNew => self.tree().create(path)?,
            OpenMode::Read | OpenMode::Write => self.tree().file(path)?,
        };
        Ok(Box::new(MemoryFile { content, mode }))
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        for dir in dir.ancestors().filter(|dir| !dir.as_os_str().is_empty()) {
            if tree.entries.entry(dir.to_owned()).or_default().is_some() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let tree = self.tree();
        match tree.entries.get(dir) {
            Some(None) => {}
            Some(Some(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let mut names: Vec<String> = tree
            .entries
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .filter_map(|(path, entry)| {
                let name = path.file_name()?.to_string_lossy();
                Some(if entry.is_none() { format!("{name}/") } else { name.into_owned() })
            })
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        if !tree.entries.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        tree.need_parent(to)?;
        // Everything below a directory moves with it.
        let moved: Vec<_> = tree.entries.extract_if(.., |path, _| path.starts_with(from)).collect();
        for (path, entry) in moved {
            let below = path.strip_prefix(from).map_err(io::Error::other)?;
            let path = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            tree.entries.insert(path, entry);
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        tree.file(path)?;
        tree.entries.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.list(dir).map(|_| ())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.tree().entries.contains_key(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        let mut tree = self.tree();
        if tree.locked.iter().any(|locked| locked == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !tree.entries.contains_key(path) {
            drop(tree.create(path)?);
        }
        tree.locked.push(path.to_owned());
        Ok(Box::new(MemoryLock { tree: Arc::clone(&self.tree), path: path.to_owned() }))
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(FREE_BYTES)
    }
}
