//! One seed's run: a calm beginning, a storm, then peace, in which the cluster must serve again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::cellar::Engines;
use crate::check::live::Healing;
use crate::check::{
    Judgement, Violation, judge, lifetime, live, panics, quiet, removed, votes, whole,
};
use crate::client::operator::{Office, Request, Verdict, Vote, operator};
use crate::client::probe::{Progress, Roll, probe};
use crate::client::workload::session;
use crate::client::{Clients, Trust, web};
use crate::cluster::{Boot, Cluster, Sizes};
use crate::fault::kind::Tally;
use crate::fault::{Act, Ambush, Effects, Kind, Plan, Profile, Scene, Step};
use crate::history::History;
use crate::world::{Chance, Ending, HostId, Kill, Recording, SimTime, World};

/// Sessions may finish what they began before they are stopped for good.
const LAST_REPLIES: Duration = Duration::from_secs(4);
/// A removed node lingers for a moment, and may have to be told first.
const LINGER: Duration = Duration::from_secs(3);
/// Behind a quarter of an hour a write that is repeated is a new one: who sleeps for longer must not repeat any.
const NAMES_LAST: Duration = Duration::from_secs(800);
/// In one of so many seeds all that members hold is compared at every index; in all it would take too long.
const CONTENT_SEEDS: u64 = 20;
/// Each so many sessions one speaks HTTP.
const WEB_EVERY: u32 = 3;
/// Between two looks at the probe and the operator.
const LOOK: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone)]
pub struct Setup {
    /// How many nodes.
    pub nodes: u64,
    /// How many hosts that may become nodes.
    pub spares: u64,
    /// How many client sessions.
    pub sessions: u32,
    /// Some sessions trust leases.
    pub lease: bool,
    /// What their reads are worth.
    pub leases: Leases,
    /// Some sessions read what their node has, however old.
    pub stale: bool,
    /// Some sessions speak HTTP.
    pub web: bool,
    /// By so many bytes values are longer than they need be: a torn write tears more of them.
    pub padding: usize,
    /// The sizes at which nodes roll, cut and stream.
    pub sizes: Sizes,
    /// Which of them keep their data on disk.
    pub engines: Engines,
    /// What may happen to them.
    pub profile: Profile,
    /// What the nodes' disks are worth.
    pub disks: Disks,
    /// What becomes of keys whose time has come.
    pub lifetimes: Lifetimes,
    /// The program of a node.
    pub boot: Rc<Boot>,
}

/// What becomes of keys whose time has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetimes {
    /// They go, to the millisecond.
    #[default]
    Kept,
    /// They stay: toys do not know the time, and are not judged by it.
    Ignored,
}

/// What a read is worth that trusts a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leases {
    /// As much as any other: no clock leaves the bound that leases need, or it is to be seen that one has.
    #[default]
    Judged,
    /// Nothing about time, for clocks may be wrong by more; all others must be right.
    Distrusted,
}

/// Whether a synced byte is a durable byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disks {
    /// It is.
    #[default]
    Honest,
    /// It is not: the control, in which acknowledged writes must be found lost.
    Lying,
}

impl Setup {
    /// Three nodes, five sessions, and the faults of the first profile.
    pub fn new(boot: Rc<Boot>) -> Self {
        Self {
            nodes: 3,
            spares: 0,
            sessions: 5,
            lease: false,
            leases: Leases::Judged,
            stale: false,
            web: false,
            padding: 0,
            sizes: Sizes::default(),
            engines: Engines::Memory,
            profile: Profile::first(),
            disks: Disks::Honest,
            lifetimes: Lifetimes::Kept,
            boot,
        }
    }

