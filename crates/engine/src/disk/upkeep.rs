//! What a disk engine has done elsewhere: flushes, compaction, opening the tree again; and what becomes of it.

use std::sync::Arc;

use super::base::{Figures, RUNS_MAX};
use super::wire::Meta;
use super::{DiskEngine, is_full};
use crate::engine::{Engine, EngineError};
use crate::memory::{MemoryEngine, Reclaim};
use crate::work::{Work, WorkKind};

/// What a work has come to.
pub(super) enum Outcome {
    Flushed(Result<bool, EngineError>),
    /// Whether there was anything to do.
    Compacted(Result<bool, EngineError>),
    /// Whether it was possible.
    Reopened(Result<bool, EngineError>),
}

/// A work's end, and what the tree weighs then.
pub(super) type Report = (Outcome, Figures);

/// What is under way elsewhere.
#[derive(Debug, Default)]
pub(super) struct Busy {
    pub(super) flush: bool,
    pub(super) compact: bool,
}

/// What is to be done elsewhere.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) flush: bool,
    pub(super) compaction: bool,
    pub(super) reopening: Reopening,
}

/// Whether the tree is to be closed and opened again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Reopening {
    #[default]
    No,
    Now,
    /// With the next attempt.
    Later,
}

/// Whether there is room on the disk.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// There was none, and nothing has succeeded since.
    pub(super) full: bool,
    /// Nothing is written until [`Engine::checkpoint`] asks for the next attempt.
    pub(super) waits: bool,
}

impl DiskEngine {
    /// Freezes what is recent; it is what the next flush writes.
    pub(super) fn freeze(&mut self) {
        let frozen = std::mem::take(&mut self.resident.recent);
        self.resident.flushing = Some(frozen);
        self.flushing_applied = self.applied;
        self.wanted.flush = false;
    }

    fn flush_work(&mut self) -> Option<Work> {
        let view = self.resident.flushing.as_ref()?.view();
        self.busy.flush = true;
        let (base, done) = (Arc::clone(&self.base), self.outcomes.0.clone());
        let meta = Meta { applied: self.flushing_applied };
        Some(Work::new(WorkKind::Flush, move || {
            let flushed = base.flush(&*view, meta);
            let figures = base.figures();
            drop((view, base));
            // An engine that has gone needs no telling.
            drop(done.send((Outcome::Flushed(flushed.map(|()| true)), figures)));
        }))
    }

    fn compact_work(&mut self) -> Work {
        self.busy.compact = true;
        self.wanted.compaction = false;
        let (base, done) = (Arc::clone(&self.base), self.outcomes.0.clone());
        let table_bytes = self.options.table_bytes();
        Work::new(WorkKind::Compact, move || {
            // One step: the engine asks for the next one, or has gone.
            let compacted = base.compact(table_bytes);
            let figures = base.figures();
            drop(base);
            drop(done.send((Outcome::Compacted(compacted), figures)));
        })
    }

    fn reopen_work(&mut self) -> Work {
        (self.busy.flush, self.busy.compact) = (true, true);
        let (base, done) = (Arc::clone(&self.base), self.outcomes.0.clone());
        Work::new(WorkKind::Flush, move || {
            let reopened = base.reopen();
            let figures = base.figures();
            drop(base);
            drop(done.send((Outcome::Reopened(reopened), figures)));
        })
    }

    /// Lets go of an overlay. Taking it apart takes a tenth of a second: on another thread, and not while
    /// a view may still add to what is left of it.
    pub(super) fn leave(&mut self, overlay: MemoryEngine) {
        self.remains.push(overlay.reclaim().clone());
        drop(overlay);
    }

    fn leave_work(&mut self) -> Option<Work> {
        let at = self.remains.iter().position(Reclaim::is_alone)?;
        let remains = self.remains.swap_remove(at);
        Some(Work::new(WorkKind::Flush, move || remains.finish()))
    }

    pub(super) fn flushed(&mut self) {
        if let Some(overlay) = self.resident.flushing.take() {
            self.leave(overlay);
        }
        // What was read before the flush may be out of date behind it.
        self.resident.held.clear();
        self.resident.base_is_empty.set(false);
        self.durable = self.flushing_applied;
        self.epoch += 1;
        self.flushes += 1;
        self.wanted.compaction = true;
    }

    /// A full disk is no failure: what is in memory stays there.
    fn judge(&mut self, result: Result<bool, EngineError>) -> Result<bool, EngineError> {
        match result {
            Ok(done) => {
                // What succeeds beside a failure says nothing of room for that; nor does a step that did nothing, where
                // something waits.
                if done || self.resident.flushing.is_none() {
                    self.room.full = self.room.waits;
                }
                Ok(done)
            }
            Err(EngineError::Io(error)) if is_full(error.kind()) => {
                self.room = Room { full: true, waits: true };
                self.wanted.reopening = Reopening::Now;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// See [`Engine::take_work`].
    pub(super) fn next_work(&mut self) -> Option<Work> {
        if self.wanted.reopening == Reopening::Now && !self.busy.flush && !self.busy.compact {
            self.wanted.reopening = Reopening::No;
            return Some(self.reopen_work());
        }
        if let Some(work) = self.leave_work() {
            return Some(work);
        }
        if self.room.waits {
            return None;
        }
        if !self.busy.flush && !self.in_batch && self.figures.runs < RUNS_MAX {
            if self.resident.flushing.is_none()
                && (self.has_grown() || self.wanted.flush)
                && self.applied > self.durable
            {
                self.freeze();
            }
            if let Some(work) = self.flush_work() {
                return Some(work);
            }
        }
        (self.wanted.compaction && !self.busy.compact).then(|| self.compact_work())
    }

    /// See [`Engine::settle`].
    pub(super) fn take_reports(&mut self) -> Result<(), EngineError> {
        while let Ok((outcome, figures)) = self.outcomes.1.try_recv() {
            self.figures = figures;
            match outcome {
                Outcome::Flushed(result) => {
                    self.busy.flush = false;
                    if self.judge(result)? {
                        self.flushed();
                    }
                }
                Outcome::Compacted(result) => {
                    self.busy.compact = false;
                    // A step that changed nothing was the last.
                    self.wanted.compaction |= self.judge(result)?;
                }
                Outcome::Reopened(result) => {
                    (self.busy.flush, self.busy.compact) = (false, false);
                    // A view that is alive keeps the tree open. The flush need not wait for it: what a failed one has
                    // left has other names, or is written anew before anything names it.
                    self.wanted.reopening = if result? { Reopening::No } else { Reopening::Later };
                }
            }
        }
        Ok(())
    }

    /// See [`Engine::checkpoint`].
    pub(super) fn want_checkpoint(&mut self) {
        self.wanted.flush = true;
        if self.wanted.reopening == Reopening::Later {
            self.wanted.reopening = Reopening::Now;
        }
        // A compaction that found no room has let go of its wish, and without it no flush begins beside so many runs.
        self.wanted.compaction |= self.room.full;
        self.room.waits = false;
    }
}
