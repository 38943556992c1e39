//! Leaves: records in key order, keys and values in arrays of their own.

use super::fingerprint::{Fingerprints, fingerprint};
use super::key::{Key, Probe};
use super::ledger::{ALLOCATION_BYTES, key_bytes};
use super::node::Node;
use super::value::Value;

/// Records of a full leaf. Copying a leaf that a view holds touches the reference count of every value
/// (a cache miss each): 64 made writes beside a view twice as dear and gets no faster.
pub(super) const LEAF_MAX: usize = 32;
/// Below this many records a deletion mends the leaf. Well below half, so that deletes and puts in turns
/// do not merge and split in turns.
const LEAF_MIN: usize = LEAF_MAX / 4;
/// Two leaves become one when their records fill it up to here, else they share evenly.
const LEAF_MERGED_MAX: usize = LEAF_MAX * 3 / 4;
/// Insertions one behind the other after which a leaf is taken to grow in key order.
const RUN_MIN: usize = 8;
/// Resident bytes of a leaf, without what its keys and values allocate.
pub(super) const LEAF_BYTES: u64 = (size_of::<Node>()
    + size_of::<usize>()
    + LEAF_MAX * (size_of::<Key>() + size_of::<Value>())) as u64
    + 3 * ALLOCATION_BYTES;

const _: () = assert!(2 * LEAF_MIN <= LEAF_MERGED_MAX && LEAF_MERGED_MAX < LEAF_MAX);
const _: () = assert!(LEAF_MAX.is_multiple_of(8), "fingerprints are searched in words of 8");

/// Some records, sorted by key.
#[derive(Debug)]
pub(super) struct Leaf {
    keys: Vec<Key>,
    values: Vec<Value>,
    prints: Fingerprints,
    /// Where the next insertion goes if keys arrive in ascending order.
    run_at: usize,
    /// How many insertions in a row did.
    run: usize,
}

impl Leaf {
    /// An empty leaf. Its arrays have their final size: they are never reallocated.
    pub(super) fn new() -> Self {
        Self {
            keys: Vec::with_capacity(LEAF_MAX),
            values: Vec::with_capacity(LEAF_MAX),
            prints: Fingerprints::new(),
            run_at: 0,
            run: 0,
        }
    }

    /// True when a deletion has left too few records.
    pub(super) fn is_scant(&self) -> bool {
        self.len() < LEAF_MIN
    }

    /// True while keys arrive in ascending order.
    pub(super) fn is_ascending(&self) -> bool {
        self.run >= RUN_MIN
    }

    /// Records in the leaf.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Where `probe` is.
    pub(super) fn find(&self, probe: &Probe<'_>) -> Option<usize> {
        self.prints.find(probe.fingerprint(), |at| self.is_at(at, probe))
    }

    /// Where `probe` is if it is in the leaf, most likely: the first whose fingerprint is the same. Looks at
    /// no key.
    pub(super) fn guess(&self, probe: &Probe<'_>) -> Option<usize> {
        self.prints.find(probe.fingerprint(), |at| at < self.len())
    }

    /// Has the key at `at` loaded; what comes back means nothing.
    pub(super) fn touch(&self, at: usize) -> usize {
        self.keys.get(at).map_or(0, Key::len)
    }

    /// The value at `at`.
    pub(super) fn value(&self, at: usize) -> Option<&Value> {
        self.values.get(at)
    }

    /// True when the key at `at` is `probe`.
    pub(super) fn is_at(&self, at: usize, probe: &Probe<'_>) -> bool {
        self.keys.get(at).is_some_and(|key| probe.is(key))
    }

    /// The value of `probe`.
    pub(super) fn get(&self, probe: &Probe<'_>) -> Option<&Value> {
        self.values.get(self.find(probe)?)
    }

    /// The value at `at`, for replacing it.
    pub(super) fn value_mut(&mut self, at: usize) -> Option<&mut Value> {
        self.values.get_mut(at)
    }

    /// Records below `probe`: where it is, or belongs.
    pub(super) fn rank(&self, probe: &Probe<'_>) -> usize {
        self.keys.partition_point(|key| probe.compare(key).is_gt())
    }

