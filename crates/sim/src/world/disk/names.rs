//! Names: which path is which file, now and after a loss of power.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::inode::Fate;
use crate::world::rng::Chance;

/// A file's number.
pub(crate) type InodeId = u64;

#[derive(Clone, Debug)]
enum Change {
    Create { path: PathBuf, inode: InodeId },
    Rename { from: PathBuf, to: PathBuf, inode: InodeId },
    Remove { path: PathBuf },
}

type Table = BTreeMap<PathBuf, InodeId>;

impl Change {
    fn apply(&self, table: &mut Table) {
        match self {
            Self::Create { path, inode } => {
                table.insert(path.clone(), *inode);
            }
            Self::Rename { from, to, inode } => {
                table.remove(from);
                table.insert(to.clone(), *inode);
            }
            Self::Remove { path } => {
                table.remove(path);
            }
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        let within = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Self::Create { path, .. } | Self::Remove { path } => within(path),
            Self::Rename { from, to, .. } => within(from) || within(to),
        }
    }
}

/// A host's names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    now: Table,
    durable: Table,
    changes: Vec<Change>,
    /// By contract a directory is durable once created.
    dirs: BTreeSet<PathBuf>,
}

impl Names {
    pub(crate) fn get(&self, path: &Path) -> Option<InodeId> {
        self.now.get(path).copied()
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.now.contains_key(path) || self.is_dir(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        let root = path.as_os_str().is_empty() || path == Path::new("/") || path == Path::new(".");
        root || self.dirs.contains(path)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    pub(crate) fn create(&mut self, path: &Path, inode: InodeId) -> io::Result<()> {
        if self.exists(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| self.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Change::Create { path: path.to_owned(), inode });
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.get(from).ok_or(io::ErrorKind::NotFound)?;
        if !to.parent().is_some_and(|dir| self.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Change::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if self.get(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change(Change::Remove { path: path.to_owned() });
        Ok(())
    }

    pub(crate) fn create_dir_all(&mut self, dir: &Path) {
        self.dirs.extend(dir.ancestors().map(Path::to_owned));
    }

    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name_in = |path: &PathBuf| {
            let within = path.parent() == Some(dir);
            path.file_name().filter(|_| within).map(|name| name.to_string_lossy().into_owned())
        };
        let files = self.now.keys().filter_map(name_in);
        let dirs = self.dirs.iter().filter_map(name_in).map(|name| name + "/");
        let mut names: Vec<String> = files.chain(dirs).collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        if !self.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let durable = &mut self.durable;
        self.changes.retain(|change| {
            let synced = change.touches(dir);
            if synced {
                change.apply(durable);
            }
            !synced
        });
        Ok(())
    }

    /// A journal keeps a prefix of the changes; what has none keeps any of them. Returns how many
    /// were in danger.
    pub(crate) fn lose_power(&mut self, chance: &mut Chance, fate: Fate) -> usize {
        let changes = std::mem::take(&mut self.changes);
        let in_order = chance.one_in(2).then(|| chance.index(changes.len() + 1));
        for (number, change) in changes.iter().enumerate() {
            let kept = match (fate, in_order) {
                (Fate::Kept, _) => true,
                (Fate::Lost, _) => false,
                (Fate::Mixed, Some(prefix)) => number < prefix,
                (Fate::Mixed, None) => chance.one_in(2),
            };
            if kept {
                change.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
        changes.len()
    }

    /// Every file, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, InodeId)> {
        self.now.iter().map(|(path, inode)| (path, *inode))
    }

    /// The file was never there.
    pub(crate) fn vanish(&mut self, path: &Path) -> bool {
        self.durable.remove(path);
        self.now.remove(path).is_some()
    }
}
