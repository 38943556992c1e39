//! A snapshot that arrives, and how it replaces the state.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quorate_consensus::peers::{Kind as FrameKind, Lane as Link};
#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self, Planted};
use quorate_consensus::snapshot::{
    Arrival, Piece, Receiver, SnapshotError, SnapshotStore, encode_done,
};
use quorate_consensus::{Index, NodeId, SnapshotMark};
use quorate_engine::{Cellar, EngineError, EngineKind};

use super::file::{Restored, note_of, read};
#[cfg(feature = "planted-bugs")]
use super::planted::overlay;
use crate::core::{Core, GROUP, Stop};
use crate::jobs::Job;
use crate::machine::Machine;

fn take_piece(
    receiver: &Mutex<Receiver>,
    from: NodeId,
    piece: &Piece,
) -> Result<Option<Arrival>, SnapshotError> {
    // A lane runs one job at a time; a panic in one stops the process.
    receiver.lock().unwrap_or_else(PoisonError::into_inner).take(from, piece)
}

/// What a sender was told last.
pub(super) struct Answer {
    to: NodeId,
    transfer: u64,
    arrived: bool,
    /// It was not sent, or the link went down behind it.
    is_lost: bool,
    /// Where our log ends when nothing has come since.
    end: Index,
}

/// Why a snapshot that a leader sends was not taken.
#[derive(Debug)]
pub(crate) struct NotTaken {
    why: String,
    /// The disk is full, or this user's part of it.
    no_room: bool,
}

impl NotTaken {
    fn of(why: String, error: Option<&io::Error>) -> Self {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        Self { why, no_room: error.is_some_and(|error| full.contains(&error.kind())) }
    }
}

impl From<SnapshotError> for NotTaken {
    fn from(error: SnapshotError) -> Self {
        let of_device = match &error {
            SnapshotError::Io { source, .. } => Some(source),
            SnapshotError::Version { .. } | SnapshotError::Damage { .. } => None,
        };
        Self::of(error.to_string(), of_device)
    }
}

impl From<EngineError> for NotTaken {
    fn from(error: EngineError) -> Self {
        let of_device = match &error {
            EngineError::Io(source) => Some(source),
            EngineError::Damage(_) | EngineError::Cold => None,
        };
        Self::of(error.to_string(), of_device)
    }
}

/// Reads a snapshot that has arrived, and makes it what a restart finds when it is whole and right: a file
/// where the engine keeps nothing itself, a sealed state where it does.
fn restore(
    store: &SnapshotStore,
    arrival: &Arrival,
    cellar: &dyn Cellar,
    engine_dir: &Path,
) -> Result<Box<Restored>, NotTaken> {
    let engine = cellar.fresh(engine_dir)?;
    let mut restored = read(store, &arrival.path, engine)?;
    if restored.mark.index != arrival.index {
        return Err(NotTaken::of("another snapshot than was announced".to_owned(), None));
    }
    if cellar.kind() == EngineKind::Disk {
        let note = note_of(&restored.mark);
        restored.keyspace.engine_mut().seal(&note)?;
        store.discard(&arrival.path);
    } else {
        store.publish(&arrival.path, arrival.index).and_then(|()| store.prune())?;
    }
    Ok(Box::new(restored))
}

impl Core {
    /// A piece from the leader. True when it is on its way to the disk: [`Job::PieceTaken`] follows.
    pub(crate) fn snapshot_piece(&mut self, from: NodeId, payload: Bytes) -> bool {
        let payload_bytes = payload.len();
        let piece = match Piece::decode(payload) {
            Ok(piece) if piece.group == GROUP => piece,
            _ => {
                tracing::warn!(from = from.0, "malformed piece of a snapshot");
                return false;
            }
        };
        if self.group.as_ref().is_none_or(|group| piece.term < group.term()) {
            return false;
        }
        // Who sends a view does not know its length before its end.
        let total_bytes = Some(piece.total_bytes).filter(|total| *total < u64::MAX);
        self.snapshots.arriving = Some((piece.offset + piece.bytes.len() as u64, total_bytes));
        let receiver = Arc::clone(&self.snapshots.receiver);
        let (store, done) = (self.snapshots.store.clone(), self.snapshots.done.clone());
        let (cellar, engine_dir) = (Arc::clone(&self.config.cellar), self.engine_dir());
        self.snapshots.receiving_lane.submit(Box::new(move || {
            let (arrival, transfer) = (take_piece(&receiver, from, &piece), piece.transfer);
            drop(piece);
            // Order matters: there is room for the next snapshot's pieces while this one is restored.
            // Where the node has gone, so has the interest.
            drop(done.send(Job::PieceTaken(payload_bytes)));
            let job = match arrival {
                Ok(None) => return,
                Ok(Some(arrival)) => {
                    let restored = restore(&store, &arrival, &*cellar, &engine_dir);
                    Job::Restored(arrival, restored)
                }
                Err(error) => Job::ReceiveFailed { from, transfer, error: error.into() },
            };
            drop(done.send(job));
        }));
        true
    }

    pub(crate) fn answer_transfer(&mut self, to: NodeId, transfer: u64, arrived: bool) {
        let snapshot = self.snapshots.restored.as_ref().map(|restored| restored.mark.index);
        let end = self.log_end().max(snapshot.unwrap_or_default());
        self.snapshots.answer = Some(Answer { to, transfer, arrived, is_lost: true, end });
        self.repeat_lost_answer();
    }

