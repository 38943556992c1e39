//! Counters: what INCR answers is its place among all increments.

use std::collections::BTreeMap;

use super::{Place, Step, is_judged, sweep};
use crate::check::Violation;
use crate::history::{Command, Key, Operation, Outcome, Reply};

/// Judges one counter.
pub(super) fn check(key: &Key, operations: &[&Operation]) -> Vec<Violation> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut known: BTreeMap<u64, &Operation> = BTreeMap::new();
    let mut violations = Vec::new();
    for operation in operations.iter().filter(|operation| is_judged(operation)) {
        let Some((command, reply)) = operation.answered().next() else { continue };
        let Some(count) = count(reply) else { continue };
        let place = if matches!(command, Command::Incr(_)) {
            if let Some(first) = known.insert(count, operation) {
                let evidence = format!("{operation}, though {first}");
                violations.push(Violation::new("linearizable", evidence));
            }
            Place::At(count)
        } else {
            Place::Within(count, count + 1)
        };
        steps.push(Step { operation, place });
    }
    violations.extend(sweep(&steps));
    violations.extend(by_itself(key, operations, &steps, &known));
    violations
}

fn count(reply: &Reply) -> Option<u64> {
    match reply {
        Reply::Int(count) => u64::try_from(*count).ok(),
        Reply::Value(count) => count.parse().ok(),
        Reply::Nil => Some(0),
        _ => None,
    }
}

/// Each increment that nobody was told of must be an unknown one, called before anybody saw its effect.
/// Both in order, the first to the first: where that fails, every other assignment does.
fn by_itself(
    key: &Key,
    operations: &[&Operation],
    steps: &[Step<'_>],
    known: &BTreeMap<u64, &Operation>,
) -> Option<Violation> {
    let mut seen: Vec<(u64, u64)> = Vec::new();
    for step in steps {
        if let (Place::At(count) | Place::Within(count, _), Some(returned)) =
            (step.place, step.operation.returned)
        {
            seen.push((count, returned.order));
        }
    }
    seen.sort_unstable();
    let is_unknown = |operation: &&&Operation| {
        let incr = operation.commands.iter().any(|command| matches!(command, Command::Incr(_)));
        incr && matches!(operation.outcome, Outcome::Unknown(_))
    };
    let mut calls = operations.iter().filter(is_unknown).map(|it| it.called.order);
    let highest = seen.last().map_or(0, |(count, _)| *count);
    let mut missing = (1..=highest).filter(|count| !known.contains_key(count));
    // When the count was at least so high for the first time, as far as anybody heard.
    let mut earliest: Vec<(u64, u64)> = Vec::new();
    for (count, returned) in seen.iter().rev() {
        let least = earliest.last().map_or(u64::MAX, |(_, least)| *least);
        earliest.push((*count, least.min(*returned)));
    }
    earliest.reverse();
    let heard = |count: u64| {
        let first = earliest.partition_point(|(at, _)| *at < count);
        earliest.get(first).map_or(u64::MAX, |(_, returned)| *returned)
    };
    let wrong = missing.find(|count| calls.next().is_none_or(|call| call > heard(*count)))?;
    let evidence = format!("{key} was {wrong} before anybody can have asked for it");
    Some(Violation::new("linearizable", evidence))
}
