//! Durability: what was acknowledged is there at the end, unless something later replaced it.
//!
//! Judged by the reads made after all faults have ended. (`GUARANTEES`, *Writes: durable*; the D of Haerder and Reuter,
//! *Principles of transaction-oriented database recovery*, 1983.)

use super::Violation;
use super::writers::Writers;
use crate::history::{Command, History, Key, Outcome, Reply};

/// Judges the last reads.
pub fn check(history: &History) -> Vec<Violation> {
    let writers = Writers::new(history);
    let mut violations = Vec::new();
    for operation in history.operations.iter().filter(|operation| operation.last) {
        for (command, reply) in operation.answered() {
            let key = command.key();
            if !command.is_read() {
                continue;
            }
            let lost =
                lost_register(&writers, key, reply).or_else(|| lost_count(history, key, reply));
            if let Some(lost) = lost {
                let evidence = format!("the last read of {key} says {reply}, but {lost}");
                violations.push(Violation::new("durable", evidence));
            }
        }
    }
    violations
}

fn lost_register(writers: &Writers<'_>, key: &Key, reply: &Reply) -> Option<String> {
    let lost = match reply.value() {
        Some(value) => writers.overwriting(key, writers.of(key, value)?)?,
        None => writers.never_deleted(key)?,
    };
    Some(format!("acknowledged was {lost}"))
}

/// A counter is at least what was acknowledged, and at most what was asked for.
fn lost_count(history: &History, key: &Key, reply: &Reply) -> Option<String> {
    let (mut least, mut most) = (0_i64, 0_i64);
    for operation in &history.operations {
        for command in operation.commands.iter().filter(|command| command.key() == key) {
            match (command, &operation.outcome) {
                (Command::Incr(_), Outcome::Done(_)) => (least, most) = (least + 1, most + 1),
                (Command::Incr(_), Outcome::Unknown(_)) => most += 1,
                (Command::Incr(_), Outcome::NotApplied(_)) | (Command::Get(_), _) => {}
                // Not a counter.
                _ => return None,
            }
        }
    }
    let found = match reply {
        Reply::Value(value) => value.parse().ok()?,
        _ => 0,
    };
    (found < least || found > most)
        .then(|| format!("{least} increments were acknowledged and {most} may have happened"))
}