    fn log_end(&self) -> Index {
        self.group.as_ref().map_or(Index(0), |group| group.last().0)
    }

    /// Sends the last answer again if it may be lost. The sender waits for it: it sends nothing else to this node
    /// until it gives the transfer up, which takes a minute, for a large state takes long to restore.
    pub(super) fn repeat_lost_answer(&mut self) {
        let Some(answer) = self.snapshots.answer.as_mut().filter(|answer| answer.is_lost) else {
            return;
        };
        let (transfer, arrived) = (answer.transfer, answer.arrived);
        let encode = |out: &mut Vec<u8>| encode_done(out, GROUP, transfer, arrived);
        answer.is_lost = !self.peers.as_ref().is_some_and(|peers| {
            peers.send(answer.to, Link::Control, FrameKind::SnapshotDone, encode)
        });
    }

    /// What was sent to `node` last may not have come there.
    pub(crate) fn doubt_answer(&mut self, node: NodeId) {
        let end = self.log_end();
        // Who sends entries behind it has heard it.
        let open = |answer: &&mut Answer| answer.to == node && answer.end >= end;
        if let Some(answer) = self.snapshots.answer.as_mut().filter(open) {
            answer.is_lost = true;
        }
    }

    pub(crate) fn restored(
        &mut self,
        arrival: &Arrival,
        restored: Result<Box<Restored>, NotTaken>,
    ) {
        match restored {
            Ok(restored) => {
                (self.snapshots.arriving, self.snapshots.no_room_at) = (None, None);
                self.offer_restored(arrival, restored);
                self.answer_transfer(arrival.from, arrival.transfer, true);
            }
            Err(error) => self.not_taken(arrival.from, arrival.transfer, &error),
        }
    }

    /// What the leader sends can't be taken. Without room for it this node gets no further, as if it had none for
    /// another entry.
    pub(crate) fn not_taken(&mut self, from: NodeId, transfer: u64, error: &NotTaken) {
        self.snapshots.arriving = None;
        if error.no_room {
            self.snapshots.no_room_at = Some(self.now());
        }
        tracing::warn!(from = from.0, error = error.why, "a snapshot was not taken");
        self.answer_transfer(from, transfer, false);
    }

    /// Offers a state to raft. Its file is the newest there is, whether raft takes the state or not
    /// (our log may have caught up meanwhile): it is committed state.
    fn offer_restored(&mut self, arrival: &Arrival, restored: Box<Restored>) {
        let mark = restored.mark.clone();
        let behind = mark.index <= self.machine.applied();
        let Some(group) = &mut self.group else { return self.give_up(Some(restored)) };
        if group.snapshot().is_none_or(|known| known.index < mark.index) {
            group.snapshot_made(mark.clone());
        }
        if behind {
            return self.give_up(Some(restored));
        }
        let older = self.snapshots.restored.replace(restored);
        group.offer_snapshot(arrival.from, arrival.term, &mark);
        self.give_up(older);
    }

    /// A state that will not be used. (A snapshot file stays: it is the newest there is.)
    fn give_up(&self, restored: Option<Box<Restored>>) {
        let Some(mut restored) = restored else { return };
        restored.keyspace.engine_mut().retire();
        // Freeing a large state takes long: not on this thread.
        self.snapshots.making_lane.submit(Box::new(move || drop(restored)));
    }

    /// Raft has accepted the snapshot: switches to its state, at once and whole.
    pub(crate) fn install(&mut self, mark: &SnapshotMark) -> Result<(), Stop> {
        let offered = self.snapshots.restored.take().filter(|restored| restored.mark == *mark);
        let Some(restored) = offered else {
            return Err(Stop(format!(
                "raft accepted a snapshot at {} that was not offered",
                mark.index
            )));
        };
        #[cfg(feature = "planted-bugs")]
        let restored = match overlay(&restored.keyspace, self.machine.keyspace()) {
            Ok(keyspace) if planted::is(Planted::SnapshotOverlays) => {
                Box::new(Restored { mark: restored.mark, keyspace })
            }
            _ => restored,
        };
        let mut machine = Machine::of(restored.keyspace)
            .map_err(|error| Stop(format!("the snapshot's state can't be used: {error}")))?;
        (machine.writes, machine.entries) = (self.machine.writes, self.machine.entries);
        let before = self.before_change();
        let mut old = std::mem::replace(&mut self.machine, machine);
        old.keyspace_mut().engine_mut().retire();
        if let Some(observer) = &self.observer {
            observer.stood(self.identity.node, self.machine.keyspace());
        }
        // Freeing a large state takes long: not on this thread.
        self.snapshots.making_lane.submit(Box::new(move || drop(old)));
        self.snapshots.installed += 1;
        self.forget_away();
        self.storage_replaced();
        self.writes_lost_in_snapshot();
        self.snapshot_changed_members(&before, mark.term);
        self.settle_changes(None);
        self.stop_unless_format_known()?;
        tracing::info!(index = mark.index.0, "snapshot installed");
        Ok(())
    }

    /// Answers inside of a snapshot can't be told any more.
    fn writes_lost_in_snapshot(&mut self) {
        let unknown =
            quorate_api::Error::unknown("this node fell behind and skipped the entry's answer");
        let sent = self.writes.take_sent(|_| true).into_iter().map(|sent| sent.batch.waiters);
        let proposed = self.writes.proposed.drain(..).map(|proposed| proposed.waiters);
        let waiters: Vec<_> = sent.chain(proposed).flatten().collect();
        self.answer_all(waiters, &unknown);
    }
}
