//! Monotonic reads, and reads of one's own writes: no session sees the past of what it already saw or did; where it
//! reads what its node has, no connection does. (Terry et al., *Session guarantees for weakly consistent replicated
//! data*, 1994.)
//!
//! Of reads that may be old nothing else says how old. Within a key the order of its writers tells what is older than
//! what, and nothing at all is the oldest of all, unless a deletion or a time to live explains it; between keys,
//! revisions do, in [`revisions`].

mod revisions;

use std::collections::BTreeMap;

use super::Violation;
use super::writers::Writers;
use crate::history::{Asker, Command, History, Key, Operation, Reply, Value};

/// A session and its connection: 0 where it does not matter.
type Who = (u32, u64);

fn who(operation: &Operation) -> Who {
    let Asker { session, connection, stale, .. } = operation.asker;
    (session, if stale { connection } else { 0 })
}

/// What somebody knows to have been there.
#[derive(Clone, Copy)]
enum State<'a> {
    Absent,
    Value(&'a Value),
    /// A counter.
    Count(i64),
    /// A list of so many bytes.
    Length(i64),
}

/// What somebody saw last of a key.
struct Seen<'a> {
    operation: &'a Operation,
    state: State<'a>,
    /// What was there before it was gone.
    before: Option<&'a Value>,
}

/// Compares each read with what was seen before, of the same key in the same session, and of all keys by revision.
pub fn check(history: &History) -> Vec<Violation> {
    let writers = Writers::new(history);
    let mut seen: BTreeMap<(Who, &Key), Seen<'_>> = BTreeMap::new();
    let mut violations = Vec::new();
    for operation in &history.operations {
        for (command, reply) in operation.answered() {
            let key = command.key();
            let Some(state) = state(&writers, command, reply) else { continue };
            let last = seen.get(&(who(operation), key));
            // Of a write only the reply is known, not what it found.
            let known = last.filter(|_| command.is_read());
            if let Some(last) =
                known.filter(|last| goes_back(&writers, key, last, state, operation))
            {
                let evidence = format!("{operation} is older than {}", last.operation);
                violations.push(Violation::new("monotonic", evidence));
            }
            let before = last.and_then(|last| match (last.state, state) {
                (State::Value(value), State::Absent) => Some(value),
                (State::Absent, State::Absent) => last.before,
                _ => None,
            });
            seen.insert((who(operation), key), Seen { operation, state, before });
        }
    }
    violations.extend(revisions::check(history, &writers));
    violations
}

/// What is there, as the one knows who has heard this.
fn state<'a>(writers: &Writers<'_>, command: &'a Command, reply: &'a Reply) -> Option<State<'a>> {
    match (command, reply) {
        (Command::Get(_) | Command::Read(_), Reply::Nil) => Some(State::Absent),
        (Command::Get(_) | Command::Read(_), reply) => {
            let value = reply.value()?;
            let known = writers.of(command.key(), value).is_some();
            let count = value.parse().ok().filter(|_| !known);
            Some(count.map_or(State::Value(value), State::Count))
        }
        (Command::Del(_), Reply::Int(_)) | (Command::Remove(..), Reply::Ok) => Some(State::Absent),
        (Command::Incr(_), Reply::Int(count)) => Some(State::Count(*count)),
        (Command::Append(..), Reply::Int(length)) => Some(State::Length(*length)),
        (command, reply) => command.written().filter(|_| reply.is_done()).map(State::Value),
    }
}

/// True when `new`, which `read` has found, is older than what was seen `last`.
fn goes_back(
    writers: &Writers<'_>,
    key: &Key,
    last: &Seen<'_>,
    new: State<'_>,
    read: &Operation,
) -> bool {
    let length = |value: &Value| i64::try_from(value.len()).unwrap_or(i64::MAX);
    match (last.state, new) {
        (State::Value(old), State::Value(new)) => {
            match (writers.of(key, old), writers.of(key, new)) {
                (Some(old), Some(new)) => new.precedes(old),
                _ => writers.is_list(key) && !new.starts_with(&**old),
            }
        }
        (State::Length(old), State::Value(new)) => length(new) < old,
        (State::Count(old), State::Count(new)) => new < old,
        (State::Value(old), State::Absent) => !writers.may_be_gone(key, writers.of(key, old), read),
        // As good as 0.
        (State::Count(1..) | State::Length(_), State::Absent) => {
            !writers.may_be_gone(key, None, read)
        }
        (State::Absent, State::Value(new)) => {
            let deletes = last.operation.commands.iter().any(Command::is_deletion);
            last.before == Some(new)
                || deletes && writers.of(key, new).is_some_and(|new| new.precedes(last.operation))
        }
        _ => false,
    }
}
