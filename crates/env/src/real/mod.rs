//! The real windows: the machine's clock, entropy, sockets, disk and threads.

mod clock;
mod disk;
mod net;
mod rng;
mod shard;
mod tasks;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;

pub use shard::{Shard, shard};

use crate::Env;

/// The real environment. Its tasks, timers and sockets need a tokio `current_thread` runtime with a
/// `LocalSet` around the calls.
pub fn env() -> Env {
    Env {
        clock: Arc::new(clock::RealClock),
        rng: Arc::new(rng::RealRng::default()),
        net: Arc::new(net::RealNet),
        disk: Arc::new(disk::RealDisk),
        tasks: Arc::new(tasks::RealTasks),
    }
}
