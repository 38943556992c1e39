//! The hot end of a group's log in memory, as raft-rs' `Storage`.
//!
//! raft-rs reads its log synchronously. Recent entries are answered from memory; older ones that a
//! slow follower needs are fetched off the loop (`LogTemporarilyUnavailable`). A restarted member reads
//! what it has to apply piece by piece, each just before raft asks for it ([`Tail::prepare`]): a log of
//! gigabytes needs no gigabytes of memory, and a read that fails is an error instead of raft-rs' panic.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use raft::eraftpb::{Entry, EntryType, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, StorageError};

use crate::configuration::{Change, Configuration, MemberChange};
use crate::group::GroupError;
use crate::log::Log;
use crate::message;
use crate::{GroupId, Index, NodeId, Term};

/// The log of a node, shared by its groups on one thread.
pub type SharedLog = Rc<RefCell<Log>>;

/// A snapshot that exists as a durable file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMark {
    /// The last entry in it.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The members at that entry.
    pub configuration: Configuration,
}

/// Entries for one peer which have to come from the disk.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) low: u64,
    pub(crate) high: u64,
    pub(crate) bytes_max: u64,
    pub(crate) context: GetEntriesContext,
}

/// Bytes of entries kept in memory: applied ones for followers that are a little behind, and after a
/// restart those that are not known to be committed yet.
const TAIL_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of old entries read at once.
const PIECE_BYTES: u64 = 8 * 1024 * 1024;

pub(crate) struct Tail {
    group: GroupId,
    log: SharedLog,
    /// Consecutive entries; the last is the log's last.
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Consecutive entries, older than those, that are to be applied next.
    replay: Vec<Entry>,
    /// By index: whom a change among the entries that are not applied would make a voter.
    promotions: BTreeMap<u64, Vec<NodeId>>,
    bytes_max: usize,
    /// What the log is cut to, with that entry's term.
    purged: (u64, u64),
    hard_state: HardState,
    configuration: Configuration,
    pub(crate) snapshot: Option<SnapshotMark>,
    /// Raft has asked for a snapshot that does not exist.
    pub(crate) snapshot_wanted: Cell<bool>,
    fetches: RefCell<Vec<Fetch>>,
    /// First indexes of fetches under way: raft asks again with every heartbeat response.
    fetching: RefCell<BTreeSet<u64>>,
    /// Entries fetched for a follower; there only while raft retries, never to be found later.
    fetched: RefCell<Vec<Entry>>,
}

impl Tail {
    pub(crate) fn new(
        group: GroupId,
        log: SharedLog,
        hard_state: HardState,
        configuration: Configuration,
    ) -> Self {
        let (index, term) = log.borrow().purged(group);
        Self {
            group,
            log,
            entries: VecDeque::new(),
            bytes: 0,
            replay: Vec::new(),
            promotions: BTreeMap::new(),
            bytes_max: TAIL_BYTES,
            purged: (index.0, term.0),
            hard_state,
            configuration,
            snapshot: None,
            snapshot_wanted: Cell::new(false),
            fetches: RefCell::default(),
            fetching: RefCell::default(),
            fetched: RefCell::default(),
        }
    }

    /// Reads the entries behind `known`, up to which all is applied or known to be committed, and keeps
    /// the newest of them. What they would do to the voters is noted of all of them.
    pub(crate) fn load(&mut self, known: Index) -> Result<(), GroupError> {
        let end = self.log.borrow().last_index(self.group).next();
        let mut low = known.next().max(Index(self.purged.0 + 1));
        while low < end {
            let entries = self.read(low, end)?;
            self.append(&entries);
            self.forget_beyond(self.bytes_max);
            low = entries.last().map_or(end, |last| Index(last.index + 1));
        }
        Ok(())
    }

