//! Linearizability by witness: revisions in replies say in which order writes took effect, so nothing has to be
//! searched, however long the history.
//!
//! A revision is a place in the one order of all writes of all keys. So each operation has a place, or a stretch
//! of places, in that order: a write stands at its revision, a read of it from there up to the next write of the
//! key. What remains is to check that real time agrees (Herlihy and Wing 1990): who was over before another began
//! does not stand behind it. Going through calls and returns in their order, each operation takes the first place
//! that it may have behind all that is over; where there is none, no order explains the history. The first place
//! is never a worse choice than a later one, so this decides, in `n log n` (after Gibbons and Korach, *Testing
//! shared memories*, 1997, where the order of writes is known).
//!
//! Values are checked along the order in [`line`]; counters are their own witness, in [`counter`].
//!
//! An unknown write that somebody has seen stands where it was seen, and is never over. What nobody has seen may
//! stand anywhere, or nowhere, and binds nobody. Only deletions have no revision in their reply: of these, what can be said
//! within their key is checked. A register of which no reply tells a revision is searched instead.

mod counter;
mod line;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use self::line::Line;
use super::Violation;
use crate::history::{Command, Condition, History, Key, Operation, Outcome, Reply};

/// How keys begin whose values come with revisions.
pub const REGISTERS: &str = "v.";
/// How keys begin of counters that live as long as the run.
pub const COUNTERS: &str = "n.";
/// Violations that are told; the others follow from them.
const TOLD_MAX: usize = 3;

/// The keys that are judged here, and not by search: registers of which some reply tells a revision, and counters.
pub fn keys(history: &History) -> BTreeSet<&Key> {
    let mut keys = BTreeSet::new();
    for operation in &history.operations {
        for command in &operation.commands {
            let key = command.key();
            if key.starts_with(COUNTERS) || key.starts_with(REGISTERS) && tells_revision(operation)
            {
                keys.insert(key);
            }
        }
    }
    keys
}

fn tells_revision(operation: &Operation) -> bool {
    operation.answered().any(|(_, reply)| matches!(reply, Reply::At(..) | Reply::Revision(_)))
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witnessed {
    /// What no order explains.
    pub violations: Vec<Violation>,
    /// Operations that have a place in the order.
    pub placed: u64,
    /// Operations without one: nobody has seen what they wrote.
    pub loose: u64,
}

/// Judges the keys that are judged here.
pub fn check(history: &History) -> Witnessed {
    let mut lines: BTreeMap<&Key, Line<'_>> = BTreeMap::new();
    let mut counters: BTreeMap<&Key, Vec<&Operation>> = BTreeMap::new();
    let judged = keys(history);
    for operation in &history.operations {
        let key = operation.commands.first().map(Command::key);
        let Some(key) = key.filter(|key| judged.contains(key)) else { continue };
        if key.starts_with(REGISTERS) {
            lines.entry(key).or_default().add(operation);
        } else if key.starts_with(COUNTERS) {
            counters.entry(key).or_default().push(operation);
        }
    }
    let mut found = Witnessed::default();
    lines.iter_mut().for_each(|(key, line)| found.violations.extend(line.settle(key)));
    found.violations.extend(line::shared_revisions(&lines));
    let mut steps = Vec::new();
    for operation in &history.operations {
        let Some(command) = operation.commands.first() else { continue };
        let Some(line) = lines.get(command.key()).filter(|_| is_judged(operation)) else {
            continue;
        };
        match place(line, operation, command) {
            Some(place) => steps.push(Step { operation, place }),
            None => found.loose += 1,
        }
    }
    found.placed += steps.len() as u64;
    found.violations.extend(sweep(&steps));
    for (key, operations) in &counters {
        found.placed += operations.len() as u64;
        found.violations.extend(counter::check(key, operations));
    }
    found.violations.truncate(TOLD_MAX);
    found
}

fn is_judged(operation: &Operation) -> bool {
    match operation.outcome {
        Outcome::Done(_) => !operation.is_stale(),
        Outcome::Unknown(_) => !operation.commands.iter().all(Command::is_read),
        Outcome::NotApplied(_) => false,
    }
}

/// Where an operation may stand in the order.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// There and nowhere else: a write.
    At(u64),
    /// From the first up to, but not including, the second: a read.
    Within(u64, u64),
    /// Wherever the key is absent.
    Absent(&'a Line<'a>),
    /// Wherever the key is there.
    Present(&'a Line<'a>),
    /// Wherever the key is not at this revision.
    Not(&'a Line<'a>, u64),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(place) => write!(f, "stands at {place}"),
            Self::Within(from, u64::MAX) => write!(f, "stands at {from} or behind it"),
            Self::Within(from, to) => write!(f, "stands between {from} and {to}"),
            Self::Absent(_) => f.write_str("stands where the key is absent"),
            Self::Present(_) => f.write_str("stands where the key is there"),
            Self::Not(_, revision) => write!(f, "stands where the key is not at {revision}"),
        }
    }
}

