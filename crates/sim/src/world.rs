//! The world: simulated machines on one thread, from one seed, with a time of their own.
//!
//! A [`World`] holds hosts; a host runs at most one process at a time, and a process sees only its
//! [`Env`]. Events happen in the order of their time; among tasks that are ready at once, the seed
//! chooses. Nothing here knows what a process does. What the world is asked to do to a process
//! (kill, pause, cut, ...) happens between two steps, never in the middle of a poll, except for a
//! power failure placed at a disk operation.

mod clock;
pub mod disk;
mod executor;
pub mod host;
mod logs;
pub mod net;
mod overlap;
pub mod rng;
mod shared;
mod tasks;
#[cfg(test)]
mod tests;
pub mod time;
mod timeline;
pub mod trace;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use quorate_env::tasks::Task;
use quorate_env::{Clock, Env, Mono};

use self::clock::SimClock;
pub use self::disk::DiskControl;
use self::disk::SimDisk;
use self::executor::{Executor, Polled, panic_message};
use self::host::Life;
pub use self::host::{Ending, HostId, Kill, Pause};
use self::net::{SimNet, WireControl};
pub use self::rng::Chance;
use self::rng::SimRng;
use self::shared::{Shared, lock};
use self::tasks::{LaneQueue, SimTasks, take_spawned};
pub use self::time::SimTime;
use self::timeline::Event;
pub use self::trace::Recording;

/// What a poll costs: so that even a loop that only yields gets on in time.
const POLL_COST: Duration = Duration::from_nanos(500);

fn count(shared: &Shared, branch: &str) {
    let mut said = lock(&shared.said);
    match said.get_mut(branch) {
        Some(times) => *times += 1,
        None => {
            said.insert(branch.to_owned(), 1);
        }
    }
}

/// Reads the world's own time from within a task: for those who write the book, not for nodes.
#[derive(Clone)]
pub struct Now(Source);

#[derive(Clone)]
enum Source {
    World(Arc<Shared>),
    Machine { clock: Arc<dyn Clock>, since: Mono },
}

impl Now {
    /// The time of this machine, for clients of real processes: from now on. Nothing is counted or told.
    pub fn of_machine(clock: Arc<dyn Clock>) -> Self {
        let since = clock.now();
        Self(Source::Machine { clock, since })
    }

    /// The world's own time.
    pub fn get(&self) -> SimTime {
        match &self.0 {
            Source::World(shared) => shared.now(),
            Source::Machine { clock, since } => SimTime::ZERO + clock.now().since(*since),
        }
    }

    /// Counts that a branch was reached.
    pub fn count(&self, branch: &str) {
        if let Source::World(shared) = &self.0 {
            count(shared, branch);
        }
    }

    /// Adds a line to the story of whoever runs now.
    pub fn tell(&self, what: &str) {
        if let Source::World(shared) = &self.0 {
            let host = *lock(&shared.current);
            lock(&shared.trace).log(self.get(), host, what);
        }
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Now({})", self.get())
    }
}

/// Polls without a moment of rest after which whoever is polled is said to spin.
const POLLS_MAX: u64 = 200_000;

/// Events and polls of a whole run; beyond it nothing happens any more. A run of a minute needs some
/// ten thousand, a message that begets two messages any number.
const STEPS_MAX: u64 = 3_000_000;
const _: () = assert!(POLLS_MAX < STEPS_MAX);

struct Machine {
    name: String,
    incarnations: u64,
    /// The process that runs.
    life: Option<Arc<Life>>,
    paused: Option<(SimTime, Pause)>,
    /// Lanes whose jobs were due meanwhile.
    parked: Vec<Arc<LaneQueue>>,
}

