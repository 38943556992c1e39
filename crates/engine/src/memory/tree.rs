//! The live tree: looks up, inserts, removes and visits, from the root down.

use std::ops::ControlFlow;

use super::inner::{Inner, Split};
use super::key::Probe;
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::node::{Books, Node, SharedNode, own};
use super::path::Path;
use super::reclaim::Reclaim;
use super::value::Value;
use crate::engine::Visitor;

/// A persistent B+tree: cloning the root freezes it.
#[derive(Debug)]
pub(super) struct Tree {
    root: SharedNode,
    books: Books,
}

impl Tree {
    /// An empty tree whose remains go to `reclaim`.
    pub(super) fn new(reclaim: Reclaim) -> Self {
        Self { root: empty_root(), books: Books { live: empty_ledger(), reclaim } }
    }

    /// The root, for reading.
    pub(super) fn root(&self) -> &SharedNode {
        &self.root
    }

    /// What the tree holds.
    pub(super) fn live(&self) -> &Ledger {
        &self.books.live
    }

    /// Where its remains go.
    pub(super) fn reclaim(&self) -> &Reclaim {
        &self.books.reclaim
    }

    /// Sets `key` to `value`.
    pub(super) fn put(&mut self, probe: &Probe<'_>, value: Value) {
        if let Some(split) = put_below(&mut self.root, probe, value, &mut self.books) {
            let old_root = std::mem::replace(&mut self.root, empty_root());
            self.root = SharedNode::new(Node::Inner(Inner::above(old_root, split)));
            self.books.live.inners += 1;
        }
    }

    /// Replaces the value at the end of `path`, if `key` is there; gives the value back where it is not.
    pub(super) fn replace_at(
        &mut self,
        path: Path,
        key: &Probe<'_>,
        value: Value,
    ) -> Result<(), Value> {
        if let Some(slot) = sole_value_at(&mut self.root, path, key) {
            replace(slot, value, &mut self.books);
            return Ok(());
        }
        let Some((slot, books)) = self.value_at(path, key) else { return Err(value) };
        replace(slot, value, books);
        Ok(())
    }

    /// Writes `value` over the one at the end of `path`, if `key` is there with a value of the same length
    /// that nobody else holds; false, and nothing has changed, where not.
    pub(super) fn overwrite_at(&mut self, path: Path, key: &Probe<'_>, value: &[u8]) -> bool {
        if let Some(slot) = sole_value_at(&mut self.root, path, key) {
            return slot.overwrite(value);
        }
        self.value_at(path, key).is_some_and(|(slot, _)| slot.overwrite(value))
    }

    /// The value at the end of `path`, for changing it, if `key` is there.
    fn value_at(&mut self, path: Path, key: &Probe<'_>) -> Option<(&mut Value, &mut Books)> {
        // Looking first: a path that has become wrong must not copy nodes which a view holds.
        get_at(&self.root, path, key)?;
        let mut node = &mut self.root;
        for at in path.places() {
            let Node::Inner(inner) = own(node, &mut self.books) else { return None };
            node = inner.child_mut(at);
        }
        let Node::Leaf(leaf) = own(node, &mut self.books) else { return None };
        Some((leaf.value_mut(path.slot())?, &mut self.books))
    }

    /// Removes `key`, if it is there.
    pub(super) fn remove(&mut self, key: &[u8]) {
        let probe = Probe::new(key);
        // Looking first costs little (the way down is warm then) and saves copying the whole way for
        // nothing when a view is alive.
        if get(&self.root, &probe).is_none() {
            return;
        }
        remove_below(&mut self.root, &probe, &mut self.books);
        // An inner root with a single child gives way to it.
        while let Node::Inner(inner) = own(&mut self.root, &mut self.books) {
            if inner.len() > 1 {
                break;
            }
            let Some(child) = inner.pop_child() else { break };
            self.root = child;
            self.books.live.inners -= 1;
        }
    }

