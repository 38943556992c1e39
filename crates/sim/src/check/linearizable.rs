//! Linearizability, after Wing & Gong with Lowe's memory (*Testing for linearizability*, 2017).
//!
//! The search puts operations in an order, one by one: the next may be any whose call comes before the
//! first return that is still open. When none fits, it takes the last one back. What was tried once
//! (the same set of operations in any order, with the same state) is not tried again.
//!
//! An operation of unknown outcome may take effect at any moment after its call, or never: it has no
//! return, and the search is over when all *known* operations are placed. One that was not applied
//! is not there at all: whoever sees its effect reads a value from nowhere. Keys that are never used
//! together are judged apart.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::model::Model;
use super::{Judgement, Violation, witness};
use crate::history::{Command, History, Key, Operation, Outcome, Reply};

/// Steps of the search on one group of keys before it is given up.
const STEPS_MAX: u64 = 4_000_000;

/// Judges the whole history.
pub fn check(history: &History) -> Judgement {
    let mut judgement = Judgement::default();
    for group in groups(history) {
        match search(&group) {
            Verdict::Linearizable => {}
            Verdict::Undecided => judgement.undecided += 1,
            Verdict::Violated(evidence) => {
                judgement.violations.push(Violation::new("linearizable", evidence));
            }
        }
    }
    judgement
}

/// Keys, with the operations that use them.
struct Group<'a> {
    keys: Vec<Key>,
    operations: Vec<&'a Operation>,
}

/// Keys that occur in one operation belong together.
fn groups(history: &History) -> Vec<Group<'_>> {
    let mut leaders: BTreeMap<Key, Key> = BTreeMap::new();
    for operation in &history.operations {
        let mut keys = operation.commands.iter().map(|command| leader(&leaders, command.key()));
        let Some(first) = keys.next() else { continue };
        let others: Vec<Key> = keys.collect();
        leaders.entry(Rc::clone(&first)).or_insert_with(|| Rc::clone(&first));
        for other in others {
            leaders.insert(other, Rc::clone(&first));
        }
    }
    let mut groups: BTreeMap<Key, Group<'_>> = BTreeMap::new();
    let witnessed = witness::keys(history);
    for key in history.keys().into_iter().filter(|key| !witnessed.contains(key)) {
        let empty = || Group { keys: Vec::new(), operations: Vec::new() };
        groups.entry(leader(&leaders, &key)).or_insert_with(empty).keys.push(key);
    }
    for operation in &history.operations {
        let changes = operation.commands.iter().any(|command| !command.is_read());
        let judged = match operation.outcome {
            Outcome::Done(_) => !operation.is_stale(),
            Outcome::Unknown(_) => changes,
            Outcome::NotApplied(_) => false,
        };
        let Some(command) = operation.commands.first().filter(|_| judged) else { continue };
        if let Some(group) = groups.get_mut(&leader(&leaders, command.key())) {
            group.operations.push(operation);
        }
    }
    groups.into_values().collect()
}

fn leader(leaders: &BTreeMap<Key, Key>, key: &Key) -> Key {
    let mut key = key;
    while let Some(next) = leaders.get(key).filter(|next| *next != key) {
        key = next;
    }
    Rc::clone(key)
}

enum Verdict {
    Linearizable,
    Undecided,
    Violated(String),
}

/// An event of the group: `Call(n)` or `Return(n)` of its n-th operation.
#[derive(Clone, Copy)]
enum Step {
    Call(usize),
    Return(usize),
}

/// The events, as a list from which operations can be taken and put back.
struct Chain {
    steps: Vec<Step>,
    /// One more than a step's place; 0 is the head.
    next: Vec<usize>,
    previous: Vec<usize>,
    call_at: Vec<usize>,
    return_at: Vec<Option<usize>>,
}

impl Chain {
    fn new(operations: &[&Operation]) -> Self {
        let mut events = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            events.push((operation.called.order, Step::Call(number)));
            if let (Outcome::Done(_), Some(returned)) = (&operation.outcome, operation.returned) {
                events.push((returned.order, Step::Return(number)));
            }
        }
        events.sort_unstable_by_key(|(order, _)| *order);
        let steps: Vec<Step> = events.into_iter().map(|(_, step)| step).collect();
        let mut call_at = vec![0; operations.len()];
        let mut return_at = vec![None; operations.len()];
        for (place, step) in steps.iter().enumerate() {
            match step {
                Step::Call(number) => {
                    if let Some(call) = call_at.get_mut(*number) {
                        *call = place + 1;
                    }
                }
                Step::Return(number) => {
                    if let Some(returned) = return_at.get_mut(*number) {
                        *returned = Some(place + 1);
                    }
                }
            }
        }
        let end = steps.len() + 1;
        let next = (1..=end).chain([end]).collect();
        let previous = [0].into_iter().chain(0..end).collect();
        Self { steps, next, previous, call_at, return_at }
    }

    fn after(&self, place: usize) -> usize {
        self.next.get(place).copied().unwrap_or(usize::MAX)
    }

    fn step(&self, place: usize) -> Option<Step> {
        self.steps.get(place.checked_sub(1)?).copied()
    }

    fn places(&self, number: usize) -> (usize, Option<usize>) {
        let call = self.call_at.get(number).copied().unwrap_or(0);
        (call, self.return_at.get(number).copied().flatten())
    }

    fn link(&mut self, before: usize, after: usize) {
        if let Some(next) = self.next.get_mut(before) {
            *next = after;
        }
        if let Some(previous) = self.previous.get_mut(after) {
            *previous = before;
        }
    }

    fn take(&mut self, place: usize) {
        let before = self.previous.get(place).copied().unwrap_or(0);
        self.link(before, self.after(place));
    }

    fn put_back(&mut self, place: usize) {
        let before = self.previous.get(place).copied().unwrap_or(0);
        let after = self.after(place);
        self.link(before, place);
        self.link(place, after);
    }

    fn take_operation(&mut self, number: usize) {
        let (call, returned) = self.places(number);
        self.take(call);
        returned.into_iter().for_each(|place| self.take(place));
    }

    /// Order matters: the reverse of taking.
    fn put_operation_back(&mut self, number: usize) {
        let (call, returned) = self.places(number);
        returned.into_iter().for_each(|place| self.put_back(place));
        self.put_back(call);
    }
}

