//! The contract of an engine as a program: one function per "Must:", named by what it says.
//!
//! Every engine runs [`check`] in its tests, and one that survives a restart [`check_reopen`] too. A
//! broken duty is a panic which says what was seen. Keys have one byte at least here: that is all the
//! keyspace asks for.

mod model;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

pub use self::model::random_operations_equal_the_model;
use self::model::{Dice, Model, assert_same};
use crate::engine::{Engine, Found, Reader, View};

/// Opens a fresh, empty engine.
pub type Open<'a> = &'a mut dyn FnMut() -> Box<dyn Engine>;

/// Stops an engine as a crash would and opens what is left of it.
pub type Reopen<'a> = &'a mut dyn FnMut(Box<dyn Engine>) -> Box<dyn Engine>;

/// Calls of [`Engine::maintain`] after which the suite takes it to go on for ever.
const MAINTAIN_CALLS_MAX: usize = 1_000_000;

/// Every duty that an engine has while it is open.
pub fn check(open: Open<'_>) {
    a_fresh_engine_is_empty(open);
    the_engine_sees_its_open_batch_at_once(open);
    keys_and_values_of_any_bytes_come_back(open);
    deleting_what_is_absent_changes_nothing(open);
    a_visit_is_in_byte_order_and_within_its_bounds(open);
    a_visit_ends_where_the_visitor_says(open);
    first_finds_the_next_record_within_its_bounds(open);
    cloning_an_answer_copies_no_bytes(open);
    a_batch_carries_its_applied_index(open);
    an_applied_index_that_does_not_grow_panics(open);
    a_view_within_a_batch_panics(open);
    a_view_stays_frozen(open);
    a_view_can_be_read_and_dropped_on_another_thread(open);
    views_live_long_and_end_in_any_order(open);
    a_view_outlives_its_engine(open);
    a_reset_empties_the_engine_but_not_its_views(open);
    maintaining_comes_to_an_end(open);
    the_figures_follow_the_content(open);
    for seed in model::seeds() {
        random_operations_equal_the_model(open, seed);
    }
}

/// What an engine shows after a crash is a whole number of batches, at least the durable ones.
pub fn check_reopen(open: Open<'_>, reopen: Reopen<'_>) {
    for seed in model::seeds() {
        let mut dice = Dice::new(seed);
        let mut engine = open();
        let mut states: Vec<Model> = vec![Model::new()];
        for applied in 1..=50_u64 {
            let mut state = states.last().cloned().unwrap_or_default();
            for _ in 0..dice.below(40) {
                let (key, value) = (dice.key(), dice.value());
                if dice.below(4) == 0 {
                    engine.delete(&key).expect("delete");
                    state.remove(&key);
                } else {
                    engine.put(&key, value.clone()).expect("put");
                    state.insert(key, value);
                }
            }
            engine.write(applied).expect("write");
            states.push(state);
            if dice.below(10) > 0 {
                continue;
            }
            let durable = engine.durable_applied();
            assert!(durable <= applied, "seed {seed}: durable {durable} of {applied} applied");
            engine = reopen(engine);
            let found = engine.applied();
            assert!(
                (durable..=applied).contains(&found),
                "seed {seed}: applied {found} after a crash, durable were {durable} of {applied}"
            );
            let at = usize::try_from(found).expect("a small number");
            let state = states.get(at).expect("a batch that was written");
            assert_same(engine.as_ref(), state, &|| format!("seed {seed}, reopened at {found}"));
            // Go on from what is left.
            if found < applied {
                break;
            }
        }
    }
}

/// No records, applied index 0.
pub fn a_fresh_engine_is_empty(open: Open<'_>) {
    let engine = open();
    assert_eq!(engine.applied(), 0);
    assert_eq!(engine.durable_applied(), 0);
    assert_eq!(engine.stats().records, 0);
    assert_eq!(engine.stats().views, 0);
    assert_same(engine.as_ref(), &Model::new(), &|| "a fresh engine".into());
    assert_same(engine.view().as_ref(), &Model::new(), &|| "its view".into());
}

