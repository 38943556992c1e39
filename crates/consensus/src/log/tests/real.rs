//! The log on a real disk and a real lane: that the seams fit, and what a write costs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use quorate_env::{Disk, Env};

use super::world::{GROUP, entries, entry, read};
use crate::id::Index;
use crate::log::{Done, Log, LogBatch, LogConfig};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A directory that goes with its value.
struct Directory(PathBuf, Arc<dyn Disk>);

impl Directory {
    fn new(name: &str, env: &Env) -> Self {
        let name = format!("quorate-log-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name), Arc::clone(&env.disk))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        for name in self.1.list(&self.0).unwrap_or_default() {
            self.1.remove(&self.0.join(name)).unwrap_or_default();
        }
        std::fs::remove_dir(&self.0).unwrap_or_default();
    }
}

fn next_done(log: &mut Log) -> Done {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match log.poll_done(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn open(env: &Env, dir: &Path) -> Log {
    let config =
        LogConfig { segment_bytes: 1 << 20, reserve_bytes: 1 << 16, ..LogConfig::default() };
    Log::open(env, dir, config).unwrap().0
}

#[test]
fn a_log_on_a_real_disk_survives_a_restart() {
    let env = quorate_env::real::env();
    let dir = Directory::new("restart", &env);
    let mut log = open(&env, &dir.0);
    for index in 1..20 {
        let data = vec![u8::try_from(index).unwrap(); 200_000].into();
        let one = crate::log::LogEntry { data, ..entry(index, 1, 0) };
        let ticket = log.submit(LogBatch { entries: vec![one], ..entries(1, 1, 1) }).unwrap();
        let done = next_done(&mut log);
        assert_eq!((done.ticket, done.result), (ticket, Ok(())));
    }
    assert!(log.stats().segments > 3);
    let before = read(&log, GROUP);
    drop(log);
    let log = open(&env, &dir.0);
    assert_eq!(read(&log, GROUP), before);
    assert_eq!(log.last_index(GROUP), Index(19));
}

/// `cargo test --release -p quorate-consensus -- --ignored --nocapture cost_of_a_write`
#[test]
#[ignore = "a measurement"]
fn cost_of_a_write() {
    let env = quorate_env::real::env();
    let dir = Directory::new("cost", &env);
    let (mut log, _) = Log::open(&env, &dir.0, LogConfig::default()).unwrap();
    let mut next = 1;
    for (rounds, batch) in [(500, 1), (500, 25), (100, 1000)] {
        let started = env.clock.now();
        for _ in 0..rounds {
            log.submit(entries(next, next + batch, 1)).unwrap();
            next += batch;
            assert!(next_done(&mut log).result.is_ok());
        }
        let took = env.clock.now().since(started) / rounds;
        let (last, p99) = (log.stats().fsync_last, log.stats().fsync_p99);
        println!("{batch} entries per write: {took:?} each (fsync last {last:?}, p99 {p99:?})");
    }
}
