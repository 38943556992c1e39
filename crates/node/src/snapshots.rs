//! Snapshots: when one is made, how it travels, and how a received one replaces the state.
//!
//! Everything that touches the disk runs on a lane; only the switch to a state that was read and
//! checked beforehand happens on the shard's thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use quorate_consensus::Term;
use quorate_consensus::codec::{DecodeError, Reader, put_varint};
use quorate_consensus::log::LogEntry;
use quorate_consensus::peers::{Kind as FrameKind, Lane as Link};
#[cfg(feature = "planted-bugs")]
use quorate_consensus::planted::{self, Planted};
use quorate_consensus::snapshot::{
    Arrival, PIECE_BYTES, Piece, PieceSource, Receiver, SnapshotEncoder, SnapshotError,
    SnapshotStore, decode_done, encode_done,
};
use quorate_consensus::{Fetch, Index, NodeId, SnapshotMark};
#[cfg(feature = "planted-bugs")]
use quorate_engine::MemoryEngine;
use quorate_engine::{Cellar, Engine, EngineError, EngineKind, View};
use quorate_env::{Lane, Mono, Tasks};
use quorate_keyspace::snapshot::{Export, Restore, RestoreError, export};
use quorate_keyspace::{Keyspace, Thawed};
use tokio::sync::mpsc;

use crate::barrier::Outcome;
use crate::core::{Core, GROUP, Stop};
use crate::identity::Identity;
use crate::machine::Machine;

/// What a lane has finished.
pub(crate) enum Job {
    Made(SnapshotMark, Result<u64, SnapshotError>),
    Piece {
        transfer: u64,
        piece: Result<Option<ReadPiece>, SnapshotError>,
    },
    /// Our own file of this index was read again.
    Checked(Index, Result<(), SnapshotError>),
    /// A piece is on the disk, or was dropped: its payload had so many bytes.
    PieceTaken(usize),
    Restored(Arrival, Result<Box<Restored>, String>),
    ReceiveFailed {
        from: NodeId,
        transfer: u64,
        error: String,
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
    IdentitySaved(Box<Identity>, std::io::Result<()>),
}

/// What an entry's keys are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// So that they are in memory when its turn comes.
    Later,
    /// It is the entry's turn: nothing may be let go of any more.
    Now,
}

/// A piece on its way out.
pub(crate) struct ReadPiece {
    offset: u64,
    bytes: Bytes,
    total_bytes: u64,
}

/// Where a snapshot's pieces come from.
enum Source {
    /// The file that the node keeps.
    File(PieceSource),
    /// The state as it was when the transfer began.
    View(Box<ViewSource>),
}

