//! The nemesis: draws what happens in a storm, does it, ends it, and looks after processes as a supervisor would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Plan;
use super::fault::{ALWAYS, Act, Fault, OF_CLOCKS, OF_DISKS, OF_MEMBERS, ON_WIRES};
use super::operator::{Operator, Order, Verdict};
use super::roster::{Part, Roster};
use crate::cluster::{Cluster, Entrance};
use crate::patience::{LONG, measured, until};
use crate::process::Recipe;
use crate::seed::Random;
use crate::strace::{
    self, COMPACTER, FLUSHER, LOG_KEEPER, LOG_WRITER, SNAPSHOT_MAKER, SNAPSHOT_RECEIVER, Strace,
};
use crate::wall_clock::WallClock;
use crate::wire::{Rule, Wire};

/// Nodes that may come in during a storm.
pub(super) const SPARES: usize = 6;
/// By so many nodes may the cluster grow.
const GROWTH_MAX: usize = 2;
/// A cluster is not shrunk below so many voters.
const VOTERS_MIN: usize = 2;
/// They do not know of each other; but no two of them are told something about the same node.
const OPERATORS: u64 = 2;
/// Between two looks at what is due.
const LOOK: Duration = Duration::from_millis(10);
/// Snapshots all the time.
const FLAGS: &[&str] = &["--snapshot-log-size", "64kb"];
/// How a node ends whose fsync has failed.
const SYNC_FAILED: &str = "Input/output error";
/// Whose syncs are slow, or fail: the log's writer's above all. Not every node has all of them.
const SYNCING: &[&str] =
    &[LOG_WRITER, LOG_WRITER, LOG_KEEPER, SNAPSHOT_MAKER, SNAPSHOT_RECEIVER, FLUSHER, COMPACTER];
/// Within this time a node ends whose fsync has failed, if it is one that it can't do without: it may be stopped meanwhile.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// How a node ends that is no member any more.
const REMOVED: &str = "was removed from the cluster";
/// How a node ends that comes with the name of a former one.
const NAME_USED: &str = "names are never given twice";

/// One node, as the nemesis sees it.
#[derive(Default)]
struct Patient {
    clock: Option<WallClock>,
    wrong_clock: bool,
    paused: bool,
    /// What is done to its syncs, and a number for it.
    hurt: Option<(Fault, Strace, u64)>,
    /// An fsync has failed: until then it may end by itself.
    may_end_until: Option<Instant>,
}

