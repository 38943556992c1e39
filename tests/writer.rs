//! Load: clients that write through whichever node they happen to choose, and remember of every write
//! whether it was acknowledged, certainly not applied, or unknown; and the check of all that afterwards.
//!
//! Each client has keys of its own, so it knows what a linearizable read must find: of a key written once,
//! that value; of a key written over and over, the last acknowledged value or one whose outcome is unknown
//! (which may take effect at any later time). All clients share one counter.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Link, Outcome};
use crate::cluster::Cluster;
use crate::patience::{LONG, say, until};
use crate::seed::Random;
use crate::sessions::Sessions;

/// Keys that one client writes over and over.
const REGISTERS: usize = 3;
const COUNTER: &str = "load:counter";
/// Keys of one MGET.
const KEYS_READ: usize = 500;
/// After a refusal, so that a node without a leader is not stormed.
const PAUSE: Duration = Duration::from_millis(5);

/// What became of a key that is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    NotApplied,
    Unknown,
}

/// A key that is written over and over by one client.
#[derive(Clone, Debug, Default)]
struct Register {
    acknowledged: Option<String>,
    unknown: BTreeSet<String>,
}

impl Register {
    fn may_hold(&self, found: Option<&String>) -> bool {
        found == self.acknowledged.as_ref()
            || found.is_some_and(|found| self.unknown.contains(found))
    }
}

/// What a client remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    once: Vec<(String, String, Fate)>,
    registers: Vec<(String, Register)>,
    /// The counter's values that were answered.
    counted: Vec<i64>,
    /// Increments of unknown outcome.
    counted_perhaps: i64,
    /// Reads during the load that were checked.
    pub(crate) reads: usize,
    /// What nodes said when they refused.
    pub(crate) refused: Vec<String>,
    /// What nodes said when they did not know.
    pub(crate) in_doubt: Vec<String>,
    /// Connections that broke in the middle of a write.
    pub(crate) lost: Vec<String>,
}

/// An acknowledged write.
#[derive(Clone, Copy, Debug)]
struct Ack {
    began: Instant,
    done: Instant,
}

type Timeline = Arc<Mutex<Vec<Ack>>>;

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    timeline: Timeline,
    clients: Vec<JoinHandle<Ledger>>,
    /// The gym's clients, on keys of their own.
    sessions: Option<Sessions>,
}

impl Load {
    /// As [`Self::start`], with the gym's clients beside them, whose history the gym's judges judge in the end.
    pub(crate) fn judged(cluster: &Cluster, clients: usize) -> Self {
        let mut load = Self::start(cluster, clients);
        load.sessions = Some(Sessions::on(cluster));
        load
    }

