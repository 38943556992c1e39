//! Honesty: "not applied" means that nobody ever sees it, and nobody sees what nobody wrote.
//!
//! (`GUARANTEES`, *honest about doubt*; a value of a refused write is an aborted read, G1a in Adya, *Weak consistency*,
//! 1999.)

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Command, History, Key, Operation, Outcome, Reply, Value};

/// Looks for values of refused writes, and for values that nobody wrote.
pub fn check(history: &History) -> Vec<Violation> {
    let mut writers: BTreeMap<(&Key, &Value), &Operation> = BTreeMap::new();
    let mut counters: BTreeMap<&Key, ()> = BTreeMap::new();
    for operation in &history.operations {
        for command in &operation.commands {
            if let Some(value) = command.written() {
                writers.insert((command.key(), value), operation);
            }
            if matches!(command, Command::Incr(_) | Command::Append(..)) {
                counters.insert(command.key(), ());
            }
        }
    }
    let mut violations = Vec::new();
    for operation in &history.operations {
        for (key, value) in operation.answered().filter_map(seen) {
            let why = match writers.get(&(key, value)) {
                Some(writer) => match &writer.outcome {
                    Outcome::NotApplied(_) => format!("shows what was refused: {writer}"),
                    Outcome::Done(replies) if replies.contains(&Reply::Refused) => {
                        format!("shows what was refused: {writer}")
                    }
                    Outcome::Done(_) | Outcome::Unknown(_) => continue,
                },
                None if counters.contains_key(key) => continue,
                None => "shows a value that nobody wrote".to_owned(),
            };
            violations.push(Violation::new("honest", format!("{operation} {why}")));
        }
    }
    violations
}

/// The value that a reply shows to have been there.
fn seen<'a>((command, reply): (&'a Command, &'a Reply)) -> Option<(&'a Key, &'a Value)> {
    match (command, reply) {
        (Command::Get(key) | Command::Read(key), reply) => Some((key, reply.value()?)),
        (Command::SetIfEq { key, expected, .. }, Reply::Ok) => Some((key, expected)),
        _ => None,
    }
}
