//! The gym's clients, and after them the gym's judges, for real processes: sessions that speak RESP and HTTP over
//! real sockets on one thread, which notes when they asked and what they heard.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use quorate_env::{Env, Rng};
use quorate_sim::check::{Judgement, Violation, judge};
use quorate_sim::client::probe::{Progress, Roll, probe};
use quorate_sim::client::workload::session;
use quorate_sim::client::{Clients, Trust, web};
use quorate_sim::world::Now;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::cluster::Cluster;
use crate::patience::say;
use crate::seed::Random;

/// After the sessions are told to stop, the last replies may still come.
const LAST_REPLIES: Duration = Duration::from_secs(4);
/// After the last fault every node must serve within this time.
const LIVENESS: Duration = Duration::from_secs(60);
/// Enough to contradict each other, and few enough to leave the machine to others.
const FEW: u32 = 4;
/// Each so many sessions one speaks HTTP: it is told revisions, by which what all others heard is judged, too.
const WEB_EVERY: u32 = 3;
const LOOK: Duration = Duration::from_millis(20);

/// What the clients saw, and what the judges say.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    /// Groups of keys on which the search was given up.
    pub(crate) undecided: u64,
    /// Operations that were judged by the revisions in replies.
    pub(crate) placed: u64,
    /// Operations on the same keys whose place nobody knows.
    pub(crate) loose: u64,
    pub(crate) done: u64,
    pub(crate) not_applied: u64,
    pub(crate) unknown: u64,
}

/// Sessions at work.
pub(crate) struct Sessions {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<Verdict>>,
}

/// The word to stop, which nodes have to serve then, and what was done up to now.
#[derive(Default)]
struct Stop {
    said: AtomicBool,
    nodes: Mutex<Vec<String>>,
    done: AtomicU64,
}

struct Seeded(Mutex<Random>);

impl Rng for Seeded {
    fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

impl Sessions {
    /// Starts `count` sessions against `nodes`, on the caller's network: all there are, or may be.
    pub(crate) fn start(nodes: Vec<String>, count: u32, seed: u64) -> Self {
        let stop: Arc<Stop> = Arc::default();
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            LocalSet::new().block_on(&runtime, play(nodes, count, seed, &asked))
        });
        Self { stop, thread: Some(thread) }
    }

    /// A few against all nodes that there are now, running or not.
    pub(crate) fn on(cluster: &Cluster) -> Self {
        Self::start(cluster.addrs(), FEW, cluster.seed())
    }

    /// As [`Self::judged`], by every running node; nothing may be wrong.
    #[track_caller]
    pub(crate) fn prove(self, cluster: &Cluster) {
        let addrs = cluster.running().into_iter().map(|node| cluster.addr(node).to_owned());
        let verdict = self.judged(addrs.collect());
        say(&format!(
            "the gym's clients: {} operations done, {} not applied, {} unknown",
            verdict.done, verdict.not_applied, verdict.unknown
        ));
        let wrong: Vec<_> = verdict.violations.iter().map(ToString::to_string).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(verdict.undecided <= 1, "{} groups of keys are undecided", verdict.undecided);
        assert!(verdict.done > 20, "nothing was done, so nothing was proved");
    }

    /// Operations done so far.
    pub(crate) fn done(&self) -> u64 {
        self.stop.done.load(Ordering::Acquire)
    }

    /// Ends them, reads everything for the last time through each of `nodes`, and judges. All faults must be over.
    pub(crate) fn judged(mut self, nodes: Vec<String>) -> Verdict {
        *self.stop.nodes.lock().unwrap() = nodes;
        self.stop.said.store(true, Ordering::Release);
        let thread = self.thread.take().expect("it is judged once");
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.stop.said.store(true, Ordering::Release);
    }
}

async fn play(nodes: Vec<String>, count: u32, seed: u64, stop: &Stop) -> Verdict {
    let rng = Arc::new(Seeded(Mutex::new(Random::new(seed))));
    let env = Env { rng, ..quorate_env::real::env() };
    let clients = Clients::new(Now::of_machine(Arc::clone(&env.clock)), nodes);
    let at_work = Rc::new(Cell::new(count));
    for number in 1..=count {
        // Some take what their node has; nobody trusts a clock, for processes are stopped here.
        let trust = if number % 4 == 3 { Trust::Nobody } else { Trust::Quorum };
        let (clients, window) = (clients.clone(), env.clone());
        let session = match number % WEB_EVERY {
            0 => web::session(clients, number, trust, window),
            _ => session(clients, number, trust, window),
        };
        let at_work = Rc::clone(&at_work);
        env.tasks.spawn(Box::pin(async move {
            session.await;
            at_work.set(at_work.get() - 1);
        }));
    }
    while !stop.said.load(Ordering::Acquire) {
        let (done, ..) = clients.history.borrow().outcomes();
        stop.done.store(done, Ordering::Release);
        env.clock.sleep(LOOK).await;
    }
    clients.stopping.set(true);
    let deadline = env.clock.now() + LAST_REPLIES;
    while at_work.get() > 0 && env.clock.now() < deadline {
        env.clock.sleep(LOOK).await;
    }
    let progress = Rc::new(Cell::new(Progress::default()));
    let roll = Roll::settled(stop.nodes.lock().unwrap().clone());
    env.tasks.spawn(probe(clients.clone(), roll, env.clone(), Rc::clone(&progress)));
    let deadline = env.clock.now() + LIVENESS;
    while !progress.get().done && env.clock.now() < deadline {
        env.clock.sleep(LOOK).await;
    }
    // What is still under way stays unknown.
    let history = clients.history.take();
    let mut judgement = judge(&history);
    if !progress.get().done {
        let evidence = format!("the probe is at {:?} after {LIVENESS:?}", progress.get());
        judgement.violations.push(Violation::new("live", evidence));
    }
    let (done, not_applied, unknown) = history.outcomes();
    let Judgement { violations, undecided, placed, loose } = judgement;
    Verdict { violations, undecided, placed, loose, done, not_applied, unknown }
}
