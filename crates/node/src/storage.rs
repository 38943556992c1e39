//! An engine that waits for a device, kept from making the loop wait: its work, reads that only the device
//! can answer, and committed entries that wait for their keys ([`crate::backlog`]).
//!
//! ```text
//!   committed entry ─► are its keys known? ── yes ─► applied, in order, on the loop
//!                          │ no: fetched on a reader's lane, then taken into the engine's cache
//!   read ─► does the engine know? ── yes ─► answered on the loop
//!                          │ no: answered on a reader's lane, from a frozen state
//! ```
//!
//! A read that waits delays no other one. An entry that waits delays those behind it, and reads that must
//! see it: to them it is as if it had been committed a moment later. With the memory engine none of this
//! ever happens.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use quorate_consensus::{Configuration, Index, SnapshotMark};
use quorate_engine::{EngineError, WorkKind};
use quorate_env::{Lane, Mono, Tasks};
use quorate_keyspace::{Frozen, Thawed};

use crate::backlog::Backlog;
use crate::barrier::Outcome;
use crate::core::{Core, Stop};
use crate::entry::Parts;
use crate::jobs::Job;
use crate::machine::Machine;
use crate::reads::ReadBatch;

/// Lanes that read: so many reads are on their way to the device at once.
const READERS: usize = 4;
/// Reads that one job answers.
const READS_MAX: usize = 32;
/// Between two looks whether housekeeping is due, where it was not: what they look at is frozen, and of all that the
/// overlay has, writes then make a copy. With a look on every tick that was 6 % of a load.
const ASKING_EVERY: Duration = Duration::from_secs(1);
/// What is not durable is flushed when so large a part of the log would have to be replayed that a memory engine
/// would make a snapshot of: a flush is small, and a start should answer at once. With a quarter instead of half of it, three
/// nodes that overwrite hot keys took 2.8 times the memory engine's processor time, for small runs that are merged.
const REPLAYED_SHARE: u64 = 2;
/// A flush for less is not worth its syncs.
const REPLAYED_BYTES_MIN: u64 = 1024 * 1024;
/// Between two attempts to write to a full disk.
const RETRY: Duration = Duration::from_secs(5);
/// A flush, and the step of compaction that it may wait for, take seconds on a slow disk.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// The lanes of an engine that waits for a device.
struct Lanes {
    flush: Box<dyn Lane>,
    compact: Box<dyn Lane>,
    readers: Vec<Box<dyn Lane>>,
}

/// See the file's head.
#[derive(Default)]
pub(crate) struct Storage {
    /// `None`: the engine never waits.
    lanes: Option<Lanes>,
    /// Where reads that take long are answered, if the engine has no lanes of its own.
    long_reads: Option<Box<dyn Lane>>,
    next_reader: usize,
    pub(crate) backlog: Backlog,
    /// Reads on the lanes, by number.
    cold: BTreeMap<u64, ReadBatch>,
    next_cold: u64,
    /// A lane looks whether housekeeping is due.
    asking_due: bool,
    /// When it was last found that none is.
    not_due_at: Option<Mono>,
    /// Members behind the entries that changed them, not older than what is durable.
    configurations: VecDeque<(Index, Configuration)>,
    durable: Index,
    /// Up to where everything was last asked to become durable.
    checkpoint: Index,
    retry_at: Mono,
    /// Since when the engine has no room.
    no_room_since: Option<Mono>,
    /// That was said.
    stall_is_told: bool,
    pub(crate) cold_reads: u64,
}

impl Storage {
    /// For the engine of `machine`.
    pub(crate) fn new(machine: &Machine, tasks: &dyn Tasks) -> Self {
        let engine = machine.keyspace().engine();
        let lanes = engine.may_block().then(|| Lanes {
            flush: tasks.lane("engine-flush"),
            compact: tasks.background_lane("engine-compact"),
            readers: (1..=READERS).map(|n| tasks.lane(&format!("engine-read-{n}"))).collect(),
        });
        let long_reads = lanes.is_none().then(|| tasks.lane("long-reads"));
        let durable = Index(engine.durable_applied());
        Self { lanes, long_reads, durable, ..Self::default() }
    }