    /// The cluster that `seed` stands for: how many nodes, which sizes, and whom its clients trust.
    pub fn drawn(seed: u64, boot: Rc<Boot>) -> Self {
        let mut chance = Chance::new(seed, "setup");
        let nodes = *chance.pick(&[1, 3, 3, 3, 3, 5, 5, 7]).unwrap_or(&3);
        let lease = chance.one_in(3);
        let sizes = Sizes {
            segment_bytes: *chance.pick(&[64, 128, 256]).unwrap_or(&256) * 1024,
            snapshot_log_bytes: *chance.pick(&[4, 16, 64]).unwrap_or(&64) * 1024,
            entries_kept: *chance.pick(&[0, 8, 64, 1024]).unwrap_or(&1024),
        };
        let odd = chance.one_in(2);
        let (memory, mixed, disk) = (Engines::Memory, Engines::Mixed { odd }, Engines::Disk);
        let engines = *chance.pick(&[memory, memory, mixed, disk]).unwrap_or(&memory);
        let drawn = Self {
            nodes,
            spares: chance.below(3),
            sessions: u32::try_from(chance.within(4..10)).unwrap_or(5),
            lease,
            stale: chance.one_in(3),
            web: true,
            padding: *chance.pick(&[0, 0, 0, 0, 800]).unwrap_or(&0),
            sizes,
            engines,
            ..Self::new(boot)
        };
        // Reads that trust no clock must be right beside such as do, whatever clocks do.
        let leases = if lease && chance.one_in(3) { Leases::Distrusted } else { Leases::Judged };
        let within = lease && leases == Leases::Judged;
        let mut profile = if within { Profile::all().within_lease() } else { Profile::all() };
        // Nodes join one after the other.
        profile.calm = Duration::from_secs(2 + nodes);
        Self { leases, profile, ..drawn }
    }

    /// The hosts, as they are numbered when the cluster is the first to be added to a world.
    pub fn scene(&self) -> Scene {
        Scene::new(self.nodes, self.spares, self.sessions.into(), self.lease)
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes and {} spares, {} sessions{}{}, {:?}, {:?}",
            self.nodes,
            self.spares,
            self.sessions,
            match (self.lease, self.leases) {
                (false, _) => "",
                (true, Leases::Judged) => ", leases",
                (true, Leases::Distrusted) => ", leases beyond their bound",
            },
            if self.stale { ", stale reads" } else { "" },
            self.sizes,
            self.engines
        )
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The digest of all that happened.
    pub digest: u64,
    /// Events and polls.
    pub steps: u64,
    /// How many lines the trace has.
    pub lines: u64,
    /// The trace, when it was recorded.
    pub text: String,
    /// What the judges say.
    pub judgement: Judgement,
    /// How the cluster came back.
    pub healing: Healing,
    /// The faults.
    pub tally: Tally,
    /// What the clients did.
    pub history: History,
    /// Rare branches, and how often they were reached.
    pub branches: BTreeMap<String, u64>,
    /// How long it took, in simulated time.
    pub took: Duration,
}

impl Report {
    /// True when no promise was broken.
    pub fn is_good(&self) -> bool {
        self.judgement.violations.is_empty()
    }
}

/// What happens to the cluster in the run of `seed`.
pub fn plan(seed: u64, setup: &Setup) -> Plan {
    Plan::draw(&mut Chance::new(seed, "plan"), &setup.profile, &setup.scene())
}

/// Runs `seed`.
pub fn run(seed: u64, setup: &Setup, recording: Recording) -> Report {
    run_plan(seed, setup, &plan(seed, setup), recording)
}

