//! Torture: real processes under a storm of faults drawn from a seed, the gym's clients on all nodes, and the
//! gym's judges over what they heard.
//!
//! An episode is a new cluster, a storm, peace, the last reads, and a verdict. CI runs a short one of three
//! nodes and one of five; `cargo xtask torture --minutes 10 --seed 7` runs one after the other. What the
//! machine does not permit (namespaces, strace, libfaketime) is left out, and said.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, measured, say, until};
use crate::seed::{self, Random};
use crate::sessions::Sessions;
use crate::strace::{self, LOG_WRITER, Strace};
use crate::wall_clock::{self, WallClock};
use crate::wire::{Rule, Wire};

const SESSIONS: u32 = 8;
/// Of a short run; a long one takes [`LONG_STORM`].
const SHORT_STORM: Duration = Duration::from_secs(10);
const LONG_STORM: Duration = Duration::from_secs(25);
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(10);
/// Snapshots all the time.
const FLAGS: &[&str] = &["--snapshot-log-size", "64kb"];
/// Keys whose time to live no clock may shorten.
const KEPT: usize = 20;
const KEPT_TTL_MS: u64 = 7_200_000;
/// By so much may the clocks of members disagree among whom a leader is elected.
const CLOCK_BOUND_MS: u64 = 5_000;
/// Stamps run faster than time by so much at most.
const SLEW_PERCENT: u64 = 10;
/// How a node ends whose fsync has failed.
const SYNC_FAILED: &str = "sync: Input/output error";

const MINUTES: &str = "QUORATE_TORTURE_MINUTES";
const NODES: &str = "QUORATE_TORTURE_NODES";
const ENGINE: &str = "QUORATE_TORTURE_ENGINE";

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    KillAll,
    Pause,
    /// One node from all others, both ways.
    Isolate,
    /// One node hears the others no more.
    Deafen,
    /// The others hear one node no more.
    Mute,
    /// Two halves.
    Split,
    /// Each hears its neighbours only.
    Ring,
    /// Clients' requests arrive, replies don't.
    LoseReplies,
    BadWires,
    ClockJump,
    ClockDrift,
    SlowSync,
    FailSync,
}

const ALWAYS: &[Fault] = &[Fault::Kill, Fault::Kill, Fault::KillAll, Fault::Pause, Fault::Pause];
const ON_WIRES: &[Fault] = &[
    Fault::Isolate,
    Fault::Deafen,
    Fault::Mute,
    Fault::Split,
    Fault::Ring,
    Fault::LoseReplies,
    Fault::BadWires,
];
const OF_CLOCKS: &[Fault] = &[Fault::ClockJump, Fault::ClockDrift];
const OF_DISKS: &[Fault] = &[Fault::SlowSync, Fault::FailSync];

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
enum Act {
    Start(usize),
    Resume(usize),
    Heal,
    SetClock(usize, i64),
    LetSync(usize),
}

/// What is to be run.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    nodes: usize,
    storm: Duration,
    /// The nodes' storage engine, where it is not the default.
    engine: Option<String>,
}

impl Plan {
    /// The command that runs this episode alone.
    fn again(&self) -> String {
        let engine = self.engine.as_ref().map(|engine| format!(" --engine {engine}"));
        let engine = engine.unwrap_or_default();
        format!("cargo xtask torture --seed {} --nodes {}{engine}", self.seed, self.nodes)
    }
}

/// One node, as the nemesis sees it.
#[derive(Default)]
struct Patient {
    clock: Option<WallClock>,
    wrong_clock: bool,
    paused: bool,
    strace: Option<Strace>,
    /// Its fsync fails: it is going to end by itself.
    may_end: bool,
}

struct Nemesis<'a> {
    cluster: Cluster,
    wire: Option<&'a mut Wire>,
    patients: Vec<Patient>,
    random: Random,
    kinds: Vec<Fault>,
    agenda: BTreeMap<(Instant, u64), Act>,
    orders: u64,
    tally: BTreeMap<Fault, u64>,
    /// What a node did that it may not do.
    surprises: Vec<String>,
}