    /// The engine has room.
    pub(crate) fn note_room(&mut self) {
        (self.no_room_since, self.stall_is_told) = (None, false);
    }

    /// The engine has no room at `now`.
    pub(crate) fn note_no_room(&mut self, now: Mono) {
        self.no_room_since.get_or_insert(now);
    }

    /// For how long the engine has had no room, where that is longer than a flush or two take.
    pub(crate) fn stalled_for(&self, now: Mono) -> Option<Duration> {
        self.no_room_since.map(|since| now.since(since)).filter(|waited| *waited >= STALLED_AFTER)
    }

    /// True when the engine may wait for a device.
    pub(crate) fn blocks(&self) -> bool {
        self.lanes.is_some()
    }

    fn reader(&mut self) -> Option<&dyn Lane> {
        let Some(lanes) = &self.lanes else { return self.long_reads.as_deref() };
        self.next_reader = (self.next_reader + 1) % READERS;
        lanes.readers.get(self.next_reader).map(|lane| &**lane)
    }

    /// Reads on the lanes, for their deadlines.
    pub(crate) fn take_cold(&mut self, overdue: impl Fn(Mono) -> bool) -> Vec<ReadBatch> {
        let late: Vec<_> =
            self.cold.iter().filter(|(_, batch)| overdue(batch.since)).map(|(id, _)| *id).collect();
        late.iter().filter_map(|id| self.cold.remove(id)).collect()
    }

    /// Bytes of reads on the lanes.
    pub(crate) fn cold_bytes(&self) -> usize {
        self.cold.values().map(|batch| batch.parts.len()).sum()
    }
}

/// The engine's failure, which ends the replica.
pub(crate) fn stop_for_engine(error: &EngineError) -> Stop {
    match error {
        EngineError::Damage(_) => Stop(format!(
            "{error}. Restart the node: it then gives up its vote and fetches its state from its peers (one that has none \
             needs a backup: `quorate backup restore`)"
        )),
        EngineError::Io(_) | EngineError::Cold => {
            Stop(format!("{error}. Restart the node when the disk is well"))
        }
    }
}

impl Core {
    /// Does `job` on a reader's lane.
    pub(crate) fn read_elsewhere(&mut self, job: impl FnOnce() -> Job + Send + 'static) {
        let done = self.snapshots.done();
        if let Some(lane) = self.storage.reader() {
            lane.submit(Box::new(move || drop(done.send(job()))));
        }
    }

    /// True when the engine can't take more because the disk is full.
    pub(crate) fn is_engine_full(&self) -> bool {
        self.storage.blocks() && {
            let engine = self.machine.keyspace().engine();
            !engine.has_room() && engine.stats().disk_full
        }
    }

    /// Starts what the engine wants done.
    pub(crate) fn start_engine_work(&mut self) {
        let Some(lanes) = &self.storage.lanes else { return };
        while let Some(work) = self.machine.keyspace_mut().engine_mut().take_work() {
            let lane = if work.kind == WorkKind::Flush { &lanes.flush } else { &lanes.compact };
            let done = self.snapshots.done();
            lane.submit(Box::new(move || {
                work.run();
                drop(done.send(Job::EngineWorked));
            }));
        }
    }

    /// A work of the engine has ended.
    pub(crate) fn engine_worked(&mut self) -> Result<(), Stop> {
        let engine = self.machine.keyspace_mut().engine_mut();
        engine.settle().map_err(|error| stop_for_engine(&error))?;
        let durable = Index(engine.durable_applied());
        if durable > self.storage.durable {
            self.storage.durable = durable;
            self.became_durable(durable)?;
        }
        self.start_engine_work();
        self.judge_crowd();
        Ok(())
    }

    /// The entry at `index`, which is applied, has changed the members.
    pub(crate) fn note_configuration(&mut self, index: Index, configuration: Configuration) {
        self.storage.configurations.push_back((index, configuration));
    }