/// A command sees what an earlier command of the same entry wrote.
pub fn the_engine_sees_its_open_batch_at_once(open: Open<'_>) {
    let mut engine = open();
    put(&mut engine, b"k", b"1");
    assert_eq!(get(engine.as_ref(), b"k"), Some(Bytes::from_static(b"1")));
    put(&mut engine, b"k", b"2");
    assert_eq!(get(engine.as_ref(), b"k"), Some(Bytes::from_static(b"2")));
    engine.delete(b"k").expect("delete");
    assert_eq!(get(engine.as_ref(), b"k"), None);
    put(&mut engine, b"k", b"3");
    engine.write(1).expect("write");
    assert_eq!(get(engine.as_ref(), b"k"), Some(Bytes::from_static(b"3")));
}

/// Zero bytes, 0xFF bytes, lengths around every boundary, empty values.
pub fn keys_and_values_of_any_bytes_come_back(open: Open<'_>) {
    let mut engine = open();
    let mut model = Model::new();
    for len in [1, 2, 7, 8, 9, 15, 16, 17, 29, 30, 31, 32, 33, 63, 64, 65, 255, 256, 1_000] {
        for fill in [0, 1, b'x', 0x7f, 0x80, 0xff] {
            for last in [0, b'x', 0xff] {
                let mut key = vec![fill; len];
                key.extend([last]);
                let value = Bytes::from(vec![last; len - 1]);
                engine.put(&key, value.clone()).expect("put");
                model.insert(key, value);
            }
        }
    }
    engine.write(1).expect("write");
    assert_same(engine.as_ref(), &model, &|| "keys of any bytes".into());
}

/// A delete of an absent key is no error.
pub fn deleting_what_is_absent_changes_nothing(open: Open<'_>) {
    let (mut engine, model) = hundred(open);
    for key in [&b"k"[..], b"k050x", b"k05", b"zzz", b"\0"] {
        engine.delete(key).expect("delete");
    }
    engine.write(2).expect("write");
    assert_same(engine.as_ref(), &model, &|| "after deletes of absent keys".into());
}

/// Ascending, `from` included, `to` excluded, `to` empty: to the end.
pub fn a_visit_is_in_byte_order_and_within_its_bounds(open: Open<'_>) {
    let (engine, model) = hundred(open);
    let bounds: [&[u8]; 9] =
        [b"", b"k", b"k000", b"k010", b"k0105", b"k050", b"k099", b"k0990", b"z"];
    for from in bounds {
        for to in bounds {
            model::assert_same_range(engine.as_ref(), &model, from, to, &|| "bounds".into());
        }
    }
}

/// `Break` ends a visit at once.
pub fn a_visit_ends_where_the_visitor_says(open: Open<'_>) {
    let (engine, _) = hundred(open);
    for wanted in [1, 2, 31, 32, 33, 99] {
        let mut seen = 0;
        let visited = engine.visit(b"", b"", &mut |_, _| {
            seen += 1;
            if seen == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        visited.expect("visit");
        assert_eq!(seen, wanted);
    }
}

/// As a visit that ends after one record.
pub fn first_finds_the_next_record_within_its_bounds(open: Open<'_>) {
    let (engine, _) = hundred(open);
    let first = |from: &[u8], to: &[u8]| {
        engine.first(from, to).expect("first").map(|(key, _)| String::from_utf8_lossy(&key).into())
    };
    assert_eq!(first(b"", b""), Some("k000".to_owned()));
    assert_eq!(first(b"k050", b"k051"), Some("k050".to_owned()));
    assert_eq!(first(b"k050\0", b""), Some("k051".to_owned()));
    assert_eq!(first(b"k050\0", b"k051"), None);
    assert_eq!(first(b"k1", b""), None);
    assert_eq!(first(b"k050", b"k050"), None);
}

/// An answer is a handle.
pub fn cloning_an_answer_copies_no_bytes(open: Open<'_>) {
    let mut engine = open();
    engine.put(b"k", Bytes::from(vec![1; 1_000])).expect("put");
    engine.write(1).expect("write");
    let answer = get(engine.as_ref(), b"k").expect("just put");
    assert_eq!(answer.clone().as_ptr(), answer.as_ptr());
}

/// [`Engine::write`] sets the applied index, also of later views, and gaps are fine.
pub fn a_batch_carries_its_applied_index(open: Open<'_>) {
    let mut engine = open();
    put(&mut engine, b"k", b"1");
    assert_eq!(engine.applied(), 0, "the batch is still open");
    engine.write(7).expect("write");
    assert_eq!(engine.applied(), 7);
    let view = engine.view();
    engine.write(9).expect("an empty batch");
    assert_eq!((view.applied(), engine.view().applied(), engine.applied()), (7, 9, 9));
    assert!(engine.durable_applied() <= 9);
}

/// An entry applied twice is a defect.
pub fn an_applied_index_that_does_not_grow_panics(open: Open<'_>) {
    for applied in [0, 4, 5] {
        let mut engine = open();
        engine.write(5).expect("write");
        let again = catch_unwind(AssertUnwindSafe(|| engine.write(applied)));
        assert!(again.is_err(), "index {applied} after 5 was accepted");
    }
}

/// A view would show half a batch.
pub fn a_view_within_a_batch_panics(open: Open<'_>) {
    let mut engine = open();
    put(&mut engine, b"k", b"1");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.view()))).is_err(), "a view after a put");
    engine.write(1).expect("write");
    drop(engine.view());
    engine.delete(b"k").expect("delete");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(engine.view()))).is_err(), "and after a delete");
}

