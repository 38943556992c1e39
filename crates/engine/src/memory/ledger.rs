//! What the live tree holds, counted as it changes: nothing here is ever summed up by a walk.

use super::inner::INNER_BYTES;
use super::key::Key;
use super::leaf::LEAF_BYTES;
use super::value::Value;

/// What the allocator adds to an allocation on average: a header, and rounding up to 16 bytes.
pub(super) const ALLOCATION_BYTES: u64 = 16;

/// Resident bytes of a key beyond its place in the node.
pub(super) fn key_bytes(key: &Key) -> u64 {
    key.heap_len().map_or(0, |len| len as u64 + ALLOCATION_BYTES)
}

/// Counts of one tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Records in the tree.
    pub(super) records: u64,
    /// Lengths of all keys and values.
    pub(super) payload_bytes: u64,
    /// Leaves.
    pub(super) leaves: u64,
    /// Inner nodes.
    pub(super) inners: u64,
    /// As [`key_bytes`], of records and separators.
    pub(super) key_bytes: u64,
    /// As [`Value::resident_bytes`].
    pub(super) value_bytes: u64,
}

impl Ledger {
    /// A record came.
    pub(super) fn record_added(&mut self, key: &Key, value: &Value) {
        self.records += 1;
        self.payload_bytes += (key.len() + value.len()) as u64;
        self.key_bytes += key_bytes(key);
        self.value_bytes += value.resident_bytes();
    }

    /// A record went.
    pub(super) fn record_removed(&mut self, key: &Key, value: &Value) {
        self.records -= 1;
        self.payload_bytes -= (key.len() + value.len()) as u64;
        self.key_bytes -= key_bytes(key);
        self.value_bytes -= value.resident_bytes();
    }

    /// A record's value changed.
    pub(super) fn value_replaced(&mut self, old: &Value, new: &Value) {
        self.payload_bytes = self.payload_bytes + new.len() as u64 - old.len() as u64;
        self.value_bytes = self.value_bytes + new.resident_bytes() - old.resident_bytes();
    }

    /// Nodes of the tree.
    pub(super) fn nodes(&self) -> u64 {
        self.leaves + self.inners
    }

    /// Resident bytes of nodes and keys.
    pub(super) fn node_bytes(&self) -> u64 {
        self.leaves * LEAF_BYTES + self.inners * INNER_BYTES + self.key_bytes
    }

    /// Resident bytes, overhead included.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.node_bytes() + self.value_bytes
    }
}