    /// The engine has everything up to `durable` on the disk: the log may go.
    fn became_durable(&mut self, durable: Index) -> Result<(), Stop> {
        let later = |(index, _): &(Index, Configuration)| *index > durable;
        let at = self.storage.configurations.iter().position(later);
        let at = at.unwrap_or(self.storage.configurations.len());
        let configuration = self.storage.configurations.drain(..at).next_back();
        let Some(group) = &mut self.group else { return Ok(()) };
        let configuration = configuration
            .map(|(_, configuration)| configuration)
            .or_else(|| group.snapshot().map(|mark| mark.configuration.clone()));
        let (Some(term), Some(configuration)) = (group.term_at(durable), configuration) else {
            return Ok(());
        };
        if group.snapshot().is_none_or(|known| known.index < durable) {
            group.snapshot_made(SnapshotMark { index: durable, term, configuration });
        }
        let cut = group.cut_before(durable, self.config.entries_kept, self.config.bytes_kept());
        group.compact(cut).map_err(|error| Stop(error.to_string()))?;
        tracing::debug!(index = durable.0, "engine flushed");
        Ok(())
    }

    /// By the clock: has what is applied become durable when the log has grown, offers the present state
    /// where a follower needs a newer one than is durable, and tries a full disk again.
    pub(crate) fn tend_storage(&mut self) {
        let now = self.now();
        let Some(group) = &mut self.group else { return };
        let wanted = group.take_snapshot_wanted();
        // What a flush under way is about to take is not a reason for one more.
        let log_bytes = group.log_bytes_since(self.storage.durable.max(self.storage.checkpoint));
        let limit = self.config.snapshot_log_bytes;
        let limit = (limit / REPLAYED_SHARE).max(limit.min(REPLAYED_BYTES_MIN));
        let full = self.machine.keyspace().engine().stats().disk_full;
        if full && now < self.storage.retry_at {
            return;
        }
        if wanted {
            self.offer_present_state();
        }
        let applied = self.machine.applied();
        let engine = self.machine.keyspace_mut().engine_mut();
        if full || log_bytes > limit {
            self.storage.checkpoint = applied;
            self.storage.retry_at = now + RETRY;
            engine.checkpoint();
            self.start_engine_work();
        }
        self.judge_crowd();
        self.tell_of_a_stall();
    }

    fn tell_of_a_stall(&mut self) {
        let Some(waited) = self.storage.stalled_for(self.now()) else { return };
        if !std::mem::replace(&mut self.storage.stall_is_told, true) {
            tracing::warn!(
                seconds = waited.as_secs(),
                "the engine takes no writes: what it has in memory does not get to the disk"
            );
        }
    }

    /// Has everything applied so far become durable, so that the next start has nothing to replay. Up to
    /// where that is.
    pub(crate) fn flush_before_the_end(&mut self) -> Index {
        if !self.is_on_disk() {
            return Index(0);
        }
        self.machine.keyspace_mut().engine_mut().checkpoint();
        self.start_engine_work();
        self.machine.applied()
    }

    /// True when the engine has everything up to `index` on the disk, or can't have it.
    pub(crate) fn is_flushed(&self, index: Index) -> bool {
        !self.is_on_disk()
            || self.storage.durable >= index
            || self.machine.keyspace().engine().stats().disk_full
    }

    /// A follower needs a newer state than is durable: what is sent is a view, which need not be.
    fn offer_present_state(&mut self) {
        let index = self.machine.applied();
        let configuration = self.machine.configuration().clone();
        if let Some(group) = &mut self.group
            && let Some(term) = group.term_at(index)
            && group.snapshot().is_none_or(|known| known.index < index)
        {
            group.snapshot_made(SnapshotMark { index, term, configuration });
        }
    }

    /// Another state has taken the engine's place.
    pub(crate) fn storage_replaced(&mut self) {
        // Their entries are in the new state: the log behind it begins anew.
        self.storage.backlog = Backlog::default();
        self.storage.configurations.clear();
        self.storage.durable = Index(self.machine.keyspace().engine().durable_applied());
        self.start_engine_work();
    }

