//! What was read from the tree for the next batch, and must not be let go of before it.
//!
//! Invariant: it is the tree's present content; whatever ends a flush clears it. What the batch writes
//! lies in the overlay, which is asked first.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::work::{Fetched, FetchedRange};

/// See the file's head. Empty nearly always: caches rarely let go of what was just read.
#[derive(Debug, Default)]
pub(super) struct Held {
    records: BTreeMap<Box<[u8]>, Option<Bytes>>,
    ranges: Vec<FetchedRange>,
    /// Of the values in `records`.
    bytes: u64,
}

impl Held {
    /// Keeps what was read besides what it has.
    pub(super) fn take(&mut self, fetched: Fetched) {
        for (key, value) in fetched.records {
            self.bytes += value.as_ref().map_or(0, |value| value.len() as u64);
            self.records.insert(key, value);
        }
        self.ranges.extend(fetched.ranges);
    }

    /// How much it has.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is known of `key`: its value, or that it is absent (`Some(None)`).
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        if self.records.is_empty() { None } else { self.records.get(key) }
    }

    /// What is known of the records from `from` to `to`.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Option<&FetchedRange> {
        self.ranges.iter().find(|range| range.covers(from, to))
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.ranges.clear();
        self.bytes = 0;
    }
}
