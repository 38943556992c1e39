//! The plan: what happens when, drawn from the seed before the world begins.

use std::time::Duration;

use quorate_consensus::observer::Moment;

use super::act::{Act, Order};
use super::ambush::{Ambush, Strike};
use super::kind::Kind;
use super::partition::{self, Link};
use super::profile::Profile;
use super::scene::Scene;
use crate::world::{Chance, HostId, Kill, Pause, SimTime};

/// What happens when.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Faults, in order of time.
    pub faults: Vec<Fault>,
    /// When all faults end.
    pub ends: SimTime,
}

/// One fault: its acts, from the first to the one that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// In order of time.
    pub acts: Vec<(SimTime, Act)>,
}

impl Plan {
    /// Draws the plan of a seed.
    pub fn draw(chance: &mut Chance, profile: &Profile, scene: &Scene) -> Self {
        let begins = SimTime::ZERO + profile.calm;
        let ends = begins + chance.duration(profile.storm.clone());
        let kinds = profile.draw_kinds(chance);
        // A pace of its own: some seeds are a drizzle, some a hail.
        let haste = u32::try_from(chance.within(1..6)).unwrap_or(1);
        let spares = scene.spares.iter().rev().copied().collect();
        let removable = scene.nodes.len().saturating_sub(1) / 2;
        let (demoted, acts) = (Vec::new(), Vec::new());
        let mut drawing = Drawing { chance, scene, profile, spares, removable, demoted, acts };
        let mut faults = Vec::new();
        let mut at = begins;
        while at < ends {
            if let Some(kind) = drawing.chance.pick(&kinds).copied() {
                drawing.draw(at, kind);
                let mut acts = std::mem::take(&mut drawing.acts);
                acts.retain(|(at, _)| *at < ends);
                // A stable sort: acts of one moment stay as they were drawn.
                acts.sort_by_key(|(at, _)| *at);
                if !acts.is_empty() {
                    faults.push(Fault { kind, acts });
                }
            }
            at = at + drawing.chance.duration(profile.every.clone()) / haste;
        }
        Self { faults, ends }
    }

    /// How long everybody stands still, all in all.
    pub fn rests(&self) -> Duration {
        let acts = self.faults.iter().flat_map(|fault| &fault.acts);
        let rests =
            acts.map(|(_, act)| if let Act::Rest(rest) = act { *rest } else { Duration::ZERO });
        rests.sum()
    }

    /// All acts, in order of time.
    pub fn steps(&self) -> Vec<(SimTime, Step)> {
        let mut steps = Vec::new();
        for (number, fault) in self.faults.iter().enumerate() {
            let step = |act: &Act| Step { fault: number, kind: fault.kind, act: act.clone() };
            steps.extend(fault.acts.iter().map(|(at, act)| (*at, step(act))));
        }
        steps.sort_by_key(|(at, _)| *at);
        steps
    }
}

/// One act of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The fault, by its place in the plan.
    pub fault: usize,
    /// What it is.
    pub kind: Kind,
    /// What is done.
    pub act: Act,
}

impl Step {
    /// False for what only leads up to the fault: it counts when that comes about.
    pub(super) fn is_the_point(&self) -> bool {
        match self.kind {
            Kind::LoseSector => matches!(self.act, Act::LoseSector(_)),
            Kind::FailRead | Kind::PowerAtRecovery | Kind::PowerAtOperation => false,
            _ => true,
        }
    }
}

struct Drawing<'a> {
    chance: &'a mut Chance,
    scene: &'a Scene,
    profile: &'a Profile,
    /// Hosts that were not added yet.
    spares: Vec<HostId>,
    /// How many nodes may still be removed.
    removable: usize,
    /// Hosts whose nodes were told to give their votes up.
    demoted: Vec<HostId>,
    acts: Vec<(SimTime, Act)>,
}

