//! What the live tree and its views have let go of: counted at once, freed in small steps.
//!
//! Freeing a tree of a million records takes a tenth of a second. So nobody ever drops the last owner of
//! a node: it is handed in here, and [`Reclaim::work`] takes it apart, child by child and value by value.
//!
//! Invariant: every owner of a node gives it up through [`Reclaim::release`] (which notices, with
//! [`last_owner`], exactly one last owner, whatever the threads).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use triomphe::UniqueArc;

use super::ledger::Ledger;
use super::node::{Node, SharedNode};

/// A value this long costs a step of its own, and so does every further stretch of it: the allocator gives
/// large buffers back to the kernel, page by page.
const STEP_BYTES: usize = 16 * 1024;

/// Steps of [`Reclaim::finish`] between two tidyings.
const STEPS: usize = 64;

/// More than any thread cache or small bin of the system's allocator keeps.
const LARGE_BYTES: usize = 4096;

/// The queue of a memory engine's remains.
///
/// Engines may share one (see [`crate::MemoryEngine::sharing`]), so that the successor takes apart what
/// its predecessor has left behind. When the last user goes, what is left is freed on the spot.
#[derive(Clone, Debug, Default)]
pub struct Reclaim(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Nodes without an owner, the one being taken apart last. Short: one per dropped root, and one
    /// per level of the tree.
    ownerless: Mutex<Vec<Node>>,
    /// Nodes outside of any live tree that a view or the queue holds, and their bytes.
    nodes: AtomicU64,
    node_bytes: AtomicU64,
    /// Bytes of values that only such nodes hold. An estimate: a value that a reply in flight holds
    /// as well may be counted or missed, until the last such node is gone.
    value_bytes: AtomicI64,
}

impl Reclaim {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// True when nobody else can add to it any more.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Frees all that is left, on a thread that has the time.
    pub(crate) fn finish(self) {
        // In small steps all the same: other threads share the allocator.
        while self.work(STEPS) {}
    }

    /// Gives up one owner of `node`. O(1): if it was the last, the node joins the queue.
    pub(super) fn release(&self, node: SharedNode) {
        if let Some(node) = last_owner(node) {
            self.ownerless().push(node);
        }
    }

    /// Counts a node that has left the live tree.
    pub(super) fn hold_node(&self, node: &Node) {
        self.0.nodes.fetch_add(1, Ordering::Relaxed);
        self.0.node_bytes.fetch_add(node.node_bytes(), Ordering::Relaxed);
    }

    /// Counts a whole tree that has ceased to be live.
    pub(super) fn hold_tree(&self, tree: &Ledger) {
        self.0.nodes.fetch_add(tree.nodes(), Ordering::Relaxed);
        self.0.node_bytes.fetch_add(tree.node_bytes(), Ordering::Relaxed);
        self.hold_value(tree.value_bytes);
    }

    /// Counts a value that only nodes outside of the live tree hold.
    pub(super) fn hold_value(&self, bytes: u64) {
        self.0.value_bytes.fetch_add(bytes.cast_signed(), Ordering::Relaxed);
    }

    /// True while a node outside of the live tree exists.
    pub(super) fn holds_nodes(&self) -> bool {
        self.0.nodes.load(Ordering::Relaxed) > 0
    }

    /// Bytes that wait to be freed, or for a view to let go.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let values = self.0.value_bytes.load(Ordering::Relaxed).max(0).cast_unsigned();
        self.0.node_bytes.load(Ordering::Relaxed) + values
    }

    /// Nodes that wait to be freed, at most: those which a view still holds are counted while the queue
    /// has any.
    pub(crate) fn waiting(&self) -> u64 {
        if self.ownerless().is_empty() { 0 } else { self.0.nodes.load(Ordering::Relaxed) }
    }

    /// Frees in up to `budget` steps of at most a microsecond each, most of it cache misses (a child or
    /// a value; a large value counts as several); true when more is left.
    ///
    /// Often and few (64) is better than seldom and many, for the sake of the system's allocator: at a
    /// million keys, 1 in 10,000 calls took 0.8 ms and the worst 2 ms with 64, 5 and 16 ms with 256.
    pub(crate) fn work(&self, budget: usize) -> bool {
        // Taken out while working: a view dropped on another thread must not wait for us.
        let mut stack = std::mem::take(&mut *self.ownerless());
        if stack.is_empty() {
            return false;
        }
        let mut budget = budget;
        while budget > 0 && !stack.is_empty() {
            budget = budget.saturating_sub(self.step(&mut stack));
        }
        settle_allocator();
        let mut ownerless = self.ownerless();
        stack.append(&mut ownerless);
        *ownerless = stack;
        !ownerless.is_empty()
    }

    /// Frees one thing from the top of the stack; says what it cost.
    fn step(&self, stack: &mut Vec<Node>) -> usize {
        match stack.last_mut() {
            None => return 0,
            Some(Node::Inner(inner)) => {
                if let Some(child) = inner.pop_child() {
                    stack.extend(last_owner(child));
                    return 1;
                }
            }
            Some(Node::Leaf(leaf)) => {
                if let Some(value) = leaf.pop_value() {
                    if value.is_unique() {
                        let bytes = value.resident_bytes().cast_signed();
                        self.0.value_bytes.fetch_sub(bytes, Ordering::Relaxed);
                    }
                    return 1 + value.len() / STEP_BYTES;
                }
            }
        }
        if let Some(empty) = stack.pop() {
            self.0.node_bytes.fetch_sub(empty.node_bytes(), Ordering::Relaxed);
            if self.0.nodes.fetch_sub(1, Ordering::Relaxed) == 1 {
                // Nobody is left who could hold a value: the estimate starts afresh.
                self.0.value_bytes.store(0, Ordering::Relaxed);
            }
        }
        1
    }

    fn ownerless(&self) -> MutexGuard<'_, Vec<Node>> {
        self.0.ownerless.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives up one owner; the node comes back if it was the last.
fn last_owner(node: SharedNode) -> Option<Node> {
    SharedNode::into_unique(node).map(UniqueArc::into_inner)
}

/// Makes glibc tidy up now what this stretch of work has freed.
///
/// It keeps freed small chunks (here: the counters of shared values) apart and merges *all* of them at
/// some later call, when a large chunk is asked for or comes about: 127 ms in one go were seen after a
/// million values had been freed. Asking for a large one after each stretch keeps that within
/// the budget. Other allocators answer in 50 ns and do nothing.
fn settle_allocator() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
}
