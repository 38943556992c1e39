//! What is read ahead: known without the device until it is not needed or not true any more.

use std::ops::ControlFlow;

use super::*;

#[test]
fn what_is_not_in_memory_is_cold_until_it_was_fetched() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    drop(engine);
    let cellar = DiskCellar::new(DiskOptions { cache_bytes: 1 << 20, ..SMALL });
    let mut engine = cellar.open(dir.path()).unwrap().unwrap();
    let (key, value) = model.first_key_value().unwrap();
    let resident = |engine: &dyn Engine, key: &[u8]| {
        engine.resident().get(key).map(|found| found.map(Found::into_bytes))
    };
    assert!(matches!(resident(&*engine, key), Err(EngineError::Cold)));
    assert!(matches!(resident(&*engine, b"absent"), Err(EngineError::Cold)));
    let visited = engine.resident().visit(b"", b"", &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(visited, Err(EngineError::Cold)));
    let keys = [key.clone(), b"absent".to_vec()];
    let fetched = engine.fetch(&needs(&keys)).expect("something to fetch").run();
    engine.admit(fetched);
    assert_eq!(resident(&*engine, key).unwrap().as_ref(), Some(value));
    assert_eq!(resident(&*engine, b"absent").unwrap(), None);
    assert!(engine.fetch(&needs(&keys)).is_none(), "both are known");
    // A view's reads are as good.
    let other = model.keys().nth(5).unwrap();
    let mut view = engine.view();
    assert!(view.get(other).unwrap().is_some());
    engine.admit(view.take_fetched());
    assert_eq!(resident(&*engine, other).unwrap().as_ref(), model.get(other));
}

#[test]
fn what_was_fetched_before_a_change_is_not_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, model) = sealed(dir.path());
    drop(engine);
    // So small that nothing which is written stays in the cache.
    let cellar = DiskCellar::new(DiskOptions { cache_bytes: 2, ..SMALL });
    for flush in [false, true] {
        let mut engine = Attended::inline(cellar.open(dir.path()).unwrap().unwrap());
        let key = model.keys().next().unwrap().clone();
        let fetch = engine.fetch(&needs(std::slice::from_ref(&key))).expect("cold");
        let fetched = fetch.run();
        let new = Bytes::from(vec![u8::from(flush); 30]);
        engine.put(&key, new.clone()).unwrap();
        engine.write(engine.applied() + 1).unwrap();
        if flush {
            engine.rest().unwrap();
        }
        engine.admit(fetched);
        assert_eq!(engine.get(&key).unwrap().as_deref(), Some(&new[..]));
        assert_eq!(engine.view().get(&key).unwrap().as_deref(), Some(&new[..]));
    }
}

#[test]
fn of_large_values_no_more_are_read_ahead_than_memory_allows() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = Attended::inline(fresh(dir.path(), SMALL));
    let keys: Vec<Vec<u8>> = (0..200_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    for (applied, key) in (1..).zip(&keys) {
        engine.put(key, Bytes::from(vec![7; 10_000])).unwrap();
        engine.write(applied).unwrap();
    }
    engine.seal(b"").unwrap();
    drop(engine);
    let mut engine = DiskCellar::new(SMALL).open(dir.path()).unwrap().unwrap();
    let (mut fetches, mut bytes) = (0, 0);
    while let Some(fetch) = engine.fetch(&needs(&keys)) {
        let fetched = fetch.run();
        bytes += fetched.records.iter().flat_map(|(_, value)| value).map(Bytes::len).sum::<usize>();
        fetches += 1;
        assert!(engine.hold(fetched) && fetches < 100);
    }
    let most = usize::try_from(SMALL.held_bytes_max()).unwrap();
    assert!(bytes >= most && bytes < 2 * most + 10_000, "{bytes} in {fetches} fetches");
    assert_eq!(engine.get(&keys[199]).unwrap().unwrap().to_bytes().len(), 10_000);
}

