//! Desk: where batches wait, and where the writer and the keeper come back to between their jobs.
//!
//! Both are values that move onto a lane with a job and return with the answer. So there are no
//! locks, no second write under way, and one wake-up per fsync.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quorate_env::disk::DirLock;
use quorate_env::{Clock, Disk, Env, Lane, Mono};
use tokio::sync::oneshot;

use super::batch::LogBatch;
use super::encoder::END_BYTES;
use super::error::{LogError, SubmitError, WriteFailure};
use super::index::{GroupIndex, Sink};
use super::keeper::{Keeper, Revision};
use super::latency::Latency;
use super::record::{Place, Position, record_bytes};
use super::segment::{OpenSegment, SEGMENT_HEADER_BYTES, SegmentName, Segments};
use super::state::STATE_BYTES;
use super::writer::{WriteJob, Writer, Written};
use super::{Done, LogConfig, LogStats, Ticket};
use crate::id::GroupId;

/// Batches that nobody waits for are written at the latest when there are so many bytes of them.
const LAZY_BYTES_MAX: u64 = 64 * 1024;

type Groups = BTreeMap<GroupId, GroupIndex>;
type Answer = (Box<Writer>, Written);
type Revised = (Box<Keeper>, Result<Option<OpenSegment>, LogError>);

/// Where the writer is.
#[derive(Debug)]
enum Pen {
    /// Here.
    Idle(Box<Writer>),
    /// On the lane.
    Busy(oneshot::Receiver<Answer>),
    /// Here, with a job that the full disk refused.
    Refused(Box<Writer>, Box<WriteJob>, Mono),
    /// Gone for good: the log is closed.
    Gone,
}

/// Where the keeper is.
#[derive(Debug)]
enum Broom {
    /// Here.
    Idle(Box<Keeper>),
    /// On its lane; whether it was asked for a segment.
    Busy(oneshot::Receiver<Revised>, bool),
    /// Gone for good: the log is closed.
    Gone,
}

/// What a desk starts with.
pub(super) struct Start {
    pub(super) segment_bytes: u32,
    pub(super) segments: Segments,
    pub(super) keeper: Keeper,
    pub(super) active: OpenSegment,
    pub(super) tail: u32,
    pub(super) lock: Box<dyn DirLock>,
}