    /// The records from the `from`th on.
    pub(super) fn records(&self, from: usize) -> impl Iterator<Item = (&Key, &Value)> {
        self.keys.iter().zip(&self.values).skip(from)
    }

    /// Inserts a record which the leaf lacks; the upper part comes back as a new leaf when there is no room.
    pub(super) fn insert(&mut self, probe: &Probe<'_>, key: Key, value: Value) -> Option<Self> {
        let at = self.rank(probe);
        self.run = if at == self.run_at { self.run + 1 } else { 0 };
        self.run_at = at + 1;
        if self.len() < LEAF_MAX {
            self.insert_at(at, key, value);
            return None;
        }
        let ascending = self.is_ascending();
        // Keys in order leave a full leaf behind at its end; elsewhere what lies above them moves out of
        // their way. All others: halves.
        let cut = if ascending { at.max(LEAF_MIN) } else { LEAF_MAX / 2 };
        let mut right = self.split_off(cut);
        if at < cut || (ascending && at < LEAF_MAX) {
            self.insert_at(at, key, value);
        } else {
            right.insert_at(at - cut, key, value);
            if ascending {
                right.run = self.run;
                right.run_at = at - cut + 1;
            }
        }
        Some(right)
    }

    /// Removes the record at `at`.
    pub(super) fn remove(&mut self, at: usize) -> (Key, Value) {
        self.prints.remove(at, self.len());
        (self.keys.remove(at), self.values.remove(at))
    }

    /// Evens out two neighbours: the new separator, or `None` when `right` has gone over into `self`.
    pub(super) fn level(&mut self, right: &mut Self) -> Option<Key> {
        let total = self.len() + right.len();
        let old_right = std::mem::replace(right, Self::new());
        if total <= LEAF_MERGED_MAX {
            for (key, value) in old_right.keys.into_iter().zip(old_right.values) {
                self.push(key, value);
            }
            return None;
        }
        let left = std::mem::replace(self, Self::new());
        let keys = left.keys.into_iter().chain(old_right.keys);
        let values = left.values.into_iter().chain(old_right.values);
        for (nth, (key, value)) in keys.zip(values).enumerate() {
            if nth < total / 2 { self.push(key, value) } else { right.push(key, value) }
        }
        Some(self.separator(right))
    }

    /// What parts the leaf from its right neighbour.
    pub(super) fn separator(&self, right: &Self) -> Key {
        match (self.keys.last(), right.keys.first()) {
            (Some(low), Some(high)) => Key::between(low, high),
            // Never: only neighbours with records are parted. An empty key would be a wrong separator.
            (low, high) => unreachable!("no separator between {low:?} and {high:?}"),
        }
    }

    /// The last key.
    pub(super) fn last_key(&self) -> Option<&Key> {
        self.keys.last()
    }

    /// A copy that shares the values.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new();
        copy.keys.extend_from_slice(&self.keys);
        copy.values.extend_from_slice(&self.values);
        copy.prints = self.prints.clone();
        copy.run_at = self.run_at;
        copy.run = self.run;
        copy
    }

    /// Resident bytes of the node and its keys, without its values.
    pub(super) fn node_bytes(&self) -> u64 {
        LEAF_BYTES + self.keys.iter().map(key_bytes).sum::<u64>()
    }

    /// Takes the last value away, for taking the leaf apart.
    pub(super) fn pop_value(&mut self) -> Option<Value> {
        self.values.pop()
    }

    fn insert_at(&mut self, at: usize, key: Key, value: Value) {
        self.prints.insert(at, self.len(), fingerprint(key.as_slice()));
        self.keys.insert(at, key);
        self.values.insert(at, value);
    }

    fn push(&mut self, key: Key, value: Value) {
        self.prints.set(self.len(), fingerprint(key.as_slice()));
        self.keys.push(key);
        self.values.push(value);
    }

    fn split_off(&mut self, cut: usize) -> Self {
        let mut right = Self::new();
        for at in cut..self.len() {
            right.prints.set(at - cut, self.prints.at(at));
        }
        right.keys.extend(self.keys.drain(cut..));
        right.values.extend(self.values.drain(cut..));
        right
    }
}