#[test]
fn what_is_held_is_known_until_it_is_released_whatever_the_cache_lets_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, model) = cold(dir.path());
    let mut keys: Vec<_> = model.keys().cloned().collect();
    keys.push(b"absent".to_vec());
    let fetched = engine.fetch(&needs(&keys)).expect("nothing is known").run();
    engine.admit(fetched);
    let fetched = engine.fetch(&needs(&keys)).expect("not all fits into the cache").run();
    assert!(engine.hold(fetched));
    while let Some(fetch) = engine.fetch(&needs(&keys)) {
        assert!(engine.hold(fetch.run()), "what the cache let go of meanwhile");
    }
    for key in &keys {
        let known = engine.resident().get(key).expect("known without the device");
        assert_eq!(known.as_deref(), model.get(key).map(|value| &value[..]));
    }
    engine.put(&keys[0], Bytes::from_static(b"new")).unwrap();
    engine.delete(&keys[1]).unwrap();
    assert_eq!(engine.get(&keys[0]).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(engine.get(&keys[1]).unwrap().as_deref(), None);
    engine.write(engine.applied() + 1).unwrap();
    engine.release();
    assert!(engine.fetch(&needs(&keys)).is_some(), "the cache has no room for all");
    assert_eq!(engine.stats().waited_reads, 0);
}

#[test]
fn what_was_looked_through_is_looked_through_again_without_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, mut model) = cold(dir.path());
    let take = |reader: &dyn Reader, from: &[u8], to: &[u8], count: usize| {
        let mut found = Vec::new();
        let visited = reader.visit(from, to, &mut |key, value| {
            found.push((key.to_vec(), value.to_bytes()));
            if found.len() < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        visited.map(|()| found).unwrap()
    };
    let mut view = engine.view();
    view.remember_ranges();
    take(&*view, b"key:050", b"key:150", 40);
    take(&*view, b"key:200", b"key:210", 99);
    assert!(engine.hold(view.take_fetched()));
    let of_model = |model: &Model, from: &[u8], to: &[u8], count: usize| -> Vec<_> {
        let range = model.range(from.to_vec()..to.to_vec()).take(count);
        range.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    for change in ["key:055", "key:060x", "key:205"] {
        engine.put(change.as_bytes(), Bytes::from_static(b"of the batch")).unwrap();
        model.insert(change.into(), Bytes::from_static(b"of the batch"));
    }
    let gone = model.range(b"key:061".to_vec()..).next().unwrap().0.clone();
    engine.delete(&gone).unwrap();
    model.remove(&gone);
    for (from, to, count) in
        [("key:050", "key:150", 40), ("key:058", "key:150", 20), ("key:200", "key:210", 99)]
    {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        assert_eq!(take(&*engine, from, to, count), of_model(&model, from, to, count));
    }
    assert_eq!(engine.stats().waited_reads, 0);
    // Further than was looked: the rest is read.
    assert_eq!(
        take(&*engine, b"key:050", b"key:150", 99),
        of_model(&model, b"key:050", b"key:150", 99)
    );
    assert_eq!(engine.stats().waited_reads, 1);
    engine.write(engine.applied() + 1).unwrap();
    engine.release();
    take(&*engine, b"key:200", b"key:210", 99);
    assert_eq!(engine.stats().waited_reads, 2);
}

#[test]
fn what_was_read_before_a_flush_has_ended_is_not_held() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, model) = cold(dir.path());
    let key = model.keys().next().unwrap().clone();
    let fetch = engine.fetch(&needs(std::slice::from_ref(&key))).unwrap();
    let stale = fetch.run();
    let fresh = engine.fetch(&needs(std::slice::from_ref(&key))).unwrap().run();
    assert!(engine.hold(fresh));
    engine.put(&key, Bytes::from_static(b"newer")).unwrap();
    engine.write(engine.applied() + 1).unwrap();
    let mut engine = Attended::inline(engine);
    engine.checkpoint();
    engine.attend().unwrap();
    assert_eq!(engine.durable_applied(), engine.applied());
    assert!(!engine.hold(stale), "the flush has made it old");
    let found = engine.get(&key).unwrap().map(Found::into_bytes);
    assert_eq!(found, Some(Bytes::from_static(b"newer")));
}
