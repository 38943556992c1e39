//! Times to live, where no clock was wrong: a key is there until its time has come, and not for longer.
//!
//! Clocks that jump, drift or stand still move stamps, by as much as they disagree; where none did, the leader's
//! stamp is the world's time, whoever leads. So a key that was set between two moments is gone between these two
//! and its time to live, to the millisecond. (`GUARANTEES`, *nor lengthen or shorten a TTL by more than the clocks'
//! disagreement*, which here is none.)

use std::collections::BTreeMap;
use std::time::Duration;

use super::Violation;
use crate::fault::Kind;
use crate::fault::kind::Tally;
use crate::history::{Command, History, Key, Operation, Outcome, Reply};

/// Stamps are whole milliseconds, and so are the times that are read from them.
const ROUNDING: Duration = Duration::from_millis(2);

/// What was done to a key that goes by itself.
#[derive(Default)]
struct Uses<'a> {
    writes: Vec<(&'a Operation, Duration)>,
    reads: Vec<(&'a Operation, &'a Reply)>,
    /// Something else was done, too.
    mixed: bool,
}

/// Judges a run by the faults there were (`tally`) and by what clients heard.
pub fn check(tally: &Tally, history: &History) -> Vec<Violation> {
    if Kind::ALL.iter().any(|kind| kind.is_of_clocks() && tally.count(*kind) > 0) {
        return Vec::new();
    }
    let uses = uses(history);
    let judged = uses.values().filter(|uses| !uses.mixed && !uses.writes.is_empty());
    judged.flat_map(|uses| uses.reads.iter().filter_map(|read| judge(uses, *read))).collect()
}

fn uses(history: &History) -> BTreeMap<&Key, Uses<'_>> {
    let mut all: BTreeMap<&Key, Uses<'_>> = BTreeMap::new();
    for operation in &history.operations {
        for (number, command) in operation.commands.iter().enumerate() {
            let uses = all.entry(command.key()).or_default();
            match command {
                Command::SetPx(_, _, ms) => {
                    if !matches!(operation.outcome, Outcome::NotApplied(_)) {
                        uses.writes.push((operation, Duration::from_millis(*ms)));
                    }
                }
                Command::Get(_) if operation.is_stale() => {}
                Command::Get(_) => {
                    let reply = operation.replies().and_then(|replies| replies.get(number));
                    uses.reads.extend(reply.map(|reply| (operation, reply)));
                }
                _ => uses.mixed = true,
            }
        }
    }
    all
}

fn judge(uses: &Uses<'_>, (read, reply): (&Operation, &Reply)) -> Option<Violation> {
    let before = uses.writes.iter().filter(|(write, _)| write.precedes(read));
    let before = before.filter(|(write, _)| write.replies().is_some());
    match reply {
        Reply::Nil => {
            let (newest, _) = before.max_by_key(|(write, _)| write.called)?;
            // Whichever of these was the last: its time has not come.
            let last = uses.writes.iter().filter(|(write, _)| !write.precedes(newest));
            let earliest = last.map(|(write, ttl)| write.called.at + *ttl).min()?;
            (read.returned?.at + ROUNDING < earliest).then(|| {
                let evidence = format!("{read}: gone before its time, after {newest}");
                Violation::new("lifetime", evidence)
            })
        }
        Reply::Value(value) => {
            let wrote = |(write, _): &&(&Operation, Duration)| {
                let mut commands = write.commands.iter();
                commands.any(|it| matches!(it, Command::SetPx(_, written, _) if written == value))
            };
            let (write, ttl) = before.clone().find(wrote)?;
            let latest = write.returned?.at + *ttl + ROUNDING;
            (read.called.at > latest).then(|| {
                let evidence = format!("{read}: still there, long after {write}");
                Violation::new("lifetime", evidence)
            })
        }
        _ => None,
    }
}
