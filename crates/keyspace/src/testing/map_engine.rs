//! An engine that is a map: the simplest thing that keeps the contract.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use quorate_engine::engine::Visitor;
use quorate_engine::{Engine, EngineError, EngineStats, Reader, View};

#[derive(Clone, Default)]
pub(super) struct MapEngine {
    records: BTreeMap<Vec<u8>, Bytes>,
    applied: u64,
    dirty: bool,
}

impl Reader for MapEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.records.get(key).cloned())
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        if !to.is_empty() && from >= to {
            return Ok(());
        }
        let end = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        for (key, value) in self.records.range::<[u8], _>((Bound::Included(from), end)) {
            if visitor(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl Engine for MapEngine {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.dirty = true;
        self.records.insert(key.to_vec(), value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.dirty = true;
        self.records.remove(key);
        Ok(())
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        assert!(applied > self.applied);
        self.applied = applied;
        self.dirty = false;
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn durable_applied(&self) -> u64 {
        0
    }

    fn view(&self) -> Box<dyn View> {
        assert!(!self.dirty, "a view never shows half a batch");
        Box::new(self.clone())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn maintain(&mut self, _budget: usize) -> bool {
        false
    }

    fn stats(&self) -> EngineStats {
        EngineStats::default()
    }
}

impl View for MapEngine {
    fn applied(&self) -> u64 {
        self.applied
    }
}
