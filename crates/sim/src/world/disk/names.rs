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
    RenameDir { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

/// What a directory tree holds.
#[derive(Clone, Debug, Default)]
struct Tree {
    files: BTreeMap<PathBuf, InodeId>,
    dirs: BTreeSet<PathBuf>,
}

impl Tree {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create { path, inode } => {
                self.files.insert(path.clone(), *inode);
            }
            Change::Rename { from, to, inode } => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
            Change::RenameDir { from, to } => {
                let moved = |path: &PathBuf| match path.strip_prefix(from) {
                    Ok(rest) if rest.as_os_str().is_empty() => to.clone(),
                    Ok(rest) => to.join(rest),
                    Err(_) => path.clone(),
                };
                self.files = self.files.iter().map(|(path, inode)| (moved(path), *inode)).collect();
                self.dirs = self.dirs.iter().map(moved).collect();
            }
            Change::Remove { path } => {
                self.files.remove(path);
            }
        }
    }
}

impl Change {
    fn touches(&self, dir: &Path) -> bool {
        let within = |path: &PathBuf| path.parent() == Some(dir);
        match self {
            Self::Create { path, .. } | Self::Remove { path } => within(path),
            Self::Rename { from, to, .. } | Self::RenameDir { from, to } => {
                within(from) || within(to)
            }
        }
    }
}

/// A host's names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    now: Tree,
    durable: Tree,
    changes: Vec<Change>,
}

impl Names {
    pub(crate) fn get(&self, path: &Path) -> Option<InodeId> {
        self.now.files.get(path).copied()
    }

    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.now.files.contains_key(path) || self.is_dir(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        let root = path.as_os_str().is_empty() || path == Path::new("/") || path == Path::new(".");
        root || self.now.dirs.contains(path)
    }

    fn change(&mut self, change: Change) {
        self.now.apply(&change);
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
        if !to.parent().is_some_and(|dir| self.is_dir(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = self.get(from);
        if inode.is_none() && self.now.dirs.contains(from) && self.exists(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (from, to) = (from.to_owned(), to.to_owned());
        self.change(match inode {
            Some(inode) => Change::Rename { from, to, inode },
            None if self.now.dirs.contains(&from) => Change::RenameDir { from, to },
            None => return Err(io::ErrorKind::NotFound.into()),
        });
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
        // By contract a directory is durable once created.
        self.now.dirs.extend(dir.ancestors().map(Path::to_owned));
        self.durable.dirs.extend(dir.ancestors().map(Path::to_owned));
    }

    pub(crate) fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if !self.is_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let name_in = |path: &PathBuf| {
            let within = path.parent() == Some(dir);
            path.file_name().filter(|_| within).map(|name| name.to_string_lossy().into_owned())
        };
        let files = self.now.files.keys().filter_map(name_in);
        let dirs = self.now.dirs.iter().filter_map(name_in).map(|name| name + "/");
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
                durable.apply(change);
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
                self.durable.apply(change);
            }
        }
        self.now.clone_from(&self.durable);
        changes.len()
    }

    /// Every file, by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&PathBuf, InodeId)> {
        self.now.files.iter().map(|(path, inode)| (path, *inode))
    }

    /// The file was never there.
    pub(crate) fn vanish(&mut self, path: &Path) -> bool {
        self.durable.files.remove(path);
        self.now.files.remove(path).is_some()
    }
}
