//! Clocks: each host has its own, which starts anywhere, drifts, jumps and stands still.
//!
//! A host's *elapsed* time is the world's time bent by the host's rate. The monotonic reading is that
//! plus an origin drawn anew for every process (so that comparing the readings of two processes
//! fails at once); the wall reading is that plus the epoch plus an offset that may jump.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_env::clock::Sleep;
use quorate_env::{Clock, Mono};

use super::host::{HostId, Life};
use super::overlap::Overlap;
use super::rng::Chance;
use super::shared::{Shared, lock};
use super::time::{SimTime, nanos};
use super::timeline::{Event, Place, Timeline};

/// When the world begins, in Unix milliseconds.
const EPOCH_MS: u64 = 1_790_000_000_000;
const MILLION: i128 = 1_000_000;

type TimerKey = (u64, u64);

struct HostClock {
    /// The world's time at the last change of rate, and the host's elapsed time then.
    since: SimTime,
    elapsed: u64,
    rates: Overlap<i64>,
    frozen: bool,
    origin: u64,
    wall_offset_ms: i64,
    /// Jumps that were not taken back.
    jumps: Overlap<i64>,
    /// By elapsed time.
    timers: BTreeMap<TimerKey, Waker>,
    armed: Option<Place>,
}

impl HostClock {
    /// By how many millionths it is too fast: where several faults would have it otherwise, the last one has its way.
    fn rate_ppm(&self) -> i64 {
        self.rates.iter().next_back().unwrap_or(0)
    }

    /// As a good NTP server would, but for jumps that last: the right time.
    fn set_wall(&mut self, now: SimTime) {
        let behind = i128::from(now.0) - i128::from(self.elapsed);
        let jumps: i64 = self.jumps.iter().sum();
        self.wall_offset_ms = i64::try_from(behind / MILLION).unwrap_or(0) + jumps;
    }

    fn elapsed(&self, now: SimTime) -> u64 {
        if self.frozen {
            return self.elapsed;
        }
        let real = i128::from(now.0.saturating_sub(self.since.0));
        let bent = real * (MILLION + i128::from(self.rate_ppm())) / MILLION;
        self.elapsed.saturating_add(u64::try_from(bent).unwrap_or(0))
    }

    /// The first moment of the world at which `elapsed` is reached.
    fn when(&self, elapsed: u64) -> SimTime {
        let bent = i128::from(elapsed.saturating_sub(self.elapsed));
        let rate = MILLION + i128::from(self.rate_ppm());
        if rate == 0 && bent > 0 {
            return SimTime(u64::MAX);
        }
        let real = (bent * MILLION + rate - 1) / rate.max(1);
        SimTime(self.since.0.saturating_add(u64::try_from(real).unwrap_or(u64::MAX)))
    }

    fn rebase(&mut self, now: SimTime) {
        self.elapsed = self.elapsed(now);
        self.since = now;
    }

    /// Keeps exactly one event for the first timer.
    fn arm(&mut self, host: HostId, timeline: &mut Timeline) {
        let first = self.timers.first_key_value().map(|(key, _)| key.0).filter(|_| !self.frozen);
        let at = first.map(|elapsed| self.when(elapsed));
        if at == self.armed.map(|place| place.at) {
            return;
        }
        if let Some(place) = self.armed.take() {
            timeline.remove(place);
        }
        self.armed = at.map(|at| timeline.insert(at, Event::Timers(host)));
    }
}

/// All clocks.
pub(crate) struct Clocks {
    chance: Chance,
    sequence: u64,
    hosts: BTreeMap<HostId, HostClock>,
}

impl Clocks {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance::new(seed, "clocks"), sequence: 0, hosts: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, host: HostId) {
        let clock = HostClock {
            since: SimTime::ZERO,
            elapsed: 0,
            rates: Overlap::default(),
            frozen: false,
            origin: 0,
            wall_offset_ms: 0,
            jumps: Overlap::default(),
            timers: BTreeMap::new(),
            armed: None,
        };
        self.hosts.insert(host, clock);
    }

    /// A process starts: its monotonic clock gets another origin. Returns timers to drop unlocked.
    pub(crate) fn restart(&mut self, host: HostId, timeline: &mut Timeline) -> Vec<Waker> {
        let origin = self.chance.below(1 << 50);
        let Some(clock) = self.hosts.get_mut(&host) else { return Vec::new() };
        clock.origin = origin;
        let dropped = std::mem::take(&mut clock.timers).into_values().collect();
        clock.arm(host, timeline);
        dropped
    }

    /// The wakers of timers that are due.
    pub(crate) fn due(
        &mut self,
        host: HostId,
        now: SimTime,
        timeline: &mut Timeline,
    ) -> Vec<Waker> {
        let Some(clock) = self.hosts.get_mut(&host) else { return Vec::new() };
        clock.armed = None;
        let elapsed = clock.elapsed(now);
        let later = clock.timers.split_off(&(elapsed + 1, 0));
        let due = std::mem::replace(&mut clock.timers, later).into_values().collect();
        clock.arm(host, timeline);
        due
    }

    fn change(
        &mut self,
        host: HostId,
        now: SimTime,
        timeline: &mut Timeline,
        change: impl FnOnce(&mut HostClock),
    ) {
        if let Some(clock) = self.hosts.get_mut(&host) {
            clock.rebase(now);
            change(clock);
            clock.arm(host, timeline);
        }
    }
}

