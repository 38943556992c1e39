//! Snapshots: when one is made, how it travels, and how a received one replaces the state.
//!
//! Everything that touches the disk runs on a lane; only the switch to a state that was read and
//! checked beforehand happens on the shard's thread.

mod file;
#[cfg(feature = "planted-bugs")]
mod planted;
mod receiving;
mod sending;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self as plants, Planted};
use quorate_consensus::snapshot::{Receiver, SnapshotError, SnapshotStore};
use quorate_consensus::{Index, NodeId, SnapshotMark};
use quorate_env::{Lane, Mono, Tasks};
use tokio::sync::mpsc;

use self::file::check;
pub(crate) use self::file::{Restored, note_of, place_of, read, read_telling, write};
use self::receiving::Answer;
pub(crate) use self::receiving::NotTaken;
use self::sending::Sending;
pub(crate) use self::sending::{ReadPiece, Unreadable};
use crate::core::{Core, Stop};
use crate::jobs::Job;

/// All work on snapshots.
pub(crate) struct Snapshots {
    pub(crate) store: SnapshotStore,
    /// One lane per kind of work: a large snapshot being made must not keep followers waiting.
    making_lane: Box<dyn Lane>,
    receiving_lane: Box<dyn Lane>,
    reading_lane: Box<dyn Lane>,
    done: mpsc::UnboundedSender<Job>,
    jobs: mpsc::UnboundedReceiver<Job>,
    making: bool,
    failed_at: Option<Mono>,
    /// When our own newest file was read again last.
    checked_at: Option<Mono>,
    /// Our own file of this index is damaged.
    damaged: Option<Index>,
    receiver: Arc<Mutex<Receiver>>,
    sending: Vec<Sending>,
    /// Who refused what was sent, and when raft shall hear so.
    refused: Vec<(NodeId, Mono)>,
    next_transfer: u64,
    restored: Option<Box<Restored>>,
    pub(crate) bytes: u64,
    pub(crate) made: u64,
    pub(crate) installed: u64,
    /// Of the one that is being received: bytes that have come, and of how many, where that is known.
    pub(crate) arriving: Option<(u64, Option<u64>)>,
    /// When one was refused last because there was no room for it.
    no_room_at: Option<Mono>,
    /// To a sender.
    answer: Option<Answer>,
}

/// After a failure (a full disk) the next attempt waits.
const RETRY: Duration = Duration::from_secs(5);

impl Snapshots {
    pub(crate) fn new(store: SnapshotStore, tasks: &dyn Tasks) -> Self {
        let (done, jobs) = mpsc::unbounded_channel();
        Self {
            receiver: Arc::new(Mutex::new(Receiver::new(store.clone()))),
            store,
            making_lane: tasks.lane("snapshot-make"),
            receiving_lane: tasks.lane("snapshot-recv"),
            reading_lane: tasks.lane("old-entries"),
            done,
            jobs,
            making: false,
            failed_at: None,
            checked_at: None,
            damaged: None,
            sending: Vec::new(),
            refused: Vec::new(),
            next_transfer: 0,
            restored: None,
            bytes: 0,
            made: 0,
            installed: 0,
            arriving: None,
            no_room_at: None,
            answer: None,
        }
    }

    /// True when this node has no room for what the leader sends. (That tries again every second or two.)
    pub(crate) fn lacks_room(&self, now: Mono) -> bool {
        self.no_room_at.is_some_and(|at| now.since(at) < 2 * RETRY)
    }

    /// Tells the loop what a lane has finished.
    pub(crate) fn done(&self) -> mpsc::UnboundedSender<Job> {
        self.done.clone()
    }

    pub(crate) fn run(&self, lane: &dyn Lane, job: impl FnOnce() -> Job + Send + 'static) {
        let done = self.done.clone();
        lane.submit(Box::new(move || {
            // The node has gone: so has the interest.
            drop(done.send(job()));
        }));
    }

    pub(crate) fn run_reading(&self, job: impl FnOnce() -> Job + Send + 'static) {
        self.run(&*self.reading_lane, job);
    }

    /// The next that a lane has finished.
    pub(crate) fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<Option<Job>> {
        self.jobs.poll_recv(cx)
    }

    /// Leadership is lost: the next leader sends its own.
    pub(crate) fn stop_sending(&mut self) {
        self.sending.clear();
        self.refused.clear();
    }
}