impl Source {
    fn next_piece(&mut self) -> Result<Option<ReadPiece>, SnapshotError> {
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

    fn next_piece(&mut self) -> Result<Option<ReadPiece>, SnapshotError> {
        // One byte more than a piece: only the last one knows the length of the whole.
        while !self.over && self.pending.len() <= PIECE_BYTES {
            self.stream.clear();
            let more = self.export.next(PIECE_BYTES, &mut self.stream).map_err(|error| {
                let source = std::io::Error::other(error);
                SnapshotError::Io { file: "engine".to_owned(), source }
            })?;
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

/// A state read from a snapshot.
pub(crate) struct Restored {
    pub(crate) mark: SnapshotMark,
    pub(crate) keyspace: Keyspace,
}

/// A snapshot on its way to a member.
struct Sending {
    to: NodeId,
    mark: SnapshotMark,
    transfer: u64,
    source: Arc<Mutex<Source>>,
    reading: bool,
    all_sent: bool,
    progressed_at: Mono,
}

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
    next_transfer: u64,
    restored: Option<Box<Restored>>,
    pub(crate) bytes: u64,
    pub(crate) made: u64,
    pub(crate) installed: u64,
}

/// Bytes of a snapshot queued on a link at once.
const QUEUED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A transfer without progress for longer has failed.
const TRANSFER_TIME: Duration = Duration::from_secs(60);
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
            next_transfer: 0,
            restored: None,
            bytes: 0,
            made: 0,
            installed: 0,
        }
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

    /// Leadership is lost: the next leader sends its own.
    pub(crate) fn stop_sending(&mut self) {
        self.sending.clear();
    }
}

/// Writes `view` as the snapshot `mark`; its size.
pub(crate) fn write(
    store: &SnapshotStore,
    mark: &SnapshotMark,
    view: &dyn View,
) -> Result<u64, SnapshotError> {
    let mut writer = store.writer(mark)?;
    let mut failed = None;
    let exported = export(view, &mut |bytes| match writer.write(bytes) {
        Ok(()) => std::ops::ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            std::ops::ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        writer.abandon();
        return Err(error);
    }
    if let Err(error) = exported {
        writer.abandon();
        let source = std::io::Error::other(error);
        return Err(SnapshotError::Io { file: "engine".to_owned(), source });
    }
    let bytes = writer.finish()?;
    store.prune()?;
    Ok(bytes)
}

/// Reads a snapshot file from end to end and checks its bytes, not what they mean.
fn check(store: &SnapshotStore, index: Index) -> Result<(), SnapshotError> {
    let mut reader = store.reader(&store.path(index))?;
    while reader.next_chunk()?.is_some() {}
    Ok(())
}

/// Reads a snapshot file into `engine`, a fresh one, checking everything.
pub(crate) fn read(
    store: &SnapshotStore,
    path: &std::path::Path,
    engine: Box<dyn Engine>,
) -> Result<Restored, SnapshotError> {
    let file = || path.display().to_string();
    let malformed = |error: RestoreError| match error {
        RestoreError::Malformed(what) => SnapshotError::Damage { file: file(), offset: 0, what },
        RestoreError::Engine(error) => {
            SnapshotError::Io { file: file(), source: std::io::Error::other(error) }
        }
    };
    let mut reader = store.reader(path)?;
    let mut restore = Restore::new(engine);
    while let Some(chunk) = reader.next_chunk()? {
        restore.feed(&chunk).map_err(malformed)?;
    }
    let keyspace = restore.finish().map_err(malformed)?;
    #[cfg(feature = "planted-bugs")]
    let keyspace = misread(keyspace, reader.mark().index)
        .map_err(|error| malformed(RestoreError::Engine(error)))?;
    if keyspace.applied() != reader.mark().index.0 {
        let what = "content and header disagree";
        return Err(SnapshotError::Damage { file: file(), offset: 0, what });
    }
    Ok(Restored { mark: reader.mark().clone(), keyspace })
}

fn take_piece(
    receiver: &Mutex<Receiver>,
    from: NodeId,
    piece: &Piece,
) -> Result<Option<Arrival>, SnapshotError> {
    // A lane runs one job at a time; a panic in one stops the process.
    receiver.lock().unwrap_or_else(PoisonError::into_inner).take(from, piece)
}

/// What is kept beside a sealed state: the place in the log that it stands for.
pub(crate) fn note_of(mark: &SnapshotMark) -> Vec<u8> {
    let mut note = Vec::new();
    put_varint(&mut note, mark.index.0);
    put_varint(&mut note, mark.term.0);
    note
}

/// The index and term in a note.
pub(crate) fn place_of(note: &[u8]) -> Result<(Index, Term), DecodeError> {
    let mut reader = Reader::new(Bytes::copy_from_slice(note));
    let place = (Index(reader.varint()?), Term(reader.varint()?));
    reader.end()?;
    Ok(place)
}

/// Reads a snapshot that has arrived, and makes it what a restart finds when it is whole and right: a file
/// where the engine keeps nothing itself, a sealed state where it does.
fn restore(
    store: &SnapshotStore,
    arrival: &Arrival,
    cellar: &dyn Cellar,
    engine_dir: &std::path::Path,
) -> Result<Box<Restored>, String> {
    let engine = cellar.fresh(engine_dir).map_err(|error| error.to_string())?;
    let mut restored = read(store, &arrival.path, engine).map_err(|error| error.to_string())?;
    if restored.mark.index != arrival.index {
        return Err("another snapshot than was announced".to_owned());
    }
    if cellar.kind() == EngineKind::Disk {
        let note = note_of(&restored.mark);
        let sealed = restored.keyspace.engine_mut().seal(&note);
        sealed.map_err(|error| error.to_string())?;
        store.discard(&arrival.path);
    } else {
        let published = store.publish(&arrival.path, arrival.index).and_then(|()| store.prune());
        published.map_err(|error| error.to_string())?;
    }
    Ok(Box::new(restored))
}

/// Records, by key.
#[cfg(feature = "planted-bugs")]
type Records = std::collections::BTreeMap<Vec<u8>, Bytes>;

#[cfg(feature = "planted-bugs")]
fn records_of(states: &[&Keyspace]) -> Result<Records, quorate_engine::EngineError> {
    let mut records = Records::new();
    for state in states {
        state.view().visit(&[], &[], &mut |key, value| {
            records.insert(key.to_vec(), value.clone());
            std::ops::ControlFlow::Continue(())
        })?;
    }
    Ok(records)
}

#[cfg(feature = "planted-bugs")]
fn keyspace_of(records: Records, applied: u64) -> Result<Keyspace, quorate_engine::EngineError> {
    use quorate_engine::Engine as _;
    let mut engine = MemoryEngine::new();
    for (key, value) in records {
        engine.put(&key, value)?;
    }
    engine.write(applied)?;
    Keyspace::open(Box::new(engine))
}

/// The old state shines through wherever the new one has nothing.
#[cfg(feature = "planted-bugs")]
fn overlay(new: &Keyspace, old: &Keyspace) -> Result<Keyspace, quorate_engine::EngineError> {
    keyspace_of(records_of(&[old, new])?, new.applied())
}

/// The state is taken for that of `index`, or its keys' revisions are forgotten.
#[cfg(feature = "planted-bugs")]
fn misread(read: Keyspace, index: Index) -> Result<Keyspace, quorate_engine::EngineError> {
    if planted::is(Planted::SnapshotWithoutIndex) {
        let mut records = records_of(&[&read])?;
        // The state's own record says it, too, behind its format (see FORMAT.md).
        for (_, value) in records.iter_mut().filter(|(key, _)| **key == [0x01, 0x01]) {
            let mut bytes = value.to_vec();
            bytes.splice(1..9, index.0.to_be_bytes());
            *value = bytes.into();
        }
        return keyspace_of(records, index.0);
    }
    if !planted::is(Planted::WatchNotRestored) {
        return Ok(read);
    }
    let mut records = records_of(&[&read])?;
    // Keys are under 0x02; behind a record's type and flags comes its revision (see FORMAT.md).
    for (_, value) in records.iter_mut().filter(|(key, _)| key.first() == Some(&0x02)) {
        let mut bytes = value.to_vec();
        bytes.iter_mut().skip(2).take(8).for_each(|byte| *byte = 0);
        *value = bytes.into();
    }
    keyspace_of(records, read.applied())
}

impl Core {
    /// What the lanes have finished.
    pub(crate) fn take_jobs(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let mut any = false;
        while let std::task::Poll::Ready(Some(job)) = self.snapshots.jobs.poll_recv(cx) {
            any = true;
            match job {
                Job::Made(mark, result) => self.snapshot_made(&mark, result)?,
                Job::Piece { transfer, piece } => self.piece_read(transfer, piece),
                Job::PieceTaken(payload_bytes) => self.inbox.settle(payload_bytes),
                Job::Restored(arrival, restored) => self.restored(&arrival, restored),
                Job::ReceiveFailed { from, transfer, error } => {
                    tracing::warn!(from = from.0, error, "snapshot could not be received");
                    self.answer_transfer(from, transfer, false);
                }
                Job::Checked(index, checked) => self.snapshot_checked(index, checked),
                Job::EngineWorked => self.engine_worked()?,
                Job::KeysRead(index, thawed, purpose) => self.keys_read(index, thawed, purpose),
                Job::ColdRead { number, now_ms, outcomes, thawed } => {
                    self.cold_read(number, now_ms, outcomes, *thawed)?;
                }
                Job::HousekeepingDue(due) => self.told_whether_due(due)?,
                Job::IdentitySaved(identity, saved) => self.identity_saved(*identity, saved),
                // Order matters: the next start finds the damage, too, and then fetches from the others. To go
                // on leading would keep back for ever who needs these entries.
                Job::LogDamaged(what) => return Err(Stop(what)),
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

    /// By the clock: makes a snapshot when the log has grown, gives up transfers that are stuck.
    pub(crate) fn tend_snapshots(&mut self) -> Result<(), Stop> {
        let now = self.now();
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
        let index = if planted::is(Planted::SnapshotWithoutIndex) {
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
        if planted::is(Planted::LogCutTooEarly)
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

    fn snapshot_made(
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
            let keep_from = Index(mark.index.0.saturating_sub(self.config.entries_kept));
            group.compact(keep_from).map_err(|error| Stop(error.to_string()))?;
        }
        tracing::info!(index = mark.index.0, bytes, "snapshot made");
        Ok(())
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
    fn feed_transfers(&mut self) -> bool {
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

    fn piece_read(&mut self, transfer: u64, piece: Result<Option<ReadPiece>, SnapshotError>) {
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
                false
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
        }
    }

    /// The receiver has answered.
    pub(crate) fn snapshot_done(&mut self, from: NodeId, payload: Bytes) {
        let Ok((GROUP, transfer, arrived)) = decode_done(payload) else { return };
        let ours = |one: &Sending| one.transfer == transfer && one.to == from;
        if self.snapshots.sending.iter().any(ours) {
            self.snapshots.sending.retain(|one| !ours(one));
            if let Some(group) = &mut self.group {
                group.snapshot_sent(from, arrived);
            }
            if !arrived {
                self.check_own_snapshot();
            }
        }
    }

    /// A member has refused what we sent: perhaps our own file has changed since it was made. It is read
    /// again, off this thread; a member that can't take any (its disk is full) must not make us do so
    /// all the time.
    fn check_own_snapshot(&mut self) {
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
    fn snapshot_checked(&mut self, index: Index, checked: Result<(), SnapshotError>) {
        if let Err(error) = checked {
            tracing::error!(%error, "this node's own snapshot can't be sent any more; making another one");
            self.snapshots.damaged = Some(index);
            self.make_snapshot();
        }
    }

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
                Err(error) => Job::ReceiveFailed { from, transfer, error: error.to_string() },
            };
            drop(done.send(job));
        }));
        true
    }

    fn answer_transfer(&self, to: NodeId, transfer: u64, arrived: bool) {
        if let Some(peers) = &self.peers {
            let encode = |out: &mut Vec<u8>| encode_done(out, GROUP, transfer, arrived);
            peers.send(to, Link::Control, FrameKind::SnapshotDone, encode);
        }
    }

    fn restored(&mut self, arrival: &Arrival, restored: Result<Box<Restored>, String>) {
        let arrived = match restored {
            Ok(restored) => {
                self.offer_restored(arrival, restored);
                true
            }
            Err(error) => {
                tracing::warn!(from = arrival.from.0, error, "snapshot refused");
                false
            }
        };
        self.answer_transfer(arrival.from, arrival.transfer, arrived);
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
        self.storage_replaced();
        self.writes_lost_in_snapshot();
        self.snapshot_changed_members(&before);
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
                        Err(error) if error.is_damage() => Job::LogDamaged(error.to_string()),
                        Err(error) => {
                            tracing::error!(%error, "old entries can't be read");
                            Job::Fetched(fetch, Vec::new())
                        }
                    };
                    self.snapshots.run(&*self.snapshots.reading_lane, read);
                }
                Err(error) => tracing::warn!(%error, "old entries can't be read"),
            }
        }
        any
    }
}
