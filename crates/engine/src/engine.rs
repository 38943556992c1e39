//! The contract of an engine. The executable form of every "Must:" is in [`crate::suite`].

use std::ops::{ControlFlow, Deref};

use bytes::Bytes;

use crate::work::{Fetch, Fetched, Need, Work};

/// Why an engine cannot go on. None of these is a reply to a client: the replica stops.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A checksum or a structure is wrong: the replica must refetch its state from its peers.
    #[error("engine damaged: {0}")]
    Damage(String),
    /// The device failed.
    #[error("engine i/o: {0}")]
    Io(#[from] std::io::Error),
    /// Only the device can tell, and the caller must not wait for it: ask a [`View`], elsewhere. Comes
    /// from [`Engine::resident`] alone.
    #[error("not in memory")]
    Cold,
}

/// Receives records in order; `Break` ends the visit.
pub type Visitor<'a> = &'a mut dyn FnMut(&[u8], &Found<'_>) -> ControlFlow<()>;

/// A value that was found: lent by an engine that has it in memory, given by one that had to read it.
///
/// Whoever only looks at a lent value touches neither its reference count nor the allocator: on the way
/// of a GET these were two of five cache misses.
#[derive(Debug)]
pub enum Found<'a> {
    /// The engine's own, and small: whoever keeps it copies it.
    Small(&'a [u8]),
    /// The engine's own, to be shared.
    Lent(&'a Bytes),
    /// Read for the caller.
    Given(Bytes),
}

impl Found<'_> {
    /// The value to keep. Copies a small one.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Given(bytes) => bytes,
            lent => lent.to_bytes(),
        }
    }

    /// The same, lent once more.
    #[must_use]
    pub fn lend(&self) -> Found<'_> {
        match self {
            Self::Small(bytes) => Found::Small(bytes),
            Self::Lent(bytes) => Found::Lent(bytes),
            Self::Given(bytes) => Found::Lent(bytes),
        }
    }

    /// The value to keep, while this one goes on being used. Copies a small one.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Small(bytes) => Bytes::copy_from_slice(bytes),
            Self::Lent(bytes) => (*bytes).clone(),
            Self::Given(bytes) => bytes.clone(),
        }
    }
}

impl Deref for Found<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            Self::Lent(bytes) => bytes,
            Self::Given(bytes) => bytes,
        }
    }
}

/// What a write is told of the record that it replaces or removes.
#[derive(Debug)]
pub enum Replaced<'a> {
    /// There is none.
    Absent,
    /// There is one, and it was marked by [`Engine::mark_plain`] when it was put.
    Plain,
    /// This one.
    Record(Found<'a>),
}

impl<'a> From<Option<Found<'a>>> for Replaced<'a> {
    fn from(found: Option<Found<'a>>) -> Self {
        found.map_or(Self::Absent, Self::Record)
    }
}

/// Reads records.
pub trait Reader {
    /// The value of `key`.
    ///
    /// # Errors
    /// Damage or a failed device; never "not found".
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError>;

    /// A hint that these keys will be asked for or set next. An engine may fetch what it needs for all of them
    /// side by side; whether it does changes no answer. Pays for some 4 to 32 keys at a time.
    fn expect(&self, _keys: &[&[u8]]) {}

    /// Visits the records with `from <= key < to` in ascending byte order (`to` empty: to the end).
    ///
    /// # Errors
    /// Damage or a failed device.
    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError>;

