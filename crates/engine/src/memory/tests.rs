//! What only the memory engine promises: the shape of its tree, its books, and what becomes of remains.

use bytes::Bytes;

use super::inner::INNER_MAX;
use super::key::{Key, Probe};
use super::leaf::LEAF_MAX;
use super::ledger::{Ledger, key_bytes};
use super::node::{Node, SharedNode};
use super::tree::Tree;
use super::value::Value;
use super::{MemoryEngine, Reclaim};
use crate::engine::{Engine as _, Reader as _};
use crate::suite;

#[test]
fn the_memory_engine_keeps_the_contract() {
    suite::check(&mut || Box::new(MemoryEngine::new()));
}

#[test]
fn the_suite_for_reopening_accepts_an_engine_that_loses_nothing() {
    suite::check_reopen(&mut || Box::new(MemoryEngine::new()), &mut |engine| engine);
}

#[test]
#[should_panic(expected = "after a crash")]
fn the_suite_for_reopening_refuses_half_a_batch() {
    suite::check_reopen(&mut || Box::new(MemoryEngine::new()), &mut |mut engine| {
        let applied = engine.applied();
        engine.put(b"half", Bytes::new()).unwrap();
        engine.write(applied + 1).unwrap();
        engine
    });
}

/// Walks the tree, checks its shape and returns what the books should say.
fn audit(tree: &Tree) -> Ledger {
    let mut found = Ledger::default();
    audit_below(tree.root(), None, None, &mut found);
    assert_eq!(*tree.live(), found, "the books are what a walk finds");
    found
}

fn audit_below(
    node: &SharedNode,
    low: Option<&Key>,
    high: Option<&Key>,
    found: &mut Ledger,
) -> u32 {
    match &**node {
        Node::Leaf(leaf) => {
            found.leaves += 1;
            assert!(leaf.len() <= LEAF_MAX);
            let mut last: Option<&Key> = None;
            for (key, value) in leaf.records(0) {
                assert!(low.is_none_or(|low| low.as_slice() <= key.as_slice()));
                assert!(high.is_none_or(|high| key.as_slice() < high.as_slice()));
                assert!(last.is_none_or(|last| last.as_slice() < key.as_slice()));
                assert_eq!(
                    leaf.get(&Probe::new(key.as_slice())).map(Value::as_slice),
                    Some(value.as_slice()),
                    "fingerprint"
                );
                found.record_added(key, value);
                last = Some(key);
            }
            0
        }
        Node::Inner(inner) => {
            found.inners += 1;
            let separators = inner.separators();
            assert!((2..=INNER_MAX).contains(&inner.len()), "{} children", inner.len());
            assert_eq!(inner.len(), separators.len() + 1);
            found.key_bytes += separators.iter().map(key_bytes).sum::<u64>();
            let mut depths = inner.children(0).enumerate().map(|(at, child)| {
                let low = at.checked_sub(1).map_or(low, |at| Some(&separators[at]));
                let high = separators.get(at).or(high);
                audit_below(child, low, high, found)
            });
            let depth = depths.next().unwrap();
            assert!(depths.all(|other| other == depth), "all children are equally deep");
            depth + 1
        }
    }
}

fn value(n: u64) -> Bytes {
    Bytes::from(vec![1; usize::try_from(n % 40).unwrap()])
}

/// Keys of two sorts: short ones, and ones which need an allocation and whose separators do too.
fn key(n: u64) -> Vec<u8> {
    if n.is_multiple_of(3) {
        return format!("{n:0>50}").into_bytes();
    }
    n.to_be_bytes().to_vec()
}

