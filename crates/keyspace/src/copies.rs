//! Small values on their way into replies, copied one behind the other into shared chunks.
//!
//! A copy of 256 bytes costs less than an allocation for it, and less than the counter of the value's
//! owners, which lies in a cache line of its own. A chunk is reused when its last copy is gone, which is
//! as soon as the replies are encoded.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

/// Longer values are shared instead.
pub(crate) const COPY_BYTES_MAX: usize = 1024;
/// What a reply that nobody takes can keep alive.
const CHUNK_BYTES: usize = 32 * 1024;

/// The chunk that is being filled.
#[derive(Debug, Default)]
pub(crate) struct Copies(RefCell<BytesMut>);

impl Copies {
    /// A copy of `bytes`, which are [`COPY_BYTES_MAX`] at most.
    pub(crate) fn copy(&self, bytes: &[u8]) -> Bytes {
        let mut chunk = self.0.borrow_mut();
        if chunk.capacity() - chunk.len() < bytes.len() {
            // Takes the same memory again if no copy is alive any more.
            chunk.reserve(CHUNK_BYTES);
        }
        chunk.extend_from_slice(bytes);
        chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stay_what_they_were_while_others_come_and_go() {
        let copies = Copies::default();
        let value = |n: usize| vec![u8::try_from(n % 251).unwrap(); n % COPY_BYTES_MAX];
        let mut kept = Vec::new();
        for n in 0..2_000 {
            let copy = copies.copy(&value(n));
            if n % 7 == 0 {
                kept.push((n, copy));
            }
        }
        for (n, copy) in kept {
            assert_eq!(copy, value(n));
        }
    }

    #[test]
    fn a_chunk_is_used_again_when_its_copies_are_gone() {
        let copies = Copies::default();
        let first = copies.copy(&[1; 1000]).as_ptr();
        let again = (0..200).any(|_| copies.copy(&[2; 1000]).as_ptr() == first);
        assert!(again, "200 KB went through chunks of 32 KiB");
    }
}