    /// The first record at or after `from` and before `to` (`to` empty: to the end).
    ///
    /// # Errors
    /// As [`Reader::visit`].
    fn first(&self, from: &[u8], to: &[u8]) -> Result<Option<(Vec<u8>, Bytes)>, EngineError> {
        let mut found = None;
        self.visit(from, to, &mut |key, value| {
            found = Some((key.to_vec(), value.to_bytes()));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }
}

/// A frozen state at one applied index. May be sent to another thread and may live long.
///
/// Must: never show a write made after it was taken; cost O(1) to take; several may live at once;
/// dropping one must not pause the engine's thread for more than 1 ms.
pub trait View: Reader + Send {
    /// The index of the last entry whose batch is in the view.
    fn applied(&self) -> u64;

    /// From now on what is looked through is remembered, too, for [`Engine::hold`].
    fn remember_ranges(&mut self) {}
    /// What [`Reader::get`] had to read from the device so far, for [`Engine::admit`].
    fn take_fetched(&mut self) -> Fetched {
        Fetched::default()
    }
}

/// What an engine tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Records of all spaces.
    pub records: u64,
    /// True when `records` and `payload_bytes` are estimates: an engine on disk does not read what a put
    /// replaces.
    pub estimated: bool,
    /// Bytes of keys and values, without the engine's own overhead.
    pub payload_bytes: u64,
    /// An estimate of the resident bytes, overhead included; what `--max-memory` is compared with.
    pub memory_bytes: u64,
    /// Views that are alive.
    pub views: u64,
    /// Nodes or files that wait to be reclaimed in [`Engine::maintain`].
    pub reclaimable: u64,
    /// Bytes of the engine's files.
    pub disk_bytes: u64,
    /// There is no room on the disk: what is applied stays in memory (and in the log) until there is.
    pub disk_full: bool,
    /// Flushes that have become durable.
    pub flushes: u64,
    /// Sorted runs which a cold read may have to look into.
    pub runs: u64,
    /// Reads of the engine itself that went to the device: its owner's thread has waited for them.
    pub waited_reads: u64,
}

/// An ordered map of bytes with atomic batches.
///
/// Puts and deletes take effect for [`Reader`] calls on the engine itself at once (a command sees
/// what an earlier command of the same entry wrote); [`Engine::write`] ends the batch.
///
/// Must: after a crash, show a whole number of batches, and the applied index of the last of them;
/// never show a view a half batch (a view is taken only between batches; the engine asserts it).
pub trait Engine: Reader + Send {
    /// Sets `key` to `value` in the open batch.
    ///
    /// # Errors
    /// The device failed; the replica must stop.
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError>;
    /// As [`Engine::put`], of a value that the caller keeps: for small ones. An engine that holds values in
    /// memory may write it over the old one, which costs neither the allocator nor cold cache lines.
    ///
    /// # Errors
    /// As [`Engine::put`].
    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.put(key, Bytes::copy_from_slice(value))
    }
    /// Marks the record of `key`, which the last call has put, as plain: a write that replaces or removes it needs to
    /// know no more of it than that it is there. An engine that keeps records on a device remembers so much of far
    /// more keys than it has memory for records, and says it in [`Engine::replaced`].
    fn mark_plain(&mut self, _key: &[u8]) {}
    /// What a write that replaces or removes `key` has to know.
    ///
    /// Must: say that a record is plain only when it is there and its last put was followed by
    /// [`Engine::mark_plain`]. Any engine may give the record instead.
    ///
    /// # Errors
    /// As [`Reader::get`].
    fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        self.get(key).map(Replaced::from)
    }
    /// Removes `key` in the open batch; removing what is not there is no error.
    ///
    /// # Errors
    /// The device failed; the replica must stop.
    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError>;
    /// Ends the open batch as one atomic step that carries `applied`.
    ///
    /// Must: panic when `applied` is not above the last one (an entry applied twice is a defect).
    ///
    /// # Errors
    /// The device failed; the replica must stop.
    fn write(&mut self, applied: u64) -> Result<(), EngineError>;
    /// The index of the last batch written (0 in a fresh engine).
    fn applied(&self) -> u64;
    /// The applied index that would be found after a crash now: what the log may be cut to.
    /// A memory engine says 0; its durability comes from snapshots.
    fn durable_applied(&self) -> u64;
    /// Takes a frozen view, O(1).
    fn view(&self) -> Box<dyn View>;
    /// The same state for reading and for more views, while the engine itself is on another thread to take a
    /// long batch; O(1). `None` where reads may wait for a device, or nobody has provided for it.
    ///
    /// Must: never show anything of that batch.
    fn twin(&self) -> Option<Box<dyn Engine>> {
        None
    }
    /// Throws everything away and starts a batchless, empty state whose applied index is 0: the
    /// first step of installing a snapshot. O(1); the old state is reclaimed by [`Engine::maintain`].
    fn reset(&mut self);
    /// Does up to `budget` small steps of reclaiming; true when more is left.
    fn maintain(&mut self, budget: usize) -> bool;
    /// Figures for INFO and /metrics.
    fn stats(&self) -> EngineStats;

    /// The same state, for a thread that must not wait for a device: what is not in memory is
    /// [`EngineError::Cold`].
    fn resident(&self) -> &dyn Reader;
    /// True when a read or a write of the engine itself may wait for a device. Then whoever applies
    /// entries on a thread that must not wait fetches their keys first.
    fn may_block(&self) -> bool {
        false
    }
    /// What must be read from the device before all of `needs` are known; `None`: nothing, or more is held already than
    /// should be. What it finds out without the device, it may remember.
    fn fetch(&mut self, _needs: &[Need]) -> Option<Fetch> {
        None
    }
    /// Takes in what was read elsewhere, unless it may be out of date by now.
    fn admit(&mut self, _fetched: Fetched) {}
    /// Takes in what was read elsewhere for the next batch: until [`Engine::release`] it is known without the
    /// device, whatever the caches let go of. False, and nothing is kept, when it may be out of date.
    fn hold(&mut self, fetched: Fetched) -> bool {
        self.admit(fetched);
        true
    }
    /// The batch is written for which [`Engine::hold`] was meant.
    fn release(&mut self) {}
    /// Work that waits for a device, to be done on another thread; asked for until there is none. Works of
    /// one kind must be done one after the other, those of different kinds should be done side by side.
    fn take_work(&mut self) -> Option<Work> {
        None
    }
    /// Takes in what the work done elsewhere has come to. Call it when a work has ended.
    ///
    /// # Errors
    /// Damage, or a failed device: the replica must stop. (A full disk is not that: see
    /// [`EngineStats::disk_full`].)
    fn settle(&mut self) -> Result<(), EngineError> {
        Ok(())
    }
    /// False while the next batch should wait, until some work has ended: memory is full of what is not
    /// durable yet. A batch that is written nevertheless is taken.
    fn has_room(&self) -> bool {
        true
    }
    /// Has everything applied so far become durable soon, and tries again what failed on a full disk.
    fn checkpoint(&mut self) {}
    /// Makes the whole state durable and marks it as complete, with `note` beside it: from now on it is
    /// what a restart finds. Waits for the device.
    ///
    /// # Errors
    /// Whatever the device says; a full disk is one here.
    fn seal(&mut self, _note: &[u8]) -> Result<(), EngineError> {
        Ok(())
    }
    /// The note of [`Engine::seal`].
    fn note(&self) -> &[u8] {
        &[]
    }
    /// Another state has taken this one's place: its files go when the last view of it has gone.
    fn retire(&mut self) {}
}