/// Runs `seed` with another plan than its own: a part of it, for one that fails.
pub fn run_plan(seed: u64, setup: &Setup, plan: &Plan, recording: Recording) -> Report {
    let mut world = World::new(seed, recording);
    let logs = world.capture_logs();
    let mut run = Run::new(&mut world, setup, plan);
    run.play(setup);
    run.violations.extend(quiet::check(run.world.is_exhausted()));
    run.violations.extend(run.cluster.watch().violations());
    let leased = run.cluster.watch().leased();
    run.effects.gather(run.world, &run.cluster.hosts());
    let (violations, tally, clients) = (run.violations, run.effects.tally, run.clients);
    let (mut healing, peace) = (run.healing, run.peace);
    drop(logs);
    // Order matters: the sessions hold the book too.
    let took = world.now() - SimTime::ZERO;
    let steps = world.steps();
    let mut branches = world.take_branches();
    if leased > 0 {
        branches.insert("reads were served by a lease".to_owned(), leased);
    }
    let (digest, lines, text) = (world.digest(), world.trace_lines(), world.trace_text());
    drop(world);
    let mut history = clients.history.take();
    healing.resumed = live::resumed(&history, peace);
    if setup.leases == Leases::Distrusted {
        history.distrust_leases();
    }
    let mut judgement = judge(&history);
    judgement.violations.extend(violations);
    judgement.violations.extend(whole::check(&tally, &branches));
    if setup.lifetimes == Lifetimes::Kept {
        judgement.violations.extend(lifetime::check(&tally, &history));
    }
    Report { seed, digest, steps, lines, text, judgement, healing, tally, history, branches, took }
}

struct Run<'a> {
    world: &'a mut World,
    cluster: Cluster,
    clients: Clients,
    client_hosts: Vec<HostId>,
    office: Office,
    roll: Roll,
    healing: Healing,
    /// When all faults were over.
    peace: SimTime,
    ends: SimTime,
    /// What is still to be done, in order.
    agenda: BTreeMap<(SimTime, usize), Step>,
    numbers: usize,
    effects: Effects,
    violations: Vec<Violation>,
    restarts: Chance,
    /// Faults that wait for their moment, and their place in the plan.
    waiting: Vec<(Ambush, (usize, Kind))>,
}

impl<'a> Run<'a> {
    fn new(world: &'a mut World, setup: &Setup, plan: &Plan) -> Self {
        let boot = Rc::clone(&setup.boot);
        let cluster = Cluster::new(world, setup.nodes, setup.spares, boot, setup.sizes)
            .with_engines(setup.engines);
        if world.chance("content").one_in(CONTENT_SEEDS) {
            cluster.watch().look_at_every_index();
        }
        let mut clients = Clients::new(world.clock(), cluster.addresses());
        clients.names = plan.rests() < NAMES_LAST;
        clients.padding = "x".repeat(setup.padding).into();
        let client_hosts =
            (1..=setup.sessions).map(|number| world.add_host(&format!("c{number}"))).collect();
        let steps = plan.steps();
        let numbers = steps.len();
        let numbered = steps.into_iter().enumerate();
        let agenda = numbered.map(|(number, (at, step))| ((at, number), step)).collect();
        Self {
            restarts: world.chance("restarts"),
            numbers,
            world,
            cluster,
            clients,
            client_hosts,
            office: Office::default(),
            roll: Roll::default(),
            healing: Healing::default(),
            peace: plan.ends,
            ends: plan.ends,
            agenda,
            effects: Effects::default(),
            violations: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn play(&mut self, setup: &Setup) {
        if setup.disks == Disks::Lying {
            for host in self.cluster.hosts() {
                self.world.disk(host).lie_about_syncs();
            }
        }
        self.cluster.start_all(self.world);
        for (host, number) in self.client_hosts.iter().zip(1..=setup.sessions) {
            let clients = self.clients.clone();
            let trust = match number {
                // The first ones ask for no less than everybody gets.
                _ if number % 3 != 1 && setup.lease => Trust::Lease,
                _ if number % 4 == 3 && setup.stale => Trust::Nobody,
                _ => Trust::Quorum,
            };
            let speaks_http = setup.web && number % WEB_EVERY == 0;
            self.world.start(*host, move |env| match speaks_http {
                true => web::session(clients, number, trust, env),
                false => session(clients, number, trust, env),
            });
        }
        let host = self.world.add_host("op");
        let office = self.office.clone();
        self.list_members();
        self.world.start(host, move |env| operator(office, env));
        self.storm();
        self.make_peace();
        self.prove_healing();
    }

    /// Carries the plan out. A node that ends again and again is still being restarted when peace comes.
    fn storm(&mut self) {
        while self.world.now() < self.ends {
            self.carry_out_due();
            self.hear_operator();
            let look = (self.world.now() + LOOK).min(self.ends);
            let next = self.agenda.first_key_value().map_or(look, |((at, _), _)| look.min(*at));
            self.pass(next);
        }
    }

    fn carry_out_due(&mut self) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > self.world.now() {
                break;
            }
            let step = entry.remove();
            self.world.note(None, &format!("{:?}: {:?}", step.kind, step.act));
            if let Act::FailPowerAfter(host, _) = step.act {
                self.effects.arm(host, step.kind);
            }
            let (act, mut waiting) = (step.act.clone(), Vec::new());
            if act.carry_out(self.world, &mut self.cluster, &self.office, &mut waiting) {
                self.effects.acted(&step);
            }
            if let Act::Rest(duration) = step.act {
                self.wait_for_those_who_rest(duration);
            }
            let of = (step.fault, step.kind);
            self.waiting.extend(waiting.into_iter().map(|ambush| (ambush, of)));
        }
    }

