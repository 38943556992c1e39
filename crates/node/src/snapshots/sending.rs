//! A snapshot on its way to a member.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use quorate_consensus::peers::{Kind as FrameKind, Lane as Link};
use quorate_consensus::snapshot::{
    PIECE_BYTES, Piece, PieceSource, SnapshotEncoder, SnapshotError, decode_done,
};
use quorate_consensus::{NodeId, SnapshotMark};
use quorate_engine::EngineError;
use quorate_env::Mono;
use quorate_keyspace::Keyspace;
use quorate_keyspace::snapshot::Export;

use crate::core::{Core, GROUP};
use crate::jobs::Job;
use crate::storage::stop_for_engine;

/// Bytes of a snapshot queued on a link at once.
const QUEUED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A transfer without progress for longer has failed.
const TRANSFER_TIME: Duration = Duration::from_secs(60);
/// Whoever refuses a snapshot is sent the next one not before.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);

/// A piece on its way out.
pub(crate) struct ReadPiece {
    offset: u64,
    bytes: Bytes,
    total_bytes: u64,
}

/// Why no piece can be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(transparent)]
    File(#[from] SnapshotError),
    #[error(transparent)]
    State(#[from] EngineError),
}

/// Where a snapshot's pieces come from.
enum Source {
    /// The file that the node keeps.
    File(PieceSource),
    /// The state as it was when the transfer began.
    View(Box<ViewSource>),
}

impl Source {
    fn next_piece(&mut self) -> Result<Option<ReadPiece>, Unreadable> {
        match self {
            Self::File(file) => {
                let total_bytes = file.total_bytes();
                let piece = file.next_piece()?;
                Ok(piece.map(|(offset, bytes)| ReadPiece { offset, bytes, total_bytes }))
            }
            Self::View(view) => view.next_piece(),
        }
    }
}

/// Makes a snapshot's bytes as they are sent.
struct ViewSource {
    export: Export,
    encoder: SnapshotEncoder,
    /// Encoded, not sent.
    pending: Vec<u8>,
    stream: Vec<u8>,
    offset: u64,
    over: bool,
}

impl ViewSource {
    fn new(keyspace: &Keyspace, mark: &SnapshotMark) -> Self {
        let (encoder, pending) = SnapshotEncoder::start(GROUP, mark);
        let export = Export::new(keyspace.view());
        Self { export, encoder, pending, stream: Vec::new(), offset: 0, over: false }
    }

    fn next_piece(&mut self) -> Result<Option<ReadPiece>, Unreadable> {
        // One byte more than a piece: only the last one knows the length of the whole.
        while !self.over && self.pending.len() <= PIECE_BYTES {
            self.stream.clear();
            let more = self.export.next(PIECE_BYTES, &mut self.stream)?;
            self.encoder.push(&self.stream, &mut self.pending);
            if !more {
                self.encoder.end(&mut self.pending);
                self.over = true;
            }
        }
        if self.pending.is_empty() {
            return Ok(None);
        }
        let rest = self.pending.split_off(self.pending.len().min(PIECE_BYTES));
        let bytes = Bytes::from(std::mem::replace(&mut self.pending, rest));
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        let last = self.over && self.pending.is_empty();
        let total_bytes = if last { self.offset } else { u64::MAX };
        Ok(Some(ReadPiece { offset, bytes, total_bytes }))
    }
}

/// A snapshot on its way to a member.
pub(super) struct Sending {
    to: NodeId,
    mark: SnapshotMark,
    transfer: u64,
    source: Arc<Mutex<Source>>,
    reading: bool,
    all_sent: bool,
    progressed_at: Mono,
}

impl Core {
    /// Transfers that are stuck have failed.
    pub(super) fn give_up_stuck_transfers(&mut self, now: Mono) {
        let stuck: Vec<_> = self
            .snapshots
            .sending
            .iter()
            .filter(|sending| now.since(sending.progressed_at) > TRANSFER_TIME)
            .map(|sending| sending.to)
            .collect();
        for to in stuck {
            self.snapshot_link_down(to);
        }
    }

    /// Raft hears of a refusal late: it sends the next snapshot at once, and who has no room has none a moment
    /// later.
    pub(super) fn tell_of_refusals(&mut self, now: Mono) {
        let due = |(_, at): &mut (NodeId, Mono)| *at <= now;
        for (node, _) in self.snapshots.refused.extract_if(.., due) {
            if let Some(group) = &mut self.group {
                group.snapshot_sent(node, false);
            }
        }
    }

    /// Raft wants `to` to have the snapshot `mark`.
    pub(crate) fn send_snapshot(&mut self, to: NodeId, mark: SnapshotMark) {
        let now = self.now();
        if self.snapshots.sending.iter().any(|sending| sending.to == to) {
            return;
        }
        let (source, mark) = match self.snapshot_source(mark) {
            Ok(source) => source,
            Err(error) => {
                tracing::warn!(error, "snapshot can't be sent");
                if let Some(group) = &mut self.group {
                    group.snapshot_sent(to, false);
                }
                self.check_own_snapshot();
                return;
            }
        };
        self.snapshots.next_transfer += 1;
        let transfer = self.membership.epoch.wrapping_add(self.snapshots.next_transfer);
        tracing::info!(to = to.0, index = mark.index.0, "sending snapshot");
        self.snapshots.sending.push(Sending {
            to,
            mark,
            transfer,
            source: Arc::new(Mutex::new(source)),
            reading: false,
            all_sent: false,
            progressed_at: now,
        });
    }

    /// The snapshot of `mark`, or one of a later state: raft is content with either.
    fn snapshot_source(&self, mark: SnapshotMark) -> Result<(Source, SnapshotMark), String> {
        if !self.is_on_disk() {
            let file = PieceSource::open(&self.snapshots.store, mark.index);
            return Ok((Source::File(file.map_err(|error| error.to_string())?), mark));
        }
        let index = self.machine.applied();
        let term = self.group.as_ref().and_then(|group| group.term_at(index));
        let Some(term) = term.filter(|_| index >= mark.index) else {
            return Err(format!("the state is at {index}, the snapshot at {}", mark.index));
        };
        let configuration = self.machine.configuration().clone();
        let mark = SnapshotMark { index, term, configuration };
        let source = ViewSource::new(self.machine.keyspace(), &mark);
        Ok((Source::View(Box::new(source)), mark))
    }

    /// Reads on where the link has room.
    pub(crate) fn feed_transfers(&mut self) -> bool {
        let Some(peers) = &self.peers else { return false };
        let mut any = false;
        for at in 0..self.snapshots.sending.len() {
            let Some(sending) = self.snapshots.sending.get_mut(at) else { break };
            let full = peers.queued_bytes(sending.to, Link::Bulk) > QUEUED_BYTES_MAX;
            if sending.reading || sending.all_sent || full {
                continue;
            }
            sending.reading = true;
            any = true;
            let (source, transfer) = (Arc::clone(&sending.source), sending.transfer);
            self.snapshots.run(&*self.snapshots.reading_lane, move || {
                let piece = source.lock().unwrap_or_else(PoisonError::into_inner).next_piece();
                Job::Piece { transfer, piece }
            });
        }
        any
    }

    pub(crate) fn piece_read(
        &mut self,
        transfer: u64,
        piece: Result<Option<ReadPiece>, Unreadable>,
    ) {
        let (now, term) = (self.now(), self.term());
        let Some(sending) = self.snapshots.sending.iter_mut().find(|one| one.transfer == transfer)
        else {
            return;
        };
        sending.reading = false;
        sending.progressed_at = now;
        let to = sending.to;
        let sent = match piece {
            Ok(None) => {
                sending.all_sent = true;
                true
            }
            Ok(Some(ReadPiece { offset, bytes, total_bytes })) => {
                let index = sending.mark.index;
                let piece =
                    Piece { group: GROUP, term, index, transfer, offset, total_bytes, bytes };
                self.peers.as_ref().is_some_and(|peers| {
                    peers.send(to, Link::Bulk, FrameKind::Snapshot, |out| piece.encode(out))
                })
            }
            Err(error) => {
                tracing::warn!(%error, "snapshot can't be read");
                // Tried again at once, it would be sent up to here again and again.
                self.snapshots.sending.retain(|sending| sending.to != to);
                self.snapshots.refused.push((to, now + REFUSED_PAUSE));
                match error {
                    Unreadable::State(damage @ EngineError::Damage(_)) => {
                        self.found_damage(stop_for_engine(&damage).0);
                    }
                    Unreadable::State(_) => {}
                    Unreadable::File(_) => self.check_own_snapshot(),
                }
                return;
            }
        };
        if !sent {
            self.snapshot_link_down(to);
        }
    }

    /// A transfer to `node` has failed.
    pub(crate) fn snapshot_link_down(&mut self, node: NodeId) {
        let before = self.snapshots.sending.len();
        self.snapshots.sending.retain(|sending| sending.to != node);
        if self.snapshots.sending.len() < before
            && let Some(group) = &mut self.group
        {
            group.snapshot_sent(node, false);
            // All of it may have arrived.
            self.dispel_doubts();
        }
    }

    /// The receiver has answered.
    pub(crate) fn snapshot_done(&mut self, from: NodeId, payload: Bytes) {
        let Ok((GROUP, transfer, arrived)) = decode_done(payload) else { return };
        let ours = |one: &Sending| one.transfer == transfer && one.to == from;
        if self.snapshots.sending.iter().any(ours) {
            self.snapshots.sending.retain(|one| !ours(one));
            if !arrived {
                let due = self.now() + REFUSED_PAUSE;
                self.snapshots.refused.push((from, due));
                return self.check_own_snapshot();
            }
            if let Some(group) = &mut self.group {
                group.snapshot_sent(from, true);
                self.dispel_doubts();
            }
        }
    }
}