impl Core {
    /// By the clock: makes a snapshot when the log has grown, gives up transfers that are stuck.
    pub(crate) fn tend_snapshots(&mut self) -> Result<(), Stop> {
        let now = self.now();
        self.give_up_stuck_transfers(now);
        self.tell_of_refusals(now);
        self.repeat_lost_answer();
        if self.is_on_disk() {
            self.tend_storage();
            return Ok(());
        }
        let Some(group) = &mut self.group else { return Ok(()) };
        let wanted = group.take_snapshot_wanted();
        let since = group.snapshot().map_or(Index(0), |mark| mark.index);
        let log_bytes = group.log_bytes_since(since);
        let state_bytes = self.machine.keyspace().engine().stats().payload_bytes;
        let limit = self.config.snapshot_log_bytes.max(state_bytes);
        let recently = self.snapshots.failed_at.is_some_and(|at| now.since(at) < RETRY);
        if (wanted || log_bytes > limit) && !recently {
            self.make_snapshot();
        }
        Ok(())
    }

    /// Freezes the state and writes it to a file, off this thread.
    pub(crate) fn make_snapshot(&mut self) {
        let index = self.machine.applied();
        let Some(group) = &self.group else { return };
        #[cfg(feature = "planted-bugs")]
        let index = if plants::is(Planted::SnapshotWithoutIndex) {
            let oldest = group.snapshot().map_or(Index(0), |mark| mark.index).next();
            index.min(oldest.max(Index(index.0.saturating_sub(2))))
        } else {
            index
        };
        let damaged = self.snapshots.damaged;
        let newer =
            group.snapshot().is_none_or(|mark| mark.index < index || damaged == Some(mark.index));
        let Some(term) = group.term_at(index).filter(|_| newer && !self.snapshots.making) else {
            return;
        };
        self.snapshots.making = true;
        let mark =
            SnapshotMark { index, term, configuration: self.machine.configuration().clone() };
        #[cfg(feature = "planted-bugs")]
        if plants::is(Planted::LogCutTooEarly)
            && let Some(group) = &mut self.group
        {
            group.compact(index).map_err(|error| tracing::error!(%error)).unwrap_or_default();
        }
        let view = self.machine.keyspace().view();
        let store = self.snapshots.store.clone();
        self.snapshots.run(&*self.snapshots.making_lane, move || {
            let result = write(&store, &mark, &*view);
            Job::Made(mark, result)
        });
    }

    pub(crate) fn snapshot_made(
        &mut self,
        mark: &SnapshotMark,
        result: Result<u64, SnapshotError>,
    ) -> Result<(), Stop> {
        self.snapshots.making = false;
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                // Nothing is lost: the log stays as it is until a snapshot succeeds.
                tracing::warn!(%error, "snapshot could not be made");
                self.snapshots.failed_at = Some(self.env.clock.now());
                return Ok(());
            }
        };
        self.snapshots.bytes = bytes;
        self.snapshots.made += 1;
        self.snapshots.damaged.take_if(|damaged| *damaged <= mark.index);
        let Some(group) = &mut self.group else { return Ok(()) };
        // One that was installed meanwhile may be newer.
        if group.snapshot().is_none_or(|known| known.index < mark.index) {
            group.snapshot_made(mark.clone());
            let cut =
                group.cut_before(mark.index, self.config.entries_kept, self.config.bytes_kept());
            group.compact(cut).map_err(|error| Stop(error.to_string()))?;
        }
        tracing::info!(index = mark.index.0, bytes, "snapshot made");
        Ok(())
    }

    /// A member has refused what we sent, or we could not read it: perhaps our own file has changed since it was
    /// made, or has vanished. It is read again, off this thread; a member that can't take any (its disk is full)
    /// must not make us do so all the time. On disk there is no file: what is sent is the state itself, and the log may be
    /// cut up to what the engine has synced, not up to a file that no start reads.
    pub(crate) fn check_own_snapshot(&mut self) {
        if self.is_on_disk() {
            return;
        }
        let now = self.now();
        let Some(index) =
            self.group.as_ref().and_then(|group| group.snapshot()).map(|mark| mark.index)
        else {
            return;
        };
        if self.snapshots.checked_at.is_some_and(|at| now.since(at) < RETRY) {
            return;
        }
        self.snapshots.checked_at = Some(now);
        let store = self.snapshots.store.clone();
        self.snapshots
            .run(&*self.snapshots.reading_lane, move || Job::Checked(index, check(&store, index)));
    }

    /// Our own file was read again. From a damaged one nobody can be served: another one is made of the
    /// state in memory, which is right.
    pub(crate) fn snapshot_checked(&mut self, index: Index, checked: Result<(), SnapshotError>) {
        if let Err(error) = checked {
            tracing::error!(%error, "this node's own snapshot can't be sent any more; making another one");
            self.snapshots.damaged = Some(index);
            self.make_snapshot();
        }
    }
}
