//! Between keys: who was told a revision has seen all that was written before, of every key.

use std::collections::BTreeMap;

use super::{Who, who};
use crate::check::Violation;
use crate::check::writers::Writers;
use crate::history::{Command, History, Key, Operation, Reply, Value};

/// At which revision a value of a key was written, and by whom where somebody is known to have.
#[derive(Default)]
struct Revisions<'a> {
    of: BTreeMap<(&'a Key, &'a Value), u64>,
    /// The values, in order.
    lines: BTreeMap<&'a Key, BTreeMap<u64, &'a Value>>,
}

impl<'a> Revisions<'a> {
    fn new(history: &'a History) -> Self {
        let mut revisions = Self::default();
        for operation in &history.operations {
            for (command, reply) in operation.answered() {
                let told = match (command, reply) {
                    (Command::Read(key), Reply::At(value, revision)) => (key, value, *revision),
                    (Command::Put { key, value, .. }, Reply::Revision(revision)) => {
                        (key, value, *revision)
                    }
                    _ => continue,
                };
                let (key, value, revision) = told;
                revisions.of.insert((key, value), revision);
                revisions.lines.entry(key).or_default().insert(revision, value);
            }
        }
        revisions
    }

    /// The revision that somebody knows to be in the past who has heard `reply`.
    fn told(&self, command: &Command, reply: &Reply) -> Option<u64> {
        let of = |value: &Value| self.of.get(&(command.key(), value)).copied();
        match reply {
            Reply::Revision(revision) | Reply::At(_, revision) => Some(*revision),
            Reply::Value(value) => of(value),
            Reply::Ok => of(command.written()?),
            _ => None,
        }
    }

    /// The last write of `key` that `floor` has seen.
    fn last(&self, key: &Key, floor: u64) -> Option<(u64, &'a Value)> {
        let line = self.lines.get(key)?;
        line.range(..=floor).next_back().map(|(revision, value)| (*revision, *value))
    }
}

/// Compares each read with the highest revision that was told to who reads.
pub(super) fn check(history: &History, writers: &Writers<'_>) -> Vec<Violation> {
    let revisions = Revisions::new(history);
    let mut floors: BTreeMap<Who, (u64, &Operation)> = BTreeMap::new();
    let mut violations = Vec::new();
    for operation in &history.operations {
        for (command, reply) in operation.answered() {
            let told = revisions.told(command, reply);
            if let Some((floor, by)) = floors.get(&who(operation)).filter(|_| command.is_read())
                && let Some((least, value)) = revisions.last(command.key(), *floor)
            {
                let writer = writers.of(command.key(), value);
                let goes_back = match (told, reply) {
                    (Some(told), _) => told < least,
                    (None, Reply::Nil) => !writers.may_be_gone(command.key(), writer, operation),
                    _ => false,
                };
                if goes_back {
                    let evidence = format!(
                        "{operation}, though {value} was there at {least}, and {by} has seen {floor}"
                    );
                    violations.push(Violation::new("monotonic", evidence));
                }
            }
            let floor = told.map(|told| (told, operation));
            let known = floors.get(&who(operation)).copied();
            let higher = floor.filter(|floor| known.is_none_or(|known| floor.0 > known.0));
            floors.extend(higher.map(|floor| (who(operation), floor)));
        }
    }
    violations
}
