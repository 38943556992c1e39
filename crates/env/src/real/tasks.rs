//! The machine's threads, and tokio's tasks.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use super::usage;
use crate::tasks::{Job, Lane, Task, Tasks};
use crate::usage::Usage;

/// How much a background lane stands back: a share of about a tenth beside one busy thread.
const BACKGROUND_NICE: i32 = 10;

#[derive(Debug)]
pub(super) struct RealTasks;

/// A thread that runs jobs until its queue is closed.
#[derive(Debug)]
struct RealLane {
    queue: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Tasks for RealTasks {
    fn spawn(&self, task: Task) {
        // Detached: a task ends by itself, or with the runtime.
        drop(tokio::task::spawn_local(task));
    }

    fn lane(&self, name: &str) -> Box<dyn Lane> {
        Box::new(RealLane::start(name, || {}))
    }

    fn background_lane(&self, name: &str) -> Box<dyn Lane> {
        Box::new(RealLane::start(name, || {
            // Of the calling thread alone, on Linux. Where it is refused, the lane is as others are.
            if let Err(error) = rustix::process::setpriority_process(None, BACKGROUND_NICE) {
                tracing::debug!(%error, "a background lane has the priority of all others");
            }
        }))
    }

    fn usage(&self) -> Option<Usage> {
        usage::usage()
    }
}

impl RealLane {
    fn start(name: &str, prepare: impl FnOnce() + Send + 'static) -> Self {
        let (queue, jobs) = channel::<Job>();
        let work = move || {
            prepare();
            jobs.into_iter().for_each(|job| job());
        };
        // A process that can't start a thread at start-up can't do anything.
        let thread =
            thread::Builder::new().name(name.to_owned()).spawn(work).expect("start a thread");
        Self { queue: Some(queue), thread: Some(thread) }
    }
}

impl Lane for RealLane {
    fn submit(&self, job: Job) {
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(job).is_ok());
        // A job that has panicked took its thread with it. Going on as if later ones were run would let
        // their submitters wait for ever; but a panic during a panic would hide the first.
        assert!(sent || thread::panicking(), "the lane has ended: a job on it panicked");
    }
}

impl Drop for RealLane {
    /// Waits until all submitted jobs are done, unless it is one of them that drops the lane.
    fn drop(&mut self) {
        drop(self.queue.take());
        let own = thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != own) {
            // A panic there was reported there.
            drop(thread.join());
        }
    }
}
