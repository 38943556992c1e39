//! A frozen state of the disk engine.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::base::Pin;
use super::{is_gone, merge};
use crate::engine::{EngineError, Found, Reader, View, Visitor};
use crate::work::Fetched;

/// Records remembered for [`View::take_fetched`], and bytes of them.
const FETCHED_MAX: usize = 4096;
const FETCHED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The overlay as it was, and a pinned state of the base.
pub(super) struct DiskView {
    /// The newest first.
    layers: Vec<Box<dyn View>>,
    pin: Pin,
    applied: u64,
    epoch: u64,
    fetched: RefCell<(Vec<Read>, usize)>,
    _counted: Arc<()>,
}

/// A key and what the base had for it.
type Read = (Box<[u8]>, Option<Bytes>);

impl DiskView {
    pub(super) fn new(
        layers: Vec<Box<dyn View>>,
        pin: Pin,
        applied: u64,
        epoch: u64,
        counted: Arc<()>,
    ) -> Self {
        Self { layers, pin, applied, epoch, fetched: RefCell::default(), _counted: counted }
    }

    fn remember(&self, key: &[u8], value: Option<&Bytes>) {
        let mut fetched = self.fetched.borrow_mut();
        let bytes = key.len() + value.map_or(0, Bytes::len);
        if fetched.0.len() < FETCHED_MAX && fetched.1 + bytes <= FETCHED_BYTES_MAX {
            fetched.0.push((key.into(), value.cloned()));
            fetched.1 += bytes;
        }
    }
}

impl Reader for DiskView {
    fn get(&self, key: &[u8]) -> Result<Option<Found<'_>>, EngineError> {
        for layer in &self.layers {
            if let Some(found) = layer.get(key)? {
                return Ok(Some(found).filter(|value| !is_gone(value)));
            }
        }
        let value = self.pin.get(key)?;
        self.remember(key, value.as_ref());
        Ok(value.map(Found::Given))
    }

    fn visit(&self, from: &[u8], to: &[u8], visitor: Visitor<'_>) -> Result<(), EngineError> {
        let layers: Vec<_> = self.layers.iter().map(|layer| &**layer as &dyn Reader).collect();
        merge::visit(&layers, Some(self.pin.range(from, to)?), from, to, visitor)
    }
}

impl View for DiskView {
    fn applied(&self) -> u64 {
        self.applied
    }

    fn take_fetched(&mut self) -> Fetched {
        let (records, _) = std::mem::take(self.fetched.get_mut());
        Fetched { epoch: self.epoch, records, failed: None }
    }
}
