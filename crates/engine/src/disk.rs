//! The disk engine: for data that outgrows memory, and for restarts that open at once.
//!
//! ```text
//!                    cache      records read or written lately, by key
//!   puts, deletes ─► recent     an ordered map of what is not durable yet (a memory engine)
//!                    flushing   the one before it, frozen, on its way to the disk
//!                    base       a tree of sorted tables: what is durable, with its applied index
//! ```
//!
//! A lookup asks these in turn; the upper three are memory. So writing never waits for the device, and
//! whoever must not wait ([`Engine::resident`]) learns that only the base can tell. Flushing, compaction
//! and such reads are handed out as work for other threads ([`Engine::take_work`], [`Engine::fetch`]).
//!
//! The Raft log is the write-ahead log. When `recent` has grown, it is frozen (O(1)) and written as sorted
//! tables in one atomic step that carries its applied index; only then does [`Engine::durable_applied`]
//! move, up to which the log may be cut. A crash loses what was in memory, and the log has it.
//!
//! A full disk loses nothing either: what could not be flushed stays in memory, the tree is closed and
//! opened again (which removes half-written files) unless a view keeps it open, and the flush is repeated when it is
//! asked for. Until then [`Engine::has_room`] says no once memory holds enough.

mod base;
mod below;
mod cache;
mod cellar;
mod held;
mod home;
mod merge;
mod pin;
mod separated;
mod tables;
#[cfg(test)]
mod tests;
mod view;
mod wire;

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use self::base::{Base, Figures, RUNS_MAX};
use self::below::Below;
use self::cache::RecordCache;
pub use self::cellar::{DiskCellar, DiskOptions};
use self::held::Held;
use self::view::DiskView;
use self::wire::Meta;
use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, View, Visitor};
use crate::memory::{MemoryEngine, Reclaim};
use crate::work::{Fetch, Fetched, Work, WorkKind};

/// The disk has no room, or none for this user.
fn is_full(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// A deleted record in the overlay. Told from any value by its address, which no other buffer has.
static GONE: [u8; 1] = [0];

fn is_gone(value: &[u8]) -> bool {
    std::ptr::eq(value.as_ptr(), GONE.as_ptr())
}

fn damage(what: &str) -> EngineError {
    EngineError::Damage(what.to_owned())
}

/// So many times the flush size may wait in memory before writers are asked to wait.
const WAITING_MAX: u64 = 3;

/// Tells apart what was read for different engines of a process.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// Keys that are looked up side by side.
const EXPECTED: usize = 16;

/// What a record in the overlay costs besides its bytes.
const OVERHEAD_BYTES: u64 = 100;

/// What a work has come to.
enum Outcome {
    Flushed(Result<bool, EngineError>),
    /// Whether there was anything to do.
    Compacted(Result<bool, EngineError>),
    /// Whether it was possible.
    Reopened(Result<bool, EngineError>),
}

/// A work's end, and what the tree weighs then.
type Report = (Outcome, Figures);

/// What is under way elsewhere.
#[derive(Debug, Default)]
struct Busy {
    flush: bool,
    compact: bool,
}

/// What is to be done elsewhere.
#[derive(Debug, Default)]
struct Wanted {
    flush: bool,
    compaction: bool,
    reopening: Reopening,
}

/// Whether the tree is to be closed and opened again.
#[derive(Debug, Default, PartialEq, Eq)]
enum Reopening {
    #[default]
    No,
    Now,
    /// With the next attempt.
    Later,
}

/// Whether there is room on the disk.
#[derive(Debug, Default)]
struct Room {
    /// There was none, and nothing has succeeded since.
    full: bool,
    /// Nothing is written until [`Engine::checkpoint`] asks for the next attempt.
    waits: bool,
}

/// What is known without the device.
struct Resident {
    cache: RecordCache,
    recent: MemoryEngine,
    flushing: Option<MemoryEngine>,
    held: Held,
    base_is_empty: Cell<bool>,
}

impl Reader for Resident {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        if let Some(known) = self.cache.get(key) {
            return Ok(known.as_ref().map(Found::Lent));
        }
        for layer in self.layers() {
            if let Some(found) = layer.get(key)? {
                return Ok(Some(found).filter(|value| !is_gone(value)));
            }
        }
        if let Some(held) = self.held.get(key) {
            return Ok(held.as_ref().map(Found::Lent));
        }
        if self.base_is_empty.get() { Ok(None) } else { Err(EngineError::Cold) }
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        if !self.base_is_empty.get() {
            return Err(EngineError::Cold);
        }
        let layers: Vec<_> = self.layers().map(|layer| layer as &dyn Reader).collect();
        merge::visit(&layers, None, from, to, visitor)
    }
}

