//! Reads and rehearsals on a frozen state, on a thread that may wait for a device.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use quorate_api::{Args, Spec};
use quorate_engine::{EngineError, Fetched, Reader, Scratch, View};

use crate::commands;
use crate::copies::Copies;
use crate::database::Databases;
use crate::keyspace::{Keyspace, Read, refusal};
use crate::reading::{Met, Reading};
use crate::revision::{Moment, revision_after};
use crate::stop::settle;

/// A state that is read between entries.
pub(crate) struct StateRead<'a> {
    pub(crate) reader: &'a dyn Reader,
    pub(crate) copies: &'a Copies,
    pub(crate) databases: &'a Databases,
    pub(crate) stamp_ms: u64,
    pub(crate) applied: u64,
    /// Makes each RANDOMKEY of the same millisecond another one.
    pub(crate) draw: u64,
}

impl StateRead<'_> {
    /// Answers a read command; `count` hears what an answer that counts has met.
    pub(crate) fn read(
        &self,
        now_ms: u64,
        db: u8,
        spec: &'static Spec,
        args: Args<'_>,
        count: impl FnOnce(&Met),
    ) -> Result<Read, EngineError> {
        if let Some(refusal) = refusal(db, spec, args) {
            return Ok(Read::Reply(refusal));
        }
        let reading = Reading {
            reader: self.reader,
            copies: self.copies,
            databases: self.databases,
            db,
            stamp_ms: self.stamp_ms,
            now_ms: now_ms.max(self.stamp_ms),
            seen: revision_after(self.applied),
            chance: [now_ms, self.applied << 32 ^ self.draw],
            name: spec.name,
            met: Met::default(),
        };
        let reply = settle(commands::read(&reading, spec.id, args))?;
        match reading.met.crossed_ms.get() {
            0 => {
                count(&reading.met);
                Ok(Read::Reply(reply))
            }
            crossed_ms => Ok(Read::NeedsStamp(crossed_ms)),
        }
    }
}

/// The state after one entry, for reads elsewhere.
pub struct Frozen {
    view: Box<dyn View>,
    databases: Databases,
    stamp_ms: u64,
    draws: Cell<u64>,
    copies: Copies,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frozen(at {})", self.view.applied())
    }
}

/// What a frozen state was asked, and had to read: for [`Keyspace::thaw`].
#[derive(Debug, Default)]
pub struct Thawed {
    pub(crate) fetched: Fetched,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
}

impl From<Fetched> for Thawed {
    fn from(fetched: Fetched) -> Self {
        Self { fetched, ..Self::default() }
    }
}

impl Frozen {
    pub(crate) fn new(view: Box<dyn View>, databases: Databases, stamp_ms: u64, draw: u64) -> Self {
        let zero = || Cell::new(0);
        let (copies, draws) = (Copies::default(), Cell::new(draw << 16));
        Self { view, databases, stamp_ms, draws, copies, hits: zero(), misses: zero() }
    }

    /// Answers a read command, as [`Keyspace::read`].
    ///
    /// # Errors
    /// The engine failed.
    pub fn read(
        &self,
        now_ms: u64,
        db: u8,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Result<Read, EngineError> {
        let draw = self.draws.get().wrapping_add(1);
        self.draws.set(draw);
        let state = StateRead {
            reader: &*self.view,
            copies: &self.copies,
            databases: &self.databases,
            stamp_ms: self.stamp_ms,
            applied: self.view.applied(),
            draw,
        };
        state.read(now_ms, db, spec, args, |met| {
            self.hits.set(self.hits.get() + met.hits.get());
            self.misses.set(self.misses.get() + met.misses.get());
        })
    }

    /// Ends it: what the keyspace should know.
    #[must_use]
    pub fn end(mut self) -> Thawed {
        let fetched = self.view.take_fetched();
        Thawed { fetched, hits: self.hits.get(), misses: self.misses.get() }
    }
}

/// A state in which housekeeping can be tried out elsewhere: it looks through indexes, which can't be
/// fetched by key.
pub struct Rehearsal(Box<dyn View>);

impl std::fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rehearsal(at {})", self.0.applied())
    }
}

impl Rehearsal {
    /// On the state of `view`.
    pub(crate) fn new(view: Box<dyn View>) -> Self {
        Self(view)
    }

    fn on<T>(
        self,
        work: impl FnOnce(&mut Keyspace) -> Result<T, EngineError>,
    ) -> (Result<T, EngineError>, Thawed) {
        let fetched = Arc::<Mutex<Fetched>>::default();
        let keyspace = Keyspace::open(Box::new(Scratch::new(self.0, &fetched)));
        let result = keyspace.and_then(|mut keyspace| work(&mut keyspace));
        let fetched = std::mem::take(&mut *fetched.lock().unwrap_or_else(PoisonError::into_inner));
        (result, fetched.into())
    }

    /// Whether housekeeping is due at `now_ms`, see [`Keyspace::housekeeping_due`].
    ///
    /// # Errors
    /// The engine failed.
    pub fn due(self, now_ms: u64) -> Result<bool, EngineError> {
        self.on(|keyspace| keyspace.housekeeping_due(now_ms)).0
    }

    /// Housekeeps as an entry would, for the sake of what that reads. That something could not be read says
    /// [`Keyspace::hold`].
    #[must_use]
    pub fn housekeep(self, stamp_ms: u64, expire_max: usize, clear_max: usize) -> Thawed {
        let (result, thawed) = self.on(|keyspace| {
            let index = keyspace.applied() + 1;
            keyspace.begin(Moment { index, stamp_ms, seed: 0 });
            keyspace.housekeep(expire_max, clear_max).map(drop)
        });
        result.map_or_else(|error| Fetched::failed(error).into(), |()| thawed)
    }
}