    /// Starts `clients` clients against all nodes that there are now, running or not.
    pub(crate) fn start(cluster: &Cluster, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let timeline = Timeline::default();
        let start = |number: usize| {
            let client = Client {
                number,
                random: Random::new(cluster.seed() ^ (number as u64 + 1).wrapping_mul(0x5bd1_e995)),
                links: cluster.addrs().iter().map(|addr| Link::new(addr)).collect(),
                ledger: Ledger {
                    registers: (0..REGISTERS)
                        .map(|at| (format!("load:register:{number}:{at}"), Register::default()))
                        .collect(),
                    ..Ledger::default()
                },
                timeline: Arc::clone(&timeline),
            };
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || client.run(&stop))
        };
        let clients = (0..clients).map(start).collect();
        Self { stop, timeline, clients, sessions: None }
    }

    fn first_ack_after(&self, moment: Instant) -> Option<Ack> {
        let timeline = self.timeline.lock().unwrap_or_else(PoisonError::into_inner);
        timeline.iter().find(|ack| ack.began > moment).copied()
    }

    fn acks(&self) -> usize {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits for `more` acknowledged writes from now on.
    #[track_caller]
    pub(crate) fn go_on(&self, more: usize) {
        let before = self.acks();
        until(&format!("{more} more writes are acknowledged"), LONG, || {
            self.check_clients();
            let have = self.acks() - before;
            if have >= more { Ok(()) } else { Err(format!("{have} were")) }
        });
    }

    /// How long after `moment` a write was acknowledged that began after it.
    #[track_caller]
    pub(crate) fn resumed_after(&self, moment: Instant) -> Duration {
        until("writes go on", LONG, || {
            self.check_clients();
            let ack = self.first_ack_after(moment).ok_or("none was acknowledged")?;
            Ok(ack.done - moment)
        })
    }

    /// The longest time without an acknowledgement.
    pub(crate) fn longest_gap(&self) -> Duration {
        let timeline = self.timeline.lock().unwrap_or_else(PoisonError::into_inner);
        let gaps = timeline.windows(2).map(|two| two[1].done - two[0].done);
        gaps.max().unwrap_or_default()
    }

    /// A client that has seen something wrong is gone.
    #[track_caller]
    fn check_clients(&self) {
        assert!(
            self.stop.load(Ordering::Relaxed) || !self.clients.iter().any(JoinHandle::is_finished),
            "a client has failed, see above"
        );
    }

    /// Ends the load, and looks for all that was acknowledged, on every node. All faults must be over.
    #[track_caller]
    pub(crate) fn prove(mut self, cluster: &Cluster) {
        let sessions = self.sessions.take();
        let ledger = self.stop();
        say(&ledger.summary());
        if let Some(sessions) = sessions {
            sessions.prove(cluster);
        }
        ledger.verify(cluster);
    }

    /// Ends the load; what all clients remember.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Ledger::default();
        for client in std::mem::take(&mut self.clients) {
            match client.join() {
                Ok(ledger) => all.absorb(ledger),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Client {
    number: usize,
    random: Random,
    links: Vec<Link>,
    ledger: Ledger,
    timeline: Timeline,
}

impl Client {
    fn run(mut self, stop: &AtomicBool) -> Ledger {
        let mut step = 0;
        while !stop.load(Ordering::Relaxed) {
            step += 1;
            // However short the load is, it has both kinds that the ledger asks for.
            let roll = match step {
                1 => 0,
                2 => 7,
                _ => self.random.below(10),
            };
            match roll {
                0..4 => self.write_once(step),
                4..7 => self.write_register(step),
                7 => self.count(),
                _ => self.read_register(),
            }
        }
        self.ledger
    }

    /// Sends a command to some node.
    fn call<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> Outcome<T> {
        let link = self.random.below(self.links.len());
        self.links[link].call(words)
    }

    fn write<T: redis::FromRedisValue>(&mut self, words: &[&str]) -> Outcome<T> {
        let began = Instant::now();
        let outcome = self.call(words);
        match &outcome {
            Outcome::Done(_) => {
                let ack = Ack { began, done: Instant::now() };
                self.timeline.lock().unwrap_or_else(PoisonError::into_inner).push(ack);
            }
            Outcome::NotApplied(why) => {
                if !why.starts_with("connect") {
                    self.ledger.refused.push(why.clone());
                }
                std::thread::sleep(PAUSE);
            }
            Outcome::Unknown(why) => self.ledger.in_doubt.push(why.clone()),
            Outcome::Lost(why) => self.ledger.lost.push(why.clone()),
        }
        outcome
    }

    fn write_once(&mut self, step: usize) {
        let key = format!("load:once:{}:{step}", self.number);
        let value = format!("{}:{step}:{:x}", self.number, self.random.next());
        let fate = match self.write::<String>(&["SET", &key, &value]) {
            Outcome::Done(_) => Fate::Acknowledged,
            Outcome::NotApplied(_) => Fate::NotApplied,
            Outcome::Unknown(_) | Outcome::Lost(_) => Fate::Unknown,
        };
        self.ledger.once.push((key, value, fate));
    }

    fn write_register(&mut self, step: usize) {
        let at = self.random.below(REGISTERS);
        let (key, value) = (self.ledger.registers[at].0.clone(), format!("{}:{step}", self.number));
        let outcome = self.write::<String>(&["SET", &key, &value]);
        let register = &mut self.ledger.registers[at].1;
        match outcome {
            Outcome::Done(_) => register.acknowledged = Some(value),
            Outcome::NotApplied(_) => {}
            Outcome::Unknown(_) | Outcome::Lost(_) => {
                register.unknown.insert(value);
            }
        }
    }

    fn count(&mut self) {
        match self.write(&["INCR", COUNTER]) {
            Outcome::Done(value) => self.ledger.counted.push(value),
            Outcome::NotApplied(_) => {}
            Outcome::Unknown(_) | Outcome::Lost(_) => self.ledger.counted_perhaps += 1,
        }
    }

    fn read_register(&mut self) {
        let at = self.random.below(REGISTERS);
        let key = self.ledger.registers[at].0.clone();
        if let Outcome::Done(found) = self.call::<Option<String>>(&["GET", &key]) {
            let (key, register) = &self.ledger.registers[at];
            assert!(register.may_hold(found.as_ref()), "{key} is {found:?}, but was {register:?}");
            self.ledger.reads += 1;
        }
    }
}

impl Ledger {
    fn absorb(&mut self, other: Self) {
        self.once.extend(other.once);
        self.registers.extend(other.registers);
        self.counted.extend(other.counted);
        self.counted_perhaps += other.counted_perhaps;
        self.reads += other.reads;
        self.refused.extend(other.refused);
        self.in_doubt.extend(other.in_doubt);
        self.lost.extend(other.lost);
    }

    /// A line for whoever reads the run's output.
    pub(crate) fn summary(&self) -> String {
        let of = |fate| self.once.iter().filter(|(_, _, found)| *found == fate).count();
        format!(
            "{} single writes acknowledged, {} not applied, {} unknown; {} increments, {} perhaps; \
             {} reads checked under load; of all writes nodes refused {} and doubted {}, {} connections \
             were lost",
            of(Fate::Acknowledged),
            of(Fate::NotApplied),
            of(Fate::Unknown),
            self.counted.len(),
            self.counted_perhaps,
            self.reads,
            self.refused.len(),
            self.in_doubt.len(),
            self.lost.len(),
        )
    }

    /// How many of the single writes whose answer was lost have taken effect after all.
    #[track_caller]
    pub(crate) fn applied_but_lost(&self, cluster: &Cluster) -> usize {
        let node = cluster.leader();
        let unknown = self.once.iter().filter(|(_, _, fate)| *fate == Fate::Unknown);
        unknown.filter(|(key, ..)| cluster.ask::<i64>(node, &["EXISTS", key]) == 1).count()
    }

    /// How many of the acknowledged single writes a node does not have.
    #[track_caller]
    pub(crate) fn missing(&self, cluster: &Cluster, node: usize) -> usize {
        let acknowledged = self.once.iter().filter(|(_, _, fate)| *fate == Fate::Acknowledged);
        acknowledged
            .filter(|(key, value, _)| {
                cluster.ask::<Option<String>>(node, &["GET", key]).as_ref() != Some(value)
            })
            .count()
    }

    /// Every running node must tell what was acknowledged, and must not tell what was refused.
    #[track_caller]
    pub(crate) fn verify(&self, cluster: &Cluster) {
        assert!(!self.once.is_empty() && !self.counted.is_empty(), "the load has written nothing");
        for node in cluster.running() {
            self.verify_once(cluster, node);
            self.verify_registers(cluster, node);
            self.verify_counter(cluster, node);
        }
        cluster.wait_until_equal();
    }

    #[track_caller]
    fn verify_once(&self, cluster: &Cluster, node: usize) {
        for chunk in self.once.chunks(KEYS_READ) {
            let mut words = vec!["MGET"];
            words.extend(chunk.iter().map(|(key, ..)| key.as_str()));
            let values: Vec<Option<String>> = cluster.ask(node, &words);
            assert_eq!(values.len(), chunk.len());
            for ((key, value, fate), found) in chunk.iter().zip(values) {
                let fits = match fate {
                    Fate::Acknowledged => found.as_ref() == Some(value),
                    Fate::NotApplied => found.is_none(),
                    Fate::Unknown => found.is_none() || found.as_ref() == Some(value),
                };
                let name = &cluster.recipe(node).name;
                assert!(fits, "{name}: {key} = {value} was {fate:?}, but is {found:?}");
            }
        }
    }

    #[track_caller]
    fn verify_registers(&self, cluster: &Cluster, node: usize) {
        for (key, register) in &self.registers {
            let found: Option<String> = cluster.ask(node, &["GET", key]);
            let name = &cluster.recipe(node).name;
            assert!(
                register.may_hold(found.as_ref()),
                "{name}: {key} is {found:?}, was {register:?}"
            );
        }
    }

    #[track_caller]
    fn verify_counter(&self, cluster: &Cluster, node: usize) {
        let found: i64 = cluster.ask(node, &["GET", COUNTER]);
        let distinct: BTreeSet<_> = self.counted.iter().collect();
        assert_eq!(distinct.len(), self.counted.len(), "two increments got one answer");
        let least = i64::try_from(self.counted.len()).unwrap();
        let possible = least..=least + self.counted_perhaps;
        let name = &cluster.recipe(node).name;
        assert!(
            possible.contains(&found),
            "{name}: the counter is {found}, possible is {possible:?}"
        );
        assert!(
            distinct.last().is_none_or(|last| **last <= found),
            "an answered value is above {found}"
        );
    }
}
