//! What a disk engine knows without the device: the cache, the marks of keys, and the overlays of what is not durable.

use std::cell::Cell;

use super::cache::RecordCache;
use super::held::Held;
use super::marks::{Mark, Marks};
use super::{is_gone, merge};
use crate::engine::{EngineError, Found, Reader, Replaced, Visitor};
use crate::memory::MemoryEngine;
use crate::work::Need;

/// What is known without the device.
pub(super) struct Resident {
    pub(super) cache: RecordCache,
    pub(super) marks: Marks,
    pub(super) recent: MemoryEngine,
    pub(super) flushing: Option<MemoryEngine>,
    pub(super) held: Held,
    pub(super) base_is_empty: Cell<bool>,
}

impl Reader for Resident {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        if let Some(known) = self.cache.get(key) {
            return Ok(known.as_ref().map(Found::Lent));
        }
        match self.recent.get(key)? {
            Some(found) => Ok(Some(found).filter(|value| !is_gone(value))),
            None => self.below_recent(key),
        }
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        if !self.base_is_empty.get() {
            return Err(EngineError::Cold);
        }
        let layers: Vec<_> = self.layers().map(|layer| layer as &dyn Reader).collect();
        merge::visit(&layers, None, from, to, visitor)
    }
}

impl Resident {
    fn below_recent(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        if let Some(flushing) = &self.flushing
            && let Some(found) = flushing.get(key)?
        {
            return Ok(Some(found).filter(|value| !is_gone(value)));
        }
        if let Some(held) = self.held.get(key) {
            return Ok(held.as_ref().map(Found::Lent));
        }
        if self.base_is_empty.get() { Ok(None) } else { Err(EngineError::Cold) }
    }

    /// The newest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &MemoryEngine> {
        std::iter::once(&self.recent).chain(&self.flushing)
    }

    /// Has the overlay fetch what looking up `keys` will touch.
    pub(super) fn expect(&self, keys: &[&[u8]]) {
        for layer in self.layers() {
            layer.expect(keys);
        }
    }

    /// What a write that replaces or removes `key` has to know.
    pub(super) fn replaced(&self, key: &[u8]) -> Result<Replaced<'_>, EngineError> {
        if let Some(known) = self.cache.get(key) {
            return Ok(known.as_ref().map(Found::Lent).into());
        }
        // Order matters: of what the open batch has done only the overlay knows. (With nothing below it, it has no
        // marks of what was deleted, and knows everything.)
        if let Some(found) = self.recent.get(key)? {
            return Ok(Some(found).filter(|value| !is_gone(value)).into());
        }
        if self.base_is_empty.get() {
            return self.below_recent(key).map(Replaced::from);
        }
        match self.marks.of(key) {
            Some(Mark::Plain) => Ok(Replaced::Plain),
            Some(Mark::Absent) => Ok(Replaced::Absent),
            None => self.below_recent(key).map(Replaced::from),
        }
    }

    /// True when `need` is met by what is known of keys without their records.
    pub(super) fn is_marked_enough(&self, need: &Need) -> bool {
        need.only_replaced && self.marks.of(&need.key).is_some()
    }

    /// True when `key` can be told without the device.
    pub(super) fn knows(&self, key: &[u8]) -> bool {
        self.base_is_empty.get()
            || self.cache.knows(key)
            || self.held.get(key).is_some()
            || self.layers().any(|layer| matches!(layer.get(key), Ok(Some(_))))
    }

    /// True when the overlay has the last word on `key`.
    pub(super) fn overrides(&self, key: &[u8]) -> bool {
        self.layers().any(|layer| matches!(layer.get(key), Ok(Some(_))))
    }
}
