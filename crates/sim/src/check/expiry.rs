//! Times to live: what is gone stays gone, whoever leads, whatever the clocks say.
//!
//! (`GUARANTEES`, *TTLs: leader changes never bring it back*. A read that found nothing told the time, and time goes on:
//! after Gray and Cheriton, *Leases*, 1989, whose terms end by the clock of whoever granted them.)

use std::collections::BTreeMap;

use super::Violation;
use crate::history::{Command, History, Key, Operation, Reply, Value};

/// A value, the first operation that saw it, and the first that began behind that one and did not.
struct Life<'a> {
    seen: &'a Operation,
    gone: Option<&'a Operation>,
}

/// Looks for values that come back.
pub fn check(history: &History) -> Vec<Violation> {
    let mut reads: BTreeMap<&Key, Vec<(&Operation, Option<&Value>)>> = BTreeMap::new();
    for operation in history.operations.iter().filter(|operation| !operation.is_stale()) {
        for (command, reply) in operation.answered() {
            let Command::Get(key) = command else { continue };
            let value = if let Reply::Value(value) = reply { Some(value) } else { None };
            reads.entry(key).or_default().push((operation, value));
        }
    }
    let temporary = |operation: &Operation| {
        let mut commands = operation.commands.iter();
        commands.any(|command| matches!(command, Command::SetPx(..)))
    };
    let writes = history.operations.iter().filter(|operation| temporary(operation));
    let keys = writes.filter_map(|operation| operation.commands.first()).map(Command::key);
    let keys: std::collections::BTreeSet<&Key> = keys.collect();
    keys.into_iter()
        .filter_map(|key| reads.get(key))
        .flat_map(|reads| resurrections(reads))
        .collect()
}

fn resurrections(reads: &[(&Operation, Option<&Value>)]) -> Vec<Violation> {
    let mut lives: BTreeMap<&Value, Life<'_>> = BTreeMap::new();
    let mut violations = Vec::new();
    // In the order of calls.
    for (operation, value) in reads {
        if let Some(life) = value.and_then(|value| lives.get(value))
            && let Some(gone) = life.gone.filter(|gone| gone.precedes(operation))
        {
            let evidence = format!("{operation}, though {gone}");
            violations.push(Violation::new("expiry", evidence));
        }
        for (known, life) in &mut lives {
            if Some(*known) != *value && life.gone.is_none() && life.seen.precedes(operation) {
                life.gone = Some(operation);
            }
        }
        if let Some(value) = value {
            lives.entry(value).or_insert(Life { seen: operation, gone: None });
        }
    }
    violations
}
