//! Hosts and lives: a simulated machine, and one run of a process on it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

/// A simulated machine: a clock, a disk, a network address; at most one process at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u16);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// As by kill -9: the kernel lives on, so written bytes stay, and peers see their connections reset.
    Process,
    /// The plug is pulled: unsynced bytes are at the mercy of the seed, and peers hear nothing.
    Power,
}

/// What stands still during a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// The process, as by SIGSTOP: its clocks run on.
    Process,
    /// The whole machine, as when a VM is moved: its clocks stand still with it.
    Machine,
}

/// Why a process ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its main task returned.
    Exited,
    /// A task or a lane's job panicked.
    Panicked(String),
    /// The power failed at the disk operation that had been chosen.
    PowerFailed,
}

/// One run of a process. All that it holds of the world carries this mark, and turns dead with it.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) host: HostId,
    pub(crate) incarnation: u64,
    dead: AtomicBool,
}

impl Life {
    pub(crate) fn new(host: HostId, incarnation: u64) -> Self {
        Self { host, incarnation, dead: AtomicBool::new(false) }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// From here on nothing that this process does can be seen from outside.
    pub(crate) fn end(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }
}
