//! Nodes: shared between the live tree and its views, copied when a shared one must change.

use std::sync::Arc;

use super::inner::Inner;
use super::key::Key;
use super::leaf::Leaf;
use super::ledger::{Ledger, key_bytes, value_bytes};
use super::reclaim::Reclaim;
use bytes::Bytes;

/// A node of the tree.
#[derive(Debug)]
pub(super) enum Node {
    /// Holds records.
    Leaf(Leaf),
    /// Holds nodes.
    Inner(Inner),
}

impl Node {
    fn copy(&self) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(leaf.copy()),
            Self::Inner(inner) => Self::Inner(inner.copy()),
        }
    }

    /// Records of a leaf, children of an inner node.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.len(),
        }
    }

    /// Resident bytes of the node and its keys.
    pub(super) fn node_bytes(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.node_bytes(),
            Self::Inner(inner) => inner.node_bytes(),
        }
    }
}

/// Makes `node` the live tree's own, so that it may be changed in place: a node which a view or the
/// reclaim queue holds too is replaced by a copy first.
pub(super) fn own<'a>(node: &'a mut Arc<Node>, books: &mut Books) -> &'a mut Node {
    // A view that goes away between the two lines only makes the copy a needless one. The count cannot
    // grow: who would clone the last one but us?
    if Arc::strong_count(node) > 1 {
        let copy = Arc::new(node.copy());
        books.displaced(std::mem::replace(node, copy));
    }
    Arc::get_mut(node).expect("the only owner, and there are no weak ones")
}

/// Where a change of the tree is written down.
#[derive(Debug)]
pub(super) struct Books {
    /// What the live tree holds.
    pub(super) live: Ledger,
    /// What it has let go.
    pub(super) reclaim: Reclaim,
}

impl Books {
    /// A node of the live tree was replaced by its copy; views go on using it.
    fn displaced(&mut self, node: Arc<Node>) {
        self.reclaim.hold_node(&node);
        self.reclaim.release(node);
    }

    /// A value left the live tree; an old node may go on using it.
    pub(super) fn value_let_go(&mut self, value: &Bytes) {
        if self.reclaim.holds_nodes() && !value.is_unique() {
            self.reclaim.hold_value(value_bytes(value));
        }
    }

    /// A new separator came.
    pub(super) fn separator_added(&mut self, separator: &Key) {
        self.live.key_bytes += key_bytes(separator);
    }

    /// A separator went.
    pub(super) fn separator_removed(&mut self, separator: &Key) {
        self.live.key_bytes -= key_bytes(separator);
    }

    /// A node has given everything to its neighbour.
    pub(super) fn emptied(&mut self, node: &Node) {
        match node {
            Node::Leaf(_) => self.live.leaves -= 1,
            Node::Inner(_) => self.live.inners -= 1,
        }
    }
}
