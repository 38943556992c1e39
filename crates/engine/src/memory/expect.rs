//! Fetches the cache lines of several lookups side by side, before the lookups are made.
//!
//! A lookup is a chain of cache misses: node, fingerprints, key, value, each known only when the one
//! before has arrived. One after the other, 16 lookups wait 16 times as long as one. Here all of them
//! take each step together: the loads of a step depend on nothing but the step before, so the processor
//! has them under way at once. (Group prefetching: Chen et al., "Improving Hash Join Performance through
//! Prefetching", ICDE 2004.) The lookups that follow find
//! warm lines, and the way ([`super::path`]).

use std::hint::black_box;

use super::heads::Spot;
use super::key::Probe;
use super::leaf::Leaf;
use super::node::{Node, SharedNode};
use super::path::{PATHS_MAX, Path, Paths};
use super::value::Value;

/// Lookups under way at once: about as many as a core has misses in flight.
const WIDTH: usize = PATHS_MAX;
/// So much of a value is touched; what lies further back the hardware fetches as it is read. A value that is
/// written over pays more for a line that it misses than one that is read: the store waits for its line, and
/// whatever must wait for the store waits with it (a load that spans two stores, a locked operation).
const TOUCHED_BYTES: usize = 512;
const LINE_BYTES: usize = 64;

/// One lookup on its way.
#[derive(Debug)]
struct Way<'a> {
    probe: Probe<'a>,
    node: &'a SharedNode,
    /// In the inner node.
    spot: Spot<'a>,
    path: Path,
}

/// Fetches what looking up `keys` below `root` will touch.
pub(super) fn expect(root: &SharedNode, keys: &[&[u8]], paths: &mut Paths) {
    for keys in keys.chunks(WIDTH) {
        let mut ways: [Option<Way<'_>>; WIDTH] = [const { None }; WIDTH];
        for (way, key) in ways.iter_mut().zip(keys) {
            let (probe, spot, path) = (Probe::new(key), Spot::Rank(0), Path::default());
            *way = Some(Way { probe, node: root, spot, path });
        }
        descend(&mut ways);
        touch_leaves(&mut ways);
        for (nth, way) in ways.iter().enumerate() {
            let (hash, path) =
                way.as_ref().map_or_else(Default::default, |way| (way.probe.hash(), way.path));
            paths.set(nth, hash, path);
        }
    }
}

/// Takes all ways down to their leaves, level by level.
fn descend(ways: &mut [Option<Way<'_>>; WIDTH]) {
    loop {
        let mut touched = 0;
        let mut inner_left = false;
        // Each step knows from the one before where to look; within a step nobody waits for anybody.
        for way in ways.iter().flatten() {
            // The node itself, and the count of its owners, which a write asks for.
            touched ^= way.node.len() ^ SharedNode::count(way.node);
        }
        for way in ways.iter().flatten() {
            if let Node::Inner(inner) = &**way.node {
                touched ^= inner.touch();
            }
        }
        for way in ways.iter_mut().flatten() {
            if let Node::Inner(inner) = &**way.node {
                way.spot = inner.spot(&way.probe);
                touched ^= way.spot.touch();
            }
        }
        for way in ways.iter_mut().flatten() {
            if let Node::Inner(inner) = &**way.node {
                let at = way.spot.rank(&way.probe);
                way.path.push(at);
                let Some(child) = inner.nth(at) else { continue };
                way.node = child;
                inner_left = true;
            }
        }
        black_box(touched);
        if !inner_left {
            return;
        }
    }
}

/// Fetches fingerprints, then keys and value handles, then the values.
fn touch_leaves(ways: &mut [Option<Way<'_>>; WIDTH]) {
    let mut found: [Option<(&Leaf, usize)>; WIDTH] = [const { None }; WIDTH];
    for (found, way) in found.iter_mut().zip(ways.iter_mut().flatten()) {
        if let Node::Leaf(leaf) = &**way.node {
            *found = leaf.guess(&way.probe).map(|at| (leaf, at));
            way.path.end(found.map_or(usize::MAX, |(_, at)| at));
        }
    }
    let mut touched = 0;
    let mut values: [Option<&Value>; WIDTH] = [const { None }; WIDTH];
    for (value, (leaf, at)) in values.iter_mut().zip(found.iter().flatten()) {
        touched ^= leaf.touch(*at);
        *value = leaf.value(*at);
    }
    for value in values.iter().flatten() {
        touched ^= value.len();
    }
    for value in values.iter().flatten() {
        let value = value.as_slice();
        let value = value.get(..TOUCHED_BYTES).unwrap_or(value);
        for line in value.iter().step_by(LINE_BYTES).chain(value.last()) {
            touched ^= usize::from(*line);
        }
    }
    black_box(touched);
}
