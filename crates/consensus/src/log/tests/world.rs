//! The rest of the outside world: a clock that stands still until it is moved, lanes that run their
//! jobs at once or when told, and a log in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_env::clock::Sleep;
use quorate_env::net::Connecting;
use quorate_env::tasks::{Job, Task};
use quorate_env::{Clock, Env, Lane, Listener, Mono, Net, Rng, Tasks};

use super::disk::FaultyDisk;
use crate::id::{GroupId, Index, NodeId, Term};
use crate::log::{Done, HardState, Log, LogBatch, LogConfig, LogEntry, LogError, Recovered};

/// The directory of every log here.
pub(super) const DIR: &str = "/log";
/// The group of tests that need only one.
pub(crate) const GROUP: GroupId = GroupId(1);

#[derive(Default)]
struct StillClock(AtomicU64);

impl Clock for StillClock {
    fn now(&self) -> Mono {
        Mono(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }
    fn wall_ms(&self) -> u64 {
        0
    }
    fn sleep_until(&self, _at: Mono) -> Sleep {
        Box::pin(std::future::pending())
    }
}

struct Counter(AtomicU64);

impl Rng for Counter {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x0101_0101_0101_0101, Ordering::Relaxed)
    }
}

struct NoNet;

impl Net for NoNet {
    fn listen(&self, _addr: &str) -> std::io::Result<Box<dyn Listener>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
    fn connect(&self, _addr: &str) -> Connecting {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }
}

/// Jobs of all lanes, in order of submission.
#[derive(Clone, Default)]
struct Jobs {
    waiting: Arc<Mutex<Vec<Job>>>,
    held: Arc<AtomicBool>,
}

impl Lane for Jobs {
    fn submit(&self, job: Job) {
        if self.held.load(Ordering::Relaxed) {
            self.waiting.lock().unwrap().push(job);
        } else {
            job();
        }
    }
}

impl Tasks for Jobs {
    fn spawn(&self, _task: Task) {}
    fn lane(&self, _name: &str) -> Box<dyn Lane> {
        Box::new(self.clone())
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct World {
    pub(super) disk: FaultyDisk,
    pub(crate) config: LogConfig,
    clock: Arc<StillClock>,
    jobs: Jobs,
    rng: Arc<Counter>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(FaultyDisk::new())
    }

    pub(super) fn on(disk: FaultyDisk) -> Self {
        let config = LogConfig {
            segment_bytes: 4096,
            reserve_bytes: 512,
            retry_after: Duration::from_secs(1),
        };
        let rng = Arc::new(Counter(AtomicU64::new(0x1122_3344_5566_7788)));
        Self { disk, config, clock: Arc::default(), jobs: Jobs::default(), rng }
    }

    pub(super) fn env(&self) -> Env {
        Env {
            clock: Arc::<StillClock>::clone(&self.clock),
            rng: Arc::<Counter>::clone(&self.rng),
            net: Arc::new(NoNet),
            disk: Arc::new(self.disk.clone()),
            tasks: Arc::new(self.jobs.clone()),
        }
    }

    pub(crate) fn open(&self) -> Result<(Log, Recovered), LogError> {
        Log::open(&self.env(), Path::new(DIR), self.config)
    }

    pub(super) fn pass(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap();
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    /// Lanes keep their jobs until [`World::run_job`].
    pub(super) fn hold_jobs(&self) {
        self.jobs.held.store(true, Ordering::Relaxed);
    }

    /// Runs the oldest job of all lanes; false when there is none.
    pub(super) fn run_job(&self) -> bool {
        let mut waiting = self.jobs.waiting.lock().unwrap();
        if waiting.is_empty() {
            return false;
        }
        let job = waiting.remove(0);
        drop(waiting);
        job();
        true
    }

    /// The paths of all segments.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let paths = self.disk.paths().into_iter();
        paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "log")).collect()
    }
}

/// All completions that are there.
pub(super) fn drain(log: &mut Log) -> Vec<Done> {
    let mut done = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(one) = log.poll_done(&mut cx) {
        done.push(one);
    }
    done
}

/// An entry whose data follows from index, term and size.
pub(super) fn entry(index: u64, term: u64, bytes: usize) -> LogEntry {
    let seed = u8::try_from((index * 31 + term * 7) % 251).unwrap() + 1;
    let data = vec![seed; bytes].into();
    LogEntry { index: Index(index), term: Term(term), kind: 9, data }
}

/// Entries `from..to` of `term`, awaited.
pub(super) fn entries(from: u64, to: u64, term: u64) -> LogBatch {
    let entries = (from..to).map(|index| entry(index, term, 40)).collect();
    LogBatch { group: GROUP, entries, sync: true, ..LogBatch::default() }
}

/// A hard state, awaited.
pub(super) fn hard(term: u64, vote: u64, commit: u64) -> LogBatch {
    let state = HardState { term: Term(term), vote: NodeId(vote), commit: Index(commit) };
    LogBatch { group: GROUP, hard_state: Some(state), sync: true, ..LogBatch::default() }
}

/// Writes a batch and expects it to become durable.
pub(crate) fn write(log: &mut Log, batch: LogBatch) {
    let ticket = log.submit(batch).unwrap();
    let done = drain(log);
    assert!(done.iter().any(|done| done.ticket == ticket && done.result.is_ok()), "{done:?}");
}

/// All entries of a group.
pub(super) fn read(log: &Log, group: GroupId) -> Vec<LogEntry> {
    let (first, next) = (log.first_index(group), log.last_index(group).next());
    let mut all: Vec<LogEntry> = Vec::new();
    let mut at = first;
    while at < next {
        let some = log.entries(group, at, next, 1 << 20).unwrap();
        at = some.last().unwrap().index.next();
        all.extend(some);
    }
    all
}
