//! The workload: each session draws its operations from its own chance, on a few keys that all share.
//!
//! Keys are given up for new ones every few seconds: so each has a short history, which keeps the search
//! for an order cheap, and no early unknown write stays possible for ever. Others live as long as the run: those
//! whose order replies tell.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use quorate_env::tasks::Task;
use quorate_env::{Env, Mono};

use super::connection::{Connection, Watched};
use super::{Clients, Trust};
use crate::check::model::EXPIRES;
use crate::check::witness;
use crate::history::{Command, Key, OperationId, Outcome, Reply, Value};

/// How long the keys of a round are used.
const ROUND: Duration = Duration::from_secs(4);
/// Operations of one pipeline at the most.
const PIPELINE_MAX: u64 = 4;

/// Commands of one block at the most.
const BLOCK_MAX: u64 = 4;

/// Registers that are judged by their revisions.
const REGISTERS: u64 = 3;
/// Counters that live as long as the run.
const COUNTERS: u64 = 2;

/// One of the registers that sessions of both protocols share.
pub(super) fn register(env: &Env) -> Key {
    format!("{}{}", witness::REGISTERS, env.rng.below(REGISTERS)).into()
}

/// One client.
#[derive(Debug)]
struct Session {
    number: u32,
    trust: Trust,
    clients: Clients,
    env: Env,
    since: Mono,
    values: u64,
    /// The value last seen of a key: what a compare-and-set expects.
    seen: BTreeMap<Key, Value>,
}

/// The main task of session `number`.
pub fn session(clients: Clients, number: u32, trust: Trust, env: Env) -> Task {
    let since = env.clock.now();
    let session = Session { number, trust, clients, env, since, values: 0, seen: BTreeMap::new() };
    Box::pin(session.run())
}

impl Session {
    async fn run(mut self) {
        let mut node = self.env.rng.below(self.clients.nodes.len().max(1) as u64);
        while !self.clients.stopping.get() {
            node = (node + 1) % self.clients.nodes.len().max(1) as u64;
            let index = usize::try_from(node).unwrap_or(0);
            let Some(addr) = self.clients.nodes.get(index).cloned() else { return };
            if let Some(connection) =
                Connection::open(&self.env, &addr, self.number, self.trust).await
            {
                self.talk(connection).await;
            }
            self.pause(20..200).await;
        }
        std::future::pending::<()>().await;
    }

    async fn pause(&self, ms: std::ops::Range<u64>) {
        let ms = ms.start + self.env.rng.below(ms.end - ms.start);
        self.env.clock.sleep(Duration::from_millis(ms)).await;
    }

    /// Until the connection breaks, the node refuses, or boredom.
    async fn talk(&mut self, mut connection: Connection) {
        while !self.clients.stopping.get() && self.env.rng.below(60) > 0 {
            if self.env.rng.below(12) == 0 {
                let watched = self.watched();
                let set = connection.watch_and_set(&self.env, &self.clients, watched).await;
                if set.is_none() {
                    return;
                }
            }
            let count =
                if self.env.rng.below(4) == 0 { self.env.rng.below(PIPELINE_MAX) } else { 0 };
            let operations: Vec<_> = (0..=count).map(|_| self.draw()).collect();
            let asked = connection.ask(&self.env, &self.clients, operations).await;
            let (outcomes, goes_on) = asked;
            let mut refused = false;
            for (id, outcome) in outcomes {
                refused |= matches!(outcome, Outcome::NotApplied(_));
                self.learn(id, &outcome);
            }
            if goes_on.is_none() || refused && self.env.rng.below(2) == 0 {
                return;
            }
            self.pause(5..120).await;
        }
    }

