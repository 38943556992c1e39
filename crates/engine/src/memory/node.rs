//! Nodes: shared between the live tree and its views, copied when a shared one must change.

use super::inner::Inner;
use super::key::Key;
use super::leaf::Leaf;
use super::ledger::{Ledger, key_bytes};
use super::reclaim::Reclaim;
use super::value::Value;

/// A node with a count of its owners. There are no weak ones, so that asking whether one is the only owner is a
/// plain load: the standard library's locks the count, and a locked operation waits for every store before it,
/// here those to the cold lines of the last value.
pub(super) type SharedNode = triomphe::Arc<Node>;

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
pub(super) fn own<'a>(node: &'a mut SharedNode, books: &mut Books) -> &'a mut Node {
    // A view that goes away between the two lines only makes the copy a needless one. The count cannot
    // grow: who would clone the last one but us?
    if !node.is_unique() {
        let copy = SharedNode::new(node.copy());
        books.displaced(std::mem::replace(node, copy));
    }
    SharedNode::get_mut(node).expect("the only owner")
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
    fn displaced(&mut self, node: SharedNode) {
        self.reclaim.hold_node(&node);
        self.reclaim.release(node);
    }

    /// A value left the live tree; an old node may go on using it.
    pub(super) fn value_let_go(&mut self, value: &Value) {
        if self.reclaim.holds_nodes() && !value.is_unique() {
            self.reclaim.hold_value(value.resident_bytes());
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