impl<E: Reader + ?Sized> Reader for Box<E> {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        (**self).get(key)
    }

    fn expect(&self, keys: &[&[u8]]) {
        (**self).expect(keys);
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        (**self).visit(from, to, visitor)
    }
}

impl<E: Engine + ?Sized> Engine for Box<E> {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        (**self).put(key, value)
    }

    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        (**self).put_copy(key, value)
    }

    fn mark_plain(&mut self, key: &[u8]) {
        (**self).mark_plain(key);
    }

    fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        (**self).replaced(key)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        (**self).delete(key)
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        (**self).write(applied)
    }

    fn applied(&self) -> u64 {
        (**self).applied()
    }

    fn durable_applied(&self) -> u64 {
        (**self).durable_applied()
    }

    fn view(&self) -> Box<dyn View> {
        (**self).view()
    }

    fn twin(&self) -> Option<Box<dyn Engine>> {
        (**self).twin()
    }

    fn reset(&mut self) {
        (**self).reset();
    }

    fn maintain(&mut self, budget: usize) -> bool {
        (**self).maintain(budget)
    }

    fn stats(&self) -> EngineStats {
        (**self).stats()
    }

    fn resident(&self) -> &dyn Reader {
        (**self).resident()
    }

    fn may_block(&self) -> bool {
        (**self).may_block()
    }

    fn fetch(&mut self, needs: &[Need]) -> Option<Fetch> {
        (**self).fetch(needs)
    }

    fn admit(&mut self, fetched: Fetched) {
        (**self).admit(fetched);
    }

    fn hold(&mut self, fetched: Fetched) -> bool {
        (**self).hold(fetched)
    }

    fn release(&mut self) {
        (**self).release();
    }

    fn take_work(&mut self) -> Option<Work> {
        (**self).take_work()
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        (**self).settle()
    }

    fn has_room(&self) -> bool {
        (**self).has_room()
    }

    fn checkpoint(&mut self) {
        (**self).checkpoint();
    }

    fn seal(&mut self, note: &[u8]) -> Result<(), EngineError> {
        (**self).seal(note)
    }

    fn note(&self) -> &[u8] {
        (**self).note()
    }

    fn retire(&mut self) {
        (**self).retire();
    }
}