    /// What is planned is for those who are awake.
    fn wait_for_those_who_rest(&mut self, duration: Duration) {
        let hours = duration >= Duration::from_secs(3_600);
        self.clients.now.count(if hours { "a pause of hours" } else { "a pause of minutes" });
        let later = std::mem::take(&mut self.agenda).into_iter();
        self.agenda = later.map(|((at, number), step)| ((at + duration, number), step)).collect();
        for (ambush, _) in &mut self.waiting {
            ambush.until = ambush.until + duration;
        }
        self.ends = self.ends + duration;
        self.pass(self.world.now() + duration);
    }

    fn hear_operator(&mut self) {
        while let Some(verdict) = self.office.verdict() {
            self.world.note(None, &format!("operator: {verdict:?}"));
            self.effects.decided(&verdict);
            match verdict {
                Verdict::NoMember(host, leaving) => {
                    self.world.power_off(host);
                    let name = self.cluster.name(host);
                    self.cluster.removed(self.world, host, leaving);
                    self.office.order(Request::Forget(name));
                }
                Verdict::Gone(host, leaving) => self.cluster.removed(self.world, host, leaving),
                Verdict::Succeeded(host) => {
                    self.clients.now.count("a voter's place was taken in one step");
                    self.cluster.succeeded(host);
                }
                Verdict::Voted(Vote::Given) => self.clients.now.count("a vote was given"),
                Verdict::Voted(Vote::Taken) => self.clients.now.count("a vote was taken"),
                Verdict::HandedOver => {}
                Verdict::Stays(host) => self.cluster.stays(host),
            }
        }
        self.list_members();
    }

    /// Tells operator and probe who there is.
    fn list_members(&mut self) {
        let staying = self.cluster.staying();
        // A toy has no votes.
        if self.cluster.watch().has_leaders() {
            self.office.list_electorate(staying.iter().map(|(name, _)| name.clone()).collect());
        }
        self.roll.list(staying);
        self.office.list(self.cluster.operator_addresses(), self.cluster.joining());
    }

    /// Faults whose moment has come strike; nobody waits for ever.
    fn spring(&mut self) {
        let now = self.world.now();
        self.waiting.retain(|(ambush, _)| ambush.until > now);
        for (host, moment) in self.cluster.watch().take_moments() {
            let due = self.waiting.iter().position(|(ambush, _)| ambush.moment == moment);
            let Some((ambush, of)) = due.map(|due| self.waiting.remove(due)) else { continue };
            self.clients.now.count(&ambush.branch());
            self.world.note(Some(host), &format!("{moment:?}: {:?}", ambush.strike));
            for (at, act) in ambush.strike(host, now) {
                self.numbers += 1;
                let step = Step { fault: of.0, kind: of.1, act };
                self.agenda.insert((at, self.numbers), step);
            }
        }
    }

