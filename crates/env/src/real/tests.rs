//! The real windows keep their contracts.

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, IoSlice};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::env;
use crate::disk::OpenMode;
use crate::suite;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

#[test]
fn the_real_disk_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    suite::check(&*env().disk, &dir.path().join("below"));
}

#[test]
fn a_full_device_says_so_and_keeps_the_length() {
    let dir = tempfile::tempdir().unwrap();
    let file = env().disk.open(&dir.path().join("file"), OpenMode::CreateNew).unwrap();
    file.write_at(&[IoSlice::new(b"head")], 0).unwrap();
    // More than any disk has; some file systems refuse the size rather than the space.
    let kind = file.allocate(1 << 60).unwrap_err().kind();
    assert!(matches!(kind, ErrorKind::StorageFull | ErrorKind::FileTooLarge), "{kind:?}");
    assert_eq!(file.len().unwrap(), 4);
}

#[test]
fn a_file_without_reserved_blocks_is_filled_with_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file =
        std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let file = super::disk::RealFile(file);
    file.fill(0, 200_001).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), vec![0; 200_001]);
}

#[test]
fn readings_of_two_environments_compare() {
    let (one, other) = (env(), env());
    let first = one.clock.now();
    let second = other.clock.now();
    let third = one.clock.now();
    assert!(first <= second && second <= third);
    // 2020-01-01: the wall clock counts milliseconds since 1970.
    assert!(one.clock.wall_ms() > 1_577_836_800_000);
}

#[test]
fn a_sleep_never_ends_early() {
    run(async {
        let clock = env().clock;
        for micros in [0, 1, 400, 1_700, 3_000] {
            let until = clock.now() + Duration::from_micros(micros);
            clock.sleep_until(until).await;
            assert!(clock.now() >= until, "{micros}");
        }
    });
}

#[test]
fn random_numbers_differ_from_each_other_and_from_run_to_run() {
    let draw = || {
        let rng = env().rng;
        (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>()
    };
    let mut all = [draw(), draw()].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 16);
}

#[test]
fn a_connection_carries_bytes_both_ways_and_its_end() {
    run(async {
        let env = env();
        let mut listener = env.net.listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr();
        assert!(!addr.ends_with(":0"), "{addr}");
        let mut here = env.net.connect(&addr).await.unwrap();
        let mut there = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        assert_eq!(here.peer_addr(), there.local_addr());
        assert_eq!(here.local_addr(), there.peer_addr());
        here.write_all(b"ping").await.unwrap();
        let mut four = [0; 4];
        there.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"ping");
        there.write_all(b"pong").await.unwrap();
        there.shutdown().await.unwrap();
        let mut all = Vec::new();
        here.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"pong");
    });
}

#[test]
fn a_port_is_taken_once_and_free_again_at_once() {
    run(async {
        let env = env();
        let mut listener = env.net.listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr();
        let taken = env.net.listen(&addr).err().map(|error| error.kind());
        assert_eq!(taken, Some(ErrorKind::AddrInUse));
        // A connection that the listener's side closes lingers in TIME_WAIT.
        let here = env.net.connect(&addr).await.unwrap();
        let there = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
        drop((there, listener));
        env.net.listen(&addr).unwrap();
        drop(here);
    });
}

#[test]
fn an_address_that_is_none_is_an_error() {
    run(async {
        assert!(env().net.listen("not an address").is_err());
        assert!(env().net.connect("127.0.0.1").await.is_err());
    });
}

#[test]
fn a_task_runs_beside_its_spawner() {
    run(async {
        let (done, waiting) = tokio::sync::oneshot::channel();
        env().tasks.spawn(Box::pin(async move { done.send(7).unwrap() }));
        assert_eq!(waiting.await.unwrap(), 7);
    });
}

#[test]
fn a_lane_runs_its_jobs_in_order_and_all_before_it_ends() {
    let lane = env().tasks.lane("test lane");
    let (log, logged) = mpsc::channel();
    let start = Arc::new(Barrier::new(2));
    let gate = Arc::clone(&start);
    lane.submit(Box::new(move || {
        gate.wait();
    }));
    for n in 0..1_000 {
        let log = log.clone();
        lane.submit(Box::new(move || log.send(n).unwrap()));
    }
    assert!(logged.try_recv().is_err(), "one at a time");
    start.wait();
    drop((lane, log));
    assert_eq!(logged.iter().collect::<Vec<_>>(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn a_lane_dropped_by_its_own_job_does_not_wait_for_itself() {
    let lane = env().tasks.lane("test lane");
    let (own, owned) = mpsc::channel();
    let (log, logged) = mpsc::channel();
    let later = log.clone();
    lane.submit(Box::new(move || {
        let lane: Box<dyn crate::Lane> = owned.recv().unwrap();
        lane.submit(Box::new(move || later.send("later").unwrap()));
        drop(lane);
        log.send("first").unwrap();
    }));
    own.send(lane).unwrap();
    assert_eq!(logged.iter().collect::<Vec<_>>(), ["first", "later"]);
}

#[test]
#[should_panic(expected = "the lane has ended")]
fn a_lane_whose_job_panicked_takes_no_more() {
    let lane = env().tasks.lane("test lane");
    let (log, logged) = mpsc::channel::<()>();
    lane.submit(Box::new(move || {
        let _dropped_last = log;
        panic!("on purpose");
    }));
    assert!(logged.recv().is_err());
    // The queue closes a moment after the job's own things are gone.
    for _ in 0..1_000_000 {
        lane.submit(Box::new(|| {}));
        std::thread::yield_now();
    }
}
