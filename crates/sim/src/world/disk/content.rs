//! A file's bytes in pages that are shared until written: a preallocated segment costs nothing, and
//! a sync copies pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: usize = 4096;

type Page = [u8; PAGE];

/// Bytes by offset; what was never written reads as zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

/// The pages under `len` bytes at `offset`: number, start within the page, length.
fn spans(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let (mut at, mut left) = (offset, len);
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let start = within(at);
        let taken = left.min(PAGE - start);
        let page = at / PAGE as u64;
        at += taken as u64;
        left -= taken;
        Some((page, start, taken))
    })
}

fn within(offset: u64) -> usize {
    usize::try_from(offset % PAGE as u64).unwrap_or(0)
}

impl Content {
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = buf.len().min(available);
        let mut rest = buf;
        for (page, start, taken) in spans(offset, len) {
            let (head, tail) = rest.split_at_mut(taken);
            match self.pages.get(&page).and_then(|page| page.get(start..start + taken)) {
                Some(bytes) => head.copy_from_slice(bytes),
                None => head.fill(0),
            }
            rest = tail;
        }
        len
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut rest = bytes;
        for (number, start, taken) in spans(offset, bytes.len()) {
            let (head, tail) = rest.split_at(taken);
            let page = self.pages.entry(number).or_insert_with(|| Arc::new([0; PAGE]));
            if let Some(place) = Arc::make_mut(page).get_mut(start..start + taken) {
                place.copy_from_slice(head);
            }
            rest = tail;
        }
        self.len = self.len.max(offset + bytes.len() as u64);
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        if len < self.len {
            drop(self.pages.split_off(&len.div_ceil(PAGE as u64)));
            let page = self.pages.get_mut(&(len / PAGE as u64));
            if let Some(tail) = page.and_then(|page| Arc::make_mut(page).get_mut(within(len)..)) {
                tail.fill(0);
            }
        }
        self.len = len;
    }

    /// The pages that a write touches.
    pub(crate) fn touched(offset: u64, len: usize) -> impl Iterator<Item = u64> {
        spans(offset, len).map(|(page, _, _)| page)
    }

    /// Takes page `number` over from `other`.
    pub(crate) fn take_page(&mut self, number: u64, other: &Self) {
        match other.pages.get(&number) {
            Some(page) => self.pages.insert(number, Arc::clone(page)),
            None => self.pages.remove(&number),
        };
    }

    /// The offsets at which pages with bytes begin.
    pub(crate) fn written(&self) -> Vec<u64> {
        self.pages.keys().map(|page| page * PAGE as u64).collect()
    }

    /// Turns one bit round; true when there is such a byte.
    pub(crate) fn flip(&mut self, offset: u64, bit: u64) -> bool {
        if offset >= self.len {
            return false;
        }
        let page = self.pages.get_mut(&(offset / PAGE as u64));
        let byte = page.and_then(|page| Arc::make_mut(page).get_mut(within(offset)));
        byte.is_some_and(|byte| {
            *byte ^= 1 << (bit % 8);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_across_pages_and_after_truncation() {
        let mut content = Content::default();
        let bytes: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0] | 1).collect();
        content.write(&bytes, 4000);
        let mut read = vec![9; 14_000];
        assert_eq!(content.read(&mut read, 0), 14_000);
        assert!(read[..4000].iter().all(|byte| *byte == 0));
        assert_eq!(read[4000..], bytes);
        content.set_len(5000);
        content.set_len(9000);
        assert_eq!(content.read(&mut read, 4500), 4500);
        assert_eq!(read[..500], bytes[500..1000]);
        assert!(read[500..4500].iter().all(|byte| *byte == 0));
        assert_eq!(content.read(&mut read, 9000), 0);
    }
}