/// The operations that are placed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Placed(Vec<u64>);

impl Placed {
    fn flip(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word ^= 1 << (number % 64);
        }
    }

    fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

/// The furthest that the search got, as evidence.
struct Furthest {
    depth: usize,
    stuck: usize,
    model: Model,
}

fn search(group: &Group<'_>) -> Verdict {
    let operations = &group.operations;
    let twins = twins(operations);
    let mut open = operations.iter().filter(|it| matches!(it.outcome, Outcome::Done(_))).count();
    let mut chain = Chain::new(operations);
    let mut placed = Placed(vec![0; operations.len().div_ceil(64)]);
    let mut model = Model::new(group.keys.len());
    let mut tried: BTreeSet<(Placed, Model)> = BTreeSet::new();
    let mut stack: Vec<(usize, Model)> = Vec::new();
    let mut furthest = Furthest { depth: 0, stuck: 0, model: model.clone() };
    let mut place = chain.after(0);
    for _ in 0..STEPS_MAX {
        if open == 0 {
            return Verdict::Linearizable;
        }
        match chain.step(place) {
            Some(Step::Call(number)) => {
                let twin_waits =
                    twins.get(number).copied().flatten().is_some_and(|it| !placed.has(it));
                let fitting = operations.get(number).filter(|_| !twin_waits);
                let next = fitting.and_then(|operation| execute(group, &model, operation));
                placed.flip(number);
                if let Some(next) = next.filter(|next| tried.insert((placed.clone(), next.clone())))
                {
                    open -= usize::from(chain.places(number).1.is_some());
                    stack.push((number, std::mem::replace(&mut model, next)));
                    chain.take_operation(number);
                    place = chain.after(0);
                } else {
                    placed.flip(number);
                    place = chain.after(place);
                }
            }
            Some(Step::Return(number)) => {
                if stack.len() >= furthest.depth {
                    furthest = Furthest { depth: stack.len(), stuck: number, model: model.clone() };
                }
                let Some((last, before)) = stack.pop() else {
                    return Verdict::Violated(evidence(group, &furthest));
                };
                model = before;
                placed.flip(last);
                open += usize::from(chain.places(last).1.is_some());
                chain.put_operation_back(last);
                place = chain.after(chain.places(last).0);
            }
            None => {
                return Verdict::Violated("a return is missing: a bug of the checker".to_owned());
            }
        }
    }
    Verdict::Undecided
}

/// The state after `operation`, if it may come next.
fn execute(group: &Group<'_>, model: &Model, operation: &Operation) -> Option<Model> {
    let mut next = model.clone();
    let mut expected = operation.replies().map(|replies| replies.iter());
    for command in &operation.commands {
        let expected = expected.as_mut().map(Iterator::next);
        if expected == Some(Some(&Reply::Nil)) {
            next.expire(&group.keys, command);
        }
        let reply: Reply = next.execute(&group.keys, command);
        if expected.is_some_and(|expected| expected != Some(&reply)) {
            return None;
        }
    }
    Some(next)
}

/// Of unknown operations that ask for the same, the earlier ones can be placed first without loss: this
/// keeps unanswered increments from being tried in every combination.
fn twins(operations: &[&Operation]) -> Vec<Option<usize>> {
    let mut seen: Vec<(&[Command], usize)> = Vec::new();
    let mut twins = Vec::with_capacity(operations.len());
    for (number, operation) in operations.iter().enumerate() {
        if operation.replies().is_some() {
            twins.push(None);
            continue;
        }
        let known = seen.iter_mut().find(|(commands, _)| *commands == operation.commands);
        twins.push(match known {
            Some((_, last)) => Some(std::mem::replace(last, number)),
            None => {
                seen.push((&operation.commands, number));
                None
            }
        });
    }
    twins
}

/// Operations around the one that nothing explains.
const EVIDENCE_OPERATIONS: usize = 24;

fn evidence(group: &Group<'_>, furthest: &Furthest) -> String {
    let keys: Vec<&str> = group.keys.iter().map(AsRef::as_ref).collect();
    let mut text = format!(
        "no order explains {}: {} of {} operations placed, then {}; stuck at",
        keys.join(" "),
        furthest.depth,
        group.operations.len(),
        furthest.model.describe(&group.keys)
    );
    let Some(stuck) = group.operations.get(furthest.stuck) else { return text };
    text.push_str(&format!(" {stuck}\n"));
    let first = furthest.stuck.saturating_sub(EVIDENCE_OPERATIONS);
    let around = group.operations.iter().skip(first).take(2 * EVIDENCE_OPERATIONS);
    for operation in around.take_while(|it| it.called <= stuck.returned.unwrap_or(it.called)) {
        text.push_str(&format!("    {operation}\n"));
    }
    text
}