pub(super) struct Nemesis<'a> {
    pub(super) cluster: Cluster,
    wire: Option<&'a mut Wire>,
    patients: Vec<Patient>,
    pub(super) roster: Roster,
    operators: Vec<Operator>,
    random: Random,
    kinds: Vec<Fault>,
    agenda: BTreeMap<(Instant, u64), Act>,
    orders: u64,
    /// Pictures of cut wires drawn so far.
    pictures: u64,
    /// How often syncs were hurt.
    hurts: u64,
    members_max: usize,
    /// What happened, and how often.
    pub(super) tally: BTreeMap<Fault, u64>,
    /// What came of orders.
    pub(super) verdicts: BTreeMap<String, u64>,
    /// What a node did that it may not do.
    surprises: Vec<String>,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(plan: &Plan, wire: Option<&'a mut Wire>, library: Option<&str>) -> Self {
        let mut cluster = Cluster::empty(FLAGS);
        let (mut patients, mut roster) = (Vec::new(), Roster::default());
        for node in 0..plan.nodes + SPARES {
            let name = format!("n{}", node + 1);
            let clock = library.map(|library| WallClock::new(cluster.dir(), &name, library));
            let change = |recipe: &mut Recipe| {
                recipe.variables = clock.as_ref().map_or_else(Vec::new, WallClock::variables);
                plan.choose_engine(node, recipe);
                if let Some(wire) = &wire {
                    wire.house(node, recipe);
                }
            };
            if node < plan.nodes {
                let entrance = if node == 0 { Entrance::Bootstrap } else { Entrance::Join };
                cluster.add_as(entrance, change);
            } else {
                cluster.plan(&[]);
                change(cluster.recipe_mut(node));
            }
            roster.add(&name, if node < plan.nodes { Part::Member } else { Part::Spare });
            patients.push(Patient { clock, ..Patient::default() });
        }
        cluster.wait_for_voters(plan.nodes);
        let mut kinds = [ALWAYS, OF_MEMBERS].concat();
        kinds.extend(if wire.is_some() { ON_WIRES } else { &[] });
        kinds.extend(if library.is_some() { OF_CLOCKS } else { &[] });
        kinds.extend(if strace::is_permitted() { OF_DISKS } else { &[] });
        Self {
            cluster,
            wire,
            patients,
            roster,
            operators: (0..OPERATORS).map(|number| Operator::start(plan.seed ^ number)).collect(),
            random: Random::new(plan.seed),
            kinds,
            agenda: BTreeMap::new(),
            orders: 0,
            pictures: 0,
            hurts: 0,
            members_max: plan.nodes + GROWTH_MAX,
            tally: BTreeMap::new(),
            verdicts: BTreeMap::new(),
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

    fn pick(&mut self, nodes: &[usize]) -> Option<usize> {
        (!nodes.is_empty()).then(|| nodes[self.random.below(nodes.len())])
    }

    fn runs(&self, node: usize) -> bool {
        self.cluster.running().contains(&node)
    }

    /// A storm of `storm`, or longer where `enough` is not yet seen then, but not longer than `at_most`.
    pub(super) fn rage(&mut self, storm: Duration, at_most: Duration, enough: impl Fn() -> bool) {
        let began = Instant::now();
        let mut next = began;
        while began.elapsed() < storm || (began.elapsed() < at_most && !enough()) {
            self.look_around();
            if Instant::now() >= next {
                let fault = match self.kinds[self.random.below(self.kinds.len())] {
                    // Of three, each is the others' neighbour: nothing would be cut.
                    Fault::Ring if self.roster.live().len() < 4 => Fault::Split,
                    fault => fault,
                };
                if self.inject(fault) {
                    *self.tally.entry(fault).or_default() += 1;
                }
                next = Instant::now() + self.within_ms(100, 900);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What is due, who has ended, what the operator has heard.
    fn look_around(&mut self) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > Instant::now() {
                break;
            }
            let act = entry.remove();
            self.carry_out(act);
        }
        self.look_after_the_dead();
        self.hear_operators();
    }

    fn carry_out(&mut self, act: Act) {
        match act {
            Act::Start(node) => {
                if !self.runs(node) && self.roster.live().contains(&node) {
                    self.cluster.restart(node);
                }
            }
            Act::Resume(node) => {
                if self.patients[node].paused && self.runs(node) {
                    self.cluster.resume(node);
                }
                self.patients[node].paused = false;
            }
            Act::Heal(picture) => {
                if let Some(wire) = self.wire.as_mut().filter(|_| picture == self.pictures) {
                    wire.set_all(Rule::default());
                }
            }
            Act::SetClock(node, ahead) => {
                if let Some(clock) = &self.patients[node].clock {
                    clock.set_ahead(ahead);
                    self.patients[node].wrong_clock = ahead != 0;
                }
            }
            Act::LetSync(node, number) => {
                if self.patients[node].hurt.as_ref().is_some_and(|hurt| hurt.2 == number) {
                    self.let_sync(node);
                }
            }
        }
    }

    /// Its syncs are as they should be. What was done to them counts if any call was met.
    fn let_sync(&mut self, node: usize) {
        let patient = &mut self.patients[node];
        let Some((fault, strace, _)) = patient.hurt.take() else { return };
        if strace.injected() == 0 {
            return;
        }
        if fault == Fault::FailSync {
            patient.may_end_until = Some(Instant::now() + ENDS_WITHIN);
        }
        *self.tally.entry(fault).or_default() += 1;
    }

    /// Nodes that have ended by themselves: those that may are started again, as a supervisor would, but for those
    /// that were removed.
    pub(super) fn look_after_the_dead(&mut self) {
        for node in 0..self.patients.len() {
            let Some(status) = self.cluster.ended(node) else { continue };
            let text = self.cluster.log_text(node);
            let why = text.lines().last().unwrap_or_default();
            self.let_sync(node);
            let until = self.patients[node].may_end_until.take();
            let may_end = until.is_some_and(|until| Instant::now() < until);
            let failed = status.code() == Some(1);
            if failed && why.contains(REMOVED) {
                self.surprises.extend(self.roster.was_told(node));
                continue;
            }
            if !(failed && may_end && why.contains(SYNC_FAILED)) {
                self.surprises.push(format!("n{} ended by itself: {status}: {why}", node + 1));
            }
            let after = self.within_ms(50, 1_500);
            self.later(after, Act::Start(node));
        }
    }

    fn hear_operators(&mut self) {
        let heard: Vec<_> = self.operators.iter_mut().filter_map(Operator::verdict).collect();
        for (order, verdict) in heard {
            self.roster.learn(order, verdict);
            let word = format!("{order:?}");
            let word = word.split(['(', ' ']).next().unwrap_or_default();
            *self.verdicts.entry(format!("{word} {verdict:?}")).or_default() += 1;
            // Who was removed, as its operator was told, is not needed any more, whether it knows so or not.
            if let (Order::Remove(node), Verdict::Done) = (order, verdict)
                && self.random.below(2) == 0
            {
                self.kill(node);
            }
        }
        self.brief_operators();
    }

    fn brief_operators(&self) {
        let nodes = 0..self.patients.len();
        let names = nodes.map(|node| {
            let recipe = self.cluster.recipe(node);
            (recipe.name.clone(), recipe.addr.clone())
        });
        let (names, through) = (names.collect::<Vec<_>>(), self.addrs(&self.roster.staff()));
        self.operators.iter().for_each(|operator| operator.brief(names.clone(), through.clone()));
    }

    fn addrs(&self, nodes: &[usize]) -> Vec<String> {
        nodes.iter().map(|&node| self.cluster.addr(node).to_owned()).collect()
    }

    /// False when there is nothing to do it to, or when it is counted later.
    fn inject(&mut self, fault: Fault) -> bool {
        if OF_MEMBERS.contains(&fault) {
            return self.order(fault);
        }
        let live = self.roster.live();
        let Some(node) = self.pick(&live) else { return false };
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
            Fault::SlowSync | Fault::FailSync => {
                self.hurt_syncs(node, fault);
                return false;
            }
            _ => self.cut(node, fault),
        }
        true
    }

    fn kill(&mut self, node: usize) -> bool {
        if !self.runs(node) {
            return false;
        }
        self.cluster.kill(&[node]);
        self.let_sync(node);
        let patient = &mut self.patients[node];
        (patient.paused, patient.may_end_until) = (false, None);
        let after = self.within_ms(0, 2_000);
        self.later(after, Act::Start(node));
        true
    }

    /// Gives an operator an order, unless all are busy.
    fn order(&mut self, fault: Fault) -> bool {
        let idle = self.operators.iter().position(|operator| operator.current().is_none());
        let Some(idle) = idle else { return false };
        let (members, voters) = (self.roster.at_rest(), self.roster.voters());
        let wrong = self.wrong_clocks();
        // Invariant: the clocks of a majority are right, also of those who stay.
        let dispensable = voters.len() > VOTERS_MIN && 2 * wrong < voters.len() - 1;
        let order = match fault {
            Fault::AddNode if self.roster.crowd() < self.members_max => {
                let entrance =
                    if self.random.below(2) == 0 { Entrance::Join } else { Entrance::Wait };
                self.enlist(entrance).map(|node| match entrance {
                    Entrance::Join => Order::Await(node),
                    Entrance::Bootstrap | Entrance::Wait => Order::Add(node),
                })
            }
            Fault::RemoveNode if dispensable => self.pick(&members).map(Order::Remove),
            Fault::ReplaceNode if voters.len() >= VOTERS_MIN => self
                .pick(&voters)
                .and_then(|old| Some(Order::Replace { old, new: self.enlist(Entrance::Wait)? })),
            Fault::DemoteNode if dispensable => self.pick(&voters).map(Order::Demote),
            Fault::PromoteNode => self.pick(&self.roster.learners()).map(Order::Promote),
            Fault::Transfer if self.random.below(2) == 0 => Some(Order::Transfer(None)),
            Fault::Transfer => self.pick(&members).map(|member| Order::Transfer(Some(member))),
            _ => None,
        };
        if let Some(order) = order {
            self.roster.ordered(order);
            // Order matters: a newcomer may have another address than it was planned with.
            self.brief_operators();
            self.operators[idle].order(order);
        }
        order.is_some()
    }

    /// Starts a spare node: half of the time at the address of one that is gone.
    fn enlist(&mut self, entrance: Entrance) -> Option<usize> {
        let node = self.roster.spare()?;
        let vacancy = self.roster.vacancy().filter(|&old| !self.runs(old));
        if let Some(old) = vacancy.filter(|_| self.random.below(2) == 0) {
            let Recipe { addr, wrapper, .. } = self.cluster.recipe(old).clone();
            let recipe = self.cluster.recipe_mut(node);
            (recipe.addr, recipe.wrapper) = (addr, wrapper);
            self.roster.evict(old, node);
        }
        if entrance == Entrance::Join {
            let seeds = self.addrs(&self.roster.members()).join(",");
            self.cluster.recipe_mut(node).flags.extend(["--join".to_owned(), seeds]);
        }
        self.roster.enlist(node);
        self.cluster.restart(node);
        Some(node)
    }

    fn wrong_clocks(&self) -> usize {
        self.patients.iter().filter(|patient| patient.wrong_clock).count()
    }

    /// Invariant: the clocks of a majority are right, or nobody could say what time it is.
    fn move_clock(&mut self, node: usize, fault: Fault) -> bool {
        let wrong = self.wrong_clocks();
        if self.patients[node].wrong_clock || 2 * (wrong + 1) >= self.roster.voters().len() {
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

    /// Whether any sync was met is known, and counted, when it is over.
    fn hurt_syncs(&mut self, node: usize, fault: Fault) {
        let patient = &self.patients[node];
        if !self.runs(node) || patient.paused || patient.hurt.is_some() {
            return;
        }
        let process = self.cluster.process(node).id();
        let thread = SYNCING[self.random.below(SYNCING.len())];
        let strace = if fault == Fault::FailSync {
            let nth = 1 + self.random.below(20);
            Strace::fail_syncs(process, thread, nth)
        } else {
            let by = self.within_ms(5, 400);
            Strace::slow_syncs(process, thread, by)
        };
        let Some(strace) = strace else { return };
        self.hurts += 1;
        self.patients[node].hurt = Some((fault, strace, self.hurts));
        let after = self.within_ms(500, 3_000);
        self.later(after, Act::LetSync(node, self.hurts));
    }

    fn cut(&mut self, node: usize, fault: Fault) {
        let hosts: Vec<_> =
            self.roster.live().into_iter().map(|node| self.roster.host(node)).collect();
        let count = hosts.len();
        let half = 1 + self.random.below(count.max(2) - 1);
        let bad = Rule {
            delay_ms: u32::try_from(self.random.below(40)).unwrap(),
            jitter_ms: 1 + u32::try_from(self.random.below(60)).unwrap(),
            loss_percent: u32::try_from(self.random.below(25)).unwrap(),
        };
        let lasts = self.within_ms(300, 4_000);
        let victim = self.roster.host(node);
        let Some(wire) = &mut self.wire else { return };
        // A new picture replaces the old one.
        wire.set_all(if fault == Fault::BadWires { bad } else { Rule::default() });
        let clients = wire.clients();
        if fault == Fault::LoseReplies {
            wire.set(victim, clients, Rule::CUT);
        }
        for (at, &from) in hosts.iter().enumerate() {
            for (to_at, &to) in hosts.iter().enumerate().filter(|(to_at, _)| *to_at != at) {
                let cut = match fault {
                    Fault::Isolate => from == victim || to == victim,
                    Fault::Deafen => to == victim,
                    Fault::Mute => from == victim,
                    Fault::Split => (at < half) != (to_at < half),
                    Fault::Ring => (at + 1) % count != to_at && (to_at + 1) % count != at,
                    _ => false,
                };
                if cut {
                    wire.set(from, to, Rule::CUT);
                }
            }
        }
        self.pictures += 1;
        self.later(lasts, Act::Heal(self.pictures));
    }

    /// All faults end; what a failed fsync has begun takes its course, and operators finish what they were told.
    pub(super) fn make_peace(&mut self) {
        self.agenda.clear();
        self.carry_out(Act::Heal(self.pictures));
        for node in 0..self.patients.len() {
            self.carry_out(Act::SetClock(node, 0));
            self.carry_out(Act::Resume(node));
            self.let_sync(node);
        }
        let peace = Instant::now();
        for node in self.roster.live() {
            self.carry_out(Act::Start(node));
        }
        until("the last orders are carried out", 4 * LONG, || {
            self.look_around();
            match self.operators.iter().find(|operator| operator.current().is_some()) {
                Some(busy) => Err(format!("{:?}; {}", busy.current(), busy.last())),
                None => Ok(()),
            }
        });
        until("all members are ready and agree on who they are", 2 * LONG, || {
            self.look_around();
            let members = self.roster.members().into_iter();
            let mut voters =
                members.map(|node| self.is_well(node)).collect::<Result<Vec<_>, _>>()?;
            voters.dedup();
            if voters.len() == 1 { Ok(()) } else { Err(format!("voters: {voters:?}")) }
        });
        measured("after the storm all nodes were ready in", &peace.elapsed());
        until("who was removed has stopped", LONG, || {
            self.look_around();
            match self.roster.outsiders().into_iter().find(|&node| self.runs(node)) {
                Some(node) => Err(format!("n{} goes on", node + 1)),
                None => Ok(()),
            }
        });
    }

    /// The voters as a member names them, which is ready and says what was acknowledged.
    fn is_well(&self, node: usize) -> Result<Vec<String>, String> {
        let name = format!("n{}", node + 1);
        if !self.runs(node) {
            return Err(format!("{name} is down"));
        }
        let answer = crate::http::get(self.cluster.addr(node), "/readyz?verbose");
        match answer.map_err(|error| format!("{name}: {error}"))? {
            ready if ready.status == 200 => {}
            not => return Err(format!("{name}: {}", not.text())),
        }
        let status = self.cluster.status(node)?;
        self.roster.check(&status).map_err(|why| format!("{name}: {why}"))?;
        Ok(status.voters())
    }

    /// Where the members are.
    pub(super) fn member_addrs(&self) -> Vec<String> {
        self.addrs(&self.roster.members())
    }

    /// Who was a member does not come back: neither with what it has, nor, under its name, with nothing.
    pub(super) fn prove_that_who_is_gone_stays_away(&mut self) {
        let seeds = self.member_addrs().join(",");
        for node in self.roster.former() {
            let recipe = self.cluster.recipe_mut(node);
            recipe.flags.retain(|flag| flag != "--bootstrap");
            if let Some(at) = recipe.flags.iter().position(|flag| flag == "--join") {
                recipe.flags.drain(at..at + 2);
            }
            recipe.flags.extend(["--join".to_owned(), seeds.clone()]);
            self.cluster.restart(node);
            self.assert_ends_saying(node, REMOVED);
            let recipe = self.cluster.recipe_mut(node);
            recipe.data_dir = recipe.data_dir.with_extension("again");
            self.cluster.restart(node);
            self.assert_ends_saying(node, NAME_USED);
        }
    }

    fn assert_ends_saying(&mut self, node: usize, why: &str) {
        let status = self.cluster.wait_for_end(node, LONG);
        let text = self.cluster.log_text(node);
        let last = text.lines().last().unwrap_or_default();
        assert!(status.code() == Some(1) && last.contains(why), "{status}: {last}");
    }

    /// What nodes did or said that they may not.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut wrong = self.surprises.clone();
        wrong.extend(self.operators.iter().flat_map(Operator::surprises));
        wrong.extend(self.roster.violations());
        for node in 0..self.patients.len() {
            if self.cluster.log_text(node).contains("panicked at") {
                wrong.push(format!("n{} panicked", node + 1));
            }
        }
        wrong
    }
}
