//! Tasks and lanes of simulated processes.
//!
//! A task need not be `Send`, the window through which it is spawned must be: so a spawned task
//! waits in a list of this thread until the executor, on the same thread, takes it after the poll.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_env::tasks::{Job, Task};
use quorate_env::{Lane, Tasks};

use super::host::Life;
use super::shared::{Shared, lock};
use super::timeline::Event;

thread_local! {
    static SPAWNED: RefCell<Vec<Spawned>> = const { RefCell::new(Vec::new()) };
}

/// A task on its way to the executor.
pub(crate) struct Spawned {
    pub(crate) world: Arc<Shared>,
    pub(crate) life: Arc<Life>,
    pub(crate) task: Task,
}

/// The tasks that were spawned on this thread for `world`.
pub(crate) fn take_spawned(world: &Arc<Shared>) -> Vec<Spawned> {
    SPAWNED.with_borrow_mut(|spawned| {
        if spawned.is_empty() {
            return Vec::new();
        }
        spawned.extract_if(.., |it| Arc::ptr_eq(&it.world, world)).collect()
    })
}

/// A process' way to start tasks.
pub(crate) struct SimTasks {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
}

impl Tasks for SimTasks {
    fn spawn(&self, task: Task) {
        if self.life.is_dead() {
            return;
        }
        let (world, life) = (Arc::clone(&self.shared), Arc::clone(&self.life));
        SPAWNED.with_borrow_mut(|spawned| spawned.push(Spawned { world, life, task }));
    }

    fn lane(&self, name: &str) -> Box<dyn Lane> {
        let queue = LaneQueue {
            name: name.to_owned(),
            branch: format!("beside the loop: {name}"),
            life: Arc::clone(&self.life),
            waiting: Mutex::default(),
        };
        Box::new(SimLane { shared: Arc::clone(&self.shared), queue: Arc::new(queue) })
    }
}

/// A lane's jobs. It outlives its handle until all of them have run, or the process dies.
pub(crate) struct LaneQueue {
    pub(crate) name: String,
    /// What its jobs count as.
    pub(crate) branch: String,
    pub(crate) life: Arc<Life>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// An event for the first job is on the timeline, or the job before it runs right now.
    busy: bool,
}

impl LaneQueue {
    /// Takes the first job, if it may still run.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        if !self.life.is_dead() {
            return waiting.jobs.pop_front();
        }
        let vanished = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        drop(vanished);
        None
    }

    /// After a job: true when another one waits.
    pub(crate) fn goes_on(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.busy = !waiting.jobs.is_empty();
        waiting.busy
    }
}

struct SimLane {
    shared: Arc<Shared>,
    queue: Arc<LaneQueue>,
}

impl Lane for SimLane {
    fn submit(&self, job: Job) {
        if self.queue.life.is_dead() {
            return;
        }
        let was_busy = {
            let mut waiting = lock(&self.queue.waiting);
            waiting.jobs.push_back(job);
            std::mem::replace(&mut waiting.busy, true)
        };
        if !was_busy {
            self.shared.schedule_job(&self.queue);
        }
    }
}

impl Shared {
    /// A job takes its time *before* it runs, and then runs in one moment: what it does becomes visible
    /// at the end of its latency, as of a system call.
    pub(crate) fn schedule_job(&self, lane: &Arc<LaneQueue>) {
        let slowness = lock(&self.disks).slowness(lane.life.host);
        let delay = {
            let mut chance = lock(&self.lanes);
            // Mostly quick, now and then as slow as a device that is busy with others.
            if chance.one_in(50) { chance.within(2_000..20_000) } else { chance.within(30..600) }
        };
        self.schedule(Duration::from_micros(delay) * slowness, Event::Job(Arc::clone(lane)));
    }
}
