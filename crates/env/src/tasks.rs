//! Tasks: futures on the shard's own thread, and lanes for work that blocks.

use std::future::Future;
use std::pin::Pin;

use crate::usage::Usage;

/// A task: it belongs to one shard's thread, so it need not be `Send`.
pub type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A job on a lane.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs blocking jobs off the shard's thread, one after the other, in the order of submission.
///
/// Must: run jobs strictly in order, one at a time; run all that were submitted before it is dropped.
pub trait Lane: Send {
    /// Queues `job`; never blocks.
    ///
    /// Panics when an earlier job has panicked: the lane is dead, and so is what it served.
    fn submit(&self, job: Job);
}

/// Starts tasks and lanes.
pub trait Tasks: Send + Sync {
    /// Runs `task` on the calling shard's thread, beside the caller.
    fn spawn(&self, task: Task);
    /// Opens a lane (a thread in the real environment) called `name`.
    fn lane(&self, name: &str) -> Box<dyn Lane>;
    /// Opens a lane for long work that nobody waits for: where processors are short, all others go first.
    fn background_lane(&self, name: &str) -> Box<dyn Lane> {
        self.lane(name)
    }
    /// What the process that runs all of them has used of its machine; `None` where that is not known, or
    /// means nothing because several nodes share a process (the simulator).
    fn usage(&self) -> Option<Usage> {
        None
    }
}

/// Lets every other ready task run once before it resolves.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
