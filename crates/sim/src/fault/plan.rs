//! The plan: what happens when, drawn from the seed before the world begins.

use std::ops::Range;
use std::time::Duration;

use super::act::Act;
use super::kind::Kind;
use crate::world::{Chance, HostId, Kill, Pause, SimTime};

/// What a scenario may do to a cluster.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The kinds, each as often as it is listed.
    pub kinds: Vec<Kind>,
    /// The seed leaves each kind out with this chance in ten.
    pub left_out_in_ten: u64,
    /// From one fault to the next.
    pub every: Range<Duration>,
    /// How long one lasts.
    pub lasting: Range<Duration>,
    /// Before the first one.
    pub calm: Duration,
    /// From the first one to the end of all.
    pub storm: Range<Duration>,
}

impl Profile {
    /// Crashes that lose unsynced bytes, partitions, pauses, clocks, slowness.
    pub fn first() -> Self {
        let kinds = vec![
            Kind::Kill,
            Kind::PowerOff,
            Kind::PowerOffAll,
            Kind::PowerAtOperation,
            Kind::PowerAtOperation,
            Kind::Isolate,
            Kind::Isolate,
            Kind::CutOneWay,
            Kind::CutAtRandom,
            Kind::SlowLinks,
            Kind::BreakConnections,
            Kind::PauseProcess,
            Kind::PauseMachine,
            Kind::ClockJump,
            Kind::ClockDrift,
            Kind::SlowDisk,
        ];
        Self {
            kinds,
            left_out_in_ten: 4,
            every: Duration::from_millis(100)..Duration::from_secs(4),
            lasting: Duration::from_millis(50)..Duration::from_secs(6),
            calm: Duration::from_secs(3),
            storm: Duration::from_secs(12)..Duration::from_secs(30),
        }
    }

    /// And disks that fill up, fail and lie.
    pub fn harsh() -> Self {
        let mut profile = Self::first();
        profile.kinds.extend([Kind::FullDisk, Kind::FailSync, Kind::FlipBit]);
        profile
    }

    /// Nothing at all, for as long.
    pub fn calm() -> Self {
        Self { kinds: Vec::new(), ..Self::first() }
    }
}

/// What happens when.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In order of time.
    pub acts: Vec<(SimTime, Act)>,
    /// When all faults end.
    pub ends: SimTime,
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(chance: &mut Chance, profile: &Profile, hosts: &[HostId]) -> Self {
        let begins = SimTime::ZERO + profile.calm;
        let ends = begins + chance.duration(profile.storm.clone());
        let kinds = drawn_kinds(chance, profile);
        // A pace of its own: some seeds are a drizzle, some a hail.
        let haste = u32::try_from(chance.within(1..6)).unwrap_or(1);
        let mut drawing = Drawing { chance, hosts, profile, acts: Vec::new() };
        let mut at = begins;
        while at < ends {
            if let Some(kind) = drawing.chance.pick(&kinds).copied() {
                drawing.draw(at, kind);
            }
            at = at + drawing.chance.duration(profile.every.clone()) / haste;
        }
        let mut acts = drawing.acts;
        acts.retain(|(at, _)| *at < ends);
        // A stable sort: acts of one moment stay as they were drawn.
        acts.sort_by_key(|(at, _)| *at);
        Self { acts, ends }
    }
}

fn drawn_kinds(chance: &mut Chance, profile: &Profile) -> Vec<Kind> {
    let mut all = profile.kinds.clone();
    all.dedup();
    let kept: Vec<Kind> =
        all.iter().copied().filter(|_| chance.below(10) >= profile.left_out_in_ten).collect();
    let kept = if kept.is_empty() { all } else { kept };
    profile.kinds.iter().copied().filter(|kind| kept.contains(kind)).collect()
}

struct Drawing<'a> {
    chance: &'a mut Chance,
    hosts: &'a [HostId],
    profile: &'a Profile,
    acts: Vec<(SimTime, Act)>,
}