    /// Lets time pass until `until`, or less: until a process has ended by itself, or a moment has come that a fault
    /// waits for.
    fn pass(&mut self, until: SimTime) {
        let (watch, waits) = (self.cluster.watch(), !self.waiting.is_empty());
        let passed = self.world.run_until_or(until, || waits && watch.has_moments());
        self.spring();
        if passed {
            return;
        }
        while let Some((host, ending)) = self.world.take_ending() {
            self.violations.extend(panics::check(self.world.name(host), &ending));
            if ending == Ending::Exited {
                self.effects.exited();
            } else if ending == Ending::PowerFailed {
                self.effects.power_failed(host);
            }
            // As a supervisor would, or an operator.
            let least = Duration::from_millis(50);
            let after = self.restarts.duration(least..Duration::from_secs(3));
            self.numbers += 1;
            let step = Step { fault: usize::MAX, kind: Kind::Exit, act: Act::Start(host) };
            self.agenda.insert((self.world.now() + after, self.numbers), step);
        }
    }

    /// All faults end.
    fn make_peace(&mut self) {
        self.world.note(None, "peace");
        self.agenda.clear();
        self.waiting.clear();
        for host in self.cluster.hosts() {
            self.world.disk(host).mend();
            self.world.set_clock_right(host);
            self.world.resume(host);
        }
        self.world.wire().heal_all();
        self.hear_operator();
        self.cluster.start_all(self.world);
        self.peace = self.world.now();
    }

    /// From [`live::AFTER_PEACE`] on everything must come about within the time that it has: every node serves, the
    /// operator gets his will, votes are where they should be, and who was removed has stopped by itself.
    fn prove_healing(&mut self) {
        self.wait(LAST_REPLIES, || false);
        self.clients.stopping.set(true);
        self.wait(live::AFTER_PEACE - LAST_REPLIES, || false);
        // What is still under way now stays unknown.
        for host in self.client_hosts.clone() {
            self.world.kill(host, Kill::Process);
        }
        let asked = self.world.now();
        // Nothing else is ordered any more.
        self.office.order(Request::CheckVotes);
        let host = self.world.add_host("probe");
        let progress = Rc::new(Cell::new(Progress::default()));
        let (clients, roll, seen) = (self.clients.clone(), self.roll.clone(), Rc::clone(&progress));
        self.world.start(host, move |env| probe(clients, roll, env, seen));
        let (office, roll) = (self.office.clone(), self.roll.clone());
        let settled = self.wait(live::EVERYTHING, || office.is_idle());
        let orders = settled.then(|| self.world.now());
        roll.settle();
        let spent = self.world.now() - asked;
        self.wait(live::EVERYTHING.saturating_sub(spent), || progress.get().done);
        self.healing = Healing::new(asked, progress.get(), orders);
        let order = office.current().filter(|_| !settled);
        self.violations.extend(live::check(self.healing, progress.get(), order.as_ref()));
        self.violations.extend(votes::check(&office.due(), &office.seen()));
        self.cluster.dismiss_succeeded();
        let gone = self.cluster.gone();
        if !gone.is_empty() {
            self.wait(LINGER, || false);
        }
        let running = gone.into_iter().filter(|host| self.world.is_up(*host));
        let running: Vec<String> = running.map(|host| self.world.name(host).to_owned()).collect();
        self.violations.extend(removed::check(running));
    }

    /// Waits until `done`, no longer than `limit`, and keeps the nodes running.
    fn wait(&mut self, limit: Duration, done: impl Fn() -> bool) -> bool {
        let until = self.world.now() + limit;
        while self.world.now() < until && !done() {
            let look = (self.world.now() + LOOK).min(until);
            let next = self.agenda.first_key_value().map_or(look, |((at, _), _)| look.min(*at));
            self.pass(next);
            self.carry_out_due();
            self.hear_operator();
        }
        done()
    }
}