    fn learn(&mut self, id: OperationId, outcome: &Outcome) {
        let Outcome::Done(replies) = outcome else { return };
        let history = self.clients.history.borrow();
        let Some(operation) = history.operations.get(id) else { return };
        for (command, reply) in operation.commands.iter().zip(replies) {
            let value = match (command, reply) {
                (Command::Get(_), Reply::Value(value)) => Some(value),
                (_, Reply::Ok) => command.written(),
                _ => None,
            };
            if let Some(value) = value {
                self.seen.insert(Rc::clone(command.key()), Rc::clone(value));
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    fn value(&mut self) -> Value {
        let next = self.next();
        format!("{}s{}.{next}", self.clients.padding, self.number).into()
    }

    fn key(&self, kind: &str, count: u64) -> Key {
        let age = self.env.clock.now().since(self.since);
        let round = age.as_millis() / ROUND.as_millis();
        format!("{kind}{round}.{}", self.env.rng.below(count)).into()
    }

    fn draw(&mut self) -> Vec<Command> {
        let register = self.key("r", 3);
        let counter: Key = format!("{}{}", witness::COUNTERS, self.env.rng.below(COUNTERS)).into();
        vec![match self.env.rng.below(30) {
            0..=4 => Command::Get(register),
            5..=7 => Command::Set(register, self.value()),
            8 | 9 => match self.seen.get(&register).cloned() {
                Some(expected) => Command::SetIfEq { key: register, expected, value: self.value() },
                None => Command::Get(register),
            },
            10 => Command::Del(register),
            11 | 12 => Command::Incr(self.key("c", 2)),
            13 => Command::Get(self.key("c", 2)),
            14 => {
                let next = self.next();
                let token = format!("s{}.{next};", self.number);
                Command::Append(self.key("a", 1), token.into())
            }
            15 => Command::Get(self.key("a", 1)),
            16 => {
                let ms = 100 + self.env.rng.below(1_500);
                // The mark tells the judges that it may go by itself.
                let value = format!("{}{EXPIRES}", self.value());
                Command::SetPx(self.key("t", 2), value.into(), ms)
            }
            17 | 18 => Command::Get(self.key("t", 2)),
            19 => Command::Set(self.watched().write, self.value()),
            20 | 21 => Command::Get(self::register(&self.env)),
            22 => Command::Set(self::register(&self.env), self.value()),
            23 | 24 => Command::Incr(counter),
            25 => Command::Get(counter),
            26 => return self.pair(|session, key| Command::Set(key, session.value())),
            27 => return self.pair(|_, key| Command::Get(key)),
            _ => return self.block(),
        }]
    }

    /// What is watched, and what is written if nobody has changed it: two keys of which one is only read, so that two
    /// sessions may each read what the other one writes; or one key.
    fn watched(&mut self) -> Watched {
        let one = self.key("w", 1);
        let other = format!("{one}b").into();
        let (write, guard) = match self.env.rng.below(4) {
            0 => (one, None),
            1 => (other, None),
            2 => (one, Some(other)),
            _ => (other, Some(one)),
        };
        Watched { write, value: self.value(), guard }
    }

    /// A block of anything, on the same keys as [`Self::pair`] and a counter.
    fn block(&mut self) -> Vec<Command> {
        let one = self.key("p", 1);
        let (two, count): (Key, Key) = (format!("{one}b").into(), format!("{one}n").into());
        let length = 2 + self.env.rng.below(BLOCK_MAX - 1);
        let mut draw = |_| match self.env.rng.below(7) {
            0 => Command::Get(Rc::clone(&one)),
            1 => Command::Get(Rc::clone(&two)),
            2 => Command::Get(Rc::clone(&count)),
            3 => Command::Set(Rc::clone(&one), self.value()),
            4 => Command::Set(Rc::clone(&two), self.value()),
            5 => Command::Del(Rc::clone(&one)),
            _ => Command::Incr(Rc::clone(&count)),
        };
        (0..length).map(&mut draw).collect()
    }

    /// A block on two keys.
    fn pair(&mut self, make: impl Fn(&mut Self, Key) -> Command) -> Vec<Command> {
        let one = self.key("p", 1);
        let two = format!("{one}b").into();
        vec![make(self, one), make(self, two)]
    }
}
