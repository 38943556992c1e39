//! What lanes have finished: told to the loop, and taken up there.

use std::task::{Context, Poll};

use quorate_consensus::log::{LogEntry, LogError};
use quorate_consensus::snapshot::{Arrival, SnapshotError};
use quorate_consensus::{Fetch, Index, NodeId, SnapshotMark};
use quorate_engine::EngineError;
use quorate_keyspace::Thawed;

use crate::away::Returned;
use crate::barrier::Outcome;
use crate::core::{Core, GROUP, Stop};
use crate::identity::Identity;
use crate::scrub::Walk;
use crate::snapshots::{NotTaken, ReadPiece, Restored, Unreadable};

/// What an entry's keys are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// So that they are in memory when its turn comes.
    Later,
    /// It is the entry's turn: nothing may be let go of any more.
    Now,
}

/// What a lane has finished.
pub(crate) enum Job {
    Made(SnapshotMark, Result<u64, SnapshotError>),
    Piece {
        transfer: u64,
        piece: Result<Option<ReadPiece>, Unreadable>,
    },
    /// Our own file of this index was read again.
    Checked(Index, Result<(), SnapshotError>),
    /// A piece is on the disk, or was dropped: its payload had so many bytes.
    PieceTaken(usize),
    Restored(Arrival, Result<Box<Restored>, NotTaken>),
    ReceiveFailed {
        from: NodeId,
        transfer: u64,
        error: NotTaken,
    },
    Fetched(Fetch, Vec<LogEntry>),
    EngineWorked,
    /// What the entry at this index looks at.
    KeysRead(Index, Thawed, For),
    ColdRead {
        number: u64,
        now_ms: u64,
        outcomes: Result<Vec<(Outcome, usize)>, EngineError>,
        thawed: Box<Thawed>,
    },
    HousekeepingDue(Result<bool, EngineError>),
    /// The log, read again, is not what was written.
    LogDamaged(String),
    /// The segment of the entry at this index is gone.
    SegmentGone(Fetch, Index),
    IdentitySaved(Box<Identity>, std::io::Result<()>),
    /// A long entry is applied.
    AppliedAway(Box<Returned>),
    /// A part of the content was read again; whether more is left.
    ContentScrubbed(Box<Walk>, Result<bool, EngineError>),
    /// A part of the log was read again.
    LogScrubbed(Result<Vec<LogEntry>, LogError>),
}

impl Core {
    /// What the lanes have finished.
    pub(crate) fn take_jobs(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let mut any = false;
        while let Poll::Ready(Some(job)) = self.snapshots.poll_job(cx) {
            any = true;
            match job {
                Job::Made(mark, result) => self.snapshot_made(&mark, result)?,
                Job::Piece { transfer, piece } => self.piece_read(transfer, piece),
                Job::PieceTaken(payload_bytes) => self.inbox.settle(payload_bytes),
                Job::Restored(arrival, restored) => self.restored(&arrival, restored),
                Job::ReceiveFailed { from, transfer, error } => {
                    self.not_taken(from, transfer, &error);
                }
                Job::Checked(index, checked) => self.snapshot_checked(index, checked),
                Job::EngineWorked => self.engine_worked()?,
                Job::KeysRead(index, thawed, purpose) => self.keys_read(index, thawed, purpose),
                Job::ColdRead { number, now_ms, outcomes, thawed } => {
                    self.cold_read(number, now_ms, outcomes, *thawed)?;
                }
                Job::HousekeepingDue(due) => self.told_whether_due(due)?,
                Job::AppliedAway(returned) => self.applied_away(*returned)?,
                Job::ContentScrubbed(walk, more) => self.content_scrubbed(walk, more),
                Job::LogScrubbed(read) => self.log_scrubbed(read),
                Job::IdentitySaved(identity, saved) => self.identity_saved(*identity, saved),
                // Order matters: the next start finds the damage, too, and then fetches from the others. To go
                // on leading would keep back for ever who needs these entries.
                Job::LogDamaged(what) => return Err(Stop(what)),
                Job::SegmentGone(fetch, index) => self.segment_gone(fetch, index)?,
                Job::Fetched(fetch, entries) => {
                    if let Some(group) = &mut self.group {
                        group.fetched(fetch, &entries);
                    }
                }
            }
        }
        any |= self.start_fetches();
        any |= self.feed_transfers();
        Ok(any)
    }

    /// A segment was not there when its entries were to be read: it was cut off meanwhile, or it has vanished, which
    /// is damage. To go on leading without it would keep back for ever who needs these entries.
    fn segment_gone(&mut self, fetch: Fetch, index: Index) -> Result<(), Stop> {
        if self.log.borrow().first_index(GROUP) <= index {
            return Err(Stop(format!(
                "the segment of the log that holds entry {index} has vanished; the next start fetches the state from \
                 the other members"
            )));
        }
        if let Some(group) = &mut self.group {
            group.fetched(fetch, &[]);
        }
        Ok(())
    }

    /// Old entries for followers are read on the lane.
    fn start_fetches(&mut self) -> bool {
        let Some(group) = &mut self.group else { return false };
        let fetches = group.take_fetches();
        let any = !fetches.is_empty();
        for fetch in fetches {
            let reader = self.log.borrow().reader(GROUP, fetch.low, fetch.high, fetch.bytes_max);
            match reader {
                Ok(reader) => {
                    let read = move || match reader.read() {
                        Ok(entries) => Job::Fetched(fetch, entries),
                        Err(LogError::Purged { index, .. }) => Job::SegmentGone(fetch, index),
                        Err(error) if error.is_damage() => Job::LogDamaged(error.to_string()),
                        Err(error) => {
                            tracing::error!(%error, "old entries can't be read");
                            Job::Fetched(fetch, Vec::new())
                        }
                    };
                    self.snapshots.run_reading(read);
                }
                Err(error) => tracing::warn!(%error, "old entries can't be read"),
            }
        }
        any
    }
}
