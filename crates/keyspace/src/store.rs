//! Keys over an engine: every change of a record keeps the indexes, counts, tombstones and the digest
//! right. Commands never write to the engine past this.

use bytes::Bytes;
use quorate_engine::{Engine, EngineError, Replaced};

use crate::copies::COPY_BYTES_MAX;
use crate::database::Databases;
use crate::digest::Digest;
use crate::hint;
use crate::housekeep::Housekeeping;
use crate::once::OnceTable;
use crate::record::{Brief, Head, Record};
use crate::space::{self, KeyBuf, damaged};
use crate::system::{self, State};
use crate::{slot, watch};

/// A key and where its record is.
#[derive(Debug)]
pub(crate) struct Place<'k> {
    /// The logical database.
    pub(crate) db: u8,
    /// The user's key.
    pub(crate) key: &'k [u8],
    physical: u32,
    meta: KeyBuf,
}

/// What happens to a removed collection's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elements {
    /// They are garbage.
    Drop,
    /// Another record has taken them over (RENAME, MOVE).
    Keep,
}

/// A system record that is kept decoded and written once per entry.
#[derive(Debug, Default)]
pub(crate) struct Cached<T> {
    value: T,
    dirty: bool,
}

impl<T> Cached<T> {
    fn new(value: T, dirty: bool) -> Self {
        Self { value, dirty }
    }

    /// Reads it.
    pub(crate) fn get(&self) -> &T {
        &self.value
    }

    /// Changes it; it will be written when the entry ends.
    pub(crate) fn change(&mut self) -> &mut T {
        self.dirty = true;
        &mut self.value
    }

    /// True once after a change.
    fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }
}

/// The engine and the system records that are cached over it.
pub(crate) struct Store {
    engine: Box<dyn Engine>,
    digest: Digest,
    state: State,
    /// The logical databases.
    pub(crate) databases: Cached<Databases>,
    /// What housekeeping remembers.
    pub(crate) housekeeping: Cached<Housekeeping>,
    /// The idempotency table's own figures.
    pub(crate) once: Cached<OnceTable>,
    /// Something waits for clearing.
    pub(crate) garbage: bool,
    /// Keys removed because their time had come, since the process started.
    pub(crate) expired: u64,
    /// Where small records are put together.
    scratch: Vec<u8>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("state", &self.state).finish_non_exhaustive()
    }
}

