//! What a crash leaves, and that writes go on behind it.

use super::*;

#[test]
fn a_crash_loses_whole_batches_and_none_that_was_durable() {
    let mut homes: Vec<(usize, tempfile::TempDir)> = Vec::new();
    let homes = std::cell::RefCell::new(&mut homes);
    let cellar = DiskCellar::new(SMALL);
    let attend = |engine, threads| -> Box<dyn Engine> {
        let attended = if threads { Attended::threaded(engine) } else { Attended::inline(engine) };
        Box::new(attended)
    };
    for threads in [false, true] {
        suite::check_reopen(
            &mut || {
                let dir = tempfile::tempdir().unwrap();
                let mut engine = cellar.fresh(dir.path()).unwrap();
                engine.seal(b"note").unwrap();
                homes.borrow_mut().push((0, dir));
                attend(engine, threads)
            },
            &mut |engine| {
                drop(engine);
                let homes = homes.borrow();
                let dir = homes.last().unwrap().1.path();
                let engine = cellar.open(dir).unwrap().expect("it was sealed");
                assert_eq!(engine.note(), b"note");
                attend(engine, threads)
            },
        );
    }
}

/// fjall-rs/fjall#257: after a kill and a reopen, writes halted for ever behind flushes that nobody did.
#[test]
fn writes_go_on_after_any_number_of_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let options = DiskOptions { flush_bytes: 4 * 1024, ..SMALL };
    let cellar = DiskCellar::new(options);
    let mut engine = cellar.fresh(dir.path()).unwrap();
    engine.seal(b"").unwrap();
    for life in 0..12_u64 {
        // Works of the life before are lost half-way: taken, and never done.
        let taken = engine.take_work();
        drop((taken, engine));
        engine = cellar.open(dir.path()).unwrap().unwrap();
        let mut attended = Attended::inline(engine);
        for n in 0..30_u64 {
            let key = format!("key:{}", n * 31 + life);
            attended.put(key.as_bytes(), Bytes::from(vec![1; 500])).unwrap();
            let next = attended.applied() + 1;
            attended.write(next).unwrap();
            assert!(attended.has_room(), "life {life}, write {n}");
        }
        engine = attended.into_inner();
        for n in 0..5_u64 {
            engine.put(&n.to_le_bytes(), Bytes::from(vec![2; 2_000])).unwrap();
            let next = engine.applied() + 1;
            engine.write(next).unwrap();
        }
    }
}
