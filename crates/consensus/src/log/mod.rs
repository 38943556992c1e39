//! The log: entries, votes and purge points of any number of groups, on disk before they count.
//!
//! It never knows what an entry means, never decides what is committed, never blocks or fsyncs on
//! the caller's thread (but in [`Log::open`] and [`Log::entries`]), and never answers from bytes
//! whose checksum is wrong.
//!
//! # Order of things
//!
//! Callers [`Log::submit`] batches. While a write is under way, batches queue up; the next write takes
//! them all: one gather write, one fsync. So at any moment **one write at most is not durable**. Each
//! write ends with an end record, each record names the position before which all was durable when it
//! was written (the *durable mark*), and each segment was zero before. Recovery lives on these four
//! facts: see `judge` for how it tells a clean end, a tear, doubt and damage apart, and `recovery`
//! for what is written again before it counts.
//!
//! A write never spans two segments. A new segment starts with the state of every group, so an old one
//! is needed only for the entries in it, and goes as soon as they were purged or replaced.
//!
//! # Full and failing disks
//!
//! Writes go into allocated space only: the rest of the segment in use, then the spare. When no new
//! spare can be had, [`Log::has_room`] says so *before* something is proposed, and keeps a reserve for
//! votes; it asks the disk again from time to time. What was submitted is never refused for lack of
//! space: it waits. A failed write or fsync closes the log for good: only a restart, which writes the
//! unproven tail again, may find out what the disk holds.

mod batch;
mod config;
mod desk;
mod encoder;
mod error;
mod index;
mod judge;
mod keeper;
mod latency;
mod manifest;
mod reader;
mod record;
mod recovery;
mod replay;
mod segment;
mod state;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod walk;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quorate_env::Env;

pub use batch::{HardState, LogBatch, LogEntry};
pub use config::{LogConfig, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
pub use error::{LogError, SubmitError, WriteFailure};
pub use judge::CutReason;
pub use reader::LogReader;
pub use state::Doubt;

use crate::id::{GroupId, Index, Term};
use desk::Desk;
use index::{GroupIndex, Sink};

/// Names a batch; later ones are greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Which batch.
    pub ticket: Ticket,
    /// `Ok`: it is durable. Otherwise it may be or not, and the log is closed.
    pub result: Result<(), WriteFailure>,
    /// How long the fsync took.
    pub fsync: Duration,
}

/// What [`Log::open`] found of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Term, vote, commit.
    pub hard_state: HardState,
    /// The purge point.
    pub purged: (Index, Term),
    /// The first entry, or where the next one goes.
    pub first: Index,
    /// The last entry, or the purge point.
    pub last: Index,
    /// The tail was cut where entries may have been acknowledged, now or at an earlier start.
    pub doubt: Option<Doubt>,
}

/// Where the end of the log was cut, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub file: PathBuf,
    /// The first byte that was not taken.
    pub offset: u64,
    /// Why.
    pub reason: CutReason,
}

/// What [`Log::open`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Each group that ever wrote to this log.
    pub groups: BTreeMap<GroupId, GroupState>,
    /// What was cut; mostly nothing.
    pub cuts: Vec<Cut>,
}

/// What the log tells about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Files, the spare included.
    pub segments: u64,
    /// Their size.
    pub bytes: u64,
    /// Fsyncs of the log since it was opened.
    pub fsyncs: u64,
    /// How long the latest took.
    pub fsync_last: Duration,
    /// How long 99 of 100 of the latest 256 took at most.
    pub fsync_p99: Duration,
    /// Batches that aren't durable yet.
    pub in_flight: u64,
    /// The disk has no room for another segment.
    pub disk_full: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Log {
    groups: BTreeMap<GroupId, GroupIndex>,
    desk: Desk,
}

impl Log {
    /// Opens the log in `dir`, or creates it. Blocks.
    ///
    /// # Errors
    /// Damage, a log of another version, one that another process holds, or a failing device.
    pub fn open(env: &Env, dir: &Path, config: LogConfig) -> Result<(Self, Recovered), LogError> {
        let segment_bytes = config.checked()?;
        let lock = recovery::lock(env, dir)?;
        let opened = recovery::open(env, dir, &config)?;
        let states = opened.replay.groups.iter().map(|(id, group)| {
            let state = &group.state;
            let found = GroupState {
                hard_state: state.hard,
                purged: state.purged,
                first: group.first(),
                last: state.last,
                doubt: state.doubt,
            };
            (*id, found)
        });
        let recovered = Recovered { groups: states.collect(), cuts: opened.cuts };
        let groups = opened.replay.groups;
        let desk = Desk::new(
            env,
            dir,
            config,
            desk::Start {
                segment_bytes,
                segments: opened.replay.segments,
                keeper: opened.keeper,
                active: opened.active,
                tail: opened.tail,
                lock,
            },
        );
        Ok((Self { groups, desk }, recovered))
    }

    /// Takes a batch: its effect is visible at once, and durable when [`Log::poll_done`] says so.
    /// Never blocks. A batch with `sync: false` waits for the next one with `sync: true`.
    ///
    /// Ask [`Log::has_room`] before proposing: a batch that finds no room is taken all the same,
    /// and waits until there is some.
    ///
    /// # Errors
    /// Nothing has changed; see [`SubmitError`].
    pub fn submit(&mut self, batch: LogBatch) -> Result<Ticket, SubmitError> {
        let bytes = batch.bytes();
        self.desk.check(bytes, self.groups.len() + 1)?;
        let known = self.groups.get(&batch.group).map(|group| group.state).unwrap_or_default();
        batch.check(&known)?;
        let ticket = self.desk.next_ticket();
        let group = self.groups.entry(batch.group).or_default();
        let sink = &mut Sink { segments: &mut self.desk.segments, batch: ticket.0 };
        group.submitted(&batch, sink);
        self.desk.queue(ticket, batch, bytes);
        while self.desk.step(&mut self.groups) {}
        Ok(ticket)
    }

