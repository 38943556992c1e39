//! What is known of a key without its record.

use std::path::Path;

use super::*;

/// An engine with `keys` plain records of a kilobyte, and twice as many others, all on the disk and in no cache.
fn with_plain_records(dir: &Path, keys: u32) -> Attended<Box<dyn Engine>> {
    let mut engine = Attended::inline(fresh(dir, DiskOptions { flush_bytes: 64 << 10, ..SMALL }));
    for key in 0..keys {
        for kind in [b"plain", b"other", b"third"] {
            let key = [&kind[..], &key.to_be_bytes()].concat();
            engine.put(&key, Bytes::from(vec![1; 1000])).unwrap();
            if kind == b"plain" {
                engine.mark_plain(&key);
            }
        }
        engine.write(u64::from(key) + 1).unwrap();
    }
    engine.rest().unwrap();
    engine
}

fn plain_key(key: u32) -> Vec<u8> {
    [&b"plain"[..], &key.to_be_bytes()].concat()
}

#[test]
fn a_plain_record_is_replaced_and_removed_without_the_device_and_read_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = with_plain_records(dir.path(), 150);
    let only_replaced = |key| Need { key, only_replaced: true };
    for key in 0..150 {
        let [plain, other] = [plain_key(key), [&b"other"[..], &key.to_be_bytes()].concat()];
        assert!(engine.fetch(&[only_replaced(plain.clone())]).is_none(), "{key}");
        assert!(engine.fetch(&needs(std::slice::from_ref(&plain))).is_some(), "{key}: its value");
        assert!(engine.fetch(&[only_replaced(other)]).is_some(), "{key} was not marked");
        assert!(matches!(engine.replaced(&plain).unwrap(), Replaced::Plain), "{key}");
    }
    assert_eq!(engine.stats().waited_reads, 0);
    // Within one batch, whatever has become of it.
    let key = plain_key(7);
    engine.delete(&key).unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Absent));
    engine.put(&key, Bytes::from_static(b"new")).unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Record(found) if &*found == b"new"));
    engine.write(151).unwrap();
    engine.checkpoint();
    engine.rest().unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Record(found) if &*found == b"new"));
    engine.delete(&plain_key(8)).unwrap();
    engine.write(152).unwrap();
    engine.checkpoint();
    engine.rest().unwrap();
    assert!(matches!(engine.replaced(&plain_key(8)).unwrap(), Replaced::Absent));
    assert!(matches!(engine.replaced(&plain_key(9)).unwrap(), Replaced::Plain));
}

#[test]
fn after_a_reset_or_a_restart_nothing_is_plain_that_was_not_marked_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = with_plain_records(dir.path(), 50);
    engine.seal(b"").unwrap();
    drop(engine);
    let mut engine = DiskCellar::new(SMALL).open(dir.path()).unwrap().unwrap();
    assert!(matches!(engine.replaced(&plain_key(7)).unwrap(), Replaced::Record(_)));
    engine.put(&plain_key(7), Bytes::from_static(b"new")).unwrap();
    engine.mark_plain(&plain_key(7));
    engine.write(51).unwrap();
    engine.reset();
    assert!(matches!(engine.replaced(&plain_key(7)).unwrap(), Replaced::Absent));
}