/// What a scenario does to clocks.
impl Shared {
    fn change_clock(&self, host: HostId, change: impl FnOnce(&mut HostClock)) {
        lock(&self.clocks).change(host, self.now(), &mut lock(&self.timeline), change);
    }

    pub(crate) fn bend_clock(&self, host: HostId, ppm: i64) {
        self.change_clock(host, |clock| clock.rates.begin(ppm.clamp(-1_000_000, 1_000_000)));
    }

    /// Takes one [`Shared::bend_clock`] back; at its own rate again, the clock is set.
    pub(crate) fn unbend_clock(&self, host: HostId, ppm: i64) {
        let now = self.now();
        self.change_clock(host, |clock| {
            clock.rates.end(ppm.clamp(-1_000_000, 1_000_000));
            if clock.rates.iter().next().is_none() {
                clock.set_wall(now);
            }
        });
    }

    pub(crate) fn set_frozen(&self, host: HostId, frozen: bool) {
        self.change_clock(host, |clock| clock.frozen = frozen);
    }

    pub(crate) fn jump_wall(&self, host: HostId, ms: i64) {
        self.change_clock(host, |clock| {
            clock.jumps.begin(ms);
            clock.wall_offset_ms += ms;
        });
    }

    /// Takes one [`Shared::jump_wall`] back.
    pub(crate) fn unjump_wall(&self, host: HostId, ms: i64) {
        let now = self.now();
        self.change_clock(host, |clock| {
            clock.jumps.end(ms);
            clock.wall_offset_ms -= ms;
            if clock.rates.iter().next().is_none() {
                clock.set_wall(now);
            }
        });
    }

    /// As a good NTP server would: the right time, at the right rate.
    pub(crate) fn set_clock_right(&self, host: HostId) {
        let now = self.now();
        self.change_clock(host, |clock| {
            clock.rates.end_all();
            clock.jumps.end_all();
            clock.set_wall(now);
        });
    }

    fn elapsed(&self, life: &Life) -> (u64, u64) {
        let clocks = lock(&self.clocks);
        clocks.hosts.get(&life.host).map_or((0, 0), |it| (it.origin, it.elapsed(self.now())))
    }
}

/// A process' view of its host's clock.
pub(crate) struct SimClock {
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Arc<Life>,
}

impl Clock for SimClock {
    fn now(&self) -> Mono {
        let (origin, elapsed) = self.shared.elapsed(&self.life);
        Mono(Duration::from_nanos(origin + elapsed))
    }

    fn wall_ms(&self) -> u64 {
        let clocks = lock(&self.shared.clocks);
        let Some(clock) = clocks.hosts.get(&self.life.host) else { return EPOCH_MS };
        let right = EPOCH_MS + clock.elapsed(self.shared.now()) / 1_000_000;
        right.saturating_add_signed(clock.wall_offset_ms)
    }

    fn sleep_until(&self, at: Mono) -> Sleep {
        let (shared, life) = (Arc::clone(&self.shared), Arc::clone(&self.life));
        Box::pin(SimSleep { shared, life, at: nanos(at.0), key: None })
    }
}

struct SimSleep {
    shared: Arc<Shared>,
    life: Arc<Life>,
    at: u64,
    key: Option<TimerKey>,
}

impl SimSleep {
    /// Replaces the timer's waker; what it replaces is dropped unlocked.
    fn arm(&mut self, deadline: u64, waker: Waker) {
        let old = {
            let mut clocks = lock(&self.shared.clocks);
            let key = self.key.unwrap_or_else(|| {
                clocks.sequence += 1;
                (deadline, clocks.sequence)
            });
            self.key = Some(key);
            let Some(clock) = clocks.hosts.get_mut(&self.life.host) else { return };
            let old = clock.timers.insert(key, waker);
            clock.arm(self.life.host, &mut lock(&self.shared.timeline));
            old
        };
        drop(old);
    }
}

impl Future for SimSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.life.is_dead() {
            return Poll::Pending;
        }
        let (origin, elapsed) = self.shared.elapsed(&self.life);
        let deadline = self.at.saturating_sub(origin);
        if elapsed >= deadline {
            return Poll::Ready(());
        }
        self.arm(deadline, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for SimSleep {
    fn drop(&mut self) {
        let Some(key) = self.key.filter(|_| !self.life.is_dead()) else { return };
        let old = {
            let mut clocks = lock(&self.shared.clocks);
            let Some(clock) = clocks.hosts.get_mut(&self.life.host) else { return };
            let old = clock.timers.remove(&key);
            clock.arm(self.life.host, &mut lock(&self.shared.timeline));
            old
        };
        drop(old);
    }
}