/// Everything that there is.
pub struct World {
    shared: Arc<Shared>,
    executor: Executor,
    machines: BTreeMap<HostId, Machine>,
    /// Polls since everybody last waited.
    polls: u64,
    /// Events and polls so far.
    steps: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World(seed {}, at {})", self.shared.seed, self.now())
    }
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, recording: Recording) -> Self {
        let shared = Arc::new(Shared::new(seed, recording));
        let executor = Executor::new(seed, Arc::clone(&shared.ready));
        Self { shared, executor, machines: BTreeMap::new(), polls: 0, steps: 0 }
    }

    /// Adds a machine; nothing runs on it yet. It is reachable by `name`.
    pub fn add_host(&mut self, name: &str) -> HostId {
        let number = u16::try_from(self.machines.len() + 1).unwrap_or(u16::MAX);
        let host = HostId(number);
        lock(&self.shared.clocks).add(host);
        lock(&self.shared.disks).add(host);
        lock(&self.shared.wire).add(host, name);
        self.shared.event(Some(host), format_args!("is {name}"));
        let machine = Machine {
            name: name.to_owned(),
            incarnations: 0,
            life: None,
            paused: None,
            parked: Vec::new(),
        };
        self.machines.insert(host, machine);
        host
    }

    /// The host's name.
    pub fn name(&self, host: HostId) -> &str {
        self.machines.get(&host).map_or("nobody", |machine| &machine.name)
    }

    /// The world's own time.
    pub fn now(&self) -> SimTime {
        self.shared.now()
    }

    /// A reader of the world's own time.
    pub fn clock(&self) -> Now {
        Now(Source::World(Arc::clone(&self.shared)))
    }

    /// The seed's stream called `label`, for whoever plays this world.
    pub fn chance(&self, label: &str) -> Chance {
        Chance::new(self.shared.seed, label)
    }

    /// True while a process runs on `host`.
    pub fn is_up(&self, host: HostId) -> bool {
        self.machines.get(&host).is_some_and(|machine| machine.life.is_some())
    }

    /// The window of the process that runs on `host`; for tests that need one from outside.
    pub fn env(&self, host: HostId) -> Option<Env> {
        let life = self.machines.get(&host)?.life.as_ref()?;
        Some(self.env_of(life))
    }

    fn env_of(&self, life: &Arc<Life>) -> Env {
        let (shared, life) = (&self.shared, life);
        Env {
            clock: Arc::new(SimClock { shared: Arc::clone(shared), life: Arc::clone(life) }),
            rng: Arc::new(SimRng::new(shared.seed, life)),
            net: Arc::new(SimNet { shared: Arc::clone(shared), life: Arc::clone(life) }),
            disk: Arc::new(SimDisk { shared: Arc::clone(shared), life: Arc::clone(life) }),
            tasks: Arc::new(SimTasks { shared: Arc::clone(shared), life: Arc::clone(life) }),
        }
    }

    /// Starts a process on `host`, whose main task `main` makes of its window; a process that runs
    /// there is killed first. When the main task returns, the process has exited.
    pub fn start(&mut self, host: HostId, main: impl FnOnce(Env) -> Task) {
        self.kill(host, Kill::Process);
        let Some(machine) = self.machines.get_mut(&host) else { return };
        machine.incarnations += 1;
        let life = Arc::new(Life::new(host, machine.incarnations));
        machine.life = Some(Arc::clone(&life));
        let timers = {
            let mut clocks = lock(&self.shared.clocks);
            clocks.restart(host, &mut lock(&self.shared.timeline))
        };
        drop(timers);
        self.shared.host_up(host);
        self.shared.event(Some(host), format_args!("start {}", life.incarnation));
        let env = self.env_of(&life);
        *lock(&self.shared.current) = Some(host);
        let made = catch_unwind(AssertUnwindSafe(|| main(env)));
        *lock(&self.shared.current) = None;
        match made {
            Ok(task) => self.executor.add(life, task, true),
            Err(payload) => self.end(&life, Ending::Panicked(panic_message(&*payload))),
        }
        self.take_spawned();
    }

    /// Ends the process on `host` at once: its tasks are dropped, its lanes' jobs vanish, its
    /// connections break as `how` says, and `Kill::Power` takes what was not synced.
    pub fn kill(&mut self, host: HostId, how: Kill) {
        let Some(life) = self.machines.get_mut(&host).and_then(|machine| machine.life.take())
        else {
            return;
        };
        self.shared.event(Some(host), format_args!("kill {how:?}"));
        self.tear_down(&life, how);
    }

    /// The power of `host` fails also when no process runs there: what an exited process left
    /// unsynced is lost as well.
    pub fn power_off(&mut self, host: HostId) {
        if self.is_up(host) {
            self.kill(host, Kill::Power);
        } else {
            self.shared.power_failed(host);
        }
    }

    fn tear_down(&mut self, life: &Arc<Life>, how: Kill) {
        life.end();
        let host = life.host;
        self.unpause(host);
        if how == Kill::Power {
            self.shared.power_failed(host);
        }
        lock(&self.shared.disks).release_locks(host);
        self.shared.host_down(host, how);
        let timers = {
            let mut clocks = lock(&self.shared.clocks);
            clocks.restart(host, &mut lock(&self.shared.timeline))
        };
        drop(timers);
        // Destructors of the process' own code run here; whatever they try is refused.
        let tasks = self.executor.take(host);
        if catch_unwind(AssertUnwindSafe(|| drop(tasks))).is_err() {
            self.shared.event(Some(host), format_args!("a destructor panicked"));
        }
        self.take_spawned();
    }

    /// Lets nothing run on `host` for `duration`, or for longer where it stands still for longer anyhow. The wire goes
    /// on: its kernel still answers.
    pub fn pause(&mut self, host: HostId, duration: Duration, what: Pause) {
        let until = self.now() + duration;
        let paused = self.machines.get(&host).and_then(|machine| machine.paused);
        if paused.is_some_and(|(end, _)| end >= until) {
            return;
        }
        self.shared.event(Some(host), format_args!("pause {what:?} until {until}"));
        self.unpause(host);
        if let Some(machine) = self.machines.get_mut(&host) {
            machine.paused = Some((until, what));
            self.shared.set_frozen(host, what == Pause::Machine);
            self.shared.schedule(duration, Event::Resume(host));
        }
    }

    /// Lets nothing run anywhere for `duration`. Clocks run on, but for those that stand still for longer already.
    pub fn rest(&mut self, duration: Duration) {
        let running = self.machines.iter().filter(|(_, machine)| machine.life.is_some());
        for host in running.map(|(host, _)| *host).collect::<Vec<_>>() {
            self.pause(host, duration, Pause::Process);
        }
    }

    /// Ends a pause.
    pub fn resume(&mut self, host: HostId) {
        self.unpause(host);
    }

    fn unpause(&mut self, host: HostId) {
        if let Some(machine) = self.machines.get_mut(&host)
            && machine.paused.take().is_some()
        {
            let parked = std::mem::take(&mut machine.parked);
            self.shared.set_frozen(host, false);
            for lane in parked {
                self.shared.schedule(POLL_COST, Event::Job(lane));
            }
        }
    }

    /// Whatever ended without being told to since the last call.
    pub fn take_ending(&mut self) -> Option<(HostId, Ending)> {
        lock(&self.shared.endings).pop_front()
    }

    /// Lets time pass until `until`, or until a process ends on its own. Returns true in the first case.
    pub fn run_until(&mut self, until: SimTime) -> bool {
        self.run_until_or(until, || false)
    }

    /// The same, or until `noticed`, which is asked after each event and each poll.
    pub fn run_until_or(&mut self, until: SimTime, noticed: impl Fn() -> bool) -> bool {
        while lock(&self.shared.endings).is_empty() && !noticed() {
            if !self.step(until) {
                self.shared.advance_to(until);
                return true;
            }
        }
        false
    }

    /// True when more has happened than in any sane run; time then passes without anything happening.
    pub fn is_exhausted(&self) -> bool {
        self.steps >= STEPS_MAX
    }

    /// Events and polls so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// As [`World::run_until`], from now.
    pub fn run_for(&mut self, duration: Duration) -> bool {
        self.run_until(self.now() + duration)
    }

    /// The next thing, unless it is later than `until`.
    fn step(&mut self, until: SimTime) -> bool {
        if self.now() > until || self.is_exhausted() {
            return false;
        }
        self.steps += 1;
        let due = lock(&self.shared.timeline).pop_due(self.now());
        if let Some(event) = due {
            self.happen(event);
            return true;
        }
        let machines = &self.machines;
        let runs = |host| machines.get(&host).is_some_and(|it| it.paused.is_none());
        if let Some((task, host)) = self.executor.pick(runs) {
            lock(&self.shared.trace).count(task);
            self.polls += 1;
            self.poll(task, host);
            self.shared.advance_to(self.now() + POLL_COST);
            if self.polls > POLLS_MAX {
                self.end_spinning(host);
            }
            return true;
        }
        self.polls = 0;
        let next = lock(&self.shared.timeline).next_at().filter(|at| *at <= until);
        next.is_some_and(|at| {
            self.shared.advance_to(at);
            true
        })
    }

    fn poll(&mut self, task: u64, host: HostId) {
        *lock(&self.shared.current) = Some(host);
        let polled = self.executor.poll(task);
        *lock(&self.shared.current) = None;
        match polled {
            Polled::Waits | Polled::Done { main: false, .. } => {}
            Polled::Done { life, main: true } => self.end(&life, Ending::Exited),
            Polled::Panicked { life, message } => self.end(&life, Ending::Panicked(message)),
        }
        self.take_spawned();
        self.end_powerless(host);
    }

    fn take_spawned(&mut self) {
        // Dropping a task may spawn another one.
        loop {
            let spawned = take_spawned(&self.shared);
            if spawned.is_empty() {
                return;
            }
            for it in spawned {
                if !it.life.is_dead() {
                    self.executor.add(it.life, it.task, false);
                }
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Timers(host) => {
                let due = {
                    let mut clocks = lock(&self.shared.clocks);
                    clocks.due(host, self.now(), &mut lock(&self.shared.timeline))
                };
                due.into_iter().for_each(std::task::Waker::wake);
            }
            Event::Job(lane) => self.run_job(&lane),
            Event::Resume(host) => {
                let paused = self.machines.get(&host).and_then(|machine| machine.paused);
                if paused.is_some_and(|(until, _)| until <= self.now()) {
                    self.shared.event(Some(host), format_args!("resume"));
                    self.unpause(host);
                }
            }
            Event::Wire(event) => self.shared.wire_event(event),
        }
    }

    fn run_job(&mut self, lane: &Arc<LaneQueue>) {
        let host = lane.life.host;
        if let Some(machine) = self.machines.get_mut(&host).filter(|it| it.paused.is_some()) {
            return machine.parked.push(Arc::clone(lane));
        }
        let Some(job) = lane.next() else { return };
        count(&self.shared, &lane.branch);
        self.shared.detail(Some(host), format_args!("job {}", lane.name));
        *lock(&self.shared.current) = Some(host);
        let done = catch_unwind(AssertUnwindSafe(job));
        *lock(&self.shared.current) = None;
        if let Err(payload) = done {
            self.end(&lane.life, Ending::Panicked(panic_message(&*payload)));
        }
        self.take_spawned();
        self.end_powerless(host);
        if lane.goes_on() {
            self.shared.schedule_job(lane);
        }
    }

    /// The process ended by itself.
    fn end(&mut self, life: &Arc<Life>, ending: Ending) {
        if life.is_dead() {
            return;
        }
        self.shared.event(Some(life.host), format_args!("ended: {ending:?}"));
        lock(&self.shared.endings).push_back((life.host, ending));
        if let Some(machine) = self.machines.get_mut(&life.host) {
            machine.life = None;
        }
        self.tear_down(life, Kill::Process);
    }

    fn end_spinning(&mut self, host: HostId) {
        self.polls = 0;
        let life = self.machines.get(&host).and_then(|machine| machine.life.clone());
        if let Some(life) = life {
            self.end(&life, Ending::Panicked("it never waits for anything".to_owned()));
        }
    }

    /// The power of `host` may have failed in the midst of what just ran; the disk has then already
    /// lost what it had to lose.
    fn end_powerless(&mut self, host: HostId) {
        if !lock(&self.shared.disks).take_power_failure(host) {
            return;
        }
        let Some(life) = self.machines.get_mut(&host).and_then(|it| it.life.take()) else { return };
        self.shared.event(Some(host), format_args!("ended: power failed"));
        lock(&self.shared.endings).push_back((host, Ending::PowerFailed));
        self.tear_down(&life, Kill::Power);
    }

    /// The wire, to cut and heal it.
    pub fn wire(&self) -> WireControl<'_> {
        WireControl::new(&self.shared)
    }

    /// The disk of `host`, to harm it.
    pub fn disk(&self, host: HostId) -> DiskControl<'_> {
        DiskControl::new(&self.shared, host)
    }

    /// Makes `host`'s clocks run at another rate, in millionths; at minus a million they stand still.
    pub fn set_clock_rate(&self, host: HostId, ppm: i64) {
        self.shared.event(Some(host), format_args!("clock rate {ppm} ppm"));
        self.shared.bend_clock(host, ppm);
    }

    /// Takes back what [`World::set_clock_rate`] did with the same `ppm`, once.
    pub fn take_clock_rate_back(&self, host: HostId, ppm: i64) {
        self.shared.event(Some(host), format_args!("clock rate no longer {ppm} ppm"));
        self.shared.unbend_clock(host, ppm);
    }

    /// Makes `host`'s wall clock jump.
    pub fn jump_clock(&self, host: HostId, ms: i64) {
        self.shared.event(Some(host), format_args!("wall clock jumps {ms} ms"));
        self.shared.jump_wall(host, ms);
    }

    /// Takes back what [`World::jump_clock`] did with the same `ms`, once.
    pub fn take_clock_jump_back(&self, host: HostId, ms: i64) {
        self.shared.event(Some(host), format_args!("wall clock jumps {ms} ms back"));
        self.shared.unjump_wall(host, ms);
    }

    /// Sets `host`'s wall clock right, and its rate.
    pub fn set_clock_right(&self, host: HostId) {
        self.shared.set_clock_right(host);
    }

    /// Adds a line to the trace.
    pub fn note(&self, host: Option<HostId>, what: &str) {
        self.shared.event(host, format_args!("{what}"));
    }

    /// What the real code logged and what else was counted, and how often.
    pub fn take_branches(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *lock(&self.shared.said))
    }

    /// The digest of all that happened.
    pub fn digest(&self) -> u64 {
        lock(&self.shared.trace).digest()
    }

    /// How many lines the trace has (also when they are not kept).
    pub fn trace_lines(&self) -> u64 {
        lock(&self.shared.trace).lines()
    }

    /// The text of the trace, when it is recorded.
    pub fn trace_text(&self) -> String {
        lock(&self.shared.trace).text().to_owned()
    }

    /// Until dropped, what the real code logs on this thread goes into the trace, if that is recorded.
    pub fn capture_logs(&self) -> tracing::subscriber::DefaultGuard {
        logs::capture(&self.shared)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let hosts: Vec<HostId> = self.machines.keys().copied().collect();
        for host in hosts {
            self.kill(host, Kill::Process);
        }
        // Events hold lanes, which hold windows, which hold the world: cut the ring.
        let timeline = std::mem::take(&mut *lock(&self.shared.timeline));
        drop(timeline);
    }
}