/// A view never shows a later write.
pub fn a_view_stays_frozen(open: Open<'_>) {
    let (mut engine, model) = hundred(open);
    let view = engine.view();
    for key in model.keys() {
        engine.put(key, Bytes::from_static(b"later")).expect("put");
    }
    put(&mut engine, b"k0505", b"later");
    assert_same(view.as_ref(), &model, &|| "under overwrites".into());
    engine.write(2).expect("write");
    for key in model.keys() {
        engine.delete(key).expect("delete");
    }
    engine.write(3).expect("write");
    assert_same(view.as_ref(), &model, &|| "under deletes".into());
    assert_eq!(view.applied(), 1);
    assert_eq!(engine.view().first(b"", b"").expect("first").map(|(key, _)| key), {
        Some(b"k0505".to_vec())
    });
}

/// [`View`] is `Send`, and its end elsewhere does no harm to the engine.
pub fn a_view_can_be_read_and_dropped_on_another_thread(open: Open<'_>) {
    let (mut engine, model) = hundred(open);
    let view = engine.view();
    std::thread::scope(|scope| {
        let frozen = &model;
        let reader = scope.spawn(move || {
            for _ in 0..20 {
                assert_same(view.as_ref(), frozen, &|| "on another thread".into());
            }
        });
        for applied in 2..200_u64 {
            let key = format!("k{:03}", applied % 130);
            engine.put(key.as_bytes(), Bytes::from_static(b"later")).expect("put");
            engine.delete(format!("k{:03}", applied % 70).as_bytes()).expect("delete");
            engine.write(applied).expect("write");
            engine.maintain(3);
        }
        reader.join().expect("the view stayed frozen");
    });
    maintain_all(&mut engine);
    assert_eq!(engine.stats().views, 0);
}

/// Many views at once, each with its own state, dropped from the middle.
pub fn views_live_long_and_end_in_any_order(open: Open<'_>) {
    let mut engine = open();
    let mut model = Model::new();
    let mut views: Vec<(Box<dyn View>, Model)> = Vec::new();
    let mut dice = Dice::new(1);
    for applied in 1..=60 {
        for _ in 0..20 {
            let (key, value) = (dice.key(), dice.value());
            engine.put(&key, value.clone()).expect("put");
            model.insert(key, value);
        }
        engine.write(applied).expect("write");
        views.push((engine.view(), model.clone()));
        if applied % 3 == 0 {
            drop(views.remove(dice.index(views.len())));
        }
        engine.maintain(10);
    }
    assert_eq!(engine.stats().views, views.len() as u64);
    while !views.is_empty() {
        let (view, frozen) = views.swap_remove(dice.index(views.len()));
        assert_same(view.as_ref(), &frozen, &|| format!("view of {}", view.applied()));
        drop(view);
        engine.maintain(10);
    }
    assert_eq!(engine.stats().views, 0);
    assert_same(engine.as_ref(), &model, &|| "the engine itself".into());
}