/// The cached record under `key`, or a fresh one that is to be written.
fn cached<T: Default>(
    engine: &dyn Engine,
    key: &KeyBuf,
    fresh: bool,
    decode: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Cached<T>, EngineError> {
    match engine.get(key.as_slice())? {
        Some(bytes) if !fresh => {
            let value = decode(&bytes).ok_or_else(|| damaged("system record"))?;
            Ok(Cached::new(value, false))
        }
        None if fresh => Ok(Cached::new(T::default(), true)),
        _ => Err(EngineError::Damage("system records are incomplete".to_owned())),
    }
}

impl Store {
    /// Loads the system records; an engine without any starts a fresh keyspace.
    pub(crate) fn open(engine: Box<dyn Engine>) -> Result<Self, EngineError> {
        let stored = engine.get(system::state_key().as_slice())?;
        let fresh = stored.is_none();
        let state = stored.map_or(Ok(State::default()), |bytes| State::decode(&bytes))?;
        if state.applied != engine.applied() {
            let (ours, theirs) = (state.applied, engine.applied());
            let text = format!("the state record is of entry {ours}, the engine's of {theirs}");
            return Err(EngineError::Damage(text));
        }
        let (databases, housekeeping, once) =
            (system::databases_key(), system::housekeeping_key(), system::once_table_key());
        let mut store = Self {
            digest: Digest::new(state.digest),
            state,
            databases: cached(&*engine, &databases, fresh, Databases::decode)?,
            housekeeping: cached(&*engine, &housekeeping, fresh, Housekeeping::decode)?,
            once: cached(&*engine, &once, fresh, OnceTable::decode)?,
            garbage: false,
            expired: 0,
            scratch: Vec::new(),
            engine,
        };
        store.look_for_garbage()?;
        Ok(store)
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// The engine, for what does not change the state.
    pub(crate) fn engine_mut(&mut self) -> &mut dyn Engine {
        &mut *self.engine
    }

    /// The state after the last entry.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Writes what is dirty and ends the entry's batch.
    pub(crate) fn finish(&mut self, applied: u64, stamp_ms: u64) -> Result<(), EngineError> {
        if self.databases.take_dirty() {
            let bytes = self.databases.get().encode();
            self.put(system::databases_key().as_slice(), bytes.into())?;
        }
        if self.housekeeping.take_dirty() {
            let bytes = self.housekeeping.get().encode();
            self.put(system::housekeeping_key().as_slice(), bytes.into())?;
        }
        if self.once.take_dirty() {
            let bytes = self.once.get().encode();
            self.put(system::once_table_key().as_slice(), bytes.into())?;
        }
        self.digest.entry(applied, stamp_ms);
        self.state = State { applied, stamp_ms, digest: self.digest.value() };
        // The one record that the digest leaves out, because it holds the digest.
        self.engine.put(system::state_key().as_slice(), self.state.encode().into())?;
        self.engine.write(applied)
    }

    /// Where the record of `key` is.
    pub(crate) fn place<'k>(&self, db: u8, key: &'k [u8]) -> Place<'k> {
        let physical = self.databases.get().row(db).physical;
        Place { db, key, physical, meta: space::meta(physical, key) }
    }

    /// The record at `place`, expired or not.
    pub(crate) fn record(&self, place: &Place<'_>) -> Result<Option<Record<'_>>, EngineError> {
        self.engine.get(place.meta.as_slice())?.map(Record::decode).transpose()
    }

    /// What a write has to know of the record at `place`, expired or not.
    pub(crate) fn brief(&self, place: &Place<'_>) -> Result<Option<Brief>, EngineError> {
        match self.engine.replaced(place.meta.as_slice())? {
            Replaced::Absent => Ok(None),
            Replaced::Plain => Ok(Some(Brief::PLAIN)),
            Replaced::Record(bytes) => Brief::decode(&bytes).map(Some),
        }
    }

    /// Puts `new` at `place`, where `old` is now.
    pub(crate) fn write(
        &mut self,
        place: &Place<'_>,
        old: Option<&Brief>,
        new: Record<'_>,
    ) -> Result<(), EngineError> {
        let brief = *new.brief();
        self.make_room(place, old, &brief)?;
        self.put(place.meta.as_slice(), new.into_bytes())?;
        self.mark(place, brief);
        Ok(())
    }

    /// Says of the record that was just put at `place` whether the next write of it need not see it.
    fn mark(&mut self, place: &Place<'_>, new: Brief) {
        if new == Brief::PLAIN {
            self.engine.mark_plain(place.meta.as_slice());
        }
    }

    /// Puts a string at `place`, where `old` is now. A small one is written over the old one where it fits.
    pub(crate) fn write_string(
        &mut self,
        place: &Place<'_>,
        old: Option<&Brief>,
        head: Head,
        value: &[u8],
    ) -> Result<(), EngineError> {
        if value.len() > COPY_BYTES_MAX {
            return self.write(place, old, Record::new(head, value));
        }
        let brief = Brief::of_string(head);
        self.make_room(place, old, &brief)?;
        let mut record = std::mem::take(&mut self.scratch);
        record.clear();
        head.put(&mut record);
        record.extend_from_slice(value);
        self.digest.put(place.meta.as_slice(), &record);
        let put = self.engine.put_copy(place.meta.as_slice(), &record);
        self.scratch = record;
        put?;
        self.mark(place, brief);
        Ok(())
    }

    /// Brings in line what goes with a record, before `new` comes to `place`, where `old` is now.
    fn make_room(
        &mut self,
        place: &Place<'_>,
        old: Option<&Brief>,
        new: &Brief,
    ) -> Result<(), EngineError> {
        if old.is_none() {
            let index = space::slot(place.physical, slot::position(place.key), place.key);
            self.put(index.as_slice(), Bytes::new())?;
            self.databases.change().row_mut(place.db).keys += 1;
        }
        self.move_expiry(place, old.and_then(Brief::expire_ms), new.expire_ms())?;
        let object = old.and_then(Brief::object);
        if let Some(object) = object.filter(|object| Some(*object) != new.object()) {
            self.abandon(object)?;
        }
        Ok(())
    }

    /// Removes `old` from `place` and remembers `tombstone` as a revision at which a key of its
    /// bucket has gone.
    pub(crate) fn remove(
        &mut self,
        place: &Place<'_>,
        old: &Brief,
        elements: Elements,
        tombstone: u64,
    ) -> Result<(), EngineError> {
        let index = space::slot(place.physical, slot::position(place.key), place.key);
        self.delete(index.as_slice())?;
        self.databases.change().row_mut(place.db).keys -= 1;
        self.move_expiry(place, old.expire_ms(), None)?;
        if let Some(object) = old.object().filter(|_| elements == Elements::Drop) {
            self.abandon(object)?;
        }
        watch::bury(self, place.db, place.key, tombstone)?;
        self.delete(place.meta.as_slice())
    }

    /// Removes a record of this `revision` whose time has come. That is its tombstone, and not today's: who
    /// saw the key already expired has seen that revision, and nothing has changed for him since.
    pub(crate) fn remove_expired(
        &mut self,
        place: &Place<'_>,
        old: &Brief,
        revision: u64,
    ) -> Result<(), EngineError> {
        self.expired += 1;
        self.remove(place, old, Elements::Drop, revision)
    }

    fn move_expiry(
        &mut self,
        place: &Place<'_>,
        before: Option<u64>,
        after: Option<u64>,
    ) -> Result<(), EngineError> {
        if before == after {
            return Ok(());
        }
        if let Some(expire_ms) = before {
            self.delete(space::expiry(expire_ms, place.physical, place.key).as_slice())?;
            self.databases.change().row_mut(place.db).expiring -= 1;
        }
        if let Some(expire_ms) = after {
            let index = space::expiry(expire_ms, place.physical, place.key);
            self.put(index.as_slice(), Bytes::new())?;
            self.databases.change().row_mut(place.db).expiring += 1;
        }
        Ok(())
    }

    /// Leaves a collection's elements to housekeeping.
    pub(crate) fn abandon(&mut self, object: u64) -> Result<(), EngineError> {
        self.garbage = true;
        self.put(system::orphan_key(object).as_slice(), Bytes::new())
    }

    /// Empties `db` in O(1); the records are left to housekeeping.
    pub(crate) fn flush(&mut self, db: u8, revision: u64) -> Result<(), EngineError> {
        if self.databases.get().row(db).keys == 0 {
            return Ok(());
        }
        let engine = &*self.engine;
        let taken = |physical| {
            Ok::<_, EngineError>(engine.get(system::garbage_key(physical).as_slice())?.is_some())
        };
        let old = self.databases.change().replace(db, revision, taken)?;
        self.garbage = true;
        self.put(system::garbage_key(old).as_slice(), Bytes::new())
    }

    /// A hint that these keys of `db` will be written or removed next, as many as are worth it. Order matters: the
    /// ways to the records are remembered, those to their indexes only warmed.
    #[expect(single_use_lifetimes, reason = "a lifetime can't be left out within `impl Trait`")]
    pub(crate) fn expect<'k>(&self, db: u8, keys: impl Iterator<Item = &'k [u8]> + Clone) {
        let physical = self.databases.get().row(db).physical;
        let indexes = keys.clone().map(|key| space::slot(physical, slot::position(key), key));
        hint::give(&*self.engine, indexes);
        hint::give(&*self.engine, keys.map(|key| space::meta(physical, key)));
    }

    /// Puts a record of any space.
    pub(crate) fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.digest.put(key, &value);
        self.engine.put(key, value)
    }

    /// Deletes a record of any space.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.digest.delete(key);
        self.engine.delete(key)
    }

    /// The first record of those that start with `prefix`.
    pub(crate) fn first_of(
        &self,
        prefix: &KeyBuf,
    ) -> Result<Option<(Vec<u8>, Bytes)>, EngineError> {
        self.engine.first(prefix.as_slice(), &prefix.end())
    }

    /// Finds out whether anything waits for clearing.
    pub(crate) fn look_for_garbage(&mut self) -> Result<(), EngineError> {
        self.garbage = self.first_of(&system::garbage_prefix())?.is_some()
            || self.first_of(&system::orphan_prefix())?.is_some();
        Ok(())
    }
}
