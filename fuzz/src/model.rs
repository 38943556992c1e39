//! An engine that is a `BTreeMap`: what any other engine must agree with.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use quorate_engine::engine::Visitor;
use quorate_engine::{Engine, EngineError, EngineStats, Found, Reader, View};

/// The records, and what is applied.
#[derive(Clone, Debug, Default)]
pub struct ModelEngine {
    records: BTreeMap<Vec<u8>, Bytes>,
    applied: u64,
}

impl Reader for ModelEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        Ok(self.records.get(key).map(Found::Lent))
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        let end = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        if !to.is_empty() && from >= to {
            return Ok(());
        }
        for (key, value) in self.records.range::<[u8], _>((Bound::Included(from), end)) {
            if visitor(key, &Found::Lent(value)) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

impl View for ModelEngine {
    fn applied(&self) -> u64 {
        self.applied
    }
}

impl Engine for ModelEngine {
    fn put(&mut self, key: &[u8], value: Bytes) -> Result<(), EngineError> {
        self.records.insert(key.to_vec(), value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.records.remove(key);
        Ok(())
    }

    fn write(&mut self, applied: u64) -> Result<(), EngineError> {
        assert!(applied > self.applied);
        self.applied = applied;
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn durable_applied(&self) -> u64 {
        0
    }

    fn resident(&self) -> &dyn Reader {
        self
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(self.clone())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn maintain(&mut self, _: usize) -> bool {
        false
    }

    fn stats(&self) -> EngineStats {
        let bytes = self.records.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        EngineStats {
            records: self.records.len() as u64,
            payload_bytes: bytes,
            ..EngineStats::default()
        }
    }
}
