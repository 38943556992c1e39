//! A file in memory: pages, of which only those that were written exist.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{DiskFile, OpenMode};

/// Bytes of a page. Preallocated segments cost nothing until they are written.
const PAGE_BYTES: u64 = 16 * 1024;
/// No offset of ours comes near; a wild one must not wrap around.
const FILE_BYTES_MAX: u64 = 1 << 48;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    len: u64,
    /// By number; what is missing reads as zeros. Bytes behind `len` are zero.
    pages: BTreeMap<u64, Box<[u8]>>,
}

/// A file that several handles may have open.
pub(super) type Shared = Arc<Mutex<Content>>;

/// One handle.
#[derive(Debug)]
pub(super) struct MemoryFile {
    pub(super) content: Shared,
    pub(super) mode: OpenMode,
}

/// The part of a page that a range of a file touches: page, first byte within it, length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, len);
    std::iter::from_fn(move || {
        let within = usize::try_from(at % PAGE_BYTES).unwrap_or_default();
        let room = usize::try_from(PAGE_BYTES).unwrap_or_default() - within;
        let take = left.min(room);
        let part = (at / PAGE_BYTES, within, take);
        at += take as u64;
        left -= take;
        (take > 0).then_some(part)
    })
}

impl Content {
    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let there = self.len.saturating_sub(offset);
        let len = buf.len().min(usize::try_from(there).unwrap_or(usize::MAX));
        let Some(mut rest) = buf.get_mut(..len) else { return 0 };
        for (page, within, take) in parts(offset, len) {
            let (now, later) = rest.split_at_mut(take);
            let bytes = self.pages.get(&page).and_then(|page| page.get(within..within + take));
            match bytes {
                Some(bytes) => now.copy_from_slice(bytes),
                None => now.fill(0),
            }
            rest = later;
        }
        len
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut rest = bytes;
        for (page, within, take) in parts(offset, bytes.len()) {
            let (now, later) = rest.split_at(take);
            let empty = || vec![0; usize::try_from(PAGE_BYTES).unwrap_or_default()].into();
            let page = self.pages.entry(page).or_insert_with(empty);
            if let Some(room) = page.get_mut(within..within + take) {
                room.copy_from_slice(now);
            }
            rest = later;
        }
        if !bytes.is_empty() {
            self.len = self.len.max(offset + bytes.len() as u64);
        }
    }

    fn set_len(&mut self, len: u64) {
        if len < self.len {
            drop(self.pages.split_off(&len.div_ceil(PAGE_BYTES)));
            let within = usize::try_from(len % PAGE_BYTES).unwrap_or_default();
            if let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES))
                && let Some(cut) = page.get_mut(within..)
            {
                cut.fill(0);
            }
        }
        self.len = len;
    }
}

impl MemoryFile {
    /// A job that panicked took its thread with it; what it wrote until then stands, as on a disk.
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writable(&self, end: Option<u64>) -> io::Result<MutexGuard<'_, Content>> {
        if self.mode == OpenMode::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if end.is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(self.content())
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.content().read(buf, offset))
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut content = self.writable(offset.checked_add(len as u64))?;
        let mut at = offset;
        for part in parts {
            content.write(part, at);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut content = self.writable(Some(len))?;
        content.len = content.len.max(len);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable(Some(len))?.set_len(len);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content().len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}
