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
use super::walk::{BLOCK_BYTES, Walk};
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
    /// Of each group of which a header is still there.
    pub(super) seen: BTreeMap<GroupId, Seen>,
    /// Votes whose header is still there.
    pub(super) votes: BTreeMap<GroupId, (Term, NodeId)>,
    /// Records of which not even the header is there: each group may have lost so many more than are seen.
    pub(super) missing: Missing,
}

/// How many records are missing without a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// By the record that ends the write.
    Counted(u64),
    /// At least so many, for that record is not there either: most likely the write never ended.
    Some(u64),
}

impl Default for Missing {
    fn default() -> Self {
        Self::Counted(0)
    }
}

/// What headers behind the cut say of a group's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The entry at which the log was cut, if its header is there.
    pub(super) first: Option<Index>,
    /// The highest entry that is spoken of.
    pub(super) index: Index,
    /// The highest term of an entry.
    pub(super) term: Term,
    /// How many entries.
    pub(super) entries: u64,
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
            verdicts.push(tail(walk, at)?);
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

fn tail(walk: &Walk, at: Position) -> Result<Verdict, Damage> {
    let tail = &walk.tail;
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
        return Ok(Verdict::InDoubt(lost(walk)));
    }
    let what = match tail.behind.is_empty() {
        true => "a record is not valid, and it is no torn write",
        false => "a record is not valid, and there are valid ones behind it",
    };
    Err(Damage { at, what })
}

fn lost(walk: &Walk) -> Lost {
    let mut lost = Lost { missing: missing(walk), ..Lost::default() };
    let broken = walk.tail.broken.iter().map(|header| (header, true));
    for (header, is_first) in broken.chain(walk.tail.behind.iter().map(|header| (header, false))) {
        lost.see(header, is_first);
    }
    lost
}

/// Records of which not even the header is left: a block holds several small ones.
fn missing(walk: &Walk) -> Missing {
    let tail = &walk.tail;
    let ends = || tail.behind.iter().filter(|header| header.kind == Kind::End);
    let Some(start) = ends().map(|end| end.aux).min() else {
        return Missing::Some(u64::from(tail.broken.is_none()).max(before_fragment(walk)));
    };
    let written: u64 = ends().map(|end| end.index.0).sum();
    let is_of_it = |header: &Header| header.kind != Kind::End;
    let records = walk.records.iter().filter(|record| u64::from(record.offset) >= start);
    let valid = records.filter(|record| is_of_it(&record.header)).count() as u64;
    let seen = tail.broken.iter().chain(&tail.behind).filter(|it| is_of_it(it)).count() as u64;
    Missing::Counted(written.saturating_sub(valid + seen))
}

/// As many as there may have been where all that is left behind them is the last part of a header: of the record that
/// ended the write, whose first part was in the block that is missing.
fn before_fragment(walk: &Walk) -> u64 {
    let tail = &walk.tail;
    let Some(end) = tail.nonzero_end.filter(|_| tail.behind.is_empty()) else { return 0 };
    let from = match &tail.broken {
        Some(header) => header.end(walk.stop).unwrap_or(end),
        None => walk.stop,
    };
    let is_fragment = end % BLOCK_BYTES < HEADER_BYTES && from < end;
    if is_fragment { u64::from(end.saturating_sub(from) / HEADER_BYTES) } else { 0 }
}

impl Lost {
    fn see(&mut self, header: &Header, is_first: bool) {
        let seen = match header.kind {
            Kind::Entry | Kind::State | Kind::Reset | Kind::HardState => {
                let seen = self.seen.entry(header.group).or_default();
                seen.index = seen.index.max(header.index);
                seen
            }
            Kind::Purge | Kind::Settled => self.seen.entry(header.group).or_default(),
            Kind::End => return,
        };
        if matches!(header.kind, Kind::Entry | Kind::Reset) {
            seen.term = seen.term.max(header.term);
        }
        if header.kind == Kind::Entry {
            seen.first = seen.first.or(is_first.then_some(header.index));
            seen.entries += 1;
        }
        if matches!(header.kind, Kind::HardState | Kind::State) {
            let vote = self.votes.entry(header.group).or_default();
            *vote = (*vote).max((header.term, NodeId(header.aux)));
        }
    }
}

impl Seen {
    /// The highest entry that may have been lost, where the log now ends at `last`.
    pub(super) fn reach(&self, last: Index, missing: Missing) -> Index {
        // Entries of one write follow each other.
        let before = self.first.map_or(last, Index::prev);
        let follow = |count: u64| Index(before.0 + self.entries + count);
        match missing {
            // Unless a snapshot has taken the place of what was before.
            Missing::Counted(count) if self.index > follow(count) => Index(self.index.0 + count),
            Missing::Counted(count) | Missing::Some(count) => self.index.max(follow(count)),
        }
    }
}
