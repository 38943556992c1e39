//! The tree's part of a visit: read as it goes, or what was read elsewhere before, and then read on.

use bytes::Bytes;

use super::pin::{Pin, Range};
use crate::engine::EngineError;
use crate::work::FetchedRange;

type Record = (Vec<u8>, Bytes);

/// Records of the tree, in order.
pub(super) struct Below<'a> {
    pin: &'a Pin,
    to: Vec<u8>,
    held: std::slice::Iter<'a, Record>,
    /// Where the tree is read from, once it has to be; `None`: nothing is left there.
    from: Option<Vec<u8>>,
    range: Option<Range<'a>>,
    /// What [`Below::next`] has given, and whether that was all; `None`: nobody asks.
    seen: Option<(Vec<Record>, bool)>,
}

impl<'a> Below<'a> {
    /// All from `from` to `to`, of which `held` may have the first.
    pub(super) fn new(
        pin: &'a Pin,
        held: Option<&'a FetchedRange>,
        from: &[u8],
        to: &[u8],
    ) -> Self {
        let (records, rest) = match held {
            None => (&[][..], Some(from.to_vec())),
            Some(held) => {
                let at = held.records.partition_point(|(key, _)| key.as_slice() < from);
                let records = held.records.get(at..).unwrap_or_default();
                (records, if held.ended { None } else { held.end() })
            }
        };
        Self { pin, to: to.to_vec(), held: records.iter(), from: rest, range: None, seen: None }
    }

    /// Remembers what it gives.
    pub(super) fn remember(&mut self) {
        self.seen = Some((Vec::new(), false));
    }

    /// What it has given, and whether that was all.
    pub(super) fn into_seen(self) -> (Vec<Record>, bool) {
        self.seen.unwrap_or_default()
    }

    /// True when the tree had to be asked.
    pub(super) fn has_read(&self) -> bool {
        self.range.is_some()
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Record>, EngineError> {
        let next = self.read()?;
        match (&mut self.seen, &next) {
            (None, _) => {}
            (Some((seen, _)), Some(record)) => seen.push(record.clone()),
            (Some((_, ended)), None) => *ended = true,
        }
        Ok(next)
    }

    fn read(&mut self) -> Result<Option<Record>, EngineError> {
        if let Some(record) = self.held.next() {
            return Ok(Some(record.clone()));
        }
        if let Some(from) = self.from.take() {
            self.range = Some(self.pin.range(&from, &self.to)?);
        }
        self.range.as_mut().map_or(Ok(None), Range::next)
    }
}

impl FetchedRange {
    /// True when a visit from `from` to `to` begins within.
    pub(super) fn covers(&self, from: &[u8], to: &[u8]) -> bool {
        let last = self.records.last().map(|(key, _)| key.as_slice());
        self.to == to && from >= self.from.as_slice() && (self.ended || Some(from) <= last)
    }

    /// Where it has to be read on.
    fn end(&self) -> Option<Vec<u8>> {
        let (last, _) = self.records.last()?;
        let mut next = last.clone();
        next.push(0);
        Some(next)
    }
}
