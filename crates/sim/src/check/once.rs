//! No duplicate effect: a token that was appended once is there once; one that was refused is not there.
//!
//! A list that only grows tells the whole order of its writes (after Kingsbury and Alvaro, *Elle*, 2020). A
//! *named* write (`Idempotency-Key`) is sent again and again, to any node: what it wrote must have one revision
//! (see [`super::witness`]), and who sends it once more must hear what was said before.

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Command, History, Key, Outcome, Reply, Value};

/// Looks at every list that was read, and at every named write that was answered twice.
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = repeats(history);
    violations.extend(lists(history));
    violations
}

fn repeats(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for repeat in &history.repeats {
        let Some(operation) = history.operations.get(repeat.of) else { continue };
        if operation.replies() != Some(std::slice::from_ref(&repeat.reply)) {
            let evidence = format!("{operation}, and sent again: {}", repeat.reply);
            violations.push(Violation::new("once", evidence));
        }
    }
    violations
}

fn lists(history: &History) -> Vec<Violation> {
    let mut asked: BTreeMap<(&Key, &Value), &Outcome> = BTreeMap::new();
    for operation in &history.operations {
        for command in &operation.commands {
            if let Command::Append(key, token) = command {
                asked.insert((key, token), &operation.outcome);
            }
        }
    }
    let lists: std::collections::BTreeSet<&Key> = asked.keys().map(|(key, _)| *key).collect();
    let mut violations = Vec::new();
    for operation in &history.operations {
        for (command, reply) in operation.answered() {
            let (Command::Get(key), Reply::Value(list)) = (command, reply) else { continue };
            if !lists.contains(key) {
                continue;
            }
            let mut seen: Vec<&str> = Vec::new();
            for token in list.split_inclusive(';') {
                let why = match asked.get(&(key, &token.into())) {
                    _ if seen.contains(&token) => "is there twice",
                    None => "was appended by nobody",
                    Some(Outcome::NotApplied(_)) => "was refused",
                    Some(Outcome::Done(_) | Outcome::Unknown(_)) => {
                        seen.push(token);
                        continue;
                    }
                };
                violations.push(Violation::new("once", format!("{operation}: {token} {why}")));
            }
        }
    }
    violations
}
