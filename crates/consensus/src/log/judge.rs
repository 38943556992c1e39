//! Judge: is what lies at the end of the log a clean end, a tear, doubt, or damage? Pure.
//!
//! Only one write is under way at any time, each is fsynced before the next one starts, each ends
//! with an [`Kind::End`] record, and the file was zero before. From that follows, for the first place
//! `p` without a valid record:
//!
//! | at and behind `p` | verdict |
//! |---|---|
//! | a record says that the log was durable beyond `p` | damage |
//! | zeros only | clean end |
//! | the write stops inside the record at `p`, zeros from there on | torn: it never ended, so it was never fsynced; cut silently |
//! | anything else, and a whole block of it is missing | in doubt |
//! | anything else | damage |
//!
//! Why this tells a flipped bit from a tear, which a checksum alone can't: a write that was fsynced
//! has its end record. One flipped bit breaks one record; if it breaks the last entry, the end record
//! stands behind it; if it breaks the end record, no entry is missing. Power that fails can lose any
//! subset of the *blocks* of the last write, in any order: a lost block reads as zeros. It may
//! also be a durable block that the disk lost, which can't be told apart: hence doubt, not silence.

use std::collections::BTreeMap;

use super::record::{HEADER_BYTES, Header, Kind, Position};
use super::state::Doubt;
use super::walk::{Tail, Walk};
use crate::id::{GroupId, Index, NodeId, Term};

/// Why the end of the log was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutReason {
    /// A write that never ended, and so was never fsynced: nothing acknowledged is lost.
    Torn,
    /// A write of which blocks are missing: most likely never fsynced, but that can't be proven.
    InDoubt,
}

/// What is known of the entries that were cut in doubt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// The highest entry of each group whose header is still there.
    pub(super) seen: BTreeMap<GroupId, Doubt>,
    /// Votes whose header is still there.
    pub(super) votes: BTreeMap<GroupId, (Term, NodeId)>,
    /// A header is missing: each group may have lost one more than is seen.
    pub(super) unseen: bool,
}

/// The end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing was cut.
    Clean,
    /// Cut silently.
    Torn,
    /// Cut, and the node must not vote as if nothing had been there.
    InDoubt(Lost),
}

/// Damage: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// The segment and the first bad byte.
    pub(super) at: Position,
    /// What is wrong.
    pub(super) what: &'static str,
}

/// Judges the segments that are not sealed, in order. `durable` is what is durable for sure: the
/// highest mark and the seals.
pub(super) fn judge(walks: &[Walk], durable: Position) -> Result<Vec<Verdict>, Damage> {
    let last = walks.iter().rposition(Walk::has_content).unwrap_or(0);
    let mut verdicts = Vec::with_capacity(walks.len());
    for (i, walk) in walks.iter().enumerate() {
        let at = Position { segment: walk.segment, offset: walk.stop };
        if at < durable && (i >= last || durable.segment == walk.segment) {
            let what = "a record that was durable is not valid any more";
            return Err(Damage { at, what });
        }
        if i < last {
            verdicts.push(followed(walk, walks.get(i + 1..).unwrap_or_default())?);
        } else {
            verdicts.push(tail(&walk.tail, at)?);
        }
    }
    Ok(verdicts)
}

/// A segment with records behind it: it must end exactly where the next one's first write says.
fn followed(walk: &Walk, later: &[Walk]) -> Result<Verdict, Damage> {
    let at = Position { segment: walk.segment, offset: walk.stop };
    let named =
        later.iter().flat_map(Walk::marks).filter(|mark| mark.segment == walk.segment).max();
    match named {
        Some(mark) if mark == at => Ok(Verdict::Clean),
        _ => Err(Damage { at, what: "records are missing before the next segment" }),
    }
}

fn tail(tail: &Tail, at: Position) -> Result<Verdict, Damage> {
    let Some(nonzero_end) = tail.nonzero_end else { return Ok(Verdict::Clean) };
    let reach = match &tail.broken {
        Some(header) => header.end(at.offset),
        None => at.offset.checked_add(HEADER_BYTES),
    };
    let stops_inside = reach.is_some_and(|reach| nonzero_end <= reach);
    // A header of zeros is no torn write: a write starts with its first byte.
    if tail.behind.is_empty() && stops_inside {
        return Ok(Verdict::Torn);
    }
    if tail.lost_block {
        return Ok(Verdict::InDoubt(lost(tail)));
    }
    let what = match tail.behind.is_empty() {
        true => "a record is not valid, and it is no torn write",
        false => "a record is not valid, and there are valid ones behind it",
    };
    Err(Damage { at, what })
}

fn lost(tail: &Tail) -> Lost {
    let mut lost = Lost { unseen: tail.broken.is_none(), ..Lost::default() };
    for header in tail.broken.iter().chain(&tail.behind) {
        lost.see(header);
    }
    lost
}

impl Lost {
    fn see(&mut self, header: &Header) {
        let index = match header.kind {
            Kind::Entry | Kind::State | Kind::Reset | Kind::HardState => header.index,
            Kind::Purge | Kind::Settled => Index(0),
            Kind::End => return,
        };
        let seen = self.seen.entry(header.group).or_insert(Doubt { index, term: Term(0) });
        seen.index = seen.index.max(index);
        seen.term = seen.term.max(header.term);
        if matches!(header.kind, Kind::HardState | Kind::State) {
            let vote = self.votes.entry(header.group).or_default();
            *vote = (*vote).max((header.term, NodeId(header.aux)));
        }
    }
}