    /// Lets go of everything. O(1).
    pub(super) fn clear(&mut self) {
        self.books.reclaim.hold_tree(&self.books.live);
        self.books.live = empty_ledger();
        self.books.reclaim.release(std::mem::replace(&mut self.root, empty_root()));
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The value of `probe` below `node`.
pub(super) fn get<'a>(node: &'a SharedNode, probe: &Probe<'_>) -> Option<&'a Value> {
    let mut node = node;
    loop {
        match &**node {
            Node::Inner(inner) => node = inner.child(probe),
            Node::Leaf(leaf) => return leaf.get(probe),
        }
    }
}

/// The value of `probe` at the end of `path`, if it is there.
pub(super) fn get_at<'a>(node: &'a SharedNode, path: Path, probe: &Probe<'_>) -> Option<&'a Value> {
    let mut node = node;
    for at in path.places() {
        let Node::Inner(inner) = &**node else { return None };
        node = inner.nth(at)?;
    }
    match &**node {
        Node::Leaf(leaf) if leaf.is_at(path.slot(), probe) => leaf.value(path.slot()),
        Node::Leaf(_) | Node::Inner(_) => None,
    }
}

/// The value of `probe` at the end of `path`, for changing it, if it is there and nobody else holds a node on the
/// way: then nothing need be copied, and one way down does.
fn sole_value_at<'a>(
    node: &'a mut SharedNode,
    path: Path,
    probe: &Probe<'_>,
) -> Option<&'a mut Value> {
    let mut node = SharedNode::get_mut(node)?;
    for at in path.places() {
        let Node::Inner(inner) = node else { return None };
        node = SharedNode::get_mut(inner.nth_mut(at)?)?;
    }
    match node {
        Node::Leaf(leaf) if leaf.is_at(path.slot(), probe) => leaf.value_mut(path.slot()),
        Node::Leaf(_) | Node::Inner(_) => None,
    }
}

/// Visits the records below `node` from `from` on (`None`: all) and before `to` (empty: to the end).
pub(super) fn visit(
    node: &Node,
    from: Option<&Probe<'_>>,
    to: &[u8],
    visitor: Visitor<'_>,
) -> ControlFlow<()> {
    match node {
        Node::Inner(inner) => {
            let first = from.map_or(0, |probe| inner.child_at(probe));
            let mut from = from;
            for child in inner.children(first) {
                visit(child, from.take(), to, visitor)?;
            }
        }
        Node::Leaf(leaf) => {
            let first = from.map_or(0, |probe| leaf.rank(probe));
            // One comparison decides for most leaves that none of their records needs one.
            let to = Some(to).filter(|to| !to.is_empty());
            let to = to.filter(|to| leaf.last_key().is_some_and(|last| last.as_slice() >= *to));
            for (key, value) in leaf.records(first) {
                if to.is_some_and(|to| key.as_slice() >= to) {
                    return ControlFlow::Break(());
                }
                visitor(key.as_slice(), &value.lend())?;
            }
        }
    }
    ControlFlow::Continue(())
}

fn empty_root() -> SharedNode {
    SharedNode::new(Node::Leaf(Leaf::new()))
}

fn empty_ledger() -> Ledger {
    Ledger { leaves: 1, ..Ledger::default() }
}

fn put_below(
    node: &mut SharedNode,
    probe: &Probe<'_>,
    value: Value,
    books: &mut Books,
) -> Option<Split> {
    match own(node, books) {
        Node::Inner(inner) => {
            let at = inner.child_at(probe);
            let split = put_below(inner.child_mut(at), probe, value, books)?;
            let split = inner.insert(at, split)?;
            books.live.inners += 1;
            Some(split)
        }
        Node::Leaf(leaf) => put_in_leaf(leaf, probe, value, books),
    }
}

fn replace(slot: &mut Value, value: Value, books: &mut Books) {
    books.live.value_replaced(slot, &value);
    books.value_let_go(slot);
    *slot = value;
}

fn put_in_leaf(
    leaf: &mut Leaf,
    probe: &Probe<'_>,
    value: Value,
    books: &mut Books,
) -> Option<Split> {
    if let Some(slot) = leaf.find(probe).and_then(|at| leaf.value_mut(at)) {
        replace(slot, value, books);
        return None;
    }
    let key = probe.to_key();
    books.live.record_added(&key, &value);
    let right = leaf.insert(probe, key, value)?;
    books.live.leaves += 1;
    let separator = leaf.separator(&right);
    books.separator_added(&separator);
    let ascending = right.is_ascending();
    Some(Split { separator, right: SharedNode::new(Node::Leaf(right)), ascending })
}

/// Removes `probe`, which is there; true when `node` has become scant.
fn remove_below(node: &mut SharedNode, probe: &Probe<'_>, books: &mut Books) -> bool {
    match own(node, books) {
        Node::Inner(inner) => {
            let at = inner.child_at(probe);
            if remove_below(inner.child_mut(at), probe, books) {
                inner.mend(at, books);
            }
            inner.is_scant()
        }
        Node::Leaf(leaf) => {
            if let Some(at) = leaf.find(probe) {
                let (key, value) = leaf.remove(at);
                books.live.record_removed(&key, &value);
                books.value_let_go(&value);
            }
            leaf.is_scant()
        }
    }
}