    /// Answers `batch` on the lanes, from a state as it is now: reads that may wait for a device, or take long.
    pub(crate) fn read_cold(&mut self, now_ms: u64, batch: ReadBatch) {
        if self.storage.blocks() {
            self.storage.cold_reads += batch.waiters.len() as u64;
        }
        let ReadBatch { parts, waiters, since } = batch;
        let mut waiters = waiters.into_iter();
        let mut cut = Parts::bare(&parts, Vec::new());
        loop {
            let (start, mut count) = (cut.position(), 0);
            while count < READS_MAX && matches!(cut.next(), Ok(Some(_))) {
                count += 1;
            }
            if count == 0 {
                return;
            }
            let bytes = parts.get(start..cut.position()).unwrap_or_default().to_vec();
            let waiters = waiters.by_ref().take(count).collect();
            self.storage.next_cold += 1;
            let number = self.storage.next_cold;
            let batch = ReadBatch { parts: bytes.clone(), waiters, since };
            self.storage.cold.insert(number, batch);
            let frozen = self.machine.keyspace().freeze();
            self.read_elsewhere(move || {
                let outcomes = read_frozen(&frozen, &bytes, now_ms);
                Job::ColdRead { number, now_ms, outcomes, thawed: Box::new(frozen.end()) }
            });
        }
    }

    /// Reads come back from a lane.
    pub(crate) fn cold_read(
        &mut self,
        number: u64,
        now_ms: u64,
        outcomes: Result<Vec<(Outcome, usize)>, EngineError>,
        thawed: Thawed,
    ) -> Result<(), Stop> {
        let outcomes = outcomes.map_err(|error| stop_for_engine(&error))?;
        self.machine.keyspace_mut().thaw(thawed);
        // Who has waited too long was told so.
        let Some(batch) = self.storage.cold.remove(&number) else { return Ok(()) };
        let mut start = 0;
        for (waiter, (outcome, end)) in batch.waiters.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Reply(reply) => self.answer_read(waiter, Ok(reply)),
                Outcome::NeedsStamp(stamp_ms) => {
                    let part = batch.parts.get(start..end).unwrap_or_default();
                    self.wait_for_stamp(stamp_ms, now_ms, part.to_vec(), waiter);
                }
            }
            start = end;
        }
        Ok(())
    }

    /// Finds out on a lane whether housekeeping is due.
    pub(crate) fn ask_whether_due(&mut self, now_ms: u64) {
        let recently = |at| self.now().since(at) < ASKING_EVERY;
        if self.storage.asking_due || self.storage.not_due_at.is_some_and(recently) {
            return;
        }
        self.storage.asking_due = true;
        let rehearsal = self.machine.keyspace().rehearsal();
        self.read_elsewhere(move || Job::HousekeepingDue(rehearsal.due(now_ms)));
    }

    /// The answer to [`Core::ask_whether_due`].
    pub(crate) fn told_whether_due(&mut self, due: Result<bool, EngineError>) -> Result<(), Stop> {
        self.storage.asking_due = false;
        let due = due.map_err(|error| stop_for_engine(&error))?;
        self.storage.not_due_at = (!due).then(|| self.now());
        self.housekeep |= due && self.is_leading();
        Ok(())
    }
}

/// The outcomes of the reads in `bytes`, each with where its part ends.
fn read_frozen(
    frozen: &Frozen,
    bytes: &[u8],
    now_ms: u64,
) -> Result<Vec<(Outcome, usize)>, EngineError> {
    let mut parts = Parts::bare(bytes, Vec::new());
    let mut outcomes = Vec::new();
    // What a session hands in was encoded by this node.
    while let Ok(Some(part)) = parts.next() {
        let read = |command: &crate::entry::Command| {
            frozen.read(now_ms, command.db, command.spec, parts.args(command))
        };
        outcomes.push((crate::barrier::outcome_of(&part, read)?, parts.position()));
    }
    Ok(outcomes)
}
