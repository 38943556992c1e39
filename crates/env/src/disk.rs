//! Disk: files by path, with the difference between *written* and *durable* kept visible.
//!
//! A write is durable only after [`DiskFile::sync_data`] (content, and the length it needs) or
//! [`DiskFile::sync_all`]; a create, rename or remove only after [`Disk::sync_dir`] of its directory.

use std::io;
use std::path::Path;

use crate::blocks::Blocks;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    Write,
    /// A new file, for reading and writing; an error when the path exists.
    CreateNew,
}

/// An open file, addressed by offset.
pub trait DiskFile: Send {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the file.
    ///
    /// # Errors
    /// Whatever the device says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `parts`, one behind the other, at `offset`, extending the file where needed.
    ///
    /// # Errors
    /// Whatever the device says; then any prefix may have been written.
    fn write_at(&self, parts: &[io::IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Writes the filled part of `blocks`, which must be whole blocks, to where a block begins, without keeping it
    /// in memory for readers where that can be done: what is not going to be read soon then costs the processor
    /// a third. Durable only after a sync, like any write.
    ///
    /// # Errors
    /// As [`DiskFile::write_at`].
    fn write_blocks(&self, blocks: &Blocks, offset: u64) -> io::Result<()> {
        self.write_at(&[io::IoSlice::new(blocks.filled())], offset)
    }
    /// Reserves blocks up to `len` and extends the file to it, new bytes reading as zero; a longer file
    /// keeps its length.
    ///
    /// # Errors
    /// `StorageFull` when there is no room; then the length is unchanged.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts or extends the file to `len`.
    ///
    /// # Errors
    /// Whatever the device says.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length in bytes.
    ///
    /// # Errors
    /// Whatever the device says.
    fn len(&self) -> io::Result<u64>;
    /// True when the file has no bytes.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes content durable, and as much of the metadata as is needed to read it back.
    ///
    /// # Errors
    /// Whatever the device says. After an error nothing may be assumed of what was written since
    /// the last success: the kernel may have dropped the dirty pages and say `Ok` next time.
    fn sync_data(&self) -> io::Result<()>;
    /// Lets go of copies in memory of what is durable, so that whoever reads it hears the device. Where there are none, or
    /// they can't be let go of, nothing happens.
    fn forget_copies(&self) {}
    /// Makes content and all metadata durable.
    ///
    /// # Errors
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
}

/// Holds an exclusive lock on a directory until dropped (or until the process dies).
pub trait DirLock: Send {}

/// A file system. Calls block: use it on a [`crate::Lane`], or at start-up.
pub trait Disk: Send + Sync {
    /// Opens `path`.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, or whatever the device says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>>;
    /// Creates `dir` and its missing parents, and makes them durable.
    ///
    /// # Errors
    /// Whatever the device says.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// The names in `dir`, sorted; directories end in `/`.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Renames a file, replacing the target atomically.
    ///
    /// # Errors
    /// Whatever the device says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// Whatever the device says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creates, renames and removes in `dir` durable.
    ///
    /// # Errors
    /// Whatever the device says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// True when `path` exists.
    ///
    /// # Errors
    /// Whatever the device says, but not `NotFound`.
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// Takes the lock file `path` for this process.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DirLock>>;
    /// Bytes that may still be written below `dir`.
    ///
    /// # Errors
    /// Whatever the device says.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// Reads a whole file.
///
/// # Errors
/// As [`Disk::open`] and [`DiskFile::read_at`].
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_file_into(disk, path, &mut bytes)?;
    Ok(bytes)
}

/// Reads a whole file in place of what `bytes` held. Of several large files in one buffer, only the first waits for memory:
/// to zero that takes longer than to read.
///
/// # Errors
/// As [`Disk::open`] and [`DiskFile::read_at`].
pub fn read_file_into(disk: &dyn Disk, path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let file = disk.open(path, OpenMode::Read)?;
    let len = usize::try_from(file.len()?)
        .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, "file too large to read whole"))?;
    if bytes.capacity() < len {
        *bytes = vec![0; len];
    }
    bytes.resize(len, 0);
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let n = file.read_at(rest, done as u64)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += n;
    }
    Ok(())
}

/// Replaces `path` by `bytes` atomically and durably: temporary file, sync, rename, directory sync.
///
/// # Errors
/// Whatever the device says; then `path` holds the old bytes or the new ones, never a mixture.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    if disk.exists(temporary)? {
        disk.remove(temporary)?;
    }
    let file = disk.open(temporary, OpenMode::CreateNew)?;
    file.write_at(&[io::IoSlice::new(bytes)], 0)?;
    file.sync_all()?;
    drop(file);
    disk.rename(temporary, path)?;
    disk.sync_dir(parent)
}
