//! Blocks: memory that may be written past the page cache.

/// A multiple of what any device writes at once, and what direct writes are aligned to, in the file and in memory:
/// no file system wants more.
pub const BLOCK_BYTES: usize = 4096;

/// Whole blocks, aligned as [`crate::DiskFile::write_blocks`] wants them, filled from the front.
pub struct Blocks {
    /// One block more than there is room for, to begin where a block does. It is never reallocated.
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Blocks {
    /// Room for `blocks` blocks, none of it filled.
    #[must_use]
    pub fn new(blocks: usize) -> Self {
        let memory = vec![0; (blocks + 1) * BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Self { memory, start, len: 0 }
    }

    /// So many blocks of zeros.
    #[must_use]
    pub fn zeros(blocks: usize) -> Self {
        Self { len: blocks * BLOCK_BYTES, ..Self::new(blocks) }
    }

    /// Takes as many of `bytes` as there is room for: so many.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let end = self.end();
        let from = self.start + self.len;
        let taken = bytes.len().min(end - from);
        if let (Some(room), Some(bytes)) =
            (self.memory.get_mut(from..from + taken), bytes.get(..taken))
        {
            room.copy_from_slice(bytes);
        }
        self.len += taken;
        taken
    }

    /// Fills the last block up with zeros.
    pub fn pad(&mut self) {
        let len = self.len.next_multiple_of(BLOCK_BYTES);
        if let Some(rest) = self.memory.get_mut(self.start + self.len..self.start + len) {
            rest.fill(0);
        }
        self.len = len;
    }

    /// What was taken in.
    #[must_use]
    pub fn filled(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or_default()
    }

    /// Keeps the first `bytes`.
    pub fn truncate(&mut self, bytes: usize) {
        self.len = self.len.min(bytes);
    }

    /// Forgets what was taken in.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn end(&self) -> usize {
        self.start + self.memory.len() - BLOCK_BYTES
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_filled_up_to_their_end_and_aligned() {
        let mut blocks = Blocks::new(2);
        assert_eq!(blocks.push(&[1; 5000]), 5000);
        assert_eq!(blocks.push(&[2; 5000]), 2 * BLOCK_BYTES - 5000);
        assert_eq!(blocks.push(&[3; 1]), 0);
        assert_eq!(blocks.filled(), [[1; 5000].to_vec(), [2; 3192].to_vec()].concat());
        assert_eq!(blocks.filled().as_ptr().align_offset(BLOCK_BYTES), 0);
    }

    #[test]
    fn padding_covers_what_stood_there_before() {
        let mut blocks = Blocks::new(1);
        blocks.push(&[7; BLOCK_BYTES]);
        blocks.clear();
        blocks.pad();
        assert_eq!(blocks.filled(), b"");
        blocks.push(b"ab");
        blocks.pad();
        assert_eq!(blocks.filled(), [b"ab".to_vec(), vec![0; BLOCK_BYTES - 2]].concat());
    }
}