impl Drawing<'_> {
    fn add(&mut self, at: SimTime, act: Act) {
        self.acts.push((at, act));
    }

    fn ordered_links(&self) -> Vec<(HostId, HostId)> {
        let from = |one: &HostId| {
            let one = *one;
            self.hosts.iter().filter(move |two| one != **two).map(move |two| (one, *two))
        };
        self.hosts.iter().flat_map(from).collect()
    }

    fn draw(&mut self, at: SimTime, kind: Kind) {
        let Some(host) = self.chance.pick(self.hosts).copied() else { return };
        let lasting = self.chance.duration(self.profile.lasting.clone());
        let over = at + lasting;
        self.add(at, Act::Count(kind));
        match kind {
            Kind::Kill => self.crash(at, over, host, Kill::Process),
            Kind::PowerOff => self.crash(at, over, host, Kill::Power),
            Kind::PowerOffAll => {
                for host in self.hosts {
                    let over = at + self.chance.duration(self.profile.lasting.clone());
                    self.crash(at, over, *host, Kill::Power);
                }
            }
            Kind::PowerAtOperation => {
                let ahead = self.chance.within(1..200);
                self.add(at, Act::FailPowerAfter(host, ahead));
            }
            Kind::Isolate | Kind::CutOneWay | Kind::CutAtRandom => {
                let cut = self.links_to_cut(kind, host);
                self.add(at, Act::Cut(cut.clone()));
                self.add(over, Act::Heal(cut));
            }
            Kind::SlowLinks => {
                let factor = u32::try_from(self.chance.within(5..200)).unwrap_or(5);
                self.add(at, Act::SlowLinks(host, factor));
                self.add(over, Act::SlowLinks(host, 1));
            }
            Kind::BreakConnections => {
                if let Some(other) = self.chance.pick(self.hosts).copied() {
                    self.add(at, Act::BreakBetween(host, other));
                }
            }
            Kind::PauseProcess => self.add(at, Act::Pause(host, lasting, Pause::Process)),
            Kind::PauseMachine => self.add(at, Act::Pause(host, lasting, Pause::Machine)),
            Kind::ClockJump | Kind::ClockDrift => self.clock(at, over, host, kind),
            Kind::SlowDisk | Kind::FullDisk | Kind::FailSync | Kind::FlipBit => {
                self.disk(at, over, host, kind);
            }
            Kind::Exit => {}
        }
    }

    fn crash(&mut self, at: SimTime, over: SimTime, host: HostId, how: Kill) {
        self.add(at, Act::Kill(host, how));
        self.add(over, Act::Start(host));
    }

    fn links_to_cut(&mut self, kind: Kind, host: HostId) -> Vec<(HostId, HostId)> {
        let mut links = self.ordered_links();
        match kind {
            Kind::Isolate => links.retain(|(from, to)| *from == host || *to == host),
            Kind::CutOneWay => links = self.chance.pick(&links).copied().into_iter().collect(),
            _ => links.retain(|_| self.chance.one_in(2)),
        }
        links
    }

    fn clock(&mut self, at: SimTime, over: SimTime, host: HostId, kind: Kind) {
        let backwards = self.chance.one_in(2);
        let signed = |number: u64| {
            let number = i64::try_from(number).unwrap_or(0);
            if backwards { -number } else { number }
        };
        if kind == Kind::ClockJump {
            // Seconds, or days.
            let most = if self.chance.one_in(2) { 5_000 } else { 200_000_000 };
            let ms = signed(self.chance.below(most));
            self.add(at, Act::JumpClock(host, ms));
        } else {
            let ppm = signed(self.chance.below(100_000));
            self.add(at, Act::ClockRate(host, ppm));
        }
        self.add(over, Act::SetClockRight(host));
    }

    fn disk(&mut self, at: SimTime, over: SimTime, host: HostId, kind: Kind) {
        match kind {
            Kind::SlowDisk => {
                let factor = u32::try_from(self.chance.within(3..100)).unwrap_or(3);
                self.add(at, Act::SlowDisk(host, factor));
                self.add(over, Act::MendDisk(host));
            }
            Kind::FullDisk => {
                let bytes = self.chance.below(100_000);
                self.add(at, Act::FillDisk(host, bytes));
                self.add(over, Act::MendDisk(host));
            }
            Kind::FailSync => self.add(at, Act::FailSync(host)),
            // Always the same minority: the first hosts' disks stay whole.
            _ => {
                let minority = self.hosts.len().saturating_sub(1) / 2;
                if let Some(victim) = self.hosts.iter().rev().take(minority).next().copied() {
                    self.add(at, Act::FlipBit(victim));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_repeats_and_stays_within_its_time() {
        let hosts = [HostId(1), HostId(2), HostId(3)];
        for seed in 0..50 {
            let draw = || Plan::draw(&mut Chance::new(seed, "plan"), &Profile::harsh(), &hosts);
            let plan = draw();
            assert_eq!(plan.acts, draw().acts);
            assert!(plan.acts.len() > 3);
            assert!(plan.acts.iter().all(|(at, _)| *at < plan.ends));
            assert!(plan.acts.is_sorted_by_key(|(at, _)| *at));
        }
    }
}
