//! A shared allowance of bytes: what all connections together may hold, whoever they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// Bytes that are still free.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    free: Arc<AtomicUsize>,
}

/// Bytes taken from a [`Budget`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    /// All of `bytes` are free.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { free: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// An empty reservation, to be grown.
    pub(crate) fn reserve(&self) -> Reserved {
        Reserved { budget: self.clone(), bytes: 0 }
    }

    /// `bytes` that give their size back when the last of them is dropped, which is when the
    /// connection has written them; `None` when there is no room.
    pub(crate) fn hold(&self, bytes: Bytes) -> Option<Bytes> {
        let mut reserved = self.reserve();
        reserved.grow(bytes.len()).then(|| Bytes::from_owner(Held { bytes, _reserved: reserved }))
    }
}

impl Reserved {
    /// Takes `more` bytes; false, and nothing taken, when they are not free.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let taken = self
            .budget
            .free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(more));
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

struct Held {
    bytes: Bytes,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_with_the_last_reference() {
        let budget = Budget::new(10);
        let held = budget.hold(Bytes::from_static(b"12345678")).unwrap();
        let part = held.slice(2..4);
        assert!(budget.hold(Bytes::from_static(b"123")).is_none());
        drop(held);
        assert!(!budget.reserve().grow(3));
        assert_eq!(&*part, b"34");
        drop(part);
        assert!(budget.reserve().grow(10));
    }
}
