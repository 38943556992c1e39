//! The keyspace: applies the commands of entries, and answers reads.
//!
//! An entry's life: [`Keyspace::begin`], then any of `apply`, `transact`, `once_before`, `once_after`,
//! `housekeep` and `system_put`, then [`Keyspace::finish`], which makes all of it one atomic batch.
//! Reads come between entries.

use std::cell::Cell;

use bytes::Bytes;
use quorate_api::limits::{DATABASES, IDEMPOTENCY_KEY_BYTES_MAX, KEY_BYTES_MAX};
use quorate_api::{Args, Reply, Spec};
use quorate_engine::{Engine, EngineError, Fetch, Found, Need, View};

use crate::applying::Applying;
use crate::commands;
use crate::copies::Copies;
use crate::frozen::{Frozen, Rehearsal, StateRead, Thawed};
use crate::hint;
use crate::housekeep::{self, Housekept};
use crate::once;
use crate::reading::{Met, Reading};
use crate::revision::{Moment, revision};
use crate::space;
use crate::stop::settle;
use crate::store::Store;
use crate::system;
use crate::want::{self, Want};
use crate::watch::{self, WatchRef};

/// The answer to a read.
#[derive(Clone, Debug, PartialEq)]
pub enum Read {
    /// The reply.
    Reply(Reply),
    /// A key was met whose expiry lies between the applied stamp and the time of the read. An entry
    /// with a stamp not below this must be applied first; then ask again.
    NeedsStamp(u64),
}

/// Figures since the process started; no part of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Keys that reads found.
    pub hits: u64,
    /// Keys that reads did not find.
    pub misses: u64,
    /// Keys removed because their time had come.
    pub expired: u64,
}

/// What a logical database holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseFigures {
    /// Its number.
    pub db: u8,
    /// Keys, expired ones included until they are removed (as Redis counts).
    pub keys: u64,
    /// Keys with an expiry.
    pub expiring: u64,
}

/// How many keys [`Keyspace::expect`] looks at.
pub const EXPECTED_MAX: usize = 16;

/// The entry under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    moment: Moment,
    /// Commands so far.
    position: u64,
}

impl Open {
    fn revision(&self) -> u64 {
        revision(self.moment.index, self.position)
    }
}

/// All keys of one group's replica.
#[derive(Debug)]
pub struct Keyspace {
    store: Store,
    open: Option<Open>,
    copies: Copies,
    hits: Cell<u64>,
    misses: Cell<u64>,
    /// Makes each RANDOMKEY of the same millisecond another one.
    draws: Cell<u64>,
}

impl Keyspace {
    /// Loads the system records of `engine`; an empty engine becomes an empty keyspace.
    ///
    /// # Errors
    /// The engine failed, or its records are not those of a keyspace at its applied index.
    pub fn open(engine: Box<dyn Engine>) -> Result<Self, EngineError> {
        let store = Store::open(engine)?;
        let zero = || Cell::new(0);
        Ok(Self {
            store,
            open: None,
            copies: Copies::default(),
            hits: zero(),
            misses: zero(),
            draws: zero(),
        })
    }

    /// Starts the entry of `moment`. Its stamp counts only as far as it is above the last one.
    ///
    /// # Panics
    /// When it is not the entry after the last one applied, or when that one is unfinished: going on
    /// would make this replica differ from the others.
    pub fn begin(&mut self, moment: Moment) {
        assert!(self.open.is_none(), "the entry before was not finished");
        let next = self.applied() + 1;
        assert_eq!(moment.index, next, "entries are applied in order and once");
        let stamp_ms = moment.stamp_ms.max(self.stamp_ms());
        self.open = Some(Open { moment: Moment { stamp_ms, ..moment }, position: 0 });
    }

    /// As [`Keyspace::begin`], for an entry far behind the last one: in a cluster that is made of another
    /// one's remains, no revision may be given which that one may have given.
    ///
    /// # Panics
    /// When it is not behind the last one, or that one is unfinished.
    pub fn begin_beyond(&mut self, moment: Moment) {
        assert!(self.open.is_none(), "the entry before was not finished");
        assert!(moment.index > self.applied(), "indexes never go back");
        let stamp_ms = moment.stamp_ms.max(self.stamp_ms());
        self.open = Some(Open { moment: Moment { stamp_ms, ..moment }, position: 0 });
    }

