//! A frozen state of the disk engine.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::below::Below;
use super::pin::Pin;
use super::{is_gone, merge};
use crate::engine::{EngineError, Found, Reader, View, Visitor};
use crate::work::{Fetched, FetchedRange};

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
    /// What was looked through, and bytes of it; `None`: that is of no interest.
    ranges: Option<RefCell<(Vec<FetchedRange>, usize)>>,
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
        let fetched = RefCell::default();
        Self { layers, pin, applied, epoch, fetched, ranges: None, _counted: counted }
    }

    /// Remembers the tree's part of a visit, as far as there is room for it.
    fn remember_range(&self, from: &[u8], to: &[u8], below: Below<'_>) {
        let Some(ranges) = &self.ranges else { return };
        let (ranges, bytes) = &mut *ranges.borrow_mut();
        let (mut records, mut ended) = below.into_seen();
        let (mut count, mut added) = (0, 0);
        for (key, value) in &records {
            added += key.len() + value.len();
            if count == FETCHED_MAX || *bytes + added > FETCHED_BYTES_MAX {
                ended = false;
                break;
            }
            count += 1;
        }
        records.truncate(count);
        *bytes += added;
        // A visit of the same place that went further has the last word.
        ranges.retain(|known| known.from != from || known.to != to || known.records.len() > count);
        let (from, to) = (from.to_vec(), to.to_vec());
        ranges.push(FetchedRange { from, to, records, ended });
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
        let mut below = Below::new(&self.pin, None, from, to);
        if self.ranges.is_some() {
            below.remember();
        }
        merge::visit(&layers, Some(&mut below), from, to, visitor)?;
        self.remember_range(from, to, below);
        Ok(())
    }
}

impl View for DiskView {
    fn applied(&self) -> u64 {
        self.applied
    }

    fn remember_ranges(&mut self) {
        self.ranges.get_or_insert_default();
    }

    fn take_fetched(&mut self) -> Fetched {
        let (records, _) = std::mem::take(self.fetched.get_mut());
        let ranges = self.ranges.as_mut().map(|ranges| std::mem::take(ranges.get_mut()).0);
        Fetched { epoch: self.epoch, records, ranges: ranges.unwrap_or_default(), failed: None }
    }
}
