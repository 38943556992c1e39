//! The disk engine: for data that outgrows memory, and for restarts that open at once.
//!
//! ```text
//!                    cache      records read or written lately, by key
//!                    marks      of far more keys, that there is none, or one with which nothing goes
//!   puts, deletes ─► recent     an ordered map of what is not durable yet (a memory engine)
//!                    flushing   the one before it, frozen, on its way to the disk
//!                    base       a tree of sorted tables: what is durable, with its applied index
//! ```
//!
//! A lookup asks these in turn (`marks` only for a write that replaces a record); all but the base are memory. So
//! writing never waits for the device, and whoever must not wait ([`Engine::resident`]) learns that only the base can
//! tell. Flushing, compaction and such reads are handed out as work for other threads ([`Engine::take_work`],
//! [`Engine::fetch`]).
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
mod filter;
mod held;
mod home;
mod marks;
mod merge;
mod pin;
mod resident;
mod separated;
mod tables;
#[cfg(test)]
mod tests;
mod upkeep;
mod view;
mod wire;

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use self::base::{Base, Figures};
use self::below::Below;
use self::cache::RecordCache;
pub use self::cellar::{DiskCellar, DiskOptions};
use self::held::Held;
use self::marks::Marks;
use self::resident::Resident;
use self::upkeep::{Busy, Report, Room, Wanted};
use self::view::DiskView;
use self::wire::Meta;
use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, Replaced, View, Visitor};
use crate::memory::{MemoryEngine, Reclaim};
use crate::work::{Fetch, Fetched, Need, Work};

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

/// What is recent is flushed when it weighs so many times the flush size, however small its records. The rest is for what
/// is written meanwhile.
const GROWN_MAX: u64 = 2;
const _: () = assert!(GROWN_MAX < WAITING_MAX);

/// What a record in the overlay costs besides its bytes.
const OVERHEAD_BYTES: u64 = 100;

/// What an overlay takes of the memory for what is not durable.
fn weight(overlay: &EngineStats) -> u64 {
    overlay.payload_bytes + overlay.records * OVERHEAD_BYTES
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
                marks: Marks::new(options.marks_bytes()),
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
        self.resident.layers().map(|layer| weight(&layer.stats())).sum()
    }

    /// True when what is recent should become durable: it makes a table of the wanted size, or takes most of the memory
    /// that there is for it, as many small records do long before. Without the second, room would end
    /// ([`Engine::has_room`]) with no flush under way that makes some.
    fn has_grown(&self) -> bool {
        let recent = self.resident.recent.stats();
        let flush_bytes = self.options.flush_bytes;
        recent.payload_bytes >= flush_bytes || weight(&recent) >= GROWN_MAX * flush_bytes
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

    /// The keys of `needs` that nothing in memory tells of.
    fn missing(&self, needs: &[Need]) -> Vec<Need> {
        let mut missing = Vec::new();
        let needs: Vec<_> =
            needs.iter().filter(|need| !self.resident.is_marked_enough(need)).collect();
        for needs in needs.chunks(EXPECTED) {
            self.resident.expect(&needs.iter().map(|need| &*need.key).collect::<Vec<_>>());
            let unknown = needs.iter().filter(|need| !self.resident.knows(&need.key));
            missing.extend(unknown.copied().cloned());
        }
        missing
    }

    /// Of those of `missing` that are only replaced, filters in memory tell most that are nowhere: these are marked from
    /// now on, and need not be read. True when a mark had to give way to one of them.
    fn mark_absent(&mut self, missing: &mut Vec<Need>) -> bool {
        // What an open batch has done is not known to the marks.
        if missing.is_empty() || self.in_batch {
            return false;
        }
        let tables = self.base.tables();
        let lacks =
            |key: &[u8]| tables.as_ref().is_none_or(|tables| tables.lacks(&wire::tree_key(key)));
        let (marks, mut driven_out) = (&mut self.resident.marks, false);
        missing.retain(|Need { key, only_replaced }| {
            let is_absent = *only_replaced && lacks(key);
            driven_out |= is_absent && marks.mark_absent(key);
            !is_absent
        });
        driven_out
    }

    fn check_failed(&mut self) -> Result<(), EngineError> {
        self.failed.take().map_or(Ok(()), Err)
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

    fn expect(&self, keys: &[&[u8]]) {
        self.resident.recent.expect(keys);
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
        self.resident.marks.change(key);
        self.resident.recent.put(key, value)
    }

    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.check_failed()?;
        self.in_batch = true;
        self.resident.cache.put(key, value.len(), || Bytes::copy_from_slice(value));
        self.resident.marks.change(key);
        self.resident.recent.put_copy(key, value)
    }

    fn mark_plain(&mut self, key: &[u8]) {
        self.resident.marks.mark(key);
    }

    fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        match self.resident.replaced(key) {
            Err(EngineError::Cold) => {
                self.waited_reads.set(self.waited_reads.get() + 1);
                Ok(self.base.get(key)?.map(Found::Given).into())
            }
            known => known,
        }
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.in_batch = true;
        self.resident.cache.forget(key);
        self.resident.marks.change(key);
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
        self.resident.marks.end_batch();
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
        self.resident.marks.clear();
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
            memory_bytes: layers
                + remains
                + self.resident.cache.bytes()
                + self.resident.marks.bytes()
                + self.base.cached_bytes(),
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

    fn fetch(&mut self, needs: &[Need]) -> Option<Fetch> {
        let mut missing = self.missing(needs);
        if self.mark_absent(&mut missing) {
            // Perhaps a mark that one of these needs.
            missing = self.missing(needs);
        }
        let mut missing: Vec<_> = missing.into_iter().map(|need| need.key).collect();
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
        self.next_work()
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        self.take_reports()
    }

    fn checkpoint(&mut self) {
        self.want_checkpoint();
    }

    fn has_room(&self) -> bool {
        self.waiting_bytes() <= WAITING_MAX * self.options.flush_bytes
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
