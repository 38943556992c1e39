//! The executor's lists: tasks by number, and those among them that want to be polled.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use quorate_env::tasks::Task;

use super::host::{HostId, Life};
use super::rng::Chance;
use super::shared::lock;

/// Tasks that were woken, by host.
#[derive(Default)]
pub(crate) struct Ready {
    hosts: BTreeMap<HostId, Vec<u64>>,
}

impl Ready {
    /// Takes one of the ready tasks of hosts that are not paused; which one is up to the seed, for
    /// the real runtime promises no order either.
    fn pick(&mut self, runs: impl Fn(HostId) -> bool, chance: &mut Chance) -> Option<u64> {
        let running = || self.hosts.iter().filter(|(host, _)| runs(**host));
        let count: usize = running().map(|(_, tasks)| tasks.len()).sum();
        let mut index = if count > 1 { chance.index(count) } else { 0 };
        let mut host = None;
        for (id, tasks) in running() {
            if index < tasks.len() {
                host = Some(*id);
                break;
            }
            index -= tasks.len();
        }
        Some(self.hosts.get_mut(&host?)?.swap_remove(index))
    }
}

struct TaskWaker {
    ready: Arc<Mutex<Ready>>,
    host: HostId,
    task: u64,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready).hosts.entry(self.host).or_default().push(self.task);
        }
    }
}

struct Slot {
    life: Arc<Life>,
    /// Its end is the process' end.
    main: bool,
    task: Task,
    mark: Arc<TaskWaker>,
    waker: Waker,
}

/// What came of a poll.
pub(crate) enum Polled {
    /// It waits.
    Waits,
    /// It is done.
    Done { life: Arc<Life>, main: bool },
    /// It panicked.
    Panicked { life: Arc<Life>, message: String },
}

/// All tasks.
pub(crate) struct Executor {
    ready: Arc<Mutex<Ready>>,
    chance: Chance,
    next: u64,
    slots: BTreeMap<u64, Slot>,
}

impl Executor {
    pub(crate) fn new(seed: u64, ready: Arc<Mutex<Ready>>) -> Self {
        Self { ready, chance: Chance::new(seed, "executor"), next: 0, slots: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, life: Arc<Life>, task: Task, main: bool) {
        self.next += 1;
        let mark = Arc::new(TaskWaker {
            ready: Arc::clone(&self.ready),
            host: life.host,
            task: self.next,
            queued: AtomicBool::new(false),
        });
        mark.wake_by_ref();
        let waker = Waker::from(Arc::clone(&mark));
        self.slots.insert(self.next, Slot { life, main, task, mark, waker });
    }

    /// A ready task of a host that `runs`.
    pub(crate) fn pick(&mut self, runs: impl Fn(HostId) -> bool) -> Option<(u64, HostId)> {
        loop {
            let task = lock(&self.ready).pick(&runs, &mut self.chance)?;
            // A waker may outlive its task.
            if let Some(slot) = self.slots.get(&task) {
                return Some((task, slot.life.host));
            }
        }
    }

    pub(crate) fn poll(&mut self, task: u64) -> Polled {
        let Some(slot) = self.slots.get_mut(&task) else { return Polled::Waits };
        slot.mark.queued.store(false, Ordering::Relaxed);
        let mut cx = Context::from_waker(&slot.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| slot.task.as_mut().poll(&mut cx)));
        let (life, main) = (Arc::clone(&slot.life), slot.main);
        match polled {
            Ok(Poll::Pending) => Polled::Waits,
            Ok(Poll::Ready(())) => {
                drop(self.slots.remove(&task));
                Polled::Done { life, main }
            }
            Err(payload) => Polled::Panicked { life, message: panic_message(&*payload) },
        }
    }

    /// Takes out all tasks of a process; dropping them is the caller's business.
    pub(crate) fn take(&mut self, host: HostId) -> Vec<Task> {
        lock(&self.ready).hosts.remove(&host);
        let numbers: Vec<u64> =
            self.slots.iter().filter(|(_, slot)| slot.life.host == host).map(|(n, _)| *n).collect();
        numbers.iter().filter_map(|n| self.slots.remove(n)).map(|slot| slot.task).collect()
    }
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