impl<'a> Nemesis<'a> {
    fn new(plan: &Plan, wire: Option<&'a mut Wire>, library: Option<&str>) -> Self {
        let mut flags: Vec<&str> = FLAGS.to_vec();
        flags.extend(plan.engine.iter().flat_map(|engine| ["--engine", engine]));
        let mut cluster = Cluster::empty(&flags);
        let mut patients = Vec::new();
        for node in 0..plan.nodes {
            let name = format!("n{}", node + 1);
            let clock = library.map(|library| WallClock::new(cluster.dir(), &name, library));
            let variables = clock.as_ref().map_or_else(Vec::new, WallClock::variables);
            match &wire {
                Some(wire) => wire.add(&mut cluster, |recipe| recipe.variables = variables),
                None => {
                    let entrance = if node == 0 { Entrance::Bootstrap } else { Entrance::Join };
                    cluster.add_as(entrance, |recipe| recipe.variables = variables)
                }
            };
            patients.push(Patient { clock, ..Patient::default() });
        }
        cluster.wait_for_voters(plan.nodes);
        let mut kinds = ALWAYS.to_vec();
        kinds.extend(if wire.is_some() { ON_WIRES } else { &[] });
        kinds.extend(if library.is_some() { OF_CLOCKS } else { &[] });
        kinds.extend(if strace::is_permitted() { OF_DISKS } else { &[] });
        Self {
            cluster,
            wire,
            patients,
            random: Random::new(plan.seed),
            kinds,
            agenda: BTreeMap::new(),
            orders: 0,
            tally: BTreeMap::new(),
            surprises: Vec::new(),
        }
    }

