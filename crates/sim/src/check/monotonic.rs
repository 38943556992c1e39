//! Monotonic reads: no session sees the past of what it already saw; where it reads what its node has, no
//! connection does.

use std::collections::BTreeMap;

use super::Violation;
use super::writers::Writers;
use crate::history::{Asker, History, Key, Operation, Value};

/// The last read, by session and connection (0 where it does not matter) and key.
type Seen<'a> = BTreeMap<((u32, u64), &'a Key), (&'a Operation, &'a Value)>;

/// Compares each read with the one before it, of the same key in the same session.
pub fn check(history: &History) -> Vec<Violation> {
    let writers = Writers::new(history);
    let mut seen = Seen::new();
    let mut violations = Vec::new();
    for operation in &history.operations {
        for (command, reply) in operation.answered() {
            let Some(value) = reply.value().filter(|_| command.is_read()) else { continue };
            let key = command.key();
            let Asker { session, connection, stale } = operation.asker;
            let who = (session, if stale { connection } else { 0 });
            let before = seen.insert((who, key), (operation, value));
            let Some((earlier, old)) = before else { continue };
            if goes_back(&writers, key, old, value) {
                let evidence = format!("{operation} is older than {earlier}");
                violations.push(Violation::new("monotonic", evidence));
            }
        }
    }
    violations
}

fn goes_back(writers: &Writers<'_>, key: &Key, old: &Value, new: &Value) -> bool {
    match (writers.of(key, old), writers.of(key, new)) {
        (Some(old), Some(new)) => new.precedes(old),
        // Counters only grow.
        (None, None) => match (old.parse::<i64>(), new.parse::<i64>()) {
            (Ok(old), Ok(new)) => new < old,
            _ => false,
        },
        _ => false,
    }
}
