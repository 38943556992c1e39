//! The operator of a storm: changes the members over HTTP as a person with a shell would, one order after the other.
//!
//! An order is repeated, at any member, until its outcome is certain: so whenever no order is under way it is known
//! who is a member. Where votes are is known as long as no order to give or take one was in doubt: such an order may
//! still come about behind a later one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::seed::Random;

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(200);
/// So often a refusal is heard, at one member or the other, before it is believed: a leader that is none any more
/// refuses by what it knew.
const REFUSALS: u32 = 8;

/// What a member says of a name that it does not know.
const NO_MEMBER: &str = "no member has the name";
/// What it says when there is no vote that a newcomer could take over.
const NO_VOTE: &str = "has no vote that another could take over";

/// What is to be done; nodes by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Look until a node that asks by itself has come in.
    Await(usize),
    /// Add a node that waits.
    Add(usize),
    /// Have a node that waits take a voter's place in one step.
    Replace {
        old: usize,
        new: usize,
    },
    Remove(usize),
    Demote(usize),
    Promote(usize),
    /// Hand leadership over: to this member, or to whoever is fit. Asked once.
    Transfer(Option<usize>),
}

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    /// Nothing has changed.
    Refused,
    /// The newcomer has come in beside whom it was to replace.
    Beside,
    /// Nobody knows, and it may come about yet.
    InDoubt,
}

/// How the nodes can be reached, and what was seen of them.
#[derive(Debug, Default)]
struct Desk {
    /// Name and address of each node.
    nodes: Vec<(String, String)>,
    /// Where orders are taken.
    through: Vec<String>,
    /// Who has had which number.
    numbers: BTreeMap<u64, String>,
    /// What was asked last, and what was answered.
    last: String,
    surprises: Vec<String>,
}

/// The operator at work.
pub(super) struct Operator {
    orders: mpsc::Sender<Order>,
    verdicts: mpsc::Receiver<(Order, Verdict)>,
    desk: Arc<Mutex<Desk>>,
    current: Option<Order>,
    stop: Arc<AtomicBool>,
}

/// What a member answers.
#[derive(Debug)]
enum Answer {
    Done(Value),
    Refused(String),
    NotApplied,
    Unknown,
}

struct Shift {
    desk: Arc<Mutex<Desk>>,
    random: Random,
    stop: Arc<AtomicBool>,
}

/// A member, as the leader shows it.
#[derive(Clone, Debug)]
struct Row {
    votes: bool,
    replaces: bool,
}

impl Operator {
    /// Starts one, on the caller's network.
    pub(super) fn start(seed: u64) -> Self {
        let (orders, taken) = mpsc::channel();
        let (given, verdicts) = mpsc::channel();
        let (desk, stop) = (Arc::default(), Arc::default());
        let mut shift =
            Shift { desk: Arc::clone(&desk), random: Random::new(seed), stop: Arc::clone(&stop) };
        thread::spawn(move || {
            for order in taken {
                let verdict = shift.carry_out(order);
                // Nobody may be listening any more.
                if verdict.is_none_or(|verdict| given.send((order, verdict)).is_err()) {
                    return;
                }
            }
        });
        Self { orders, verdicts, desk, current: None, stop }
    }

    /// Says who is where, and through whom orders go from now on.
    pub(super) fn brief(&self, nodes: Vec<(String, String)>, through: Vec<String>) {
        let mut desk = self.desk.lock().unwrap();
        (desk.nodes, desk.through) = (nodes, through);
    }

    /// The order under way.
    pub(super) fn current(&self) -> Option<Order> {
        self.current
    }

    /// What was asked last, and what was answered: why an order takes its time.
    pub(super) fn last(&self) -> String {
        self.desk.lock().unwrap().last.clone()
    }

    pub(super) fn order(&mut self, order: Order) {
        self.current = Some(order);
        self.orders.send(order).unwrap();
    }

    /// What came of the order under way, once that is known.
    pub(super) fn verdict(&mut self) -> Option<(Order, Verdict)> {
        let heard = self.verdicts.try_recv().ok()?;
        self.current = None;
        Some(heard)
    }