    /// Has entries from `low` on in memory, which raft will ask for next.
    pub(crate) fn prepare(&mut self, low: u64, high: u64) -> Result<(), GroupError> {
        let low = low.max(self.purged.0 + 1);
        let there = |entries: &[Entry]| {
            entries.first().is_some_and(|first| first.index <= low)
                && entries.last().is_some_and(|last| last.index >= low)
        };
        if !there(&self.replay) {
            self.replay = Vec::new();
            if low < high.min(self.front()) {
                self.replay = self.read(Index(low), Index(high.min(self.front())))?;
            }
        }
        Ok(())
    }

    fn read(&self, low: Index, high: Index) -> Result<Vec<Entry>, GroupError> {
        let read = self.log.borrow().entries(self.group, low, high, PIECE_BYTES)?;
        Ok(read.iter().map(message::from_log).collect::<Result<_, _>>()?)
    }

    fn last(&self) -> u64 {
        match self.entries.back() {
            Some(entry) => entry.index,
            None => self.log.borrow().last_index(self.group).0.max(self.purged.0),
        }
    }

    fn front(&self) -> u64 {
        self.entries.front().map_or(u64::MAX, |entry| entry.index)
    }

    /// Takes entries in; those at and behind the first of them are replaced.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while self.entries.back().is_some_and(|entry| entry.index >= first.index) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.data.len());
        }
        assert!(
            self.entries.back().is_none_or(|entry| entry.index + 1 == first.index),
            "a log has no gaps"
        );
        self.replay.retain(|entry| entry.index < first.index);
        if !self.promotions.is_empty() {
            drop(self.promotions.split_off(&first.index));
        }
        let changes = entries.iter().filter(|entry| !promoted_by(entry).is_empty());
        self.promotions.extend(changes.map(|entry| (entry.index, promoted_by(entry))));
        self.bytes += entries.iter().map(|entry| entry.data.len()).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Forgets applied entries beyond the memory they may take.
    pub(crate) fn shrink(&mut self, applied: u64) {
        if !self.promotions.is_empty() {
            self.promotions = self.promotions.split_off(&(applied + 1));
        }
        while self.bytes > self.bytes_max && self.entries.len() > 1 && self.front() <= applied {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.data.len());
        }
    }

    fn forget_beyond(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.entries.len() > 1 {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.data.len());
        }
    }

    /// Nodes that a change behind `applied` would make voters.
    pub(crate) fn voters_to_come(&self, applied: u64) -> Vec<NodeId> {
        self.promotions.range(applied + 1..).flat_map(|(_, nodes)| nodes.iter().copied()).collect()
    }

    /// The log was cut up to and including `index`.
    pub(crate) fn purge(&mut self, index: u64, term: u64) {
        self.purged = (index, term);
        while self.front() <= index {
            self.bytes -= self.entries.pop_front().map_or(0, |entry| entry.data.len());
        }
    }

    /// The log restarts behind a snapshot.
    pub(crate) fn reset(&mut self, mark: &SnapshotMark) {
        self.entries.clear();
        self.replay = Vec::new();
        self.promotions.clear();
        self.bytes = 0;
        self.purged = (mark.index.0, mark.term.0);
        self.configuration = mark.configuration.clone();
        self.snapshot = Some(mark.clone());
    }

    pub(crate) fn set_hard_state(&mut self, state: HardState) {
        self.hard_state = state;
    }

    pub(crate) fn set_configuration(&mut self, configuration: Configuration) {
        self.configuration = configuration;
    }

    pub(crate) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    pub(crate) fn take_fetches(&self) -> Vec<Fetch> {
        self.fetches.take()
    }

    /// The fetch from `low` has ended. Its entries, for the retry that follows at once; those which
    /// were replaced in the log while they were read are left out.
    pub(crate) fn offer_fetched(&self, low: u64, mut entries: Vec<Entry>) -> bool {
        self.fetching.borrow_mut().remove(&low);
        let stale = |entry: &Entry| raft::Storage::term(self, entry.index).ok() != Some(entry.term);
        if let Some(at) = entries.iter().position(stale) {
            entries.truncate(at);
        }
        let any = !entries.is_empty();
        *self.fetched.borrow_mut() = entries;
        any
    }

    /// The retry is over: what it did not take must not be taken for the log later.
    pub(crate) fn withdraw_fetched(&self) {
        self.fetched.borrow_mut().clear();
    }

    fn read_memory(&self, low: u64, high: u64, bytes_max: u64) -> Vec<Entry> {
        let skip = usize::try_from(low.saturating_sub(self.front())).unwrap_or(usize::MAX);
        first_of(self.entries.iter().skip(skip), high, bytes_max)
    }

    fn take_fetched(&self, low: u64) -> Option<Vec<Entry>> {
        let mut fetched = self.fetched.borrow_mut();
        let fits = fetched.first().is_some_and(|entry| entry.index == low);
        fits.then(|| std::mem::take(&mut *fetched))
    }

    fn read_disk(&self, low: u64, high: u64, bytes_max: u64) -> raft::Result<Vec<Entry>> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            raft::Error::Store(StorageError::Other(error))
        };
        let log = self.log.borrow();
        let entries = log
            .entries(self.group, Index(low), Index(high), bytes_max)
            .map_err(|error| failed(error.into()))?;
        entries.iter().map(|entry| message::from_log(entry).map_err(|e| failed(e.into()))).collect()
    }
}

