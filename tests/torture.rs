//! Torture: real processes under a storm of faults drawn from a seed, the gym's clients on all nodes, and the
//! gym's judges over what they heard.
//!
//! An episode is a new cluster, a storm, peace, the last reads, and a verdict. While processes, wires, clocks and
//! disks fail, operators ([`operator`]) add, remove and replace nodes, move votes and the lead; in the end the members must
//! be those that they were told, and who is gone must stay away. CI runs a short one of three nodes and one of five;
//! `cargo xtask torture --minutes 10 --seed 7` runs one after the other. What the machine does not permit (namespaces,
//! strace, libfaketime) is left out, and said.

mod fault;
mod kept;
mod nemesis;
mod operator;
mod roster;

use std::time::{Duration, Instant};

use self::kept::Kept;
use self::nemesis::{Nemesis, SPARES};
use crate::patience::say;
use crate::process::Recipe;
use crate::seed;
use crate::sessions::Sessions;
use crate::wall_clock;
use crate::wire::Wire;

const SESSIONS: u32 = 8;
/// Operations that must be done, for each second that a storm is planned for: it goes on until they are.
const DONE_A_SECOND: u64 = 20;
/// So many times as long as planned may a storm last, where a busy machine does little meanwhile.
const STRETCH_MAX: u32 = 4;
/// Kinds of faults of which something must have happened: a storm has some 20 in 10 seconds.
const KINDS_MIN: usize = 4;
/// Groups of keys that the search for an order may give up; none ever was.
const UNDECIDED_MAX: u64 = 1;
/// Of a short run; a long one takes [`LONG_STORM`].
const SHORT_STORM: Duration = Duration::from_secs(10);
const LONG_STORM: Duration = Duration::from_secs(25);

const MINUTES: &str = "QUORATE_TORTURE_MINUTES";
const NODES: &str = "QUORATE_TORTURE_NODES";
const ENGINE: &str = "QUORATE_TORTURE_ENGINE";

/// What is to be run.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    nodes: usize,
    storm: Duration,
    /// The nodes' storage engine, where it is not the default; `mixed` is both, in turn.
    engine: Option<String>,
}

impl Plan {
    /// The command that runs this episode alone.
    fn again(&self) -> String {
        let engine = self.engine.as_ref().map(|engine| format!(" --engine {engine}"));
        let engine = engine.unwrap_or_default();
        format!("cargo xtask torture --seed {} --nodes {}{engine}", self.seed, self.nodes)
    }

    fn choose_engine(&self, node: usize, recipe: &mut Recipe) {
        let engine = match self.engine.as_deref() {
            Some("mixed") if node % 2 == 1 => "disk",
            Some("mixed") => "memory",
            Some(engine) => engine,
            None => return,
        };
        recipe.set(&["--engine", engine]);
    }
}

fn episode(plan: &Plan) {
    say(&format!("again: {} ({} s)", plan.again(), plan.storm.as_secs()));
    let library = wall_clock::library();
    match Wire::between(plan.nodes + SPARES, plan.seed) {
        Some(mut wire) => wire.run(|wire| play(plan, Some(wire), library.as_deref())),
        None => play(plan, None, library.as_deref()),
    }
}

fn play(plan: &Plan, wire: Option<&mut Wire>, library: Option<&str>) {
    let mut nemesis = Nemesis::new(plan, wire, library);
    let kept = Kept::set(&nemesis.cluster);
    let sessions = Sessions::start(nemesis.cluster.addrs(), SESSIONS, plan.seed);
    let least = DONE_A_SECOND * plan.storm.as_secs();
    nemesis.rage(plan.storm, STRETCH_MAX * plan.storm, || sessions.done() >= least);
    nemesis.make_peace();
    let verdict = sessions.judged(nemesis.member_addrs());
    nemesis.look_after_the_dead();
    say(&format!(
        "{} nodes, {} operations done, {} not applied, {} unknown; {} placed by revisions, {} loose, {} undecided groups; \
         {:?}; orders: {:?}",
        plan.nodes,
        verdict.done,
        verdict.not_applied,
        verdict.unknown,
        verdict.placed,
        verdict.loose,
        verdict.undecided,
        nemesis.tally,
        nemesis.verdicts
    ));
    let mut wrong: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
    wrong.extend(kept.violations(&nemesis.cluster));
    wrong.extend(nemesis.violations());
    assert!(wrong.is_empty(), "again: {}\n{}", plan.again(), wrong.join("\n"));
    assert!(
        verdict.done >= least,
        "{} operations were done: too few to prove anything",
        verdict.done
    );
    assert!(
        verdict.undecided <= UNDECIDED_MAX,
        "{} groups of keys are undecided",
        verdict.undecided
    );
    assert!(
        verdict.placed > 2 * verdict.loose,
        "{} operations were judged by revisions, {} by nothing",
        verdict.placed,
        verdict.loose
    );
    assert!(nemesis.tally.len() >= KINDS_MIN, "too little happened: {:?}", nemesis.tally);
    nemesis.cluster.wait_until_equal();
    nemesis.prove_that_who_is_gone_stays_away();
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name)
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn short(nodes: usize, engine: Option<&str>) -> Plan {
    let engine = variable(ENGINE).or(engine.map(str::to_owned));
    Plan { seed: seed::draw(), nodes, storm: SHORT_STORM, engine }
}

#[test]
fn three_nodes_keep_every_promise_through_a_storm_of_faults() {
    episode(&short(3, None));
}

#[test]
fn five_nodes_keep_every_promise_through_a_storm_of_faults() {
    episode(&short(5, Some("mixed")));
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