/// See the module.
pub(super) struct Desk {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// All segments.
    pub(super) segments: Segments,
    /// Why the log is closed.
    pub(super) failure: Option<WriteFailure>,
    clock: Arc<dyn Clock>,
    config: LogConfig,
    segment_bytes: u32,
    write_lane: Box<dyn Lane>,
    keep_lane: Box<dyn Lane>,
    pen: Pen,
    broom: Broom,
    waker: Waker,
    /// The segment in use.
    active: SegmentName,
    /// Where the next write starts.
    tail: Place,
    durable: Position,
    /// The next segment.
    spare: Option<OpenSegment>,
    /// When to ask for a spare again, after the disk had none.
    spare_retry: Option<Mono>,
    /// Segments that were left and end there, but the manifest does not say so yet.
    seals: Vec<(u64, u32)>,
    queue: VecDeque<(Ticket, LogBatch, u64)>,
    queued_bytes: u64,
    /// Batches in the queue that somebody waits for.
    awaited: usize,
    flush: bool,
    /// Room that was promised since the last submission.
    granted: u64,
    /// The batches of the write under way.
    writing: Vec<Ticket>,
    /// When it began.
    writing_since: Option<Mono>,
    done: VecDeque<Done>,
    last_ticket: Ticket,
    settled: Ticket,
    latency: Latency,
    /// Of whole writes, the way to the lane and back included.
    writes: Latency,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk")
            .field("tail", &self.tail)
            .field("durable", &self.durable)
            .field("queue", &self.queue.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(env: &Env, dir: &Path, config: LogConfig, start: Start) -> Self {
        let name = start.active.name;
        let tail = name.place(start.tail);
        let clock = Arc::clone(&env.clock);
        let writer = Writer::new(start.active, Arc::clone(&clock), start.lock);
        Self {
            disk: Arc::clone(&env.disk),
            dir: dir.to_owned(),
            segments: start.segments,
            failure: None,
            clock,
            config,
            segment_bytes: start.segment_bytes,
            write_lane: env.tasks.lane("log"),
            keep_lane: env.tasks.lane("log-files"),
            pen: Pen::Idle(Box::new(writer)),
            broom: Broom::Idle(Box::new(start.keeper)),
            waker: Waker::noop().clone(),
            active: name,
            tail,
            durable: tail.at,
            // The keeper brings one: writing 64 MiB of zeros takes longer than all else that a start waits for.
            spare: None,
            spare_retry: None,
            seals: Vec::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            awaited: 0,
            flush: false,
            granted: 0,
            writing: Vec::new(),
            writing_since: None,
            done: VecDeque::new(),
            last_ticket: Ticket(0),
            settled: Ticket(0),
            latency: Latency::default(),
            writes: Latency::default(),
        }
    }

    /// Before this position all is durable.
    pub(super) fn durable(&self) -> Position {
        self.durable
    }

    pub(super) fn next_ticket(&mut self) -> Ticket {
        self.last_ticket.0 += 1;
        self.last_ticket
    }

    /// Whether a batch of `bytes` can be taken.
    pub(super) fn check(&self, bytes: u64, groups: usize) -> Result<(), SubmitError> {
        if let Some(failure) = &self.failure {
            return Err(SubmitError::Poisoned(failure.clone()));
        }
        let max = self.batch_bytes_max(groups);
        if bytes > max { Err(SubmitError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// Takes a batch that was checked.
    pub(super) fn queue(&mut self, ticket: Ticket, batch: LogBatch, bytes: u64) {
        self.granted = 0;
        self.awaited += usize::from(batch.sync);
        self.queued_bytes += bytes;
        self.queue.push_back((ticket, batch, bytes));
    }

    pub(super) fn flush(&mut self) {
        self.flush = !self.queue.is_empty();
    }

    pub(super) fn wake_with(&mut self, waker: &Waker) {
        self.granted = 0;
        self.waker.clone_from(waker);
    }

    pub(super) fn take_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }

    /// How long a write takes lately: one that has not ended counts with what it took so far.
    pub(super) fn delay(&self) -> Duration {
        let under_way = self.writing_since.map(|since| self.clock.now().since(since));
        under_way.unwrap_or_default().max(self.writes.lately())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.queue.len() + self.writing.len()
    }

    /// One step of the machine; false when nothing can be done now.
    pub(super) fn step(&mut self, groups: &mut Groups) -> bool {
        self.harvest_pen() | self.harvest_broom() | self.write(groups) | self.keep()
    }

    fn harvest_pen(&mut self) -> bool {
        let Pen::Busy(answer) = &mut self.pen else { return false };
        let (writer, written) = match poll_answer(answer, &self.waker) {
            Poll::Pending => return false,
            Poll::Ready(Some(answer)) => answer,
            Poll::Ready(None) => {
                self.close(WriteFailure::new("write", &self.dir, "the log's lane is gone"));
                return true;
            }
        };
        let took = self.writing_since.take().map(|since| self.clock.now().since(since));
        match written {
            Written::Synced(fsync) => {
                self.pen = Pen::Idle(writer);
                self.durable = self.tail.at;
                self.latency.note(fsync);
                self.writes.note(took.unwrap_or(fsync));
                for ticket in self.writing.drain(..) {
                    self.settled = ticket;
                    self.done.push_back(Done { ticket, result: Ok(()), fsync });
                }
            }
            Written::Full(job) => {
                let retry = self.clock.now() + self.config.retry_after;
                self.pen = Pen::Refused(writer, job, retry);
            }
            Written::Failed(failure) => self.close(failure),
        }
        true
    }

    fn harvest_broom(&mut self) -> bool {
        let Broom::Busy(answer, asked) = &mut self.broom else { return false };
        let asked = *asked;
        match poll_answer(answer, &self.waker) {
            Poll::Pending => return false,
            Poll::Ready(Some((keeper, Ok(created)))) => {
                self.broom = Broom::Idle(keeper);
                if let Some(segment) = created {
                    self.segments.insert(segment.name);
                    self.spare = Some(segment);
                    self.spare_retry = None;
                } else if asked {
                    // Only then is it the disk that had none: a spare may also have been used meanwhile.
                    self.spare_retry = Some(self.clock.now() + self.config.retry_after);
                }
            }
            Poll::Ready(Some((_, Err(error)))) => {
                self.broom = Broom::Gone;
                self.close(error.into());
            }
            Poll::Ready(None) => {
                self.broom = Broom::Gone;
                self.close(WriteFailure::new("keep", &self.dir, "the log's lane is gone"));
            }
        }
        true
    }

    /// Starts the next write.
    fn write(&mut self, groups: &mut Groups) -> bool {
        if self.failure.is_some() {
            return false;
        }
        match std::mem::replace(&mut self.pen, Pen::Gone) {
            Pen::Idle(writer) => match self.next_job(groups) {
                Some(job) => self.send(writer, job),
                None => {
                    self.pen = Pen::Idle(writer);
                    return false;
                }
            },
            Pen::Refused(writer, job, retry) if self.clock.now() >= retry => self.send(writer, job),
            other @ (Pen::Busy(_) | Pen::Refused(..) | Pen::Gone) => {
                self.pen = other;
                return false;
            }
        }
        true
    }

    fn send(&mut self, mut writer: Box<Writer>, job: Box<WriteJob>) {
        let (sender, receiver) = oneshot::channel();
        self.pen = Pen::Busy(receiver);
        self.writing_since = Some(self.clock.now());
        self.write_lane.submit(Box::new(move || {
            let written = writer.write(job);
            // Nobody listens when the log was dropped meanwhile: then nobody counts on the answer.
            drop(sender.send((writer, written)));
        }));
    }

    fn next_job(&mut self, groups: &mut Groups) -> Option<Box<WriteJob>> {
        if self.awaited == 0 && !self.flush && self.queued_bytes < LAZY_BYTES_MAX {
            return None;
        }
        let mut heads = Vec::new();
        let mut rotate = None;
        let mut room = self.active_room();
        if self.queue.front()?.2 > room {
            // A batch that fits into no segment (too many groups came since it was taken) waits.
            room = self
                .spare_room(groups.len())
                .filter(|room| self.queue.front().is_some_and(|(.., bytes)| bytes <= room))?;
            let spare = self.spare.take()?;
            self.seals.push((self.active.id, self.tail.at.offset));
            heads = groups.iter().map(|(id, group)| (*id, group.placed)).collect();
            (self.active, self.tail) = (spare.name, spare.name.start());
            rotate = Some(spare);
        }
        let (start, mark) = (self.tail, self.durable);
        self.advance(record_bytes(STATE_BYTES as u64) * heads.len() as u64);
        let mut batches = Vec::new();
        while self.queue.front().is_some_and(|(.., bytes)| *bytes <= room) {
            let Some((ticket, batch, bytes)) = self.queue.pop_front() else { break };
            room -= bytes;
            self.queued_bytes -= bytes;
            self.awaited -= usize::from(batch.sync);
            self.place(groups, ticket, &batch);
            self.writing.push(ticket);
            batches.push(batch);
        }
        self.flush &= !self.queue.is_empty();
        self.advance(END_BYTES);
        Some(Box::new(WriteJob { rotate, heads, batches, start, end: self.tail.at.offset, mark }))
    }

    /// Gives a batch its place behind the tail; in the order of [`super::encoder::Encoder::batch`].
    fn place(&mut self, groups: &mut Groups, ticket: Ticket, batch: &LogBatch) {
        let before = self.tail.at.offset;
        let end = u64::from(before) + batch.bytes();
        if batch.reset_to.is_some() {
            self.advance(record_bytes(0));
        }
        let Some(group) = groups.get_mut(&batch.group) else { return };
        for entry in &batch.entries {
            let sink = &mut Sink { segments: &mut self.segments, batch: ticket.0 };
            group.place(entry.index, entry.term, self.tail.at, sink);
            self.advance(record_bytes(entry.data.len() as u64));
        }
        group.placed.apply(batch);
        self.advance(end - u64::from(self.tail.at.offset));
    }

    fn advance(&mut self, bytes: u64) {
        let offset = u64::from(self.tail.at.offset) + bytes;
        // Invariant: a write fits into its segment, and a segment is far below 4 GiB.
        assert!(offset <= u64::from(self.active.bytes), "a write fits into its segment");
        self.tail.at.offset = u32::try_from(offset).unwrap_or(u32::MAX);
    }

    /// Sends the keeper, if a spare is missing or segments are dead.
    fn keep(&mut self) -> bool {
        if self.failure.is_some() || !matches!(self.broom, Broom::Idle(_)) {
            return false;
        }
        let remove = self.segments.dead_prefix(self.durable, self.settled.0);
        let due = self.spare_retry.is_none_or(|retry| self.clock.now() >= retry);
        let create = self.spare.is_none() && (due || !remove.is_empty());
        if remove.is_empty() && !create {
            return false;
        }
        let Broom::Idle(mut keeper) = std::mem::replace(&mut self.broom, Broom::Gone) else {
            return false;
        };
        for id in &remove {
            self.segments.0.remove(id);
        }
        let seal = std::mem::take(&mut self.seals);
        let revision = Revision { seal, remove, create: create.then_some(self.segment_bytes) };
        let (sender, receiver) = oneshot::channel();
        self.broom = Broom::Busy(receiver, create);
        self.keep_lane.submit(Box::new(move || {
            let revised = keeper.revise(&revision);
            drop(sender.send((keeper, revised)));
        }));
        true
    }

    /// The log is closed; all that is under way fails.
    fn close(&mut self, failure: WriteFailure) {
        tracing::error!(%failure, "the log is closed until a restart");
        self.pen = Pen::Gone;
        let queued = self.queue.drain(..).map(|(ticket, ..)| ticket);
        for ticket in self.writing.drain(..).chain(queued) {
            let (result, fsync) = (Err(failure.clone()), Duration::ZERO);
            self.done.push_back(Done { ticket, result, fsync });
        }
        (self.queued_bytes, self.awaited) = (0, 0);
        self.failure.get_or_insert(failure);
    }

    fn active_room(&self) -> u64 {
        let used = u64::from(self.tail.at.offset) + END_BYTES;
        u64::from(self.active.bytes).saturating_sub(used)
    }

    fn spare_room(&self, groups: usize) -> Option<u64> {
        let bytes = u64::from(self.spare.as_ref()?.name.bytes);
        Some(bytes.saturating_sub(overhead(groups)))
    }

    /// See [`super::Log::batch_bytes_max`].
    pub(super) fn batch_bytes_max(&self, groups: usize) -> u64 {
        let reserved = overhead(groups) + self.config.reserve_bytes;
        self.config.segment_bytes.saturating_sub(reserved)
    }

    /// See [`super::Log::has_room`].
    pub(super) fn grant(&mut self, bytes: u64, groups: usize) -> bool {
        let granted = self.fits(bytes, groups);
        if granted {
            self.granted += record_bytes(bytes);
        }
        granted
    }

    /// Whether an entry of `bytes` fits behind all that is queued and granted.
    pub(super) fn fits(&self, bytes: u64, groups: usize) -> bool {
        if self.failure.is_some() || matches!(self.pen, Pen::Refused(..)) {
            return false;
        }
        let record = record_bytes(bytes);
        let need = self.queued_bytes + self.granted + record + self.config.reserve_bytes;
        let fits = |room: u64| need <= room;
        fits(self.active_room()) || self.spare_room(groups).is_some_and(fits)
    }

    /// The disk had no room for a segment, or for a write.
    pub(super) fn is_disk_full(&self) -> bool {
        self.spare_retry.is_some() || matches!(self.pen, Pen::Refused(..))
    }

    /// See [`super::Log::stats`].
    pub(super) fn stats(&self) -> LogStats {
        LogStats {
            segments: self.segments.0.len() as u64,
            bytes: self.segments.0.values().map(|segment| u64::from(segment.name.bytes)).sum(),
            fsyncs: self.latency.count(),
            fsync_last: self.latency.last(),
            fsync_p99: self.latency.p99(),
            in_flight: self.in_flight() as u64,
            disk_full: self.is_disk_full(),
        }
    }
}

/// What a segment holds besides batches.
fn overhead(groups: usize) -> u64 {
    let heads = record_bytes(STATE_BYTES as u64) * groups as u64;
    u64::from(SEGMENT_HEADER_BYTES) + heads + END_BYTES
}

fn poll_answer<T>(answer: &mut oneshot::Receiver<T>, waker: &Waker) -> Poll<Option<T>> {
    Pin::new(answer).poll(&mut Context::from_waker(waker)).map(Result::ok)
}