    fn within_ms(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.random.below(to - from)) as u64)
    }

    fn later(&mut self, after: Duration, act: Act) {
        self.orders += 1;
        self.agenda.insert((Instant::now() + after, self.orders), act);
    }

    fn node(&mut self) -> usize {
        self.random.below(self.patients.len())
    }

    fn runs(&self, node: usize) -> bool {
        self.cluster.running().contains(&node)
    }

    fn rage(&mut self, storm: Duration) {
        let ends = Instant::now() + storm;
        let mut next = Instant::now();
        while Instant::now() < ends {
            self.carry_out_due();
            self.look_after_the_dead();
            if Instant::now() >= next {
                let fault = self.kinds[self.random.below(self.kinds.len())];
                if self.inject(fault) {
                    *self.tally.entry(fault).or_default() += 1;
                }
                next = Instant::now() + self.within_ms(100, 900);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn carry_out_due(&mut self) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > Instant::now() {
                return;
            }
            let act = entry.remove();
            self.carry_out(act);
        }
    }

    fn carry_out(&mut self, act: Act) {
        match act {
            Act::Start(node) if !self.runs(node) => self.cluster.restart(node),
            Act::Start(_) => {}
            Act::Resume(node) => {
                if self.patients[node].paused && self.runs(node) {
                    self.cluster.resume(node);
                }
                self.patients[node].paused = false;
            }
            Act::Heal => {
                if let Some(wire) = &mut self.wire {
                    wire.set_all(Rule::default());
                }
            }
            Act::SetClock(node, ahead) => {
                if let Some(clock) = &self.patients[node].clock {
                    clock.set_ahead(ahead);
                    self.patients[node].wrong_clock = ahead != 0;
                }
            }
            Act::LetSync(node) => self.patients[node].strace = None,
        }
    }

    /// Nodes that have ended by themselves: those that may are started again, as a supervisor would.
    fn look_after_the_dead(&mut self) {
        for node in 0..self.patients.len() {
            let Some(status) = self.cluster.ended(node) else { continue };
            let text = self.cluster.log_text(node);
            let why = text.lines().last().unwrap_or_default();
            let patient = &mut self.patients[node];
            let expected = patient.may_end && status.code() == Some(1) && why.contains(SYNC_FAILED);
            if !expected {
                self.surprises.push(format!("n{} ended by itself: {status}: {why}", node + 1));
            }
            (patient.may_end, patient.strace) = (false, None);
            let after = self.within_ms(50, 1_500);
            self.later(after, Act::Start(node));
        }
    }

    /// False when there is nothing to do it to.
    fn inject(&mut self, fault: Fault) -> bool {
        let node = self.node();
        match fault {
            Fault::Kill => return self.kill(node),
            Fault::KillAll => {
                let running = self.cluster.running();
                let killed = running.into_iter().filter(|&node| self.kill(node)).count();
                return killed > 0;
            }
            Fault::Pause => {
                if !self.runs(node) || self.patients[node].paused {
                    return false;
                }
                self.cluster.pause(node);
                self.patients[node].paused = true;
                let after = self.within_ms(100, 4_000);
                self.later(after, Act::Resume(node));
            }
            Fault::ClockJump | Fault::ClockDrift => return self.move_clock(node, fault),
            Fault::SlowSync | Fault::FailSync => return self.hurt_syncs(node, fault),
            _ => self.cut(node, fault),
        }
        true
    }

    fn kill(&mut self, node: usize) -> bool {
        if !self.runs(node) {
            return false;
        }
        self.cluster.kill(&[node]);
        let patient = &mut self.patients[node];
        (patient.paused, patient.may_end, patient.strace) = (false, false, None);
        let after = self.within_ms(0, 2_000);
        self.later(after, Act::Start(node));
        true
    }

    /// Invariant: the clocks of a majority are right, or nobody could say what time it is.
    fn move_clock(&mut self, node: usize, fault: Fault) -> bool {
        let wrong = self.patients.iter().filter(|patient| patient.wrong_clock).count();
        if self.patients[node].wrong_clock || 2 * (wrong + 1) >= self.patients.len() {
            return false;
        }
        let sign = if self.random.below(2) == 0 { 1 } else { -1 };
        let lasts = self.within_ms(500, 5_000);
        if fault == Fault::ClockJump {
            // Seconds or hours.
            let most_s = if self.random.below(2) == 0 { 20 } else { 24 * 3600 };
            let ahead = i64::try_from(self.random.below(most_s * 1000)).unwrap() + 1;
            self.carry_out(Act::SetClock(node, sign * ahead));
        } else {
            // As fast again as it should be, or standing still, in steps of 20 ms.
            let steps = i64::try_from(lasts.as_millis() / 20).unwrap();
            for step in 1..=steps {
                let after = Duration::from_millis(u64::try_from(step * 20).unwrap());
                self.later(after, Act::SetClock(node, sign * step * 20));
            }
            self.patients[node].wrong_clock = true;
        }
        self.later(lasts + LOOK, Act::SetClock(node, 0));
        true
    }

    fn hurt_syncs(&mut self, node: usize, fault: Fault) -> bool {
        let patient = &self.patients[node];
        if !self.runs(node) || patient.paused || patient.strace.is_some() {
            return false;
        }
        let process = self.cluster.process(node).id();
        let strace = if fault == Fault::FailSync {
            let nth = 1 + self.random.below(20);
            Strace::fail_syncs(process, LOG_WRITER, nth)
        } else {
            let by = self.within_ms(5, 400);
            Strace::slow_syncs(process, LOG_WRITER, by)
        };
        let attached = strace.is_some();
        self.patients[node].strace = strace;
        self.patients[node].may_end = attached && fault == Fault::FailSync;
        let after = self.within_ms(500, 3_000);
        self.later(after, Act::LetSync(node));
        attached
    }

    fn cut(&mut self, node: usize, fault: Fault) {
        let nodes = self.patients.len();
        let half = 1 + self.random.below(nodes - 1);
        let bad = Rule {
            delay_ms: u32::try_from(self.random.below(40)).unwrap(),
            jitter_ms: 1 + u32::try_from(self.random.below(60)).unwrap(),
            loss_percent: u32::try_from(self.random.below(25)).unwrap(),
        };
        let lasts = self.within_ms(300, 4_000);
        let Some(wire) = &mut self.wire else { return };
        // A new picture replaces the old one.
        wire.set_all(if fault == Fault::BadWires { bad } else { Rule::default() });
        let clients = wire.clients();
        if fault == Fault::LoseReplies {
            wire.set(node, clients, Rule::CUT);
        }
        for from in 0..nodes {
            for to in (0..nodes).filter(|&to| to != from) {
                let cut = match fault {
                    Fault::Isolate => from == node || to == node,
                    Fault::Deafen => to == node,
                    Fault::Mute => from == node,
                    Fault::Split => (from < half) != (to < half),
                    Fault::Ring => (from + 1) % nodes != to && (to + 1) % nodes != from,
                    _ => false,
                };
                if cut {
                    wire.set(from, to, Rule::CUT);
                }
            }
        }
        self.later(lasts, Act::Heal);
    }

    /// All faults end; what a failed fsync has begun takes its course.
    fn make_peace(&mut self) {
        self.agenda.clear();
        self.carry_out(Act::Heal);
        for node in 0..self.patients.len() {
            self.carry_out(Act::SetClock(node, 0));
            self.carry_out(Act::Resume(node));
            self.carry_out(Act::LetSync(node));
        }
        let peace = Instant::now();
        for node in 0..self.patients.len() {
            self.carry_out(Act::Start(node));
        }
        until("all nodes are ready", 2 * LONG, || {
            self.look_after_the_dead();
            self.carry_out_due();
            (0..self.patients.len()).try_for_each(|node| self.is_ready(node))
        });
        measured("after the storm all nodes were ready in", &peace.elapsed());
    }

    fn is_ready(&self, node: usize) -> Result<(), String> {
        if !self.runs(node) {
            return Err(format!("n{} is down", node + 1));
        }
        let answer = crate::http::get(self.cluster.addr(node), "/readyz?verbose");
        match answer.map_err(|error| format!("n{}: {error}", node + 1))? {
            ready if ready.status == 200 => Ok(()),
            not => Err(format!("n{}: {}", node + 1, not.text())),
        }
    }
}