    /// Writes what waits for a batch with `sync: true`, without one.
    pub fn flush(&mut self) {
        self.desk.flush();
        while self.desk.step(&mut self.groups) {}
    }

    /// The next batch whose fate is known, in the order of submission. Also drives the writer: call
    /// it after every [`Log::submit`] and whenever woken. `Pending` also when nothing is in flight.
    pub fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<Done> {
        self.desk.wake_with(cx.waker());
        while self.desk.step(&mut self.groups) {}
        self.desk.take_done().map_or(Poll::Pending, Poll::Ready)
    }

    /// How long a write to the disk takes lately; one that hangs counts from its beginning.
    pub fn delay(&self) -> Duration {
        self.desk.delay()
    }

    /// Batches whose fate isn't known yet.
    pub fn in_flight(&self) -> usize {
        self.desk.in_flight()
    }

    /// True when an entry with `bytes` of data may be proposed: there is allocated space for it, for
    /// all that is submitted, for all that this function granted since the last submission, and for
    /// the reserve. False on a full disk, which it also asks for space again from time to time.
    pub fn has_room(&mut self, bytes: u64) -> bool {
        while self.desk.step(&mut self.groups) {}
        self.desk.grant(bytes, self.groups.len() + 1)
    }

    /// [`LogStats::disk_full`], for who asks often.
    pub fn is_disk_full(&self) -> bool {
        self.desk.is_disk_full()
    }

    /// [`Log::has_room`] for whoever only wants to know.
    pub fn fits(&self, bytes: u64) -> bool {
        self.desk.fits(bytes, self.groups.len() + 1)
    }

    /// The largest batch (entries with 64 bytes of header each, padded to eight) that fits.
    pub fn batch_bytes_max(&self) -> u64 {
        self.desk.batch_bytes_max(self.groups.len() + 1)
    }

    /// Why the log is closed, if it is.
    pub fn failure(&self) -> Option<&WriteFailure> {
        self.desk.failure.as_ref()
    }

    /// Durable entries from `low` on and below `high`: at least one, and not more than `bytes_max`
    /// of data; fewer where the durable ones end. Blocks: see [`Log::reader`].
    ///
    /// # Errors
    /// See [`Log::reader`] and [`LogReader::read`].
    pub fn entries(
        &self,
        group: GroupId,
        low: Index,
        high: Index,
        bytes_max: u64,
    ) -> Result<Vec<LogEntry>, LogError> {
        self.reader(group, low, high, bytes_max)?.read()
    }

    /// Plans what [`Log::entries`] does, so that it can be done on another lane.
    ///
    /// # Errors
    /// [`LogError::Purged`], or [`LogError::NotDurable`] when the caller must have `low` in memory.
    pub fn reader(
        &self,
        group: GroupId,
        low: Index,
        high: Index,
        bytes_max: u64,
    ) -> Result<LogReader, LogError> {
        let not_durable = || LogError::NotDurable { group, index: low };
        let index = self.groups.get(&group).ok_or_else(not_durable)?;
        if low <= index.state.purged.0 {
            return Err(LogError::Purged { group, index: low });
        }
        let mut wanted = index.wanted(low, high, bytes_max, |id| self.desk.segments.name(id));
        let durable = self.desk.durable();
        wanted.truncate(wanted.partition_point(|wanted| wanted.place.at < durable));
        if wanted.is_empty() && low < high {
            return Err(not_durable());
        }
        let disk = Arc::clone(&self.desk.disk);
        Ok(LogReader { disk, dir: self.desk.dir.clone(), group, wanted })
    }

    /// The first entry, or where the next one goes.
    pub fn first_index(&self, group: GroupId) -> Index {
        self.groups.get(&group).map_or(Index(1), GroupIndex::first)
    }

    /// The last entry, or the purge point.
    pub fn last_index(&self, group: GroupId) -> Index {
        self.groups.get(&group).map(|group| group.state.last).unwrap_or_default()
    }

    /// The term at `index`, which is an entry or the purge point.
    pub fn term(&self, group: GroupId, index: Index) -> Option<Term> {
        match self.groups.get(&group) {
            Some(group) => group.term(index),
            None => (index == Index(0)).then_some(Term(0)),
        }
    }

    /// The purge point: the last entry that is gone, with its term.
    pub fn purged(&self, group: GroupId) -> (Index, Term) {
        self.groups.get(&group).map(|group| group.state.purged).unwrap_or_default()
    }

    /// Term, vote and commit as submitted last.
    pub fn hard_state(&self, group: GroupId) -> HardState {
        self.groups.get(&group).map(|group| group.state.hard).unwrap_or_default()
    }

    /// The doubt of the tail, if there still is one.
    pub fn doubt(&self, group: GroupId) -> Option<Doubt> {
        self.groups.get(&group).and_then(|group| group.state.doubt)
    }

    /// Bytes of the entries behind `index`, headers included.
    pub fn bytes_since(&self, group: GroupId, index: Index) -> u64 {
        self.groups.get(&group).map_or(0, |group| group.bytes_since(index))
    }

    /// What the log tells about itself.
    pub fn stats(&self) -> LogStats {
        self.desk.stats()
    }
}