fn scattered(n: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn filled(count: u64, index: impl Fn(u64) -> u64) -> Tree {
    let mut tree = Tree::new(Reclaim::new());
    for n in 0..count {
        tree.put(&Probe::new(&key(index(n))), Value::new(value(n)));
    }
    tree
}

#[test]
fn ascending_keys_fill_the_leaves() {
    let mut tree = Tree::new(Reclaim::new());
    for n in 0..50_000_u64 {
        tree.put(&Probe::new(&n.to_be_bytes()), Value::new(value(n)));
    }
    let found = audit(&tree);
    assert!(found.leaves <= 50_000 / LEAF_MAX as u64 + 2, "{} leaves", found.leaves);
    assert!(found.inners <= found.leaves / (INNER_MAX as u64 - 2) + 3, "{} inner", found.inners);
}

#[test]
fn ascending_keys_before_others_fill_the_leaves_too() {
    let mut tree = Tree::new(Reclaim::new());
    for n in 0..20_000_u64 {
        tree.put(&Probe::new(&(1 << 60 | scattered(n)).to_be_bytes()), Value::new(value(n)));
    }
    let before = audit(&tree).leaves;
    for n in 0..50_000_u64 {
        tree.put(&Probe::new(&n.to_be_bytes()), Value::new(value(n)));
    }
    let grown = audit(&tree).leaves - before;
    assert!(grown <= 50_000 / LEAF_MAX as u64 * 21 / 20, "{grown} leaves");
}

#[test]
fn scattered_keys_fill_two_thirds() {
    let found = audit(&filled(50_000, scattered));
    assert!(found.leaves < 50_000 * 10 / (LEAF_MAX as u64 * 6), "{} leaves", found.leaves);
}

#[test]
fn descending_keys_fill_half() {
    let found = audit(&filled(20_000, |n| 1_000_000 - n));
    assert!(found.leaves <= 20_000 * 2 / LEAF_MAX as u64 + 4, "{} leaves", found.leaves);
}

#[test]
fn a_tree_shrinks_as_its_records_go() {
    let mut tree = filled(30_000, scattered);
    for n in 0..30_000 {
        tree.remove(&key(scattered(n)));
        if n % 1_000 == 0 {
            let found = audit(&tree);
            let least = found.records / (LEAF_MAX as u64 / 4);
            assert!(
                found.leaves <= least + 2,
                "{} leaves, {} records",
                found.leaves,
                found.records
            );
        }
    }
    assert_eq!(audit(&tree), Ledger { leaves: 1, ..Ledger::default() });
}

#[test]
fn deletes_in_key_order_keep_the_shape_from_either_end() {
    for descending in [false, true] {
        let mut tree = filled(20_000, |n| n);
        let mut keys: Vec<Vec<u8>> = (0..20_000).map(key).collect();
        keys.sort();
        if descending {
            keys.reverse();
        }
        for (nth, key) in keys.iter().enumerate() {
            tree.remove(key);
            if nth % 997 == 0 {
                audit(&tree);
            }
        }
        assert_eq!(audit(&tree), Ledger { leaves: 1, ..Ledger::default() });
    }
}

#[test]
fn the_books_are_right_when_views_force_copies() {
    let mut tree = filled(5_000, scattered);
    let empty = tree.reclaim().memory_bytes();
    assert_eq!(empty, 0);
    for round in 0..10_u64 {
        let frozen = SharedNode::clone(tree.root());
        for n in 0..2_000 {
            let n = scattered(n * 7 + round);
            if n.is_multiple_of(3) {
                tree.remove(&key(n));
            } else {
                tree.put(&Probe::new(&key(n)), Value::new(value(n)));
            }
        }
        audit(&tree);
        assert!(tree.reclaim().memory_bytes() > 0, "the frozen root holds old nodes");
        tree.reclaim().release(frozen);
        while tree.reclaim().work(10) {}
        assert_eq!(tree.reclaim().memory_bytes(), 0, "nothing is held any more");
        assert_eq!(tree.reclaim().waiting(), 0);
    }
}

#[test]
fn memory_counts_an_overwritten_value_until_its_view_is_gone() {
    let mut engine = MemoryEngine::new();
    for n in 0..1_000_u32 {
        engine.put(&n.to_be_bytes(), Bytes::from(vec![1; 1_000])).unwrap();
    }
    engine.write(1).unwrap();
    let before = engine.stats().memory_bytes;
    let view = engine.view();
    for n in 0..1_000_u32 {
        engine.put(&n.to_be_bytes(), Bytes::from(vec![2; 1_000])).unwrap();
    }
    engine.write(2).unwrap();
    assert!(engine.stats().memory_bytes > 2 * before - before / 10, "both values are resident");
    drop(view);
    while engine.maintain(100) {}
    assert_eq!(engine.stats().memory_bytes, before);
}

#[test]
fn memory_falls_step_by_step_after_a_reset() {
    let mut engine = MemoryEngine::new();
    let empty = engine.stats().memory_bytes;
    for n in 0..1_000_u32 {
        engine.put(&n.to_be_bytes(), Bytes::from(vec![1; 1_000])).unwrap();
    }
    engine.reset();
    let mut last = engine.stats().memory_bytes;
    assert!(last > 1_000_000, "nothing was freed by the reset itself");
    let mut calls = 0;
    while engine.maintain(100) {
        assert!(engine.stats().memory_bytes < last);
        last = engine.stats().memory_bytes;
        calls += 1;
    }
    assert!(calls >= 9, "1,000 values in steps of 100 at most");
    assert_eq!(engine.stats().memory_bytes, empty);
}

#[test]
fn a_successor_takes_apart_what_its_predecessor_left() {
    let mut old = MemoryEngine::new();
    for n in 0..1_000_u32 {
        old.put(&n.to_be_bytes(), Bytes::from(vec![1; 1_000])).unwrap();
    }
    old.write(1).unwrap();
    let view = old.view();
    let mut new = MemoryEngine::sharing(old.reclaim());
    let empty = new.stats().memory_bytes;
    drop(old);
    assert!(!new.maintain(10), "the view still holds it all");
    assert_eq!(view.get(&7_u32.to_be_bytes()).unwrap().unwrap().len(), 1_000);
    drop(view);
    assert!(new.stats().memory_bytes > 1_000_000);
    while new.maintain(100) {}
    assert_eq!(new.stats().memory_bytes, empty);
}

#[test]
fn a_large_value_counts_as_many_steps() {
    let mut engine = MemoryEngine::new();
    for n in 0..10_u32 {
        engine.put(&n.to_be_bytes(), Bytes::from(vec![1; 1 << 20])).unwrap();
    }
    engine.reset();
    let mut calls = 0;
    while engine.maintain(32) {
        calls += 1;
    }
    assert!(calls >= 9, "{calls} calls for 10 MiB");
}

#[test]
fn a_copy_is_written_over_a_value_of_its_length_unless_somebody_holds_that() {
    let mut engine = MemoryEngine::new();
    engine.put_copy(b"key", b"first").unwrap();
    engine.write(1).unwrap();
    let value = |engine: &MemoryEngine| engine.get(b"key").unwrap().unwrap().into_bytes();
    let place = |engine: &MemoryEngine| engine.get(b"key").unwrap().unwrap().as_ptr();
    engine.expect(&[b"key"]);
    let before = place(&engine);
    engine.put_copy(b"key", b"other").unwrap();
    engine.write(2).unwrap();
    assert_eq!((place(&engine), value(&engine).as_ref()), (before, b"other".as_ref()));

    let held = value(&engine);
    let view = engine.view();
    engine.expect(&[b"key"]);
    engine.put_copy(b"key", b"third").unwrap();
    engine.write(3).unwrap();
    assert_eq!(value(&engine).as_ref(), b"third");
    assert_eq!(held.as_ref(), b"other");
    assert_eq!(view.get(b"key").unwrap().unwrap().as_ref(), b"other");

    engine.put_copy(b"key", b"longer").unwrap();
    engine.write(4).unwrap();
    assert_eq!(value(&engine).as_ref(), b"longer");
    audit(&engine.tree);
}

#[test]
fn a_twin_and_its_views_show_the_state_from_before_a_batch_that_another_thread_writes() {
    let mut engine = MemoryEngine::new();
    engine.put(b"k", Bytes::from_static(b"old")).unwrap();
    engine.write(1).unwrap();
    let twin = engine.twin().unwrap();
    let engine = std::thread::scope(|scope| {
        let written = scope.spawn(move || {
            for number in 0..10_000_u32 {
                engine.put(&number.to_be_bytes(), Bytes::from_static(b"new")).unwrap();
            }
            engine.put(b"k", Bytes::from_static(b"new")).unwrap();
            engine.write(2).unwrap();
            engine
        });
        for _ in 0..1000 {
            let view = twin.view();
            assert_eq!((view.applied(), twin.applied()), (1, 1));
            for reader in [&*view as &dyn crate::engine::Reader, &*twin] {
                assert_eq!(reader.get(b"k").unwrap().as_deref(), Some(&b"old"[..]));
                assert_eq!(reader.first(b"", b"j").unwrap(), None);
            }
        }
        written.join().unwrap()
    });
    assert_eq!(engine.get(b"k").unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!((twin.stats().records, engine.stats().records), (1, 10_001));
}