impl Place<'_> {
    /// The first place behind what was over at the call, whose last place is `floor`; `returned` is when the
    /// operation was over.
    fn first(&self, floor: u64, returned: u64) -> Option<u64> {
        match *self {
            // A write is behind what was over before; a read may see the same state as another.
            Self::At(place) => (floor < place).then_some(place),
            Self::Within(from, to) => Some(floor.max(from)).filter(|place| *place < to),
            Self::Absent(line) => line.first_absent(floor, returned),
            Self::Present(line) => line.first_present(floor),
            Self::Not(line, revision) => line.first_other(floor, revision),
        }
    }
}

/// Where `operation` may stand; `None` when nobody knows.
fn place<'a>(line: &'a Line<'_>, operation: &Operation, command: &Command) -> Option<Place<'a>> {
    let reply = operation.replies().and_then(<[Reply]>::first);
    match (command, reply) {
        (Command::Read(_) | Command::Get(_), Some(Reply::Nil)) => Some(Place::Absent(line)),
        (Command::Read(_) | Command::Get(_), Some(reply)) => {
            let revision = line.revision_of(reply.value()?)?;
            Some(Place::Within(revision, line.next(revision)))
        }
        (Command::Put { condition, .. }, Some(Reply::Refused)) => match *condition {
            Condition::Absent => Some(Place::Present(line)),
            Condition::At(revision) => Some(Place::Not(line, revision)),
            Condition::None => None,
        },
        (Command::Remove(_, revision), Some(Reply::Refused)) => Some(Place::Not(line, *revision)),
        (Command::Remove(_, revision), Some(_)) => {
            Some(Place::Within(*revision, line.next(*revision)))
        }
        (command, _) => line.revision_of(command.written()?).map(Place::At),
    }
}

/// An operation and where it may stand.
struct Step<'a> {
    operation: &'a Operation,
    place: Place<'a>,
}

/// Gives each operation the first place that it may have; says where there is none.
fn sweep(steps: &[Step<'_>]) -> Vec<Violation> {
    let mut events = Vec::with_capacity(2 * steps.len());
    for (number, step) in steps.iter().enumerate() {
        events.push((step.operation.called.order, number, true));
        if let (Outcome::Done(_), Some(returned)) =
            (&step.operation.outcome, step.operation.returned)
        {
            events.push((returned.order, number, false));
        }
    }
    events.sort_unstable();
    let mut places: Vec<Option<u64>> = vec![None; steps.len()];
    let mut floor: (u64, Option<&Operation>) = (0, None);
    let mut violations = Vec::new();
    for (_, number, is_call) in events {
        let (Some(step), Some(place)) = (steps.get(number), places.get_mut(number)) else {
            continue;
        };
        if !is_call {
            floor = place
                .filter(|place| *place > floor.0)
                .map_or(floor, |it| (it, Some(step.operation)));
            continue;
        }
        let returned = step.operation.returned.map_or(u64::MAX, |returned| returned.order);
        *place = step.place.first(floor.0, returned);
        if place.is_none() {
            let (operation, place) = (step.operation, step.place);
            let mut evidence = format!("{operation} {place} in the order of writes");
            if let (last, Some(before)) = floor {
                evidence.push_str(&format!(", but before it was called, {before} was over, which stands at {last} or behind it"));
            }
            violations.push(Violation::new("linearizable", evidence));
        }
    }
    violations
}