    /// The entry under way.
    ///
    /// # Panics
    /// Without one.
    fn entry(&self) -> Open {
        self.open.expect("state changes only between begin and finish")
    }

    /// Applies a command, write or read, at the entry's next position.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// Outside of an entry, or beyond [`quorate_api::limits::ENTRY_COMMANDS_MAX`] commands.
    pub fn apply(
        &mut self,
        db: u8,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<Reply, EngineError> {
        let open = self.entry();
        let now_ms = open.moment.stamp_ms;
        let revision = open.revision();
        self.open = Some(Open { position: open.position + 1, ..open });
        if let Some(refusal) = refusal(db, spec, args) {
            return Ok(refusal);
        }
        if spec.is_write() {
            let store = &mut self.store;
            let mut applying = Applying { store, db, revision, now_ms, name: spec.name };
            return settle(commands::write(&mut applying, spec.id, args));
        }
        let reading = Reading {
            reader: self.store.engine(),
            copies: &self.copies,
            databases: self.store.databases.get(),
            db,
            stamp_ms: now_ms,
            now_ms,
            seen: revision,
            chance: [open.moment.seed, revision],
            name: spec.name,
            met: Met::default(),
        };
        let reply = settle(commands::read(&reading, spec.id, args));
        self.count(&reading.met);
        reply
    }

    /// True when none of the watched keys has changed since it was seen.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// Outside of an entry.
    #[expect(single_use_lifetimes, reason = "a lifetime can't be left out within `impl Trait`")]
    pub fn watches_hold<'a>(
        &self,
        watches: impl IntoIterator<Item = WatchRef<'a>>,
    ) -> Result<bool, EngineError> {
        let now_ms = self.entry().moment.stamp_ms;
        for watch in watches {
            if watch.db >= DATABASES || !watch::holds(&self.store, now_ms, watch)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Applies a MULTI/EXEC block: an array of replies, or `NilArray` when a watched key has changed.
    /// (A caller that decodes its calls into one scratch buffer uses [`Keyspace::watches_hold`] and
    /// [`Keyspace::apply`] instead.)
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// As [`Keyspace::apply`].
    pub fn transact<'a>(
        &mut self,
        watches: impl IntoIterator<Item = WatchRef<'a>>,
        calls: impl IntoIterator<Item = (u8, &'static Spec, Args<'a>)>,
    ) -> Result<Reply, EngineError> {
        if !self.watches_hold(watches)? {
            return Ok(Reply::NilArray);
        }
        let replies = calls.into_iter().map(|(db, spec, args)| self.apply(db, spec, args));
        replies.collect::<Result<_, _>>().map(Reply::Array)
    }

    /// The stored answer when this request was answered before; a Conflict error when its name was
    /// used for a request with another fingerprint, or an error when it is too long; `None` when it is
    /// new and is to be applied.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    pub fn once_before(
        &self,
        client: &[u8],
        sequence: u64,
        fingerprint: u64,
    ) -> Result<Option<Reply>, EngineError> {
        if client.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            return Ok(Some(Reply::err("idempotency key exceeds maximum allowed size")));
        }
        once::before(&self.store, &system::once_key(client, sequence), fingerprint)
    }

    /// Remembers the reply of a request for which [`Keyspace::once_before`] gave `None`.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// Outside of an entry, and when the request is remembered already.
    pub fn once_after(
        &mut self,
        client: &[u8],
        sequence: u64,
        fingerprint: u64,
        reply: &Reply,
    ) -> Result<(), EngineError> {
        let stamp_ms = self.entry().moment.stamp_ms;
        let key = system::once_key(client, sequence);
        once::after(&mut self.store, &key, fingerprint, stamp_ms, reply)
    }

    /// Removes up to `expire_max` keys whose time has come at the entry's stamp, up to `clear_max`
    /// records of flushed databases and deleted collections, and what the idempotency table and the
    /// tombstones need no more.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// Outside of an entry.
    pub fn housekeep(
        &mut self,
        expire_max: usize,
        clear_max: usize,
    ) -> Result<Housekept, EngineError> {
        let Moment { index, stamp_ms: now_ms, .. } = self.entry().moment;
        // Of the entry, not of a command: a full entry has no position left for it.
        let revision = revision(index, 0);
        housekeep::run(&mut self.store, now_ms, revision, expire_max, clear_max)
    }

    /// Puts a record of the node's own (members, used ids) into the entry's batch. FLUSHALL does not
    /// touch it; snapshots carry it and the digest covers it.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// Outside of an entry.
    pub fn system_put(&mut self, name: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.entry();
        self.store.put(system::node_key(name).as_slice(), value)
    }

    /// A record of the node's own.
    ///
    /// # Errors
    /// The engine failed.
    pub fn system_get(&self, name: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let found = self.store.engine().get(system::node_key(name).as_slice())?;
        Ok(found.map(Found::into_bytes))
    }

    /// Ends the entry: everything since [`Keyspace::begin`] becomes one atomic batch.
    ///
    /// # Errors
    /// The engine failed: the replica must stop.
    ///
    /// # Panics
    /// Outside of an entry.
    pub fn finish(&mut self) -> Result<(), EngineError> {
        let Moment { index, stamp_ms, .. } = self.entry().moment;
        self.open = None;
        self.store.finish(index, stamp_ms)
    }

    /// Answers a read command from the state after the last entry. `now_ms` is the time of the read;
    /// a time before the applied stamp counts as that stamp.
    ///
    /// # Errors
    /// The engine failed, or is [`EngineError::Cold`]: then a [`Keyspace::freeze`] can answer, on a thread
    /// that may wait.
    ///
    /// # Panics
    /// Within an entry: what is half applied must not be seen.
    pub fn read(
        &self,
        now_ms: u64,
        db: u8,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<Read, EngineError> {
        assert!(self.open.is_none(), "reads come between entries");
        let draw = self.draws.get().wrapping_add(1);
        self.draws.set(draw);
        let state = StateRead {
            reader: self.store.engine().resident(),
            copies: &self.copies,
            databases: self.store.databases.get(),
            stamp_ms: self.stamp_ms(),
            applied: self.applied(),
            draw,
        };
        state.read(now_ms, db, spec, args, |met| self.count(met))
    }

    /// What must be read from the device before these are known: see [`quorate_engine::Engine::fetch`].
    pub fn fetch(&mut self, needs: &[Need]) -> Option<Fetch> {
        self.store.engine_mut().fetch(needs)
    }

    /// Adds the records behind `want`, as the databases lie now ([`Keyspace::placement`]).
    pub fn add_needs_of(&self, want: &Want<'_>, needs: &mut Vec<Need>) {
        want::needs_of(want, self.store.databases.get(), needs);
    }

    /// Where the databases lie: until it changes (SWAPDB, FLUSHDB), a key is the same record's.
    #[must_use]
    pub fn placement(&self) -> [u32; DATABASES as usize] {
        let databases = self.store.databases.get();
        let mut db = 0;
        [(); DATABASES as usize].map(|()| {
            db += 1;
            databases.row(db - 1).physical
        })
    }

    /// A frozen state for answering reads on another thread.
    ///
    /// # Panics
    /// Within an entry.
    pub fn freeze(&self) -> Frozen {
        let draw = self.draws.get().wrapping_add(1);
        self.draws.set(draw);
        let databases = self.store.databases.get().clone();
        Frozen::new(self.view(), databases, self.stamp_ms(), draw)
    }

    /// The same state for reading, while this one is on another thread to apply a long entry; `None` where the
    /// engine has no [`Engine::twin`].
    ///
    /// # Errors
    /// The engine failed.
    ///
    /// # Panics
    /// Within an entry.
    pub fn twin(&self) -> Result<Option<Self>, EngineError> {
        assert!(self.open.is_none(), "a twin never shows half an entry");
        let Some(engine) = self.store.engine().twin() else { return Ok(None) };
        let mut twin = Self::open(engine)?;
        twin.take_counts(self);
        Ok(Some(twin))
    }

    /// Counts on from where `other` has come to, which took this one's place.
    pub fn take_counts(&mut self, other: &Self) {
        self.hits.set(other.hits.get());
        self.misses.set(other.misses.get());
        self.draws.set(other.draws.get());
        self.store.expired = self.store.expired.max(other.store.expired);
    }

    /// A state in which housekeeping can be tried out on another thread.
    ///
    /// # Panics
    /// Within an entry.
    pub fn rehearsal(&self) -> Rehearsal {
        Rehearsal::new(self.view())
    }

    /// Takes in what a frozen state was asked, and had to read.
    pub fn thaw(&mut self, thawed: Thawed) {
        self.hits.set(self.hits.get() + thawed.hits);
        self.misses.set(self.misses.get() + thawed.misses);
        self.store.engine_mut().admit(thawed.fetched);
    }

    /// As [`Keyspace::thaw`], for the next entry: until [`Keyspace::release`] it is known, whatever the engine's
    /// caches let go of. False when it may be out of date by now.
    ///
    /// # Errors
    /// It could not be read.
    pub fn hold(&mut self, mut thawed: Thawed) -> Result<bool, EngineError> {
        match thawed.fetched.take_failed() {
            Some(error) => Err(error),
            None => Ok(self.store.engine_mut().hold(thawed.fetched)),
        }
    }

    /// The entry is applied for which [`Keyspace::hold`] was meant.
    pub fn release(&mut self) {
        self.store.engine_mut().release();
    }

    /// A hint that these keys (database, key) will be read or written next: see
    /// [`quorate_engine::Reader::expect`].
    #[expect(single_use_lifetimes, reason = "a lifetime can't be left out within `impl Trait`")]
    pub fn expect<'k>(&self, keys: impl Iterator<Item = (u8, &'k [u8])>) {
        let databases = self.store.databases.get();
        let records = keys
            .filter(|(db, _)| *db < DATABASES)
            .map(|(db, key)| space::meta(databases.row(db).physical, key));
        hint::give(self.store.engine(), records);
    }

    /// The store, for tests that make records no command makes yet.
    #[cfg(test)]
    pub(crate) fn store_for_test(&mut self) -> &mut Store {
        &mut self.store
    }

    fn count(&self, met: &Met) {
        self.hits.set(self.hits.get() + met.hits.get());
        self.misses.set(self.misses.get() + met.misses.get());
    }

    /// The index of the last finished entry.
    pub fn applied(&self) -> u64 {
        self.store.state().applied
    }

    /// The stamp of the last finished entry, Unix milliseconds.
    pub fn stamp_ms(&self) -> u64 {
        self.store.state().stamp_ms
    }

    /// The digest after the last finished entry.
    pub fn digest(&self) -> u64 {
        self.store.state().digest
    }

    /// The logical databases that have keys.
    pub fn databases(&self) -> Vec<DatabaseFigures> {
        let rows = self.store.databases.get().rows();
        rows.filter(|(_, row)| row.keys > 0)
            .map(|(db, row)| DatabaseFigures { db, keys: row.keys, expiring: row.expiring })
            .collect()
    }

    /// The earliest time at which [`Keyspace::housekeep`] can remove an expired key.
    ///
    /// # Errors
    /// The engine failed.
    pub fn next_expiry_ms(&self) -> Result<Option<u64>, EngineError> {
        housekeep::next_expiry_ms(&self.store)
    }

    /// True while records of flushed databases or deleted collections wait for clearing.
    pub fn has_garbage(&self) -> bool {
        self.store.garbage
    }

    /// True when an entry stamped `now_ms` that housekeeps would find anything to do.
    ///
    /// # Errors
    /// The engine failed.
    pub fn housekeeping_due(&self, now_ms: u64) -> Result<bool, EngineError> {
        housekeep::due(&self.store, now_ms)
    }

    /// Figures since the process started.
    pub fn counters(&self) -> Counters {
        let (hits, misses) = (self.hits.get(), self.misses.get());
        Counters { hits, misses, expired: self.store.expired }
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        self.store.engine()
    }

    /// The engine, for [`Engine::maintain`]; records must not be changed past the keyspace.
    pub fn engine_mut(&mut self) -> &mut dyn Engine {
        self.store.engine_mut()
    }

    /// A frozen view, for a snapshot.
    ///
    /// # Panics
    /// Within an entry.
    pub fn view(&self) -> Box<dyn View> {
        assert!(self.open.is_none(), "a view never shows half an entry");
        self.store.engine().view()
    }
}

/// Why a command is not even looked at: it must be the same for all commands and on all replicas.
pub(crate) fn refusal(db: u8, spec: &Spec, args: Args<'_>) -> Option<Reply> {
    if db >= DATABASES {
        return Some(Reply::err("DB index is out of range"));
    }
    if !spec.arity_fits(args.len()) {
        return Some(commands::wrong_arity(spec.name));
    }
    let too_long = |at: usize| args.at(at).len() > KEY_BYTES_MAX;
    if spec.key_positions(args.len()).any(too_long) {
        let text = format!("key exceeds maximum allowed size ({KEY_BYTES_MAX} bytes)");
        return Some(Reply::err(text));
    }
    None
}

#[cfg(test)]
mod tests;