impl Resident {
    /// The newest first.
    fn layers(&self) -> impl Iterator<Item = &MemoryEngine> {
        std::iter::once(&self.recent).chain(&self.flushing)
    }

    /// Has the overlay fetch what looking up `keys` will touch.
    fn expect(&self, keys: &[&[u8]]) {
        for layer in self.layers() {
            layer.expect(keys);
        }
    }

    /// True when `key` can be told without the device.
    fn knows(&self, key: &[u8]) -> bool {
        self.base_is_empty.get()
            || self.cache.knows(key)
            || self.held.get(key).is_some()
            || self.layers().any(|layer| matches!(layer.get(key), Ok(Some(_))))
    }

    /// True when the overlay has the last word on `key`.
    fn overrides(&self, key: &[u8]) -> bool {
        self.layers().any(|layer| matches!(layer.get(key), Ok(Some(_))))
    }
}

/// See the file's head.
pub struct DiskEngine {
    resident: Resident,
    base: Arc<Base>,
    options: DiskOptions,
    /// What the overlays before leave behind, as long as somebody may add to it.
    remains: Vec<Reclaim>,
    applied: u64,
    durable: u64,
    /// What the flush under way will make durable.
    flushing_applied: u64,
    in_batch: bool,
    busy: Busy,
    wanted: Wanted,
    room: Room,
    /// Counts what replaces the base's state, or this one's: what was read before may be out of date.
    epoch: u64,
    flushes: u64,
    figures: Figures,
    outcomes: (mpsc::Sender<Report>, mpsc::Receiver<Report>),
    note: Vec<u8>,
    failed: Option<EngineError>,
    waited_reads: Cell<u64>,
    /// Counts the views: each holds a clone.
    views: Arc<()>,
}

impl fmt::Debug for DiskEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskEngine")
            .field("base", &self.base)
            .field("applied", &self.applied)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

impl DiskEngine {
    fn new(base: Base, meta: Meta, options: DiskOptions) -> Self {
        let note = base.home().note();
        let figures = base.figures();
        Self {
            resident: Resident {
                cache: RecordCache::new(options.record_cache_bytes()),
                recent: MemoryEngine::new(),
                flushing: None,
                held: Held::default(),
                base_is_empty: Cell::new(base.is_empty()),
            },
            base: Arc::new(base),
            options,
            remains: Vec::new(),
            applied: meta.applied,
            durable: meta.applied,
            flushing_applied: 0,
            in_batch: false,
            busy: Busy::default(),
            wanted: Wanted { compaction: true, ..Wanted::default() },
            room: Room::default(),
            // Counts on from a place that no other engine comes to.
            epoch: ENGINES.fetch_add(1, Ordering::Relaxed) << 40,
            flushes: 0,
            figures,
            outcomes: mpsc::channel(),
            note,
            failed: None,
            waited_reads: Cell::new(0),
            views: Arc::new(()),
        }
    }

    /// Bytes in memory that are not durable.
    fn waiting_bytes(&self) -> u64 {
        let bytes = |stats: EngineStats| stats.payload_bytes + stats.records * OVERHEAD_BYTES;
        self.resident.layers().map(|layer| bytes(layer.stats())).sum()
    }

    fn recent_bytes(&self) -> u64 {
        self.resident.recent.stats().payload_bytes
    }

