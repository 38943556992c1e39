//! Inner nodes: children and the separators between them.

use super::heads::{HEADS_BYTES, Heads, Spot};
use super::key::{Key, Probe};
use super::ledger::{ALLOCATION_BYTES, key_bytes};
use super::node::{Books, Node, SharedNode, own};

/// Children of a full inner node.
pub(super) const INNER_MAX: usize = 128;
/// Below this many children a deletion mends the node.
const INNER_MIN: usize = INNER_MAX / 4;
/// Two inner nodes become one when their children fill it up to here, else they share evenly.
const INNER_MERGED_MAX: usize = INNER_MAX * 3 / 4;
/// Resident bytes of an inner node, without what its separators allocate.
pub(super) const INNER_BYTES: u64 = (size_of::<Node>()
    + size_of::<usize>()
    + HEADS_BYTES
    + INNER_MAX * (size_of::<Key>() + size_of::<SharedNode>()))
    as u64
    + 4 * ALLOCATION_BYTES;

const _: () = assert!(INNER_MIN >= 2, "a child that must be mended needs a neighbour");
const _: () = assert!(2 * INNER_MIN <= INNER_MERGED_MAX && INNER_MERGED_MAX < INNER_MAX);

/// Children in key order.
///
/// Invariant: `children` has one more than `separators`; below child `n` all keys are at or above separator
/// `n - 1` and below separator `n`; all children are equally deep.
#[derive(Debug)]
pub(super) struct Inner {
    separators: Vec<Key>,
    children: Vec<SharedNode>,
    /// What is compared first: see [`Heads`].
    heads: Heads,
}

/// The upper part of a node that was split, for its parent to take in.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) separator: Key,
    pub(super) right: SharedNode,
    /// Keys arrive in order: leave a full node behind rather than two halves.
    pub(super) ascending: bool,
}

impl Inner {
    /// A new root above the two halves of the old one.
    pub(super) fn above(left: SharedNode, split: Split) -> Self {
        let mut root = Self::new();
        root.separators.push(split.separator);
        root.children.push(left);
        root.children.push(split.right);
        root.heads.set(&root.separators);
        root
    }

    /// A node without children, to be filled at once. Its arrays have their final size.
    fn new() -> Self {
        Self {
            separators: Vec::with_capacity(INNER_MAX),
            children: Vec::with_capacity(INNER_MAX),
            heads: Heads::new(),
        }
    }

    /// Number of children.
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    /// True when a deletion has left too few children.
    pub(super) fn is_scant(&self) -> bool {
        self.len() < INNER_MIN
    }

    /// Has loaded what a search looks at first; what comes back means nothing.
    pub(super) fn touch(&self) -> usize {
        self.heads.touch()
    }