impl Drawing<'_> {
    fn add(&mut self, at: SimTime, act: Act) {
        self.acts.push((at, act));
    }

    fn draw(&mut self, at: SimTime, kind: Kind) {
        // Spares are hit as others are, if seldom.
        let all = self.scene.all_nodes();
        let hosts = if self.chance.one_in(4) { &all } else { &self.scene.nodes };
        let Some(host) = self.chance.pick(hosts).copied() else { return };
        let lasting = self.chance.duration(self.profile.lasting.clone());
        let over = at + lasting;
        match kind {
            Kind::Kill => self.crash(at, over, host, Kill::Process),
            Kind::PowerOff => self.crash(at, over, host, Kill::Power),
            Kind::KillAll | Kind::PowerOffAll => {
                let how = if kind == Kind::KillAll { Kill::Process } else { Kill::Power };
                for host in all {
                    let over = at + self.chance.duration(self.profile.lasting.clone());
                    self.crash(at, over, host, how);
                }
            }
            Kind::PowerAtOperation => {
                let ahead = self.chance.within(1..200);
                self.add(at, Act::FailPowerAfter(host, ahead));
            }
            Kind::PowerAtRecovery => {
                self.add(at, Act::Kill(host, Kill::Power));
                let ahead = self.chance.within(1..60);
                self.add(over, Act::FailPowerAfter(host, ahead));
                self.add(over, Act::Start(host));
            }
            Kind::Isolate
            | Kind::CutOneWay
            | Kind::Deafen
            | Kind::Split
            | Kind::Ring
            | Kind::Bridge
            | Kind::CutAtRandom
            | Kind::Flap
            | Kind::CutClients
            | Kind::SlowLinks
            | Kind::BreakConnections
            | Kind::LateBytes
            | Kind::DoubleFrames => self.wire(at, over, host, kind),
            Kind::PauseProcess => self.pause(at, lasting, host, Pause::Process),
            Kind::PauseMachine => self.pause(at, lasting, host, Pause::Machine),
            Kind::ClockJump | Kind::ClockDrift | Kind::ClockStop => {
                self.clock(at, over, host, kind);
            }
            Kind::SlowDisk
            | Kind::FullDisk
            | Kind::FullDisks
            | Kind::FailSync
            | Kind::FailWrite
            | Kind::FailRead
            | Kind::FlipBit
            | Kind::StrayWrite
            | Kind::LoseFile => self.disk(at, over, host, kind),
            Kind::LoseSector => self.lose_sector(at, over),
            Kind::CutAtHandOver
            | Kind::LateAnswers
            | Kind::SplitAtChange
            | Kind::PowerAtChange
            | Kind::PowerAtCut => {
                self.ambush(at, over, kind);
            }
            Kind::AddNode
            | Kind::RemoveNode
            | Kind::ReplaceNode
            | Kind::SucceedNode
            | Kind::DemoteNode
            | Kind::PromoteNode
            | Kind::Transfer => self.members(at, host, kind),
            Kind::Exit => {}
        }
    }

    fn crash(&mut self, at: SimTime, over: SimTime, host: HostId, how: Kill) {
        self.add(at, Act::Kill(host, how));
        self.add(over, Act::Start(host));
    }

    /// Some sleep for minutes, some for hours. What the others do meanwhile is no news after a while: for most of such a
    /// time they rest, too, which costs nothing.
    fn pause(&mut self, at: SimTime, lasting: Duration, host: HostId, what: Pause) {
        if !self.chance.one_in(LONG_PAUSE_ONE_IN) {
            return self.add(at, Act::Pause(host, lasting, what));
        }
        let (least, most) = *self.chance.pick(&LONG_PAUSES).unwrap_or(&LONG_PAUSES[0]);
        let rest = self.chance.duration(least..most);
        let behind = self.chance.duration(self.profile.lasting.clone());
        self.add(at, Act::Pause(host, lasting + rest + behind, what));
        self.add(at + lasting, Act::Rest(rest));
    }

    fn wire(&mut self, at: SimTime, over: SimTime, host: HostId, kind: Kind) {
        let nodes = self.scene.all_nodes();
        match kind {
            Kind::Flap => {
                let links = self.partition(Kind::Isolate, host);
                if links.is_empty() {
                    return;
                }
                let mut at = at;
                while at < over {
                    self.add(at, Act::Cut(links.clone()));
                    at = at + self.chance.duration(FLAP.0..FLAP.1);
                    self.add(at, Act::Heal(links.clone()));
                    at = at + self.chance.duration(FLAP.0..FLAP.1);
                }
            }
            Kind::CutClients => {
                let mut links = Vec::new();
                for client in &self.scene.clients {
                    links.extend(self.chance.one_in(2).then_some((*client, host)));
                    links.extend(self.chance.one_in(2).then_some((host, *client)));
                }
                self.cut(at, over, links);
            }
            Kind::SlowLinks => {
                let factor = u32::try_from(self.chance.within(5..200)).unwrap_or(5);
                self.add(at, Act::SlowLinks(host, factor));
                self.add(over, Act::HastenLinks(host, factor));
            }
            Kind::BreakConnections | Kind::LateBytes | Kind::DoubleFrames => {
                let others: Vec<HostId> = nodes.into_iter().filter(|it| *it != host).collect();
                let Some(other) = self.chance.pick(&others).copied() else { return };
                let late = self.chance.duration(Duration::ZERO..LATE_MAX);
                self.add(
                    at,
                    match kind {
                        Kind::LateBytes => Act::BreakLate(host, other, late),
                        Kind::DoubleFrames => Act::RepeatFrames(host, other),
                        _ => Act::BreakBetween(host, other),
                    },
                );
            }
            _ => {
                let links = self.partition(kind, host);
                self.cut(at, over, links);
            }
        }
    }

    /// Draws again what cuts nobody from anybody that is there from the beginning: a spare may be idle.
    fn partition(&mut self, kind: Kind, host: HostId) -> Vec<Link> {
        let nodes = self.scene.all_nodes();
        let founder = |host: &HostId| self.scene.nodes.contains(host);
        for _ in 0..DRAWS_MAX {
            let links = partition::cut(kind, &nodes, host, self.chance);
            if links.iter().any(|(from, to)| founder(from) && founder(to)) {
                return links;
            }
        }
        Vec::new()
    }

    fn cut(&mut self, at: SimTime, over: SimTime, links: Vec<Link>) {
        if !links.is_empty() {
            self.add(at, Act::Cut(links.clone()));
            self.add(over, Act::Heal(links));
        }
    }

    fn clock(&mut self, at: SimTime, over: SimTime, host: HostId, kind: Kind) {
        let backwards = self.chance.one_in(2);
        let signed = |number: u64| {
            let number = i64::try_from(number).unwrap_or(0);
            if backwards { -number } else { number }
        };
        match kind {
            Kind::ClockStop => {
                self.add(at, Act::ClockRate(host, -1_000_000));
                self.add(over, Act::RateBack(host, -1_000_000));
            }
            Kind::ClockJump => {
                // Seconds, or days.
                let most = if self.chance.one_in(2) { 5_000 } else { 200_000_000 };
                let ms = signed(self.chance.below(most));
                self.add(at, Act::JumpClock(host, ms));
                self.add(over, Act::JumpBack(host, ms));
            }
            _ => {
                let most = if self.scene.lease { DRIFT_WITHIN } else { DRIFT_BEYOND };
                let ppm = signed(self.chance.below(most));
                self.add(at, Act::ClockRate(host, ppm));
                self.add(over, Act::RateBack(host, ppm));
            }
        }
    }

    fn disk(&mut self, at: SimTime, over: SimTime, host: HostId, kind: Kind) {
        let few = u32::try_from(self.chance.within(1..4)).unwrap_or(1);
        match kind {
            Kind::SlowDisk => {
                let most = if self.chance.one_in(3) { 2_000 } else { 100 };
                let factor = u32::try_from(self.chance.within(3..most)).unwrap_or(3);
                self.add(at, Act::SlowDisk(host, factor));
                self.add(over, Act::HastenDisk(host, factor));
            }
            Kind::FullDisk | Kind::FullDisks => {
                let hosts =
                    if kind == Kind::FullDisk { vec![host] } else { self.scene.all_nodes() };
                for host in hosts {
                    // What is preallocated lasts for a while: mostly there is next to nothing beside it.
                    let most = if self.chance.one_in(4) { 100_000 } else { 2_000 };
                    let bytes = self.chance.below(most);
                    self.add(at, Act::FillDisk(host, bytes));
                    self.add(over, Act::MakeRoom(host, bytes));
                }
            }
            Kind::FailSync => self.add(at, Act::FailSyncs(host, few)),
            Kind::FailWrite => self.add(at, Act::FailWrites(host, few)),
            // Little is read but at the start.
            Kind::FailRead => {
                let many = u32::try_from(self.chance.within(1..12)).unwrap_or(1);
                self.add(at, Act::FailReads(host, many));
                if self.chance.one_in(2) {
                    self.crash(at, over, host, Kill::Process);
                }
            }
            _ => {
                let Some(victim) = self.chance.pick(self.scene.minority()).copied() else { return };
                self.add(
                    at,
                    match kind {
                        Kind::FlipBit => Act::FlipBit(victim),
                        Kind::StrayWrite => Act::StrayWrites(victim, few),
                        _ => Act::LoseFile(victim),
                    },
                );
            }
        }
    }

    /// What was lost hurts most where just a majority had it: those who have not are cut off before, and those who
    /// have are down when they come back.
    fn lose_sector(&mut self, at: SimTime, over: SimTime) {
        let Some(victim) = self.chance.pick(self.scene.minority()).copied() else { return };
        self.add(over, Act::Kill(victim, Kill::Power));
        self.add(over, Act::LoseSector(victim));
        self.add(over, Act::Start(victim));
        if self.chance.one_in(4) {
            return;
        }
        let nodes = self.scene.nodes.clone();
        let mut others: Vec<HostId> = nodes.iter().copied().filter(|it| *it != victim).collect();
        let mut with_it = Vec::new();
        while with_it.len() < nodes.len() / 2 {
            with_it.push(others.remove(self.chance.index(others.len())));
        }
        let links: Vec<Link> =
            others.iter().flat_map(|host| partition::around(*host, &nodes)).collect();
        self.add(at, Act::Cut(links.clone()));
        self.add(over, Act::Heal(links));
        let back = over + self.chance.duration(self.profile.lasting.clone());
        for host in with_it {
            self.crash(over, back, host, Kill::Process);
        }
    }

    fn ambush(&mut self, at: SimTime, over: SimTime, kind: Kind) {
        let nodes = self.scene.all_nodes();
        let (moment, strike, until) = match kind {
            Kind::CutAtHandOver => {
                self.add(at, Act::Order(Order::Transfer(None)));
                (Moment::HandsOver, Strike::Deafen(nodes), at + HAND_OVER)
            }
            Kind::LateAnswers => {
                // About as long as followers wait for a leader.
                let factor = u32::try_from(self.chance.within(200..1_000)).unwrap_or(200);
                (Moment::AsksQuorum, Strike::Delay(nodes, factor), at + QUESTION)
            }
            Kind::SplitAtChange => {
                let links = self.partition(Kind::Split, HostId(0));
                if links.is_empty() {
                    return;
                }
                (Moment::ChangesMembers, Strike::Cut(links), at + CHANGE)
            }
            Kind::PowerAtCut => {
                let all = self.chance.one_in(2);
                let strike = if all { Strike::PowerOffAll(nodes) } else { Strike::PowerOff };
                (Moment::CutsLog, strike, at + CHANGE)
            }
            _ => (Moment::ChangesMembers, Strike::PowerOff, at + CHANGE),
        };
        let most = match kind {
            Kind::CutAtHandOver => 1,
            // The question has left, and has not arrived.
            Kind::LateAnswers => 50,
            // About as long as it takes to write down what is cut, and to remove files.
            Kind::PowerAtCut => 1_000,
            // A few times as long as the way to another host.
            _ => 20_000,
        };
        let after = Duration::from_micros(self.chance.below(most));
        let lasting = over - at;
        self.add(at, Act::Wait(Ambush { moment, after, strike, lasting, until }));
    }

    fn members(&mut self, at: SimTime, host: HostId, kind: Kind) {
        match kind {
            Kind::AddNode => {
                if let Some(spare) = self.spares.pop() {
                    self.add(at, Act::Enlist(spare));
                }
            }
            Kind::Transfer => {
                let to = Some(host).filter(|_| self.chance.one_in(2));
                self.add(at, Act::Order(Order::Transfer(to)));
            }
            Kind::SucceedNode => {
                if let Some(new) = self.spares.pop() {
                    self.add(at, Act::Order(Order::Succeed { old: host, new }));
                }
            }
            Kind::DemoteNode => {
                self.demoted.push(host);
                self.add(at, Act::Order(Order::Demote(host)));
            }
            Kind::PromoteNode => {
                // Most have their votes: to give one again to who lost it hits more often.
                let host = self.chance.pick(&self.demoted).copied().unwrap_or(host);
                self.add(at, Act::Order(Order::Promote(host)));
            }
            _ if self.removable == 0 => {}
            Kind::ReplaceNode => self.add(at, Act::Order(Order::Replace(host))),
            _ => {
                self.removable -= 1;
                self.add(at, Act::Order(Order::Remove(host)));
            }
        }
    }
}