#[test]
fn a_key_that_is_nowhere_is_put_without_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let options = DiskOptions { cache_bytes: 1 << 20, flush_bytes: 64 << 10 };
    let mut engine = Attended::inline(fresh(dir.path(), options));
    let key = |n: u32| [&b"key"[..], &n.to_be_bytes()].concat();
    for n in 0..3_000 {
        engine.put(&key(n), Bytes::from(vec![1; 300])).unwrap();
        engine.write(u64::from(n) + 1).unwrap();
    }
    engine.delete(&key(7)).unwrap();
    engine.write(3_001).unwrap();
    engine.checkpoint();
    engine.rest().unwrap();
    let new: Vec<_> = (10_000..20_000).map(key).collect();
    let only_replaced = |key: &Vec<u8>| Need { key: key.clone(), only_replaced: true };
    let mut fetched = 0;
    for key in &new {
        fetched += usize::from(engine.fetch(&[only_replaced(key)]).is_some());
    }
    assert!(fetched < 200, "{fetched} of 10,000 new keys had to be looked for");
    assert!(engine.fetch(&needs(&new[..1])).is_some(), "the record itself is asked of the device");
    // What is there, or was, is never taken for absent by its filters, however often it is asked for.
    for n in (0..3_000).filter(|n| *n != 7) {
        assert!(engine.fetch(&[only_replaced(&key(n))]).is_some(), "{n}");
    }
    let before = engine.stats().waited_reads;
    for key in &new {
        if engine.fetch(&[only_replaced(key)]).is_none() {
            assert!(matches!(engine.replaced(key).unwrap(), Replaced::Absent));
        }
    }
    assert_eq!(engine.stats().waited_reads, before);
    let mut is_known = |key: &&Vec<u8>| engine.fetch(&[only_replaced(key)]).is_none();
    let key = new.iter().find(&mut is_known).unwrap();
    // Once it is there it is not absent any more: in the open batch, in memory, and behind a flush.
    engine.put(key, Bytes::from_static(b"new")).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Record(_)));
    engine.write(3_002).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Record(_)));
    engine.checkpoint();
    engine.rest().unwrap();
    assert!(engine.fetch(&[only_replaced(key)]).is_some());
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Record(_)));
    // And when it has gone, it is absent again.
    engine.delete(key).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Absent));
    engine.write(3_003).unwrap();
    assert!(matches!(engine.replaced(key).unwrap(), Replaced::Absent));
    assert_eq!(engine.get(key).unwrap().map(Found::into_bytes), None);
}

#[test]
fn what_an_open_batch_has_done_is_no_mark() {
    let dir = tempfile::tempdir().unwrap();
    let (mut engine, _) = cold(dir.path());
    let key = b"plain or absent".to_vec();
    let need = [Need { key: key.clone(), only_replaced: true }];
    engine.put(&key, Bytes::from_static(b"new")).unwrap();
    engine.delete(&key).unwrap();
    assert!(engine.fetch(&need).is_none(), "the overlay knows");
    engine.put(&key, Bytes::from_static(b"newer")).unwrap();
    engine.write(engine.applied() + 1).unwrap();
    assert!(matches!(engine.replaced(&key).unwrap(), Replaced::Record(_)));
    let need = [Need { key: b"elsewhere".to_vec(), only_replaced: true }];
    engine.put(b"other", Bytes::from_static(b"new")).unwrap();
    assert!(engine.fetch(&need).is_some(), "marks are set between batches");
}

#[test]
fn whose_mark_gives_way_to_a_new_key_is_read_ahead() {
    let dir = tempfile::tempdir().unwrap();
    // Room for 6,144 marks, and for all filters.
    let options = DiskOptions { cache_bytes: 256 << 10, flush_bytes: 64 << 10 };
    let mut engine = Attended::inline(fresh(dir.path(), options));
    for key in 0..8_000 {
        engine.put(&plain_key(key), Bytes::from(vec![1; 100])).unwrap();
        engine.mark_plain(&plain_key(key));
        engine.write(u64::from(key) + 1).unwrap();
    }
    engine.checkpoint();
    engine.rest().unwrap();
    for round in 0..50 {
        // One entry replaces old keys and adds many new ones.
        let old = (0..200).map(|n| plain_key(round * 150 + n));
        let new = (0..1_000).map(|n| plain_key(100_000 + round * 1_000 + n));
        let needs: Vec<_> = old.chain(new).map(|key| Need { key, only_replaced: true }).collect();
        let before = engine.stats().waited_reads;
        let mut fetches = 0;
        while let Some(fetch) = engine.fetch(&needs) {
            fetches += 1;
            assert!(fetches < 5, "it never comes to an end");
            assert!(engine.hold(fetch.run()));
        }
        for need in &needs {
            engine.replaced(&need.key).unwrap();
        }
        assert_eq!(engine.stats().waited_reads, before, "round {round}");
        engine.release();
    }
}
