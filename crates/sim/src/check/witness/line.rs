//! One key's line of revisions: which value came at which, what followed, and whether conditions held.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::Violation;
use crate::history::{Command, Condition, Key, Operation, Outcome, Reply, Value};

/// One key's revisions.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    operations: Vec<&'a Operation>,
    values: BTreeMap<u64, &'a Value>,
    revisions: BTreeMap<&'a Value, u64>,
    /// Revisions that a deletion has ended or may have, and when the first of these was called.
    ended: BTreeMap<u64, u64>,
    /// Some write has no place, and may stand anywhere.
    loose: bool,
}

fn violation(evidence: impl Into<String>) -> Violation {
    Violation::new("linearizable", evidence)
}

impl<'a> Line<'a> {
    pub(super) fn add(&mut self, operation: &'a Operation) {
        self.operations.push(operation);
    }

    /// The revision at which `value` was written, where it is known.
    pub(super) fn revision_of(&self, value: &Value) -> Option<u64> {
        self.revisions.get(value).copied()
    }

    /// The next revision that is known; the end of time behind the last.
    pub(super) fn next(&self, revision: u64) -> u64 {
        self.values.range(revision + 1..).next().map_or(u64::MAX, |(next, _)| *next)
    }

    /// The revision at which the key is, at `place`, unless it was deleted since.
    fn current(&self, place: u64) -> Option<u64> {
        self.values.range(..=place).next_back().map(|(revision, _)| *revision)
    }

    fn may_be_ended(&self, revision: u64, returned: u64) -> bool {
        self.ended.get(&revision).is_some_and(|called| *called < returned)
    }

    /// From `floor` on, the first place at which the key may be absent, for somebody who knew at `returned`.
    pub(super) fn first_absent(&self, floor: u64, returned: u64) -> Option<u64> {
        let Some(current) = self.current(floor) else { return Some(floor) };
        let mut later = self.values.range(current..).map(|(revision, _)| *revision);
        let gone = later.find(|revision| self.may_be_ended(*revision, returned))?;
        Some(gone.max(floor))
    }

    /// From `floor` on, the first place at which the key may be there.
    pub(super) fn first_present(&self, floor: u64) -> Option<u64> {
        if self.loose || self.current(floor).is_some() {
            return Some(floor);
        }
        Some(self.next(floor)).filter(|next| *next != u64::MAX)
    }

    /// From `floor` on, the first place at which the key may not be at `revision`.
    pub(super) fn first_other(&self, floor: u64, revision: u64) -> Option<u64> {
        let at_it = (revision..self.next(revision)).contains(&floor);
        if !at_it || self.loose || self.ended.contains_key(&revision) {
            return Some(floor);
        }
        Some(self.next(revision)).filter(|next| *next != u64::MAX)
    }

    /// Finds out what stands where, and checks what was said of it.
    pub(super) fn settle(&mut self, key: &Key) -> Vec<Violation> {
        let mut violations = Vec::new();
        for operation in self.operations.clone() {
            for (command, reply) in operation.answered() {
                let written = match (command, reply) {
                    (Command::Read(_), Reply::At(value, revision)) => Some((value, *revision)),
                    (Command::Put { value, .. }, Reply::Revision(revision)) => {
                        Some((value, *revision))
                    }
                    _ => None,
                };
                let Some((value, revision)) = written else { continue };
                let known = *self.values.entry(revision).or_insert(value);
                if known != value {
                    let evidence =
                        format!("{key} is {known} and {value} at {revision}: {operation}");
                    violations.push(violation(evidence));
                }
                let known = *self.revisions.entry(value).or_insert(revision);
                if known != revision {
                    let evidence = format!(
                        "{key} became {value} twice, at {known} and {revision}: {operation}"
                    );
                    violations.push(Violation::new("once", evidence));
                }
            }
        }
        self.note_deletions();
        violations.extend(self.check_conditions());
        violations.extend(self.check_removed());
        violations
    }

    fn note_deletions(&mut self) {
        for operation in &self.operations {
            let refused = match &operation.outcome {
                Outcome::NotApplied(_) => true,
                Outcome::Done(replies) => replies.contains(&Reply::Refused),
                Outcome::Unknown(_) => false,
            };
            for command in operation.commands.iter().filter(|_| !refused) {
                if let Command::Remove(_, revision) = command {
                    let called = self.ended.entry(*revision).or_insert(u64::MAX);
                    *called = (*called).min(operation.called.order);
                }
                let written = command.written();
                self.loose |= written.is_some_and(|value| self.revision_of(value).is_none());
            }
        }
    }

    /// What was done under a condition stands right behind what the condition names.
    fn check_conditions(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for operation in &self.operations {
            for (command, reply) in operation.answered() {
                let (Command::Put { condition, .. }, Reply::Revision(revision)) = (command, reply)
                else {
                    continue;
                };
                let before = self.values.range(..*revision).next_back().map(|(before, _)| *before);
                let returned = operation.returned.map_or(u64::MAX, |returned| returned.order);
                let holds = match condition {
                    Condition::None => true,
                    Condition::At(expected) => before == Some(*expected),
                    Condition::Absent => {
                        before.is_none_or(|before| self.may_be_ended(before, returned))
                    }
                };
                if !holds {
                    let evidence = format!("{operation}, though the key was at {before:?}");
                    violations.push(violation(evidence));
                }
            }
        }
        violations
    }

    /// What was removed is not removed again, not replaced, and not seen.
    fn check_removed(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut removed: BTreeMap<u64, &Operation> = BTreeMap::new();
        for operation in &self.operations {
            for (command, reply) in operation.answered() {
                if let (Command::Remove(_, revision), Reply::Ok) = (command, reply)
                    && let Some(first) = removed.insert(*revision, operation)
                {
                    violations.push(violation(format!("{operation}, though {first}")));
                }
            }
        }
        for operation in self.operations.iter().filter(|operation| !operation.is_stale()) {
            for (command, reply) in operation.answered() {
                let wrong = match (command, reply) {
                    (
                        Command::Put { condition: Condition::At(expected), .. },
                        Reply::Revision(_),
                    ) => removed.get(expected),
                    (command, reply) if command.is_read() => {
                        let revision = reply.value().and_then(|value| self.revision_of(value));
                        let removal = revision.and_then(|revision| removed.get(&revision));
                        removal.filter(|removal| removal.precedes(operation))
                    }
                    _ => None,
                };
                let evidence = wrong.map(|removal| format!("{operation}, though {removal}"));
                violations.extend(evidence.map(violation));
            }
        }
        violations
    }
}

/// No two writes share a revision, whatever their keys.
pub(super) fn shared_revisions(lines: &BTreeMap<&Key, Line<'_>>) -> Option<Violation> {
    let mut seen = BTreeSet::new();
    let all = lines.iter().flat_map(|(key, line)| line.values.keys().map(move |it| (key, it)));
    let mut shared = all.filter(|(_, revision)| !seen.insert(**revision));
    let (key, revision) = shared.next()?;
    Some(violation(format!("{key} and another key were both written at {revision}")))
}
