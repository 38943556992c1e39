//! An engine that attends to its own work, for tests, tools and whoever has no lanes to do it on.

use std::fmt;
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, Replaced, View, Visitor};
use crate::work::{Fetch, Fetched, Need, Work, WorkKind};

/// A thread for works of one kind.
struct Worker {
    /// `None` while being dropped.
    works: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    #[expect(clippy::disallowed_methods, reason = "whoever has lanes does not need this")]
    fn start() -> Self {
        let (works, taken) = mpsc::channel::<Work>();
        let thread = std::thread::spawn(move || taken.into_iter().for_each(Work::run));
        Self { works: Some(works), thread: Some(thread) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.works = None;
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The engine, and who does its work.
pub struct Attended<E> {
    engine: E,
    /// None: it is done at once, by the caller.
    workers: Option<(Worker, Worker)>,
}

impl<E: fmt::Debug> fmt::Debug for Attended<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}

impl<E: Engine> Attended<E> {
    /// Works are done by the caller at the end of a batch.
    pub fn inline(engine: E) -> Self {
        Self { engine, workers: None }
    }

    /// Works are done by two threads.
    pub fn threaded(engine: E) -> Self {
        Self { engine, workers: Some((Worker::start(), Worker::start())) }
    }

    /// Has what is to be done done, and takes in what was.
    ///
    /// # Errors
    /// As [`Engine::settle`].
    pub fn attend(&mut self) -> Result<(), EngineError> {
        self.engine.settle()?;
        while let Some(work) = self.engine.take_work() {
            match &self.workers {
                None => {
                    work.run();
                    self.engine.settle()?;
                }
                Some((flush, compact)) => {
                    let worker = if work.kind == WorkKind::Flush { flush } else { compact };
                    if let Some(works) = &worker.works {
                        works.send(work).map_err(|_| std::io::Error::other("a worker has gone"))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Attends until the engine says that everything applied is durable and nothing is left to do.
    ///
    /// # Errors
    /// As [`Engine::settle`].
    pub fn rest(&mut self) -> Result<(), EngineError> {
        if self.engine.may_block() {
            self.engine.checkpoint();
            while self.engine.durable_applied() < self.engine.applied() {
                self.attend()?;
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// The engine.
    pub fn into_inner(self) -> E {
        self.engine
    }
}

impl<E: Engine> Reader for Attended<E> {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        self.engine.get(key)
    }

    fn expect(&self, keys: &[&[u8]]) {
        self.engine.expect(keys);
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        self.engine.visit(from, to, visitor)
    }
}

impl<E: Engine> Engine for Attended<E> {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.engine.put(key, value)
    }

    fn put_copy(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.engine.put_copy(key, value)
    }

    fn mark_plain(&mut self, key: &[u8]) {
        self.engine.mark_plain(key);
    }

    fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        self.engine.replaced(key)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.engine.delete(key)
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        self.engine.write(applied)?;
        self.attend()
    }

    fn applied(&self) -> u64 {
        self.engine.applied()
    }

    fn durable_applied(&self) -> u64 {
        self.engine.durable_applied()
    }

    fn view(&self) -> Box<dyn View> {
        self.engine.view()
    }

    fn reset(&mut self) {
        self.engine.reset();
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.engine.maintain(budget)
    }

    fn stats(&self) -> EngineStats {
        self.engine.stats()
    }

    fn resident(&self) -> &dyn Reader {
        self.engine.resident()
    }

    fn may_block(&self) -> bool {
        self.engine.may_block()
    }

    fn fetch(&mut self, needs: &[Need]) -> Option<Fetch> {
        self.engine.fetch(needs)
    }

    fn admit(&mut self, fetched: Fetched) {
        self.engine.admit(fetched);
    }

    fn hold(&mut self, fetched: Fetched) -> bool {
        self.engine.hold(fetched)
    }

    fn release(&mut self) {
        self.engine.release();
    }

    fn take_work(&mut self) -> Option<Work> {
        None
    }

    fn settle(&mut self) -> Result<(), EngineError> {
        self.attend()
    }

    fn has_room(&self) -> bool {
        self.engine.has_room()
    }

    fn checkpoint(&mut self) {
        self.engine.checkpoint();
    }

    fn seal(&mut self, note: &[u8]) -> Result<(), EngineError> {
        // Nothing may be under way when a state is sealed.
        self.rest()?;
        self.engine.seal(note)
    }

    fn note(&self) -> &[u8] {
        self.engine.note()
    }

    fn retire(&mut self) {
        self.engine.retire();
    }
}