    /// What members have said that they may not say.
    pub(super) fn surprises(&self) -> Vec<String> {
        self.desk.lock().unwrap().surprises.clone()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Shift {
    /// `None`: the shift is over.
    fn carry_out(&mut self, order: Order) -> Option<Verdict> {
        match order {
            Order::Await(node) => self.see(node),
            Order::Add(node) => self.add(node),
            Order::Replace { old, new } => self.replace(old, new),
            Order::Remove(node) => self.remove(node),
            Order::Demote(node) => self.set_vote(node, "demote"),
            Order::Promote(node) => self.set_vote(node, "promote"),
            Order::Transfer(to) => {
                let to = to.map(|node| json!({ "to": self.name(node) }));
                self.ask("POST /v1/cluster/transfer", to.as_ref());
                Some(Verdict::Done)
            }
        }
    }

    fn name(&self, node: usize) -> String {
        self.desk.lock().unwrap().nodes[node].0.clone()
    }

    /// How a node that waits is named in an order.
    fn newcomer(&self, node: usize) -> Value {
        let (name, addr) = self.desk.lock().unwrap().nodes[node].clone();
        json!({ "addr": addr, "id": name })
    }

    /// Waits for the next attempt; `None`: the shift is over.
    fn pause(&self) -> Option<()> {
        thread::sleep(RETRY);
        (!self.stop.load(Ordering::Relaxed)).then_some(())
    }

    fn see(&mut self, node: usize) -> Option<Verdict> {
        let name = self.name(node);
        while !self.members().is_some_and(|members| members.contains_key(&name)) {
            self.pause()?;
        }
        Some(Verdict::Done)
    }

    fn add(&mut self, node: usize) -> Option<Verdict> {
        let body = self.newcomer(node);
        // Refused while it can't be reached.
        while !matches!(self.ask("POST /v1/cluster/members", Some(&body)), Answer::Done(_)) {
            self.pause()?;
        }
        Some(Verdict::Done)
    }

    fn replace(&mut self, old: usize, new: usize) -> Option<Verdict> {
        let (gone, name, body) = (self.name(old), self.name(new), self.newcomer(new));
        let line = format!("POST /v1/cluster/members/{gone}/replace");
        let mut refused = 0;
        loop {
            // There may be no vote to take over any more: then it comes in beside the old one.
            let line = if refused < REFUSALS { &line } else { "POST /v1/cluster/members" };
            match self.ask(line, Some(&body)) {
                Answer::Done(_) => break,
                Answer::Refused(why) if why.contains(NO_VOTE) => refused += 1,
                Answer::Refused(_) | Answer::NotApplied | Answer::Unknown => {}
            }
            self.pause()?;
        }
        loop {
            let members = self.members().unwrap_or_default();
            if let Some(row) = members.get(&name).filter(|row| !row.replaces) {
                match (members.contains_key(&gone), row.votes || refused == REFUSALS) {
                    (false, true) => return Some(Verdict::Done),
                    (true, true) => return Some(Verdict::Beside),
                    (_, false) => {}
                }
            }
            self.pause()?;
        }
    }

    fn remove(&mut self, node: usize) -> Option<Verdict> {
        let line = format!("DELETE /v1/cluster/members/{}", self.name(node));
        // Once in doubt, a refusal says nothing of what an earlier attempt has done or may yet do; but who is no
        // member for all of them is gone.
        let (mut in_doubt, mut refused, mut absent) = (false, 0, 0);
        while absent < REFUSALS {
            match self.ask(&line, None) {
                Answer::Done(_) => return Some(Verdict::Done),
                Answer::Unknown => (in_doubt, absent) = (true, 0),
                Answer::Refused(why) if in_doubt && why.contains(NO_MEMBER) => absent += 1,
                Answer::Refused(_) if in_doubt => absent = 0,
                Answer::Refused(_) => refused += 1,
                Answer::NotApplied => {}
            }
            if refused == REFUSALS {
                return Some(Verdict::Refused);
            }
            self.pause()?;
        }
        Some(Verdict::Done)
    }

    fn set_vote(&mut self, node: usize, action: &str) -> Option<Verdict> {
        let line = format!("POST /v1/cluster/members/{}/{action}", self.name(node));
        let (mut in_doubt, mut refused) = (false, 0);
        loop {
            match self.ask(&line, None) {
                Answer::Done(_) if in_doubt => return Some(Verdict::InDoubt),
                Answer::Done(_) => return Some(Verdict::Done),
                Answer::Unknown => in_doubt = true,
                Answer::Refused(_) => refused += 1,
                Answer::NotApplied => {}
            }
            if refused == REFUSALS {
                return Some(if in_doubt { Verdict::InDoubt } else { Verdict::Refused });
            }
            self.pause()?;
        }
    }

    /// The members by name, as somebody who leads or has led shows them.
    fn members(&mut self) -> Option<BTreeMap<String, Row>> {
        let Answer::Done(view) = self.ask("GET /v1/cluster/members", None) else { return None };
        let mut desk = self.desk.lock().unwrap();
        let mut members = BTreeMap::new();
        for row in view["members"].as_array()? {
            let (name, number) = (row["id"].as_str()?.to_owned(), row["node"].as_u64()?);
            let holder = desk.numbers.entry(number).or_insert_with(|| name.clone()).clone();
            if holder != name {
                desk.surprises.push(format!("number {number} was given to {holder} and to {name}"));
            }
            let (votes, replaces) = (row["voter"] == true, !row["replaces"].is_null());
            members.insert(name, Row { votes, replaces });
        }
        Some(members)
    }

    fn ask(&mut self, line: &str, body: Option<&Value>) -> Answer {
        let through = self.desk.lock().unwrap().through.clone();
        if through.is_empty() {
            return Answer::NotApplied;
        }
        let addr = &through[self.random.below(through.len())];
        let body = body.map(Value::to_string).unwrap_or_default();
        let answer = http::request(addr, line, &[], body.as_bytes());
        let mut desk = self.desk.lock().unwrap();
        desk.last = match &answer {
            Ok(answer) => format!("{addr}: {line} {body}: {} {}", answer.status, answer.text()),
            Err(error) => format!("{addr}: {line} {body}: {error}"),
        };
        let answer = match answer {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Answer::NotApplied;
            }
            // It may have been heard.
            Err(_) => return Answer::Unknown,
            Ok(answer) => answer,
        };
        let said = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        match answer.status {
            200 | 204 => Answer::Done(said),
            409 => Answer::Refused(answer.text()),
            503 if said["outcome"] == "not-applied" => Answer::NotApplied,
            503 if said["outcome"] == "unknown" => Answer::Unknown,
            _ => {
                let surprise = desk.last.clone();
                desk.surprises.push(surprise);
                Answer::Unknown
            }
        }
    }
}
