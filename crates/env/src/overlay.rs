//! A disk over another one that is never written: changes stay in memory, and are gone with it. For
//! looking at files with the code that would otherwise mend them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DirLock, Disk, DiskFile, OpenMode, read_file};

/// A file's bytes, shared by all who have it open.
type Content = Arc<Mutex<Vec<u8>>>;

/// See the module.
#[derive(Clone)]
pub struct Overlay {
    below: Arc<dyn Disk>,
    changed: Arc<Mutex<Changes>>,
}

#[derive(Default)]
struct Changes {
    /// `None`: removed.
    files: BTreeMap<PathBuf, Option<Content>>,
    dirs: BTreeSet<PathBuf>,
}

struct OverlayFile(Content);

/// Of a directory that nobody could write to.
struct NoLock;

impl DirLock for NoLock {}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Overlay").finish_non_exhaustive()
    }
}

/// A panic while one is held leaves bytes that are as good as any.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Overlay {
    /// Over `below`.
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, changed: Arc::default() }
    }

    fn exists_now(&self, changes: &Changes, path: &Path) -> io::Result<bool> {
        match changes.files.get(path) {
            Some(content) => Ok(content.is_some()),
            None if changes.dirs.contains(path) => Ok(true),
            None => self.below.exists(path),
        }
    }
}

impl Disk for Overlay {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        let mut changes = locked(&self.changed);
        if mode == OpenMode::CreateNew {
            if self.exists_now(&changes, path)? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let content = Content::default();
            drop(changes.files.insert(path.to_owned(), Some(Arc::clone(&content))));
            return Ok(Box::new(OverlayFile(content)));
        }
        match changes.files.get(path) {
            Some(Some(content)) => Ok(Box::new(OverlayFile(Arc::clone(content)))),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None if mode == OpenMode::Read => self.below.open(path, OpenMode::Read),
            None => {
                let content = Content::new(Mutex::new(read_file(&*self.below, path)?));
                drop(changes.files.insert(path.to_owned(), Some(Arc::clone(&content))));
                Ok(Box::new(OverlayFile(content)))
            }
        }
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        locked(&self.changed).dirs.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let changes = locked(&self.changed);
        let below = match self.below.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && changes.dirs.contains(dir) => {
                Vec::new()
            }
            other => other?,
        };
        let mut names: BTreeSet<String> = below.into_iter().collect();
        for (path, content) in &changes.files {
            let Some(name) = path.strip_prefix(dir).ok().and_then(|name| name.to_str()) else {
                continue;
            };
            if name.contains('/') {
                continue;
            }
            match content {
                Some(_) => drop(names.insert(name.to_owned())),
                None => drop(names.remove(name)),
            }
        }
        Ok(names.into_iter().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        drop(self.open(from, OpenMode::Write)?);
        let mut changes = locked(&self.changed);
        let content = changes.files.insert(from.to_owned(), None).flatten();
        drop(changes.files.insert(to.to_owned(), content));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut changes = locked(&self.changed);
        if !self.exists_now(&changes, path)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        drop(changes.files.insert(path.to_owned(), None));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.exists_now(&locked(&self.changed), path)
    }

    /// Of the disk below: whoever writes there must not while we read. Where there is no such file nobody
    /// has ever written, and none is made; a device that can't be written has no writers.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>> {
        if !self.below.exists(path)? {
            return Ok(Box::new(NoLock));
        }
        match self.below.lock(path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(Box::new(NoLock)),
            locked => locked,
        }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.below.free_bytes(dir)
    }
}

fn place(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl DiskFile for OverlayFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = locked(&self.0);
        let rest = content.get(place(offset)?..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut content = locked(&self.0);
        let mut at = place(offset)?;
        for part in parts {
            let end = at + part.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            if let Some(target) = content.get_mut(at..end) {
                target.copy_from_slice(part);
            }
            at = end;
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let len = place(len)?;
        let mut content = locked(&self.0);
        if content.len() < len {
            content.resize(len, 0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        locked(&self.0).resize(place(len)?, 0);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(locked(&self.0).len() as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real;

    fn write(disk: &dyn Disk, path: &Path, mode: OpenMode, bytes: &[u8]) {
        let file = disk.open(path, mode).unwrap();
        file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
        file.sync_all().unwrap();
    }

    #[test]
    fn what_is_done_above_is_seen_above_and_not_below() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let below = real::env().disk;
        for name in ["kept", "changed", "removed", "moved"] {
            write(&*below, &at(name), OpenMode::CreateNew, name.as_bytes());
        }
        let above = Overlay::new(Arc::clone(&below));
        write(&above, &at("changed"), OpenMode::Write, b"CH");
        write(&above, &at("new"), OpenMode::CreateNew, b"new");
        above.remove(&at("removed")).unwrap();
        above.rename(&at("moved"), &at("elsewhere")).unwrap();
        assert_eq!(above.list(dir.path()).unwrap(), ["changed", "elsewhere", "kept", "new"]);
        assert_eq!(read_file(&above, &at("changed")).unwrap(), b"CHanged");
        assert_eq!(read_file(&above, &at("elsewhere")).unwrap(), b"moved");
        assert_eq!(read_file(&above, &at("kept")).unwrap(), b"kept");
        assert!(!above.exists(&at("removed")).unwrap() && above.exists(&at("new")).unwrap());
        assert!(above.open(&at("kept"), OpenMode::CreateNew).is_err());
        assert!(above.remove(&at("removed")).is_err());
        assert_eq!(below.list(dir.path()).unwrap(), ["changed", "kept", "moved", "removed"]);
        assert_eq!(read_file(&*below, &at("changed")).unwrap(), b"changed");
    }

    #[test]
    fn a_new_directory_is_there_and_empty() {
        let dir = tempfile::tempdir().unwrap();
        let above = Overlay::new(real::env().disk);
        let inner = dir.path().join("inner");
        assert!(above.list(&inner).is_err());
        above.create_dir_all(&inner).unwrap();
        assert_eq!(above.list(&inner).unwrap(), Vec::<String>::new());
        write(&above, &inner.join("f"), OpenMode::CreateNew, b"x");
        assert_eq!(above.list(&inner).unwrap(), ["f"]);
        assert!(!inner.exists());
    }
}