/// Whom an entry would make a voter.
fn promoted_by(entry: &Entry) -> Vec<NodeId> {
    if entry.get_entry_type() == EntryType::EntryNormal {
        return Vec::new();
    }
    let steps = Change::decode(entry.context.clone()).map_or_else(|_| Vec::new(), |it| it.steps);
    let promoted = steps.into_iter().filter_map(|step| match step {
        MemberChange::Promote(node) => Some(node),
        MemberChange::AddLearner(_) | MemberChange::Remove(_) => None,
    });
    promoted.collect()
}

/// Entries below `high`: one at least, and no more than `bytes_max`.
fn first_of(
    entries: impl Iterator<Item = impl std::ops::Deref<Target = Entry>>,
    high: u64,
    bytes_max: u64,
) -> Vec<Entry> {
    let (mut left, mut out) = (bytes_max, Vec::new());
    for entry in entries.take_while(|entry| entry.index < high) {
        let size = entry.data.len() as u64;
        if !out.is_empty() && size > left {
            break;
        }
        left = left.saturating_sub(size);
        out.push(entry.clone());
    }
    out
}

impl raft::Storage for Tail {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.configuration.to_raft()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.purged.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        if low >= self.front() {
            return Ok(self.read_memory(low, high, bytes_max));
        }
        if !context.can_async() {
            let replay =
                first_of(self.replay.iter().skip_while(|it| it.index < low), high, bytes_max);
            return match replay.first() {
                Some(first) if first.index == low => Ok(replay),
                _ => self.read_disk(low, high, bytes_max),
            };
        }
        if let Some(entries) = self.take_fetched(low) {
            return Ok(entries);
        }
        if self.fetching.borrow_mut().insert(low) {
            self.fetches.borrow_mut().push(Fetch { low, high, bytes_max, context });
        }
        Err(raft::Error::Store(StorageError::LogTemporarilyUnavailable))
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.purged.0 {
            return Ok(self.purged.1);
        }
        if index < self.purged.0 {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if index >= self.front() {
            let at = usize::try_from(index - self.front()).unwrap_or(usize::MAX);
            let entry = self.entries.get(at);
            return entry
                .map(|entry| entry.term)
                .ok_or(raft::Error::Store(StorageError::Unavailable));
        }
        let term = self.log.borrow().term(self.group, Index(index));
        term.map(|term| term.0).ok_or(raft::Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.purged.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        // raft-rs refuses a snapshot in whose configuration the receiver does not stand.
        let usable = self.snapshot.as_ref().filter(|mark| {
            mark.index.0 >= request_index
                && mark.index.0 >= self.purged.0
                && mark.configuration.members().contains(&NodeId(to))
        });
        let Some(mark) = usable else {
            self.snapshot_wanted.set(true);
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        };
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = mark.index.0;
        metadata.term = mark.term.0;
        metadata.set_conf_state(mark.configuration.to_raft());
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests;
