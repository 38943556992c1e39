//! Writer: one write and one fsync per job, on the log's lane.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_env::disk::DirLock;
use quorate_env::{BLOCK_BYTES, Clock, DiskFile};

use super::batch::LogBatch;
use super::encoder::Encoder;
use super::error::{WriteFailure, is_full};
use super::record::{Place, Position};
use super::segment::OpenSegment;
use super::state::State;
use super::tail::Tail;
use crate::id::GroupId;

/// See the module. It is moved onto the lane with each job, and comes back with the answer: so
/// there is never a second write under way, and no lock.
pub(super) struct Writer {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// The segment's size.
    bytes: u32,
    tail: Tail,
    clock: Arc<dyn Clock>,
    /// Keeps other processes out as long as anybody could write.
    _lock: Box<dyn DirLock>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("path", &self.path).finish_non_exhaustive()
    }
}

/// One write.
#[derive(Debug)]
pub(super) struct WriteJob {
    /// The segment to go on with, if it is a new one.
    pub(super) rotate: Option<OpenSegment>,
    /// What a new segment starts with.
    pub(super) heads: Vec<(GroupId, State)>,
    /// The batches.
    pub(super) batches: Vec<LogBatch>,
    /// Where it starts.
    pub(super) start: Place,
    /// Where it ends.
    pub(super) end: u32,
    /// What is durable before it.
    pub(super) mark: Position,
}

/// What became of a write.
#[derive(Debug)]
pub(super) enum Written {
    /// It is durable; the fsync took so long.
    Synced(Duration),
    /// The device was full, though the space was allocated. Nothing is lost: the same bytes may be
    /// written to the same place again.
    Full(Box<WriteJob>),
    /// Nobody knows what the disk holds.
    Failed(WriteFailure),
}

impl Writer {
    /// A writer that goes on in `segment`.
    pub(super) fn new(segment: OpenSegment, clock: Arc<dyn Clock>, lock: Box<dyn DirLock>) -> Self {
        let OpenSegment { path, file, name } = segment;
        Self { file, path, bytes: name.bytes, tail: Tail::new(), clock, _lock: lock }
    }

    /// Carries out `job`.
    pub(super) fn write(&mut self, mut job: Box<WriteJob>) -> Written {
        if let Some(segment) = job.rotate.take() {
            (self.file, self.path, self.bytes) = (segment.file, segment.path, segment.name.bytes);
            self.tail.forget();
        }
        let mut encoder = Encoder::new(job.start, job.mark);
        for (group, state) in &job.heads {
            encoder.state(*group, state);
        }
        for batch in &job.batches {
            encoder.batch(batch);
        }
        encoder.finish();
        assert_eq!(encoder.place().at.offset, job.end, "encoded as planned");
        match self.write_parts(&encoder.parts(), u64::from(job.start.at.offset)) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                tracing::warn!(%error, "log write refused, to be tried again");
                return Written::Full(job);
            }
            Err(error) => return self.failed("write", &error),
        }
        let started = self.clock.now();
        match self.file.sync_data() {
            Ok(()) => Written::Synced(self.clock.now().since(started)),
            Err(error) => self.failed("sync", &error),
        }
    }

    fn write_parts(&mut self, parts: &[IoSlice<'_>], start: u64) -> io::Result<()> {
        // Whole blocks would go beyond the end of a segment that is not made of them.
        if (self.bytes as usize).is_multiple_of(BLOCK_BYTES) {
            self.tail.write(&*self.file, parts, start)
        } else {
            self.file.write_at(parts, start)
        }
    }

    fn failed(&self, action: &'static str, error: &io::Error) -> Written {
        Written::Failed(WriteFailure::new(action, &self.path, &error.to_string()))
    }
}
