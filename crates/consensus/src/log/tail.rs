//! The block in which the log ends: kept, so that what follows can be written in whole blocks.
//!
//! The log is written once, and read again only behind a restart or for a member that has fallen behind. Through the
//! page cache each write is copied into pages, which are looked up, marked and written back by the sync: three times
//! the processor time of a write past it, and twice the time until it is durable. A write past the cache takes whole
//! blocks. So the last block of each write is written again with the next one; what is durable in it stays
//! as it is.

use std::io::{self, IoSlice};

use quorate_env::{BLOCK_BYTES, Blocks, DiskFile};

/// What is written at once.
const BLOCKS_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    /// The end of the last write, if it succeeded.
    end: Option<u64>,
    /// The last block, up to there.
    last: Vec<u8>,
    blocks: Blocks,
}

impl Tail {
    /// Of a log that ends nobody knows where.
    pub(super) fn new() -> Self {
        Self { end: None, last: Vec::with_capacity(BLOCK_BYTES), blocks: Blocks::new(BLOCKS_MAX) }
    }

    /// Says that another file is written to from now on.
    pub(super) fn forget(&mut self) {
        self.end = None;
    }

    /// Writes `parts` to `file`, one behind the other, at `start`, and zeros up to where the last block ends.
    pub(super) fn write(
        &mut self,
        file: &dyn DiskFile,
        parts: &[IoSlice<'_>],
        start: u64,
    ) -> io::Result<()> {
        self.recall(file, start)?;
        self.blocks.clear();
        self.blocks.push(&self.last);
        let mut at = start - self.last.len() as u64;
        for part in parts {
            let mut rest = &**part;
            loop {
                rest = rest.get(self.blocks.push(rest)..).unwrap_or_default();
                if rest.is_empty() {
                    break;
                }
                file.write_blocks(&self.blocks, at)?;
                at += self.blocks.filled().len() as u64;
                self.blocks.clear();
            }
        }
        let filled = self.blocks.filled().len();
        self.blocks.pad();
        if filled > 0 {
            file.write_blocks(&self.blocks, at)?;
        }
        // Only now: a write that failed for want of room is done again, from the same place.
        self.last.clear();
        let last = filled / BLOCK_BYTES * BLOCK_BYTES..filled;
        self.last.extend_from_slice(self.blocks.filled().get(last).unwrap_or_default());
        self.end = Some(at + filled as u64);
        Ok(())
    }

    /// Has in `last` what stands in front of `start` in its block.
    fn recall(&mut self, file: &dyn DiskFile, start: u64) -> io::Result<()> {
        if self.end == Some(start) {
            return Ok(());
        }
        self.end = None;
        let before = start % BLOCK_BYTES as u64;
        self.last.resize(usize::try_from(before).unwrap_or_default(), 0);
        if file.read_at(&mut self.last, start - before)? < self.last.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.end = Some(start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use quorate_env::local::MemoryDisk;
    use quorate_env::{Disk, OpenMode};

    use super::*;

    fn content(file: &dyn DiskFile) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        bytes
    }

    #[test]
    fn writes_of_any_length_stand_one_behind_the_other() {
        let disk = MemoryDisk::new();
        disk.create_dir_all(Path::new("d")).unwrap();
        let file = disk.open(Path::new("d/log"), OpenMode::CreateNew).unwrap();
        file.write_at(&[IoSlice::new(b"header")], 0).unwrap();
        let mut expected = b"header".to_vec();
        let mut tail = Tail::new();
        let block = BLOCK_BYTES;
        for (byte, len) in (1..).zip([1, 0, 5, block - 12, block, 3, 2 * block, 300 * block, 7, 1])
        {
            let (a, b) = (vec![byte; len / 3], vec![byte; len - len / 3]);
            let start = expected.len() as u64;
            tail.write(&*file, &[&a[..], b"", &b].map(IoSlice::new), start).unwrap();
            expected.extend(a);
            expected.extend(b);
            let mut padded = expected.clone();
            padded.resize(expected.len().next_multiple_of(block), 0);
            assert_eq!(content(&*file), padded, "behind {len} bytes");
        }
        // Again from the same place, and from an earlier one: as behind a write that failed.
        for start in [expected.len() - 1, expected.len() - 1, 10] {
            expected.truncate(start);
            expected.extend([9; 20]);
            tail.write(&*file, &[IoSlice::new(&[9; 20])], start as u64).unwrap();
            assert!(content(&*file).starts_with(&expected), "from {start}");
        }
        let other = disk.open(Path::new("d/other"), OpenMode::CreateNew).unwrap();
        other.write_at(&[IoSlice::new(&[5; 100])], 0).unwrap();
        tail.forget();
        tail.write(&*other, &[IoSlice::new(b"on")], 30).unwrap();
        assert_eq!(content(&*other).get(..32), Some(&[&[5; 30][..], b"on"].concat()[..]));
    }
}
