//! What a world's executor shares with the windows that its processes look through.
//!
//! All of it runs on one thread; the locks are there because the windows are `Send + Sync` by contract.
//! Order matters: nothing is woken and no waker, task or job is dropped while a lock is held, for
//! either may run foreign code that comes back here. Where two locks are needed, they are taken in
//! the order of the fields.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Clocks;
use super::disk::Disks;
use super::executor::Ready;
use super::host::{Ending, HostId};
use super::net::Wire;
use super::rng::Chance;
use super::time::SimTime;
use super::timeline::{Event, Place, Timeline};
use super::trace::{Recording, Trace};

/// The parts of a world.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    now: AtomicU64,
    pub(crate) wire: Mutex<Wire>,
    pub(crate) disks: Mutex<Disks>,
    pub(crate) clocks: Mutex<Clocks>,
    pub(crate) lanes: Mutex<Chance>,
    pub(crate) timeline: Mutex<Timeline>,
    pub(crate) endings: Mutex<VecDeque<(HostId, Ending)>>,
    /// The host whose code runs.
    pub(crate) current: Mutex<Option<HostId>>,
    pub(crate) trace: Mutex<Trace>,
    /// What the real code said, and how often.
    pub(crate) said: Mutex<BTreeMap<String, u64>>,
    pub(crate) ready: Arc<Mutex<Ready>>,
}

impl Shared {
    pub(crate) fn new(seed: u64, recording: Recording) -> Self {
        Self {
            seed,
            now: AtomicU64::new(0),
            wire: Mutex::new(Wire::new(seed)),
            disks: Mutex::new(Disks::new(seed)),
            clocks: Mutex::new(Clocks::new(seed)),
            lanes: Mutex::new(Chance::new(seed, "lanes")),
            timeline: Mutex::default(),
            endings: Mutex::default(),
            current: Mutex::default(),
            trace: Mutex::new(Trace::new(seed, recording)),
            said: Mutex::default(),
            ready: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> SimTime {
        SimTime(self.now.load(Ordering::Relaxed))
    }

    /// Invariant: time never goes backwards.
    pub(crate) fn advance_to(&self, at: SimTime) {
        self.now.fetch_max(at.0, Ordering::Relaxed);
    }

    pub(crate) fn schedule(&self, after: Duration, event: Event) -> Place {
        lock(&self.timeline).insert(self.now() + after, event)
    }

    /// As [`Shared::event`], of what is too small for a story.
    pub(crate) fn detail(&self, host: Option<HostId>, what: fmt::Arguments<'_>) {
        lock(&self.trace).detail(self.now(), host, what);
    }

    pub(crate) fn event(&self, host: Option<HostId>, what: fmt::Arguments<'_>) {
        lock(&self.trace).event(self.now(), host, what);
    }
}

/// Locks; a panic elsewhere on this thread is reported as such, not a second time from here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