    /// Where `probe` belongs, as far as what was touched tells.
    #[inline]
    pub(super) fn spot(&self, probe: &Probe<'_>) -> Spot<'_> {
        self.heads.spot(&self.separators, probe)
    }

    /// Which child `probe` is below.
    pub(super) fn child_at(&self, probe: &Probe<'_>) -> usize {
        self.heads.rank(&self.separators, probe)
    }

    /// The child that `probe` is below.
    pub(super) fn child(&self, probe: &Probe<'_>) -> &SharedNode {
        self.children.get(self.child_at(probe)).expect("one child more than separators")
    }

    /// The child at `at`, if there are so many.
    pub(super) fn nth(&self, at: usize) -> Option<&SharedNode> {
        self.children.get(at)
    }

    /// The child at `at`, for changing it, if there are so many.
    pub(super) fn nth_mut(&mut self, at: usize) -> Option<&mut SharedNode> {
        self.children.get_mut(at)
    }

    /// The child at `at`, for changing it.
    pub(super) fn child_mut(&mut self, at: usize) -> &mut SharedNode {
        self.children.get_mut(at).expect("one child more than separators")
    }

    /// The children from the `from`th on.
    pub(super) fn children(&self, from: usize) -> impl Iterator<Item = &SharedNode> {
        self.children.iter().skip(from)
    }

    /// The separators.
    #[cfg(test)]
    pub(super) fn separators(&self) -> &[Key] {
        &self.separators
    }

    /// Takes the last child away, for taking the node apart.
    pub(super) fn pop_child(&mut self) -> Option<SharedNode> {
        self.children.pop()
    }

    /// Takes in what child `at` gave off; the upper part comes back when there is no room.
    pub(super) fn insert(&mut self, at: usize, split: Split) -> Option<Split> {
        if self.len() < INNER_MAX {
            self.insert_at(at, split);
            self.heads.set(&self.separators);
            return None;
        }
        let ascending = split.ascending;
        // Ascending keys: at the end, a full node stays behind; elsewhere what lies above the run
        // moves out of its way. Both nodes keep two children at least.
        let cut = match (ascending, at + 1 == self.len()) {
            (true, true) => at,
            (true, false) => (at + 1).clamp(INNER_MIN, INNER_MAX - 2),
            (false, _) => INNER_MAX / 2,
        };
        let mut right = Self::new();
        right.children.extend(self.children.drain(cut..));
        right.separators.extend(self.separators.drain(cut..));
        let separator = self.separators.pop().expect("the cut is between two children");
        if at < cut {
            self.insert_at(at, split);
        } else {
            right.insert_at(at - cut, split);
        }
        self.heads.set(&self.separators);
        right.heads.set(&right.separators);
        Some(Split { separator, right: SharedNode::new(Node::Inner(right)), ascending })
    }

    fn insert_at(&mut self, at: usize, split: Split) {
        self.separators.insert(at, split.separator);
        self.children.insert(at + 1, split.right);
    }

    /// Restores child `at`, which has become scant, with the help of a neighbour.
    pub(super) fn mend(&mut self, at: usize, books: &mut Books) {
        // Invariant: there are two children at least (asserted above, and by where nodes are cut).
        let left_at = if at + 1 < self.len() { at } else { at - 1 };
        let mut right = self.children.remove(left_at + 1);
        let separator = self.separators.remove(left_at);
        let left = own(self.child_mut(left_at), books);
        let parted = match (left, own(&mut right, books)) {
            (Node::Leaf(left), Node::Leaf(right)) => {
                books.separator_removed(&separator);
                left.level(right).inspect(|separator| books.separator_added(separator))
            }
            (Node::Inner(left), Node::Inner(right)) => left.level(separator, right),
            (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {
                unreachable!("all children are equally deep")
            }
        };
        match parted {
            Some(separator) => {
                self.insert_at(left_at, Split { separator, right, ascending: false });
            }
            None => books.emptied(&right),
        }
        self.heads.set(&self.separators);
    }

    /// Evens out two neighbours: the new separator, or `None` when `right` has gone over into `self`.
    fn level(&mut self, separator: Key, right: &mut Self) -> Option<Key> {
        let total = self.len() + right.len();
        if total <= INNER_MERGED_MAX {
            self.separators.push(separator);
            self.separators.append(&mut right.separators);
            self.children.append(&mut right.children);
            self.heads.set(&self.separators);
            return None;
        }
        let left = std::mem::replace(self, Self::new());
        let old_right = std::mem::replace(right, Self::new());
        let half = total / 2;
        let mut children = left.children.into_iter().chain(old_right.children);
        let mut separators =
            left.separators.into_iter().chain([separator]).chain(old_right.separators);
        self.children.extend(children.by_ref().take(half));
        self.separators.extend(separators.by_ref().take(half - 1));
        let parting = separators.next();
        right.children.extend(children);
        right.separators.extend(separators);
        self.heads.set(&self.separators);
        right.heads.set(&right.separators);
        parting
    }

    /// A copy that shares the children.
    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new();
        copy.separators.extend_from_slice(&self.separators);
        copy.children.extend_from_slice(&self.children);
        copy.heads.copy_from(&self.heads);
        copy
    }

    /// Resident bytes of the node and its separators.
    pub(super) fn node_bytes(&self) -> u64 {
        INNER_BYTES + self.separators.iter().map(key_bytes).sum::<u64>()
    }
}