/// A view needs no engine.
pub fn a_view_outlives_its_engine(open: Open<'_>) {
    let (engine, model) = hundred(open);
    let view = engine.view();
    drop(engine);
    assert_same(view.as_ref(), &model, &|| "without its engine".into());
}

/// After [`Engine::reset`] all is as in a fresh engine, also within a batch; views keep the old state.
pub fn a_reset_empties_the_engine_but_not_its_views(open: Open<'_>) {
    let (mut engine, model) = hundred(open);
    let view = engine.view();
    put(&mut engine, b"half", b"a batch");
    engine.reset();
    assert_eq!((engine.applied(), engine.stats().records), (0, 0));
    assert_same(engine.as_ref(), &Model::new(), &|| "after a reset".into());
    assert_same(engine.view().as_ref(), &Model::new(), &|| "a view after a reset".into());
    put(&mut engine, b"k050", b"new");
    engine.write(1).expect("an applied index may start afresh");
    maintain_all(&mut engine);
    assert_same(view.as_ref(), &model, &|| "a view from before the reset".into());
    let new = BTreeMap::from([(b"k050".to_vec(), Bytes::from_static(b"new"))]);
    assert_same(engine.as_ref(), &new, &|| "filled again".into());
}

/// Without views and with enough calls of [`Engine::maintain`], nothing is left to reclaim.
pub fn maintaining_comes_to_an_end(open: Open<'_>) {
    let (mut engine, model) = hundred(open);
    let view = engine.view();
    for key in model.keys().step_by(2) {
        engine.delete(key).expect("delete");
    }
    engine.write(2).expect("write");
    drop(view);
    maintain_all(&mut engine);
    assert_eq!(engine.stats().reclaimable, 0, "after a view");
    engine.reset();
    maintain_all(&mut engine);
    assert_eq!(engine.stats().reclaimable, 0, "after a reset");
}

/// Records and payload are exact, unless the engine says that it estimates them, and views always; memory
/// is at least the payload and falls again.
pub fn the_figures_follow_the_content(open: Open<'_>) {
    let mut engine = open();
    let empty = engine.stats();
    for n in 0..500_u32 {
        put(&mut engine, &n.to_be_bytes(), &[1; 1_000]);
    }
    engine.write(1).expect("write");
    let full = engine.stats();
    if !full.estimated {
        assert_eq!((full.records, full.payload_bytes), (500, 500 * 1_004));
    }
    let views = [engine.view(), engine.view()];
    assert_eq!(engine.stats().views, 2);
    drop(views);
    for n in 0..500_u32 {
        put(&mut engine, &n.to_be_bytes(), &[1; 10]);
    }
    for n in 0..250_u32 {
        engine.delete(&n.to_be_bytes()).expect("delete");
    }
    engine.write(2).expect("write");
    maintain_all(&mut engine);
    let half = engine.stats();
    assert_eq!(half.views, 0);
    if !half.estimated {
        assert_eq!((half.records, half.payload_bytes), (250, 250 * 14));
    }
    engine.reset();
    maintain_all(&mut engine);
    let reset = engine.stats();
    assert_eq!((reset.records, reset.payload_bytes), (0, 0));
    assert!(reset.memory_bytes <= full.memory_bytes.max(empty.memory_bytes));
}

fn hundred(open: Open<'_>) -> (Box<dyn Engine>, Model) {
    let mut engine = open();
    let mut model = Model::new();
    for n in 0..100 {
        let (key, value) = (format!("k{n:03}").into_bytes(), Bytes::from(vec![1; n]));
        engine.put(&key, value.clone()).expect("put");
        model.insert(key, value);
    }
    engine.write(1).expect("write");
    (engine, model)
}

fn put(engine: &mut Box<dyn Engine>, key: &[u8], value: &[u8]) {
    engine.put(key, Bytes::copy_from_slice(value)).expect("put");
}

fn get(reader: &(impl Reader + ?Sized), key: &[u8]) -> Option<Bytes> {
    reader.get(key).expect("get").map(Found::into_bytes)
}

fn maintain_all(engine: &mut Box<dyn Engine>) {
    let calls = (0..MAINTAIN_CALLS_MAX).take_while(|_| engine.maintain(1)).count();
    assert!(calls < MAINTAIN_CALLS_MAX, "maintain always says that more is left");
}
