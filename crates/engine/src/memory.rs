//! The memory engine: an ordered, persistent B+tree, copied on write.
//!
//! ```text
//!   live root ──► inner ──► inner ──► leaf: keys | values | fingerprints
//!   view root ──►   ╰── nodes are shared until the live tree changes one: then it copies the way
//!                       down to it (3 or 4 nodes), and the view keeps the old ones
//! ```
//!
//! A view is a clone of the root. Nothing is ever merged back, and no table ever grows as a whole: the
//! longest pause is the copying of one way down. What a view or [`Engine::reset`] leaves behind is taken
//! apart by [`Engine::maintain`] (see `reclaim.rs`).
//!
//! It never touches a disk: its durability comes from the log and from snapshots.

mod expect;
mod fingerprint;
mod heads;
mod inner;
mod key;
mod leaf;
mod ledger;
mod node;
mod path;
mod reclaim;
#[cfg(test)]
mod tests;
mod tree;
mod twin;
mod value;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use self::key::Probe;
use self::node::{Node, SharedNode};
use self::path::{Path, Paths};
pub use self::reclaim::Reclaim;
use self::tree::Tree;
use self::twin::Twin;
use self::value::Value;
use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, View, Visitor};

/// An engine that keeps everything in memory.
///
/// It keeps large values as they are given: one that is a slice of a bigger buffer keeps all of that buffer.
///
/// Dropping it hands its tree to the [`Reclaim`] queue. Where a pause matters (a fresh engine takes the
/// place of an old one), let the two share a queue; the last user of a queue frees what is left at once.
pub struct MemoryEngine {
    tree: Tree,
    applied: u64,
    /// True between the first change of a batch and [`Engine::write`].
    in_batch: bool,
    /// Ways to the keys that were expected last.
    paths: RefCell<Paths>,
    /// Counts the views: each holds a clone.
    views: Arc<()>,
}

impl MemoryEngine {
    /// An empty engine with a queue of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::sharing(&Reclaim::new())
    }

    /// An empty engine that shares the queue: its [`Engine::maintain`] also frees what the other users
    /// leave behind, and its `memory_bytes` counts that.
    #[must_use]
    pub fn sharing(reclaim: &Reclaim) -> Self {
        Self {
            tree: Tree::new(reclaim.clone()),
            applied: 0,
            in_batch: false,
            paths: RefCell::default(),
            views: Arc::new(()),
        }
    }

    /// The queue, for an engine that is to take this one's place.
    #[must_use]
    pub fn reclaim(&self) -> &Reclaim {
        self.tree.reclaim()
    }

    fn freeze(&self) -> MemoryView {
        assert!(!self.in_batch, "a view in the middle of a batch would show half of it");
        MemoryView {
            root: Some(SharedNode::clone(self.tree.root())),
            applied: self.applied,
            reclaim: self.tree.reclaim().clone(),
            _counted: Arc::clone(&self.views),
        }
    }

    /// Sets `key` to `value` itself, however small it is: to what lies at its address.
    pub(crate) fn put_as_given(&mut self, key: &[u8], value: Bytes) {
        let probe = Probe::new(key);
        let path = self.paths.get_mut().find(&probe);
        self.set(&probe, path, Value::as_given(value));
    }

    fn set(&mut self, probe: &Probe<'_>, path: Option<Path>, value: Value) {
        self.in_batch = true;
        let value = match path {
            Some(path) => self.tree.replace_at(path, probe, value),
            None => Err(value),
        };
        if let Err(value) = value {
            self.tree.put(probe, value);
        }
    }
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryEngine")
            .field("applied", &self.applied)
            .field("live", self.tree.live())
            .finish_non_exhaustive()
    }
}

impl Reader for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        let (root, probe) = (self.tree.root(), Probe::new(key));
        let path = self.paths.borrow_mut().find(&probe);
        let ahead = path.and_then(|path| tree::get_at(root, path, &probe));
        Ok(ahead.or_else(|| tree::get(root, &probe)).map(Value::lend))
    }

    fn expect(&self, keys: &[&[u8]]) {
        expect::expect(self.tree.root(), keys, &mut self.paths.borrow_mut());
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        visit_root(self.tree.root(), from, to, visitor);
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        let probe = Probe::new(key);
        let path = self.paths.get_mut().find(&probe);
        self.set(&probe, path, Value::new(value));
        Ok(())
    }

    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        let probe = Probe::new(key);
        let path = self.paths.get_mut().find(&probe);
        if path.is_some_and(|path| self.tree.overwrite_at(path, &probe, value)) {
            self.in_batch = true;
        } else {
            self.set(&probe, path, Value::copy_of(value));
        }
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.in_batch = true;
        self.tree.remove(key);
        Ok(())
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        assert!(
            applied > self.applied,
            "entry {applied} after {}: applied twice, or backwards",
            self.applied
        );
        self.applied = applied;
        self.in_batch = false;
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn durable_applied(&self) -> u64 {
        0
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(self.freeze())
    }

    fn twin(&self) -> Option<Box<dyn Engine>> {
        Some(Box::new(Twin::new(self.freeze(), self.stats())))
    }

    fn reset(&mut self) {
        self.tree.clear();
        self.applied = 0;
        self.in_batch = false;
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.tree.reclaim().work(budget)
    }

    fn stats(&self) -> EngineStats {
        let (live, reclaim) = (self.tree.live(), self.tree.reclaim());
        EngineStats {
            records: live.records,
            payload_bytes: live.payload_bytes,
            memory_bytes: live.memory_bytes() + reclaim.memory_bytes(),
            views: Arc::strong_count(&self.views) as u64 - 1,
            reclaimable: reclaim.waiting(),
            ..EngineStats::default()
        }
    }

    fn resident(&self) -> &dyn Reader {
        self
    }
}

/// A root that nobody changes any more.
struct MemoryView {
    /// `None` only while being dropped.
    root: Option<SharedNode>,
    applied: u64,
    reclaim: Reclaim,
    _counted: Arc<()>,
}

impl Reader for MemoryView {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        let root = self.root.as_ref();
        Ok(root.and_then(|root| tree::get(root, &Probe::new(key)).map(Value::lend)))
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        if let Some(root) = &self.root {
            visit_root(root, from, to, visitor);
        }
        Ok(())
    }
}

impl View for MemoryView {
    fn applied(&self) -> u64 {
        self.applied
    }
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        if let Some(root) = self.root.take() {
            self.reclaim.release(root);
        }
    }
}

fn visit_root(root: &Node, from: &[u8], to: &[u8], visitor: Visitor<'_>) {
    let probe = Probe::new(from);
    let from = Some(&probe).filter(|_| !from.is_empty());
    // Whether the visitor or `to` ended the visit is the same to the caller.
    let _ended = tree::visit(root, from, to, visitor);
}