    /// Freezes what is recent; it is what the next flush writes.
    fn freeze(&mut self) {
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
    fn leave(&mut self, overlay: MemoryEngine) {
        self.remains.push(overlay.reclaim().clone());
        drop(overlay);
    }

    fn leave_work(&mut self) -> Option<Work> {
        let at = self.remains.iter().position(Reclaim::is_alone)?;
        let remains = self.remains.swap_remove(at);
        Some(Work::new(WorkKind::Flush, move || remains.finish()))
    }

    fn flushed(&mut self) {
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

    /// Leaves the old base to its views.
    fn replace_base(&mut self, base: Base) {
        self.base.home().retire();
        self.base = Arc::new(base);
        // What is under way for the old one is of no interest any more.
        (self.busy, self.outcomes) = (Busy::default(), mpsc::channel());
        (self.wanted, self.room) = (Wanted::default(), Room::default());
        self.resident.base_is_empty.set(true);
        self.figures = self.base.figures();
        self.note.clear();
    }

    fn check_failed(&mut self) -> Result<(), EngineError> {
        self.failed.take().map_or(Ok(()), Err)
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
}

impl Reader for DiskEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        match self.resident.get(key) {
            Err(EngineError::Cold) => {
                self.waited_reads.set(self.waited_reads.get() + 1);
                Ok(self.base.get(key)?.map(Found::Given))
            }
            known => known,
        }
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        let layers: Vec<_> = self.resident.layers().map(|layer| layer as &dyn Reader).collect();
        let pin = self.base.pin();
        let mut below = Below::new(&pin, self.resident.held.range(from, to), from, to);
        let visited = merge::visit(&layers, Some(&mut below), from, to, visitor);
        self.waited_reads.set(self.waited_reads.get() + u64::from(below.has_read()));
        visited
    }
}

impl Engine for DiskEngine {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.check_failed()?;
        self.in_batch = true;
        self.resident.cache.put(key, value.len(), || value.clone());
        self.resident.recent.put(key, value)
    }

    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.check_failed()?;
        self.in_batch = true;
        self.resident.cache.put(key, value.len(), || Bytes::copy_from_slice(value));
        self.resident.recent.put_copy(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.in_batch = true;
        self.resident.cache.forget(key);
        if self.resident.base_is_empty.get() && self.resident.flushing.is_none() {
            return self.resident.recent.delete(key);
        }
        self.resident.recent.put_as_given(key, Bytes::from_static(&GONE));
        Ok(())
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        assert!(
            applied > self.applied,
            "entry {applied} after {}: applied twice, or backwards",
            self.applied
        );
        self.check_failed()?;
        self.resident.recent.write(applied)?;
        self.applied = applied;
        self.in_batch = false;
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn durable_applied(&self) -> u64 {
        self.durable
    }

    fn view(&self) -> Box<dyn View> {
        assert!(!self.in_batch, "a view in the middle of a batch would show half of it");
        let layers = self.resident.layers().map(MemoryEngine::view).collect();
        let counted = Arc::clone(&self.views);
        Box::new(DiskView::new(layers, self.base.pin(), self.applied, self.epoch, counted))
    }

    fn reset(&mut self) {
        if !self.base.is_empty() || self.busy.flush || self.busy.compact {
            match self.base.successor() {
                Ok(base) => self.replace_base(base),
                // Told by the next put or write: nothing is lost, since nothing is to be kept.
                Err(error) => self.failed = Some(error),
            }
        }
        let before = std::mem::take(&mut self.resident.recent);
        for overlay in self.resident.flushing.take().into_iter().chain([before]) {
            self.leave(overlay);
        }
        self.resident.held.clear();
        self.resident.cache.clear();
        (self.applied, self.durable) = (0, 0);
        self.in_batch = false;
        self.epoch += 1;
    }

    fn maintain(&mut self, budget: usize) -> bool {
        let more = self.resident.recent.maintain(budget);
        // Nearly always that is somebody's work already (`leave_work`).
        let Some(at) = self.remains.iter().position(Reclaim::is_alone) else { return more };
        if self.remains.get(at).is_some_and(|remains| !remains.work(budget)) {
            self.remains.swap_remove(at);
        }
        more || self.remains.iter().any(Reclaim::is_alone)
    }

    fn stats(&self) -> EngineStats {
        let Figures { bytes: disk_bytes, records: disk_records, runs } = self.figures;
        let recent: Vec<_> = self.resident.layers().map(MemoryEngine::stats).collect();
        let layers: u64 = recent.iter().map(|layer| layer.memory_bytes).sum();
        let remains: u64 = self.remains.iter().map(Reclaim::memory_bytes).sum();
        EngineStats {
            records: disk_records + recent.iter().map(|layer| layer.records).sum::<u64>(),
            estimated: true,
            payload_bytes: disk_bytes + recent.iter().map(|layer| layer.payload_bytes).sum::<u64>(),
            memory_bytes: layers + remains + self.resident.cache.bytes() + self.base.cached_bytes(),
            views: Arc::strong_count(&self.views) as u64 - 1,
            reclaimable: self.resident.recent.stats().reclaimable
                + self.remains.iter().map(Reclaim::waiting).sum::<u64>(),
            disk_bytes,
            disk_full: self.room.full,
            flushes: self.flushes,
            runs,
            waited_reads: self.waited_reads.get(),
        }
    }

    fn resident(&self) -> &dyn Reader {
        &self.resident
    }

    fn may_block(&self) -> bool {
        true
    }

    fn fetch(&self, keys: &[Vec<u8>]) -> Option<Fetch> {
        let mut missing = Vec::new();
        for keys in keys.chunks(EXPECTED) {
            self.resident.expect(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>());
            missing.extend(keys.iter().filter(|key| !self.resident.knows(key)).cloned());
        }
        let bytes_max = self.options.held_bytes_max();
        if missing.is_empty() || self.resident.held.bytes() >= bytes_max {
            return None;
        }
        // Neighbours share blocks.
        missing.sort_unstable();
        missing.dedup();
        let (base, epoch) = (Arc::clone(&self.base), self.epoch);
        Some(Fetch::new(move || {
            let mut fetched = Fetched { epoch, ..Fetched::default() };
            let mut bytes = 0;
            for key in missing {
                if bytes >= bytes_max {
                    break;
                }
                match base.get(&key) {
                    Ok(value) => {
                        bytes += value.as_ref().map_or(0, |value| value.len() as u64);
                        fetched.records.push((key.into(), value));
                    }
                    Err(error) => {
                        fetched.failed = Some(error);
                        break;
                    }
                }
            }
            fetched
        }))
    }

    fn admit(&mut self, fetched: Fetched) {
        // Invariant of the cache: what was written since the read is in the overlay, unless a flush has
        // ended meanwhile.
        if fetched.epoch != self.epoch {
            return;
        }
        let mut records = fetched.records;
        for records in records.chunks_mut(EXPECTED) {
            self.resident.expect(&records.iter().map(|(key, _)| &**key).collect::<Vec<_>>());
            for (key, value) in records {
                if !self.resident.cache.knows(key) && !self.resident.overrides(key) {
                    // A copy of our own: what another thread has allocated would keep its whole arena alive.
                    self.resident.cache.admit(Box::from(&**key), value.take());
                }
            }
        }
    }

    fn hold(&mut self, fetched: Fetched) -> bool {
        let valid = fetched.epoch == self.epoch;
        if valid {
            self.resident.held.take(fetched);
        }
        valid
    }

    fn release(&mut self) {
        self.resident.held.clear();
    }

    fn take_work(&mut self) -> Option<Work> {
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
            let grown = self.recent_bytes() >= self.options.flush_bytes;
            if self.resident.flushing.is_none()
                && (grown || self.wanted.flush)
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

    fn settle(&mut self) -> Result<(), EngineError> {
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

    fn has_room(&self) -> bool {
        self.waiting_bytes() <= WAITING_MAX * self.options.flush_bytes
    }

    fn checkpoint(&mut self) {
        self.wanted.flush = true;
        if self.wanted.reopening == Reopening::Later {
            self.wanted.reopening = Reopening::Now;
        }
        // A compaction that found no room has let go of its wish, and without it no flush begins beside so many runs.
        self.wanted.compaction |= self.room.full;
        self.room.waits = false;
    }

    fn seal(&mut self, note: &[u8]) -> Result<(), EngineError> {
        assert!(!self.in_batch && !self.busy.flush, "a state is sealed at rest");
        while self.applied > self.durable {
            if self.resident.flushing.is_none() {
                self.freeze();
            }
            let frozen = self.resident.flushing.as_ref().map(MemoryEngine::view);
            let meta = Meta { applied: self.flushing_applied };
            frozen.map_or(Ok(()), |view| self.base.flush(&*view, meta))?;
            self.flushed();
        }
        self.base.home().seal(note)?;
        self.figures = self.base.figures();
        self.note = note.to_vec();
        Ok(())
    }

    fn note(&self) -> &[u8] {
        &self.note
    }

    fn retire(&mut self) {
        self.base.home().retire();
    }
}