/// Keys with a long time to live, and when they got it.
struct Kept(Instant);

impl Kept {
    fn set(cluster: &Cluster) -> Self {
        for number in 0..KEPT {
            let (key, ttl) = (format!("kept{number}"), KEPT_TTL_MS.to_string());
            cluster.tell(number % cluster.addrs().len(), &["SET", &key, "v", "PX", &ttl]);
        }
        Self(Instant::now())
    }

    /// They are all there, and no clock has taken more of their time than has passed.
    fn violations(&self, cluster: &Cluster) -> Vec<String> {
        let passed = u64::try_from(self.0.elapsed().as_millis()).unwrap();
        let least = KEPT_TTL_MS - passed - passed * SLEW_PERCENT / 100 - CLOCK_BOUND_MS - 1_000;
        let mut violations = Vec::new();
        for number in 0..KEPT {
            let key = format!("kept{number}");
            let node = number % cluster.addrs().len();
            let left: i64 = cluster.ask(node, &["PTTL", &key]);
            if !u64::try_from(left).is_ok_and(|left| (least..=KEPT_TTL_MS).contains(&left)) {
                let bounds = format!("{least} to {KEPT_TTL_MS}");
                violations
                    .push(format!("{key} has {left} ms to live on n{}, not {bounds}", node + 1));
            }
        }
        violations
    }
}

fn episode(plan: &Plan) {
    say(&format!("again: {} ({} s)", plan.again(), plan.storm.as_secs()));
    let library = wall_clock::library();
    match Wire::between(plan.nodes, plan.seed) {
        Some(mut wire) => wire.run(|wire| play(plan, Some(wire), library.as_deref())),
        None => play(plan, None, library.as_deref()),
    }
}

fn play(plan: &Plan, wire: Option<&mut Wire>, library: Option<&str>) {
    let mut nemesis = Nemesis::new(plan, wire, library);
    let kept = Kept::set(&nemesis.cluster);
    let sessions = Sessions::start(nemesis.cluster.addrs(), SESSIONS, plan.seed);
    nemesis.rage(plan.storm);
    nemesis.make_peace();
    let verdict = sessions.judged();
    nemesis.look_after_the_dead();
    say(&format!(
        "{} nodes, {} operations done, {} not applied, {} unknown, {} undecided groups; {:?}",
        plan.nodes,
        verdict.done,
        verdict.not_applied,
        verdict.unknown,
        verdict.undecided,
        nemesis.tally
    ));
    let mut wrong = nemesis.surprises.clone();
    wrong.extend(verdict.violations.iter().map(ToString::to_string));
    wrong.extend(kept.violations(&nemesis.cluster));
    for node in 0..plan.nodes {
        if nemesis.cluster.log_text(node).contains("panicked at") {
            wrong.push(format!("n{} panicked", node + 1));
        }
    }
    assert!(wrong.is_empty(), "again: {}\n{}", plan.again(), wrong.join("\n"));
    assert!(verdict.done > 0, "nothing was done, so nothing was proved");
    assert!(!nemesis.tally.is_empty(), "nothing happened, so nothing was proved");
    nemesis.cluster.wait_until_equal();
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name)
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn short(nodes: usize) -> Plan {
    Plan { seed: seed::draw(), nodes, storm: SHORT_STORM, engine: variable(ENGINE) }
}

#[test]
fn three_nodes_keep_every_promise_through_a_storm_of_faults() {
    episode(&short(3));
}

#[test]
fn five_nodes_keep_every_promise_through_a_storm_of_faults() {
    episode(&short(5));
}

/// `cargo xtask torture`.
#[test]
#[ignore = "takes as long as it is told to: cargo xtask torture --minutes 10"]
fn as_long_as_it_is_told_to() {
    let minutes = number(MINUTES).unwrap_or(0);
    let ends = Instant::now() + Duration::from_secs(60 * minutes);
    let first = seed::draw();
    for seed in first.. {
        let drawn = if seed % 2 == 0 { 3 } else { 5 };
        let nodes = number(NODES).map_or(drawn, |nodes| usize::try_from(nodes).unwrap());
        episode(&Plan { seed, nodes, storm: LONG_STORM, engine: variable(ENGINE) });
        if Instant::now() >= ends {
            return;
        }
    }
}
