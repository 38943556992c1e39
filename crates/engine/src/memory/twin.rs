//! The state of a memory engine, for reading, while the engine itself is on another thread.

use std::sync::Arc;

use bytes::Bytes;

use super::MemoryView;
use crate::engine::{Engine, EngineError, EngineStats, Found, Reader, View, Visitor};

/// See [`Engine::twin`].
pub(super) struct Twin {
    view: MemoryView,
    stats: EngineStats,
}

impl Twin {
    pub(super) fn new(view: MemoryView, stats: EngineStats) -> Self {
        Self { view, stats }
    }
}

impl Reader for Twin {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        self.view.get(key)
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        self.view.visit(from, to, visitor)
    }
}

impl Engine for Twin {
    /// # Panics
    /// A twin is only read: what is written to it would be lost.
    fn put(&mut self, _: &[u8], _: Bytes) -> Result<(), EngineError> {
        panic!("a write to a twin")
    }

    /// # Panics
    /// As [`Twin::put`].
    fn delete(&mut self, _: &[u8]) -> Result<(), EngineError> {
        panic!("a write to a twin")
    }

    /// # Panics
    /// As [`Twin::put`].
    fn write(&mut self, _: u64) -> Result<(), EngineError> {
        panic!("a write to a twin")
    }

    fn applied(&self) -> u64 {
        self.view.applied()
    }

    fn durable_applied(&self) -> u64 {
        0
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(MemoryView {
            root: self.view.root.clone(),
            applied: self.view.applied,
            reclaim: self.view.reclaim.clone(),
            _counted: Arc::clone(&self.view._counted),
        })
    }

    /// # Panics
    /// As [`Twin::put`].
    fn reset(&mut self) {
        panic!("a reset of a twin")
    }

    fn maintain(&mut self, budget: usize) -> bool {
        self.view.reclaim.work(budget)
    }

    fn stats(&self) -> EngineStats {
        self.stats.clone()
    }

    fn resident(&self) -> &dyn Reader {
        self
    }
}
