//! An engine that knows everything, and says so only of keys that were written or fetched since its last flush.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use quorate_engine::engine::Visitor;
use quorate_engine::{
    Engine, EngineError, EngineStats, Fetch, Fetched, Found, MemoryEngine, Need, Reader, Replaced,
    View, Work, WorkKind,
};

use super::state::State;

/// Entries after which the engine wants to flush.
const FLUSH_BATCHES: u64 = 40;
/// It takes no more when so many are not flushed.
const BEHIND_MAX: u64 = 4 * FLUSH_BATCHES;

/// What a flush has come to: up to where it went, and the files it has made.
type Flushed = Arc<Mutex<Option<(u64, Result<State, EngineError>)>>>;

#[expect(clippy::struct_excessive_bools, reason = "a stand-in, not a design")]
pub(super) struct WaitingEngine {
    resident: Resident,
    state: State,
    sealed: bool,
    durable: u64,
    epoch: u64,
    flushing: bool,
    wanted: bool,
    full: bool,
    /// Nothing is written until the next attempt is asked for.
    waits: bool,
    flushes: u64,
    flushed: Flushed,
}

struct Resident {
    content: MemoryEngine,
    known: BTreeSet<Vec<u8>>,
    /// Of these it says no more than that they are there.
    plain: BTreeSet<Vec<u8>>,
    all_known: bool,
}

impl Resident {
    fn knows(&self, key: &[u8]) -> bool {
        self.all_known || self.known.contains(key)
    }
}

impl Reader for Resident {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        if self.knows(key) { self.content.get(key) } else { Err(EngineError::Cold) }
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        if self.all_known { self.content.visit(from, to, visitor) } else { Err(EngineError::Cold) }
    }
}

impl WaitingEngine {
    pub(super) fn fresh(state: State) -> Self {
        Self::new(state, MemoryEngine::new(), false)
    }

    pub(super) fn sealed(state: State, content: MemoryEngine) -> Self {
        Self::new(state, content, true)
    }

    fn new(state: State, content: MemoryEngine, sealed: bool) -> Self {
        let durable = content.applied();
        Self {
            resident: Resident {
                content,
                known: BTreeSet::new(),
                plain: BTreeSet::new(),
                all_known: !sealed,
            },
            state,
            sealed,
            durable,
            epoch: 0,
            flushing: false,
            wanted: false,
            full: false,
            waits: false,
            flushes: 0,
            flushed: Flushed::default(),
        }
    }
}

impl Reader for WaitingEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        self.resident.content.get(key)
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        self.resident.content.visit(from, to, visitor)
    }
}

impl Engine for WaitingEngine {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.resident.known.insert(key.to_vec());
        self.resident.plain.remove(key);
        self.resident.content.put(key, value)
    }

    fn mark_plain(&mut self, key: &[u8]) {
        self.resident.plain.insert(key.to_vec());
    }

    fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        if !self.resident.knows(key) && self.resident.plain.contains(key) {
            return Ok(Replaced::Plain);
        }
        self.get(key).map(Replaced::from)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.resident.known.insert(key.to_vec());
        self.resident.plain.remove(key);
        self.resident.content.delete(key)
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        self.resident.content.write(applied)
    }

    fn applied(&self) -> u64 {
        self.resident.content.applied()
    }

    fn durable_applied(&self) -> u64 {
        self.durable
    }

    fn view(&self) -> Box<dyn View> {
        self.resident.content.view()
    }

    fn reset(&mut self) {
        self.resident.content.reset();
        self.resident.known.clear();
        self.resident.plain.clear();
        self.resident.all_known = true;
        (self.durable, self.sealed) = (0, false);
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.resident.content.maintain(budget)
    }

    fn stats(&self) -> EngineStats {
        EngineStats { disk_full: self.full, flushes: self.flushes, ..self.resident.content.stats() }
    }

    fn resident(&self) -> &dyn Reader {
        &self.resident
    }

    fn may_block(&self) -> bool {
        true
    }

    fn fetch(&mut self, needs: &[Need]) -> Option<Fetch> {
        // Filters tell most keys that are nowhere.
        let is_told = |key: &[u8]| key.last().is_none_or(|last| last % 4 > 0);
        let is_absent =
            |key: &[u8]| is_told(key) && matches!(self.resident.content.get(key), Ok(None));
        let is_enough = |Need { key, only_replaced }: &Need| {
            *only_replaced && (self.resident.plain.contains(key) || is_absent(key))
        };
        let cold = needs.iter().filter(|need| !self.resident.knows(&need.key) && !is_enough(need));
        let cold: Vec<Vec<u8>> = cold.map(|need| need.key.clone()).collect();
        if cold.is_empty() {
            return None;
        }
        let (epoch, state) = (self.epoch, self.state.clone());
        // Read elsewhere, in the gym's own order; what it is, the content knows.
        let read = move || match cold.iter().try_for_each(|key| state.probe(key)) {
            Ok(()) => Fetched::new(epoch, cold.into_iter().map(|key| (key.into(), None)).collect()),
            Err(error) => Fetched::failed(error),
        };
        Some(Fetch::new(read))
    }

    fn admit(&mut self, fetched: Fetched) {
        let (epoch, records) = fetched.into_parts();
        if epoch == self.epoch {
            self.resident.known.extend(records.into_iter().map(|(key, _)| key.into_vec()));
        }
    }

    fn take_work(&mut self) -> Option<Work> {
        let grown = self.applied() >= self.durable + FLUSH_BATCHES;
        let due = self.sealed && !self.flushing && !self.waits && (grown || self.wanted);
        if !due || self.applied() == self.durable {
            return None;
        }
        (self.flushing, self.wanted) = (true, false);
        let (view, state) = (self.resident.content.view(), self.state.clone());
        let flushed = Arc::clone(&self.flushed);
        Some(Work::new(WorkKind::Flush, move || {
            let written = state.write(&*view);
            *flushed.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((view.applied(), written));
        }))
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        let done = self.flushed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((applied, written)) = done else { return Ok(()) };
        self.flushing = false;
        match written {
            // What was flushed was thrown away meanwhile.
            Ok(_) if !self.sealed => {}
            Ok(state) => {
                tracing::info!("the engine has flushed");
                self.state = state;
                self.durable = applied;
                self.epoch += 1;
                self.flushes += 1;
                self.full = false;
                self.resident.known.clear();
                self.resident.all_known = false;
            }
            Err(EngineError::Io(error)) if error.kind() == io::ErrorKind::StorageFull => {
                (self.full, self.waits) = (true, true);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.applied() < self.durable + BEHIND_MAX || !self.sealed
    }

    fn checkpoint(&mut self) {
        (self.wanted, self.waits) = (true, false);
    }

    fn seal(&mut self, note: &[u8]) -> Result<(), EngineError> {
        self.state = self.state.write(&*self.resident.content.view())?;
        self.state.seal(note)?;
        (self.sealed, self.durable) = (true, self.applied());
        Ok(())
    }

    fn note(&self) -> &[u8] {
        &self.state.note
    }

    fn retire(&mut self) {
        if self.sealed {
            // Left behind, it is removed by the next start.
            drop(self.state.remove());
        }
    }
}