/// An order to hand over is carried out within this time, or not at all.
const HAND_OVER: Duration = Duration::from_secs(3);
/// For so long a change of members, or a log that is cut, is waited for.
const CHANGE: Duration = Duration::from_secs(8);
/// For so long a leader's question is waited for: not until the next leader asks, too.
const QUESTION: Duration = Duration::from_millis(200);
/// A partition that cuts nobody off is drawn again, so often at the most.
const DRAWS_MAX: u32 = 8;
/// One pause in so many is longer than anybody would wait for.
const LONG_PAUSE_ONE_IN: u64 = 6;
/// How long: a machine that is moved, a laptop that is closed.
const LONG_PAUSES: [(Duration, Duration); 2] = [
    (Duration::from_secs(60), Duration::from_secs(700)),
    (Duration::from_secs(3_600), Duration::from_secs(10 * 3_600)),
];
/// The bounds of one half of a flap.
const FLAP: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(700));
/// How late bytes of a broken connection may be.
const LATE_MAX: Duration = Duration::from_secs(2);
/// By how many millionths a clock may drift so that no two differ by more than a lease allows.
const DRIFT_WITHIN: u64 = 45_000;
/// And when nothing rests on it.
const DRIFT_BEYOND: u64 = 400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_repeats_and_stays_within_its_time() {
        let scene = Scene::new(3, 1, 4, false);
        for seed in 0..50 {
            let draw = || Plan::draw(&mut Chance::new(seed, "plan"), &Profile::all(), &scene);
            let plan = draw();
            let acts = plan.steps();
            assert_eq!(acts, draw().steps());
            assert!(acts.len() > 3);
            assert!(acts.iter().all(|(at, _)| *at < plan.ends));
            assert!(acts.is_sorted_by_key(|(at, _)| *at));
        }
    }

    #[test]
    fn partition_cuts_somebody_off_or_is_not_drawn() {
        for nodes in [1, 3, 5] {
            let scene = Scene::new(nodes, 2, 4, false);
            let mut drawn = 0;
            for seed in 0..100 {
                let plan = Plan::draw(&mut Chance::new(seed, "plan"), &Profile::all(), &scene);
                for (_, act) in plan.faults.iter().flat_map(|fault| &fault.acts) {
                    let Act::Cut(links) = act else { continue };
                    assert!(!links.is_empty(), "seed {seed}");
                    drawn += 1;
                }
            }
            assert!(drawn > 50, "{nodes} nodes: {drawn}");
        }
    }

    #[test]
    fn every_kind_is_drawn_by_some_seed() {
        let scene = Scene::new(5, 2, 4, false);
        let drawn = |seed| {
            let plan = Plan::draw(&mut Chance::new(seed, "plan"), &Profile::all(), &scene);
            plan.faults.into_iter().map(|fault| fault.kind)
        };
        let kinds: std::collections::BTreeSet<Kind> = (0..200).flat_map(drawn).collect();
        assert_eq!(kinds.len(), Kind::ALL.len() - 1, "all but Exit, which nobody orders");
    }
}
