//! A frozen state of the tree, and what is read from it.

use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::{SeqNo, UserKey, UserValue};

use super::base::{Base, told};
use super::tables::Tables;
use super::wire;
use crate::engine::EngineError;

/// A frozen state of a tree.
#[derive(Debug)]
pub(super) struct Pin {
    base: Arc<Base>,
    at: SeqNo,
    tables: Option<Arc<Tables>>,
}

impl Pin {
    /// The state of `tables`, for which `base` keeps what it had at `at` until this is dropped.
    pub(super) fn new(base: Arc<Base>, at: SeqNo, tables: Option<Arc<Tables>>) -> Self {
        Self { base, at, tables }
    }

    /// The value of `key` in that state.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.base.get_in(self.tables.as_deref(), key)
    }

    /// The records with `from <= key < to` in that state.
    pub(super) fn range(&self, from: &[u8], to: &[u8]) -> Result<Range<'_>, EngineError> {
        let (low, high) = (wire::tree_from(from), wire::tree_to(to));
        let items = match &self.tables {
            Some(tables) if low < high => {
                self.base.noting(|| Ok(Box::new(tables.range(low, high)) as Items))?
            }
            _ => Box::new(std::iter::empty()) as Items,
        };
        Ok(Range {
            base: &self.base,
            items,
            from: from.to_vec(),
            to: to.to_vec(),
            ahead: None,
            long: Vec::new(),
        })
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.base.unpin(self.at);
    }
}

type Items = Box<dyn Iterator<Item = lsm_tree::Result<(UserKey, UserValue)>> + Send>;
type Record = (Vec<u8>, Bytes);

/// Records of a tree, in order.
pub(super) struct Range<'a> {
    base: &'a Base,
    items: Items,
    from: Vec<u8>,
    to: Vec<u8>,
    ahead: Option<Record>,
    /// Long keys of one head, the first of them last.
    long: Vec<Record>,
}

impl Range<'_> {
    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Record>, EngineError> {
        loop {
            let next = match self.long.pop() {
                Some(record) => Some(record),
                None => self.next_group()?,
            };
            let Some((key, value)) = next else { return Ok(None) };
            // Long keys of the first and the last head may lie outside.
            let behind_start = key >= self.from;
            let before_end = self.to.is_empty() || key < self.to;
            if behind_start && before_end {
                return Ok(Some((key, value)));
            }
        }
    }

    /// The next record; where its key is long, all of its head are read and sorted.
    fn next_group(&mut self) -> Result<Option<Record>, EngineError> {
        let Some(first) = self.read()? else { return Ok(None) };
        if !wire::is_long(&first.0) {
            return Ok(Some(first));
        }
        let mut group = vec![first];
        while let Some(record) = self.read()? {
            let same = group.first().is_some_and(|(key, _)| wire::same_head(key, &record.0));
            if !(same && wire::is_long(&record.0)) {
                self.ahead = Some(record);
                break;
            }
            group.push(record);
        }
        group.sort_unstable_by(|one, other| other.0.cmp(&one.0));
        self.long = group;
        Ok(self.long.pop())
    }

    fn read(&mut self) -> Result<Option<Record>, EngineError> {
        if let Some(record) = self.ahead.take() {
            return Ok(Some(record));
        }
        let items = &mut self.items;
        self.base.noting(|| {
            let Some(record) = items.next() else { return Ok(None) };
            let (key, value) = record.map_err(told)?;
            wire::decode(&key, value.into()).map(Some)
        })
    }
}
