//! Values as the tree keeps them: a small one in one piece with the count of its owners, a large one as it was
//! given.

use std::sync::LazyLock;

use bytes::Bytes;
use triomphe::Arc;

use super::ledger::ALLOCATION_BYTES;
use crate::engine::Found;

/// Longer values are kept as they were given. A copy of so many bytes costs less than what `Bytes` takes to share
/// them: one more allocation, which lies in a cache line of its own and has to be looked at before every change.
const SMALL_BYTES_MAX: usize = 1280;

/// The count in front of a small value.
const COUNT_BYTES: u64 = size_of::<usize>() as u64;
/// What a large value takes beside its bytes: the box, and what `bytes` allocates once it is shared.
const LARGE_BYTES: u64 =
    size_of::<Bytes>() as u64 + 3 * size_of::<usize>() as u64 + 2 * ALLOCATION_BYTES;

const _: () = assert!(size_of::<Value>() == 16, "four values fill a cache line");

/// The empty value: that of every index record. Shared, so that it takes no memory.
static EMPTY: LazyLock<Arc<[u8]>> = LazyLock::new(|| Arc::from(&[][..]));

/// A value in a leaf.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Up to [`SMALL_BYTES_MAX`].
    Small(Arc<[u8]>),
    /// Anything longer, and what must keep its address.
    Large(Box<Bytes>),
}

impl Value {
    /// Keeps a large value as it is, copies a small one.
    pub(super) fn new(value: Bytes) -> Self {
        if value.len() > SMALL_BYTES_MAX { Self::as_given(value) } else { Self::copy_of(&value) }
    }

    /// Keeps `value` where it is.
    pub(super) fn as_given(value: Bytes) -> Self {
        Self::Large(Box::new(value))
    }

    /// Copies `value`.
    pub(super) fn copy_of(value: &[u8]) -> Self {
        match value.len() {
            0 => Self::Small(Arc::clone(&EMPTY)),
            1..=SMALL_BYTES_MAX => Self::Small(Arc::from(value)),
            _ => Self::as_given(Bytes::copy_from_slice(value)),
        }
    }

    /// The bytes.
    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Large(bytes) => bytes,
        }
    }

    /// Its length in bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
        }
    }

    /// For a reader.
    pub(super) fn lend(&self) -> Found<'_> {
        match self {
            Self::Small(bytes) => Found::Small(bytes),
            Self::Large(bytes) => Found::Lent(bytes),
        }
    }

    /// True when nobody else holds it.
    pub(super) fn is_unique(&self) -> bool {
        match self {
            Self::Small(bytes) => bytes.is_unique(),
            Self::Large(bytes) => bytes.is_unique(),
        }
    }

    /// Writes `value` in this one's place, if it fits to the byte and nobody else sees the place.
    pub(super) fn overwrite(&mut self, value: &[u8]) -> bool {
        let Self::Small(bytes) = self else { return false };
        if bytes.len() != value.len() {
            return false;
        }
        let Some(place) = Arc::get_mut(bytes) else { return false };
        place.copy_from_slice(value);
        true
    }

    /// Resident bytes. A large value that is a slice of a bigger buffer keeps all of that buffer alive, which
    /// cannot be seen from here: who calls `put` hands over buffers of their own.
    pub(super) fn resident_bytes(&self) -> u64 {
        match self {
            Self::Small(bytes) if bytes.is_empty() => 0,
            Self::Small(bytes) => bytes.len() as u64 + COUNT_BYTES + ALLOCATION_BYTES,
            Self::Large(bytes) => bytes.len() as u64 + LARGE_BYTES + ALLOCATION_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_lengths_give_their_bytes_back() {
        for len in [0, 1, 16, 256, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1, 100_000] {
            let bytes = Bytes::from(vec![7; len]);
            for value in
                [Value::new(bytes.clone()), Value::copy_of(&bytes), Value::as_given(bytes.clone())]
            {
                assert_eq!((value.as_slice(), value.len()), (&bytes[..], len));
                assert_eq!(value.lend().into_bytes(), bytes);
            }
        }
    }

    #[test]
    fn only_small_values_of_the_same_length_that_nobody_holds_are_written_over() {
        let mut value = Value::copy_of(b"one");
        assert!(!value.overwrite(b"four"), "another length");
        let held = value.clone();
        assert!(!value.overwrite(b"two"), "somebody holds it");
        assert_eq!(held.as_slice(), b"one");
        drop(held);
        assert!(value.overwrite(b"two"));
        assert_eq!(value.as_slice(), b"two");
        assert!(!Value::as_given(Bytes::from_static(b"one")).overwrite(b"two"), "not in one piece");
    }

    #[test]
    fn large_values_are_shared_and_keep_their_place() {
        let bytes = Bytes::from(vec![1; SMALL_BYTES_MAX + 1]);
        assert_eq!(Value::new(bytes.clone()).as_slice().as_ptr(), bytes.as_ptr());
        let short = Bytes::from_static(b"short");
        assert_eq!(Value::as_given(short.clone()).as_slice().as_ptr(), short.as_ptr());
    }
}
